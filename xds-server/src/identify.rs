//! Which proxy is it? The one place that decides, narrow so that a verified identity can take its place.

use envoy_types::pb::envoy::config::core::v3::Node;
use futures::future::{BoxFuture, FutureExt, pending, ready};
use smidge_xds::ProxyId;
use tonic::{Extensions, Status, metadata::MetadataMap};

/// What a stream arrived with.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// The request's headers, such as a token.
    pub metadata: &'a MetadataMap,
    /// What the transport says of the connection.
    pub extensions: &'a Extensions,
    /// What the proxy says of itself in the stream's first request.
    pub node: &'a Node,
}

/// A stream that may go on, and until when.
pub struct Admitted {
    /// The proxy that has opened it.
    pub proxy: ProxyId,
    /// Ends when the stream has to: what proved the proxy counts no longer. Its Envoy is told the status, and proves
    /// itself anew.
    pub ended: BoxFuture<'static, Status>,
}

impl Admitted {
    /// For as long as the stream is open.
    pub fn forever(proxy: ProxyId) -> Self {
        Self { proxy, ended: pending().boxed() }
    }
}

/// Says which proxy has opened a stream.
pub trait Identify: Send + Sync + 'static {
    /// The proxy, or the refusal that its Envoy logs before it tries again. It may take its time, but has to bound it.
    fn identify<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, Result<Admitted, Status>>;
}

/// Believes the node id. Right only where nobody else can reach the socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeId;

/// `<pod>.<namespace>`: two DNS names of at most 253 and 63 characters.
const LONGEST_ID: usize = 253 + 1 + 63;

impl Identify for NodeId {
    fn identify<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, Result<Admitted, Status>> {
        ready(believe(&peer.node.id).map(Admitted::forever)).boxed()
    }
}

fn believe(id: &str) -> Result<ProxyId, Status> {
    if id.is_empty() {
        return Err(Status::invalid_argument("the first request has no node.id: start Envoy with --service-node"));
    }
    let plain = id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    if id.len() > LONGEST_ID || !plain {
        return Err(Status::invalid_argument("node.id is not of the form <pod>.<namespace>"));
    }
    Ok(ProxyId::from(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_id_must_be_a_plain_name() {
        assert_eq!(believe("web-0.shop").unwrap(), ProxyId::from("web-0.shop"));
        for hostile in ["", "web/0.shop", "a\nb", &"a".repeat(400)] {
            assert_eq!(believe(hostile).unwrap_err().code(), tonic::Code::InvalidArgument, "{hostile}");
        }
    }
}
