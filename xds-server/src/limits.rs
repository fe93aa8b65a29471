//! What a client may cost.

use std::time::Duration;

/// What the server spends on its clients at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at a time; one more is closed at once.
    pub connections: usize,
    /// Streams at a time, those that have not said who they are included.
    pub streams: usize,
    /// Streams of one proxy at a time. A second one is normal for a moment (a reconnect whose old connection is not
    /// yet known to be dead, Envoy's hot restart); of more, the oldest is ended.
    pub streams_per_proxy: usize,
    /// Streams on one connection; Envoy opens one.
    pub streams_per_connection: u32,
    /// Names that one stream may subscribe to or say it has, per type.
    pub subscriptions: usize,
    /// The length of a resource name, in bytes.
    pub name_bytes: usize,
    /// The length of a request, in bytes.
    pub request_bytes: usize,
    /// The length of a response, in bytes; a single resource that is longer goes alone.
    pub response_bytes: usize,
    /// Requests that answer no response (subscriptions) which a stream may send at once …
    pub request_burst: u32,
    /// … and per second after that; what is more waits in the client.
    pub requests_per_second: u32,
    /// How long a connection may be without a stream before it is closed (at most twice as long). Longer than Envoy
    /// waits between two tries to open one (30 s).
    pub unused_connection: Duration,
    /// How long a new stream may take to say who it is.
    pub first_request: Duration,
    /// How long a client may take to answer a response: what comes after it in the order of warming waits for the
    /// answer. Then (a tenth later at most) the stream is ended, so that its Envoy opens another. Longer than Envoy
    /// withholds the answer to clusters whose endpoints or secrets do not come (15 s).
    pub answer: Duration,
    /// A connection that is silent is asked for a sign of life this often …
    pub keepalive_interval: Duration,
    /// … and closed when it gives none in this time.
    pub keepalive_timeout: Duration,
    /// On shutdown the streams are ended one by one over this time, so that they do not all reconnect at once.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            streams: 20_000,
            streams_per_proxy: 2,
            streams_per_connection: 4,
            subscriptions: 100_000,
            name_bytes: 1024,
            request_bytes: 8 << 20,
            response_bytes: 256 << 10,
            request_burst: 10_000,
            requests_per_second: 500,
            unused_connection: Duration::from_secs(60),
            first_request: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(30),
            keepalive_timeout: Duration::from_secs(10),
            drain: Duration::ZERO,
        }
    }
}
