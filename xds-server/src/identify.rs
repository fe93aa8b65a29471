//! Which proxy is it? The one place that decides, narrow so that a verified identity can take its place.

use envoy_types::pb::envoy::config::core::v3::Node;
use futures::future::{BoxFuture, FutureExt, ready};
use smidge_xds::ProxyId;
use tonic::{Extensions, Status, metadata::MetadataMap};

/// What a stream arrived with.
#[derive(Clone, Copy, Debug)]
pub struct Peer<'a> {
    /// The request's headers (a token, later).
    pub metadata: &'a MetadataMap,
    /// What is known of the connection (a client certificate, later).
    pub extensions: &'a Extensions,
    /// What the proxy says of itself in the stream's first request.
    pub node: &'a Node,
}

/// Says which proxy has opened a stream.
pub trait Identify: Send + Sync + 'static {
    /// The proxy, or the refusal that its Envoy logs before it tries again.
    fn identify<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, Result<ProxyId, Status>>;
}

/// Believes the node id. Right only where nobody else can reach the socket.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeId;

/// `<pod>.<namespace>`: two DNS names of at most 253 and 63 characters.
const LONGEST_ID: usize = 253 + 1 + 63;

impl Identify for NodeId {
    fn identify<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, Result<ProxyId, Status>> {
        ready(believe(&peer.node.id)).boxed()
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
