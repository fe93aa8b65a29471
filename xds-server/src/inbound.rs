//! The requests of one stream. Their buffer is dropped as soon as it is empty: a reconnecting Envoy's first requests
//! are long, and 2,000 streams would hold on to their memory for good.

use std::{future::poll_fn, pin::Pin};

use bytes::{Buf, BytesMut};
use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use http_body::Body as _;
use prost::Message;
use tonic::{Status, body::Body};

/// The prefix of a gRPC message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

pub(crate) struct Inbound {
    body: Body,
    received: BytesMut,
    limit: usize,
}

impl Inbound {
    /// Reads requests of at most `limit` bytes.
    pub(crate) fn new(body: Body, limit: usize) -> Self {
        Self { body, received: BytesMut::new(), limit }
    }

    /// The next request; `None` when the client has ended the stream. Loses nothing when it is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<DeltaDiscoveryRequest>, Status> {
        loop {
            if let Some(request) = take_request(&mut self.received, self.limit)? {
                return Ok(Some(request));
            }
            match poll_fn(|cx| Pin::new(&mut self.body).poll_frame(cx)).await.transpose()? {
                Some(frame) => self.received.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                None => return Ok(None),
            }
        }
    }
}

fn take_request(received: &mut BytesMut, limit: usize) -> Result<Option<DeltaDiscoveryRequest>, Status> {
    let Some((prefix, rest)) = received.split_first_chunk::<PREFIX_BYTES>() else { return Ok(None) };
    let [compressed, length @ ..] = *prefix;
    let length = u32::from_be_bytes(length) as usize;
    if compressed != 0 {
        return Err(Status::unimplemented("compressed requests are not read"));
    }
    if length > limit {
        return Err(Status::resource_exhausted(format!("a request of {length} bytes; {limit} are allowed")));
    }
    let Some(message) = rest.get(..length) else { return Ok(None) };
    let request = DeltaDiscoveryRequest::decode(message);
    received.advance(PREFIX_BYTES + length);
    if received.is_empty() {
        *received = BytesMut::new();
    }
    request.map(Some).map_err(|error| Status::invalid_argument(format!("not a DeltaDiscoveryRequest: {error}")))
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;

    use super::*;

    fn framed(compressed: u8, message: &[u8]) -> BytesMut {
        let mut frame = BytesMut::new();
        frame.put_u8(compressed);
        frame.put_u32(message.len() as u32);
        frame.put_slice(message);
        frame
    }

    #[test]
    fn a_request_is_read_when_all_of_it_has_come() {
        let request = DeltaDiscoveryRequest { response_nonce: "7".into(), ..Default::default() };
        let whole = framed(0, &request.encode_to_vec());
        for split in 0..whole.len() {
            assert_eq!(take_request(&mut BytesMut::from(&whole[..split]), 100).unwrap(), None);
        }
        let mut twice = BytesMut::from(&[&whole[..], &whole[..]].concat()[..]);
        assert_eq!(take_request(&mut twice, 100).unwrap(), Some(request.clone()));
        assert_eq!(take_request(&mut twice, 100).unwrap(), Some(request));
        assert_eq!(twice.capacity(), 0, "an empty buffer holds no memory");
    }

    #[test]
    fn a_hostile_request_ends_the_stream() {
        let code = |mut bytes: BytesMut| take_request(&mut bytes, 10).unwrap_err().code();
        assert_eq!(code(framed(1, b"")), tonic::Code::Unimplemented);
        assert_eq!(code(framed(0, &[0; 11])), tonic::Code::ResourceExhausted);
        assert_eq!(code(framed(0, &[0xff; 3])), tonic::Code::InvalidArgument);
    }
}
