//! The response body: gRPC messages whose resources are shared bytes.
//!
//! Streams that start at the same time are sent the same resources in the same chunks; such a chunk is put together
//! once, and every stream's message is a short head of its own followed by that chunk. So 2,000 slow streams hold one
//! copy of what they wait for, not 2,000.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::BoxStream;
use http_body::Frame;
use smidge_xds::Resource;
use tonic::{
    Status,
    codegen::http::{HeaderMap, HeaderValue},
};

use crate::{Hub, protocol::Response};

/// A response with fewer bytes of resources is copied: it costs less than to look for it.
const SHARED_FROM_BYTES: usize = 16 << 10;
/// How many bytes of chunks are kept.
const KEPT_BYTES: usize = 32 << 20;
/// More than the short fields of a response and the gRPC prefix need.
const HEAD_BYTES: usize = 256;

/// The chunks that were put together since the last publication.
#[derive(Debug, Default)]
pub(crate) struct Chunks(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

#[derive(Debug)]
struct Chunk {
    /// Kept alive, so that equal pointers mean equal resources.
    resources: Vec<Arc<Resource>>,
    encoded: Bytes,
}

impl Chunks {
    /// Forgets all chunks: what they hold may be out of date.
    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Kept::default();
    }

    fn encoded(&self, response: &Response) -> Bytes {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(chunk) = kept.chunks.iter().find(|chunk| chunk.is_of(&response.resources)) {
            return chunk.encoded.clone();
        }
        let mut buf = BytesMut::with_capacity(response.size());
        response.encode_resources(&mut buf);
        let encoded = buf.freeze();
        kept.bytes += encoded.len();
        kept.chunks.push_back(Chunk { resources: response.resources.clone(), encoded: encoded.clone() });
        while kept.bytes > KEPT_BYTES
            && let Some(oldest) = kept.chunks.pop_front()
        {
            kept.bytes -= oldest.encoded.len();
        }
        encoded
    }
}

impl Chunk {
    fn is_of(&self, resources: &[Arc<Resource>]) -> bool {
        let pairs = || self.resources.iter().zip(resources);
        self.resources.len() == resources.len() && pairs().all(|(one, other)| Arc::ptr_eq(one, other))
    }
}

/// One gRPC message: its head, and the chunk that follows.
fn message(response: &Response, chunks: &Chunks) -> (Bytes, Option<Bytes>) {
    let shared = response.size() >= SHARED_FROM_BYTES && response.removed.is_empty();
    let chunk = shared.then(|| chunks.encoded(response));
    let own = if shared { 0 } else { response.size() };
    let mut head = BytesMut::with_capacity(HEAD_BYTES + own);
    // The prefix of a gRPC message: not compressed, and its length, which is known when it is written.
    head.put_bytes(0, 5);
    response.encode_head(&mut head);
    if !shared {
        response.encode_resources(&mut head);
    }
    let len = head.len() - 5 + chunk.as_ref().map_or(0, Bytes::len);
    head[1..5].copy_from_slice(&(len as u32).to_be_bytes());
    (head.freeze(), chunk)
}

/// The body of one stream.
pub(crate) struct ResponseBody {
    hub: Arc<Hub>,
    responses: BoxStream<'static, Result<Response, Status>>,
    chunk: Option<Bytes>,
    ended: bool,
}

impl ResponseBody {
    pub(crate) fn new(hub: Arc<Hub>, responses: BoxStream<'static, Result<Response, Status>>) -> Self {
        Self { hub, responses, chunk: None, ended: false }
    }

    fn end(&mut self, status: &Status) -> Result<Frame<Bytes>, Status> {
        self.ended = true;
        let mut trailers = HeaderMap::<HeaderValue>::new();
        status.add_header(&mut trailers)?;
        Ok(Frame::trailers(trailers))
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(chunk) = self.chunk.take() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if self.ended {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match std::task::ready!(self.responses.as_mut().poll_next(cx)) {
            Some(Ok(response)) => {
                let (head, chunk) = message(&response, self.hub.chunks());
                self.chunk = chunk;
                Ok(Frame::data(head))
            }
            Some(Err(status)) => self.end(&status),
            None => self.end(&Status::ok("")),
        }))
    }
}

#[cfg(test)]
mod tests {
    use smidge_xds::{Epoch, TypeUrl};

    use super::*;

    #[test]
    fn a_shared_chunk_and_its_head_are_the_whole_message() {
        let resource = Arc::new(Resource::new(TypeUrl::Cluster, "a", &"x".repeat(SHARED_FROM_BYTES)));
        let response = Response {
            type_url: TypeUrl::Cluster,
            nonce: 1,
            epoch: Epoch(1),
            resources: vec![resource],
            removed: Vec::new(),
        };
        let chunks = Chunks::default();
        let (head, chunk) = message(&response, &chunks);
        let other = Response { nonce: 2, ..response.clone() };
        let (_, again) = message(&other, &chunks);
        assert_eq!(chunk.as_ref().unwrap().as_ptr(), again.unwrap().as_ptr(), "the bytes are shared");
        let mut expected = Vec::new();
        response.encode(&mut expected);
        assert_eq!([&head[5..], &chunk.unwrap()[..]].concat(), expected);
        assert_eq!(u32::from_be_bytes(head[1..5].try_into().unwrap()) as usize, expected.len());
    }
}
