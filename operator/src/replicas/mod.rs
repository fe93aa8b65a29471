//! Between replicas: who does not lead tells the leader what its proxies have acknowledged.
//!
//! ```text
//! loop ─Account→ follow ═══ TLS 1.3, both sides prove that they are replicas ═══→ hear ─Message→ the leader's loop
//! ```
//! Only who can sign by the mesh's root has a certificate with the replicas' name: no API server is asked. A stream begins
//! with everything; what a slow leader has not taken is told as it is when it listens again.

mod follow;
mod hear;
mod outbox;
mod trust;
mod wire;

use std::{sync::Arc, time::Duration};

use smidge_report::Told;
use smidge_xds::ProxyId;
use tokio_util::codec::LengthDelimitedCodec;

use crate::identity::{Authority, Serving, SignerId};

pub(crate) use follow::follow;
pub(crate) use hear::hear;
pub(crate) use outbox::Outbox;

/// How often either side says that it is there.
const BEAT: Duration = Duration::from_secs(1);
/// After how long without a word the other side counts as gone.
const SILENCE: Duration = Duration::from_secs(5);
/// How long a frame may be, in bytes.
const FRAME_LIMIT: usize = 16 << 20;

/// What one replica tells another at a time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Account {
    /// What its proxies have acknowledged.
    pub(crate) told: Told,
    /// By which root the certificates are that it has given them.
    pub(crate) signers: Vec<(ProxyId, SignerId)>,
}

/// What comes from another replica.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    /// It begins to tell.
    Opened,
    /// What it tells.
    Told(Account),
    /// Its stream has ended.
    Closed,
}

/// How replicas know each other.
#[derive(Clone)]
pub(crate) struct Trust {
    authority: Arc<Authority>,
    shown: Serving,
    /// The name in their certificates.
    name: String,
}

impl Trust {
    /// Of the replicas in this namespace.
    pub(crate) fn new(authority: Arc<Authority>, namespace: &str) -> Self {
        let name = format!("smidge-replica.{namespace}.svc");
        let shown = Serving::keep(authority.clone(), vec![name.clone()]);
        Self { authority, shown, name }
    }
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(FRAME_LIMIT).new_codec()
}
