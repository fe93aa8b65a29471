//! Resources as proto-JSON, for tools and tests: what `smidge translate` prints and what golden files hold.
//!
//! Reading the descriptors takes a third of a second in a debug build and some megabytes: nothing that serves
//! proxies depends on this crate.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use serde_json::Value;
use smidge_xds::Resource;

/// Why a resource cannot be printed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its bytes are no resource.
    #[error("the resource is not well-formed: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// It, or a message inside it, has a type that this build does not know.
    #[error("the resource has no JSON form: {0}")]
    Unknown(#[from] serde_json::Error),
    /// The descriptors of Envoy's messages that this build includes cannot be read.
    #[error("the descriptors of Envoy's messages are broken: {0}")]
    Descriptors(String),
}

/// The resource's message as proto-JSON, with its type in `@type`; keys are sorted, so that equal resources print alike.
///
/// # Errors
/// When the resource is malformed or holds a message of unknown type.
pub fn print(resource: &Resource) -> Result<Value, Error> {
    let message = DynamicMessage::decode(any()?, resource.body()?.encode_to_vec().as_slice())?;
    Ok(serde_json::to_value(&message)?)
}

/// What others have printed, as [`print`] would have: proto-JSON may name fields as the protos do, and spell out defaults. The
/// message's type is in `@type`.
///
/// # Errors
/// When it is no message, or holds one of unknown type.
pub fn canonical(printed: &Value) -> Result<Value, Error> {
    Ok(serde_json::to_value(&DynamicMessage::deserialize(any()?, printed)?)?)
}

fn any() -> Result<MessageDescriptor, Error> {
    let any = pool()?.get_message_by_name("google.protobuf.Any");
    any.ok_or_else(|| Error::Descriptors("no google.protobuf.Any".to_owned()))
}

fn pool() -> Result<&'static DescriptorPool, Error> {
    static POOL: OnceLock<Result<DescriptorPool, String>> = OnceLock::new();
    let descriptors: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/types.bin"));
    POOL.get_or_init(|| DescriptorPool::decode(descriptors).map_err(|error| error.to_string()))
        .as_ref()
        .map_err(|error| Error::Descriptors(error.clone()))
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
    use serde_json::json;
    use smidge_xds::TypeUrl;

    use super::*;

    #[test]
    fn a_resource_prints_with_its_type_and_the_names_of_proto_json() {
        let message = ClusterLoadAssignment { cluster_name: "shop/cart/80/http".to_owned(), ..Default::default() };
        let resource = Resource::new(TypeUrl::Endpoints, "shop/cart/80/http", &message);
        let expected = json!({"@type": TypeUrl::Endpoints.as_str(), "clusterName": "shop/cart/80/http"});
        assert_eq!(print(&resource).unwrap(), expected);
    }

    #[test]
    fn what_envoy_prints_is_read_as_what_we_print() {
        let message = ClusterLoadAssignment { cluster_name: "shop/cart/80/http".to_owned(), ..Default::default() };
        let ours = print(&Resource::new(TypeUrl::Endpoints, "shop/cart/80/http", &message)).unwrap();
        let envoys = json!({
            "@type": TypeUrl::Endpoints.as_str(), "cluster_name": "shop/cart/80/http", "endpoints": [], "policy": null,
        });
        assert_eq!(canonical(&envoys).unwrap(), ours);
        assert!(matches!(canonical(&json!({"@type": "type.googleapis.com/none"})), Err(Error::Unknown(_))));
    }
}
