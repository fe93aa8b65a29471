//! The HTTP side of the server: echoes a request as JSON, a gRPC message as it came, an upgraded connection byte by byte.

use std::convert::Infallible;

use futures::{StreamExt, future::ready, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    header,
    upgrade::Upgraded,
};
use hyper_util::rt::TokioIo;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Answers one request.
pub(crate) async fn answer(name: String, request: Request<Incoming>) -> hyper::Result<Response<Body>> {
    if request.headers().contains_key(header::UPGRADE) {
        return Ok(upgrade(&name, request));
    }
    let is_grpc =
        request.headers().get(header::CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/grpc"));
    let (head, body) = request.into_parts();
    if is_grpc {
        let healthy = (head.uri.path() == HEALTH.0).then_some(HEALTH.1);
        return Ok(grpc(&name, healthy, body));
    }
    if head.uri.path().starts_with("/told/") {
        println!("{} {}", head.method, head.uri.path());
    }
    let body = body.collect().await?.to_bytes();
    let said = serde_json::json!({
        "server": name,
        "method": head.method.as_str(),
        "path": head.uri.path_and_query().map(|p| p.as_str()),
        "host": head.uri.host().map(str::to_owned).or_else(|| text(&head.headers, "host")),
        "version": format!("{:?}", head.version),
        "headers": head.headers.iter().map(|(k, v)| (k.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned())).collect::<std::collections::BTreeMap<_, _>>(),
        "body": body.len(),
    });
    let mut response = Response::new(Full::new(Bytes::from(said.to_string())).boxed_unsync());
    response.headers_mut().extend(name_header(&name));
    Ok(response)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// Tells the client which server it was, where the body cannot.
fn name_header(name: &str) -> HeaderMap {
    name.parse()
        .map(|value| HeaderMap::from_iter([(header::HeaderName::from_static("x-server"), value)]))
        .unwrap_or_default()
}

/// What a gRPC probe asks, and the message `{status: SERVING}`.
const HEALTH: (&str, &[u8]) = ("/grpc.health.v1.Health/Check", b"\0\0\0\0\x02\x08\x01");

/// Each message comes back, or a fixed one for it, as soon as it is here; at the end the trailers say that all is well.
fn grpc(name: &str, fixed: Option<&'static [u8]>, messages: Incoming) -> Response<Body> {
    let trailers =
        HeaderMap::from_iter([(header::HeaderName::from_static("grpc-status"), header::HeaderValue::from_static("0"))]);
    // The client going away is how it may end too.
    let echo = move |data| Ok(Frame::data(fixed.map_or(data, Bytes::from_static)));
    let echoed = messages.into_data_stream().filter_map(move |data| ready(data.ok().map(echo)));
    let frames = echoed.chain(stream::once(ready(Ok(Frame::trailers(trailers)))));
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response.headers_mut().extend(name_header(name));
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/grpc"));
    response
}

fn upgrade(name: &str, request: Request<Incoming>) -> Response<Body> {
    let protocol = request.headers().get(header::UPGRADE).cloned();
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            echo(upgraded).await;
        }
    });
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().extend(name_header(name));
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
    response.headers_mut().extend(protocol.map(|p| (header::UPGRADE, p)));
    response
}

async fn echo(upgraded: Upgraded) {
    let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
    // The client going away is how it ends.
    let _ = tokio::io::copy(&mut read, &mut write).await;
}
