//! A response, and its encoding from the resources' own bytes.

use std::sync::Arc;

use bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use smidge_xds::{Epoch, Name, Resource, TypeUrl};

/// One `DeltaDiscoveryResponse`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The type of all that is in it.
    pub type_url: TypeUrl,
    /// What the answer refers to.
    pub nonce: u64,
    /// The newest publication, for debugging (`system_version_info`).
    pub epoch: Epoch,
    /// Added and changed.
    pub resources: Vec<Arc<Resource>>,
    /// Gone, or asked for and not there.
    pub removed: Vec<Name>,
}

// The field numbers of envoy.service.discovery.v3.DeltaDiscoveryResponse.
const SYSTEM_VERSION_INFO: u32 = 1;
const RESOURCES: u32 = 2;
const TYPE_URL: u32 = 4;
const NONCE: u32 = 5;
const REMOVED_RESOURCES: u32 = 6;

impl Response {
    /// Writes the message. The resources are copied as they are: they were encoded once, when they were made.
    pub fn encode(&self, buf: &mut impl BufMut) {
        self.encode_head(buf);
        self.encode_resources(buf);
    }

    /// Writes what differs from stream to stream.
    pub(crate) fn encode_head(&self, buf: &mut impl BufMut) {
        put(buf, SYSTEM_VERSION_INFO, self.epoch.0.to_string().as_bytes());
        put(buf, TYPE_URL, self.type_url.as_str().as_bytes());
        put(buf, NONCE, self.nonce.to_string().as_bytes());
    }

    /// Writes what may be the same for many streams.
    pub(crate) fn encode_resources(&self, buf: &mut impl BufMut) {
        for resource in &self.resources {
            put(buf, RESOURCES, &resource.encoded);
        }
        for name in &self.removed {
            put(buf, REMOVED_RESOURCES, name.as_str().as_bytes());
        }
    }

    /// The length of the message, but for its three short fields (less than 200 bytes).
    pub fn size(&self) -> usize {
        self.resources.iter().map(|r| field_len(r.encoded.len())).sum::<usize>()
            + self.removed.iter().map(|n| field_len(n.as_str().len())).sum::<usize>()
    }
}

/// The length of a field with so many bytes.
pub(super) fn field_len(bytes: usize) -> usize {
    key_len(RESOURCES) + encoded_len_varint(bytes as u64) + bytes
}

fn put(buf: &mut impl BufMut, field: u32, bytes: &[u8]) {
    encode_key(field, WireType::LengthDelimited, buf);
    encode_varint(bytes.len() as u64, buf);
    buf.put_slice(bytes);
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::{
        envoy::{config::cluster::v3::Cluster, service::discovery::v3 as discovery},
        google::protobuf::Any,
    };
    use prost::Message;

    use super::*;

    #[test]
    fn a_response_encodes_as_prost_would_read_it() {
        let cluster = Cluster { name: "a".into(), ..Default::default() };
        let resource = Resource::new(TypeUrl::Cluster, "a", &cluster);
        let response = Response {
            type_url: TypeUrl::Cluster,
            nonce: 7,
            epoch: Epoch(300),
            resources: vec![Arc::new(resource.clone())],
            removed: vec![Name::from("gone"), Name::from("x".repeat(200))],
        };
        let mut bytes = Vec::new();
        response.encode(&mut bytes);
        assert!(bytes.len() < response.size() + 200);
        let expected = discovery::DeltaDiscoveryResponse {
            system_version_info: "300".into(),
            type_url: TypeUrl::Cluster.as_str().into(),
            nonce: "7".into(),
            resources: vec![discovery::Resource {
                name: "a".into(),
                version: resource.version.to_string(),
                resource: Some(Any { type_url: TypeUrl::Cluster.as_str().into(), value: cluster.encode_to_vec() }),
                ..Default::default()
            }],
            removed_resources: vec!["gone".into(), "x".repeat(200)],
            ..Default::default()
        };
        assert_eq!(discovery::DeltaDiscoveryResponse::decode(&bytes[..]).unwrap(), expected);
    }
}
