//! The little of protobuf that a load client needs: the fields of a response, without decoding what is in them.

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use prost::{
    Message,
    encoding::{WireType, decode_key, decode_varint},
};

/// A response: what is in it lies in `bytes`.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The resource type.
    pub type_url: String,
    /// What the ACK has to carry.
    pub nonce: String,
    /// The encoded `Resource`s.
    pub resources: Vec<Bytes>,
}

/// Splits a `DeltaDiscoveryResponse` into its fields. `None`: it is none.
pub(super) fn response(message: Bytes) -> Option<Response> {
    let mut response = Response::default();
    each_field(message, |field, bytes| match field {
        2 => response.resources.push(bytes),
        4 => response.type_url = String::from_utf8_lossy(&bytes).into_owned(),
        5 => response.nonce = String::from_utf8_lossy(&bytes).into_owned(),
        _ => {}
    })?;
    Some(response)
}

/// Name and version of an encoded `Resource`.
pub(super) fn name_and_version(resource: Bytes) -> Option<(Bytes, Bytes)> {
    let (mut name, mut version) = (Bytes::new(), Bytes::new());
    each_field(resource, |field, bytes| match field {
        3 => name = bytes,
        1 => version = bytes,
        _ => {}
    })?;
    Some((name, version))
}

fn each_field(mut message: Bytes, mut take: impl FnMut(u32, Bytes)) -> Option<()> {
    while !message.is_empty() {
        let (field, wire_type) = decode_key(&mut message).ok()?;
        let value = decode_varint(&mut message).ok()?;
        if wire_type == WireType::LengthDelimited {
            let len = usize::try_from(value).ok().filter(|len| *len <= message.len())?;
            take(field, message.split_to(len));
        } else if wire_type != WireType::Varint {
            return None;
        }
    }
    Some(())
}

/// A request as a gRPC message.
pub(super) fn framed(request: &DeltaDiscoveryRequest) -> Bytes {
    let len = request.encoded_len();
    let mut frame = BytesMut::with_capacity(len + 5);
    frame.put_u8(0);
    frame.put_u32(len as u32);
    frame.put_slice(&request.encode_to_vec());
    frame.freeze()
}

/// Takes the next whole gRPC message out of what has been received.
pub(super) fn take_message(received: &mut BytesMut) -> Option<Bytes> {
    let len = u32::from_be_bytes(received.get(1..5)?.try_into().ok()?) as usize;
    if received.len() < len + 5 {
        return None;
    }
    let mut message = received.split_to(len + 5).freeze();
    Some(message.split_off(5))
}
