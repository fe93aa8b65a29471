//! What the server has done so far, for metrics and benches.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// Numbers that only grow, except `streams`. Reading them takes no lock.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $name: AtomicU64,)+
        }

        impl Counters {
            /// Name, help text and value of each, in a fixed order.
            pub fn read(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$((stringify!($name), concat!($($doc),+).trim_ascii(), self.$name.load(Relaxed)),)+]
            }
        }
    };
}

counters! {
    /// Publications.
    publications,
    /// Times that a publication marked one name as to be sent for one stream: the work that depends on proxies.
    marks,
    /// Times that a sleeping stream was woken.
    wakes,
    /// Responses made.
    responses,
    /// Bytes of responses encoded.
    response_bytes,
    /// Resources sent.
    resources,
    /// Removed names sent.
    removals,
    /// Requests received.
    requests,
    /// Requests that acknowledge a response.
    acks,
    /// Requests that reject a response.
    nacks,
    /// Resources found to be what a proxy rejected.
    culprits,
    /// Streams that are open.
    streams,
    /// Streams that were opened.
    streams_opened,
    /// Streams refused: unknown proxy, too many, or no identity.
    streams_refused,
    /// Streams ended because they broke a limit.
    violations,
    /// Streams ended because a response was not answered in time.
    unanswered,
    /// Connections refused: too many.
    connections_refused,
    /// Connections closed: no stream on them for long, or one that was ended and is not read.
    connections_closed,
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Relaxed);
}
