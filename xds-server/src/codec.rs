//! The gRPC codec: requests are decoded by prost, responses are written from bytes that exist already.

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, EncodeBuf, Encoder},
};
use tonic_prost::{ProstCodec, ProstDecoder};

use crate::protocol::Response;

/// Small, because there is one per stream and most streams are silent most of the time; they grow on demand.
const BUFFER_BYTES: usize = 1024;
/// A message that is longer is handed to the connection before the next is encoded.
const YIELD_BYTES: usize = 32 << 10;

#[derive(Clone, Copy, Debug)]
pub(crate) struct AdsCodec;

impl Codec for AdsCodec {
    type Encode = Response;
    type Decode = DeltaDiscoveryRequest;
    type Encoder = ResponseEncoder;
    type Decoder = ProstDecoder<DeltaDiscoveryRequest>;

    fn encoder(&mut self) -> Self::Encoder {
        ResponseEncoder
    }

    fn decoder(&mut self) -> Self::Decoder {
        ProstCodec::<DeltaDiscoveryRequest, DeltaDiscoveryRequest>::raw_decoder(settings())
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseEncoder;

impl Encoder for ResponseEncoder {
    type Item = Response;
    type Error = Status;

    fn encode(&mut self, response: Response, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buf.reserve(response.size() + 200);
        response.encode(buf);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        settings()
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(BUFFER_BYTES, YIELD_BYTES)
}
