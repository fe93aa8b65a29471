//! One request, one answer.

use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::{
    Response,
    body::{Bytes, Incoming},
    client::conn::{http1, http2},
    upgrade::Upgraded,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::{PATIENCE, Request};

/// What came back.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The server's name for itself; empty where a proxy answered.
    pub(crate) server: String,
    pub(crate) grpc_status: Option<String>,
    pub(crate) headers: std::collections::BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A connection on which requests can be sent one after the other.
pub(crate) enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When the connection or its handshake fails.
    pub(crate) async fn open(request: &Request) -> anyhow::Result<Self> {
        let stream =
            TcpStream::connect(&request.address).await.with_context(|| format!("connect to {}", request.address))?;
        stream.set_nodelay(true)?;
        let io = TokioIo::new(stream);
        if request.http2 || request.grpc {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            return Ok(Self::Http2(sender));
        }
        let (sender, connection) = http1::handshake(io).await?;
        tokio::spawn(connection.with_upgrades());
        Ok(Self::Http1(sender))
    }

    /// Sends a request and reads its whole answer.
    ///
    /// # Errors
    /// When the connection breaks or the answer takes longer than [`PATIENCE`].
    pub(crate) async fn send(&mut self, request: &Request) -> anyhow::Result<Answer> {
        let message = build(request)?;
        let exchange = async {
            let response = match self {
                Self::Http1(sender) => {
                    sender.ready().await?;
                    sender.send_request(message).await?
                }
                Self::Http2(sender) => {
                    sender.ready().await?;
                    sender.send_request(message).await?
                }
            };
            read(response).await
        };
        timeout(PATIENCE, exchange).await.context("no answer in time")?
    }
}

fn build(request: &Request) -> anyhow::Result<hyper::Request<Full<Bytes>>> {
    let body = if request.grpc { Bytes::from_static(b"\0\0\0\0\x04ping") } else { Bytes::new() };
    Ok(head(request)?.body(Full::new(body))?)
}

/// A request without its body.
pub(crate) fn head(request: &Request) -> anyhow::Result<hyper::http::request::Builder> {
    let http2 = request.http2 || request.grpc;
    // HTTP/2 carries the host in the URI, HTTP/1.1 in a header.
    let uri = if http2 { format!("http://{}{}", request.host, request.path) } else { request.path.clone() };
    let mut builder =
        hyper::Request::builder().method(if request.grpc { "POST" } else { request.method.as_str() }).uri(uri);
    if !http2 {
        builder = builder.header("host", &request.host);
    }
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    if request.grpc {
        builder = builder.header("content-type", "application/grpc").header("te", "trailers");
    }
    Ok(builder)
}

async fn read(response: Response<Incoming>) -> anyhow::Result<Answer> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    // A gRPC answer without a message has its status in the headers.
    let grpc_status =
        body.trailers().and_then(|t| text(t, "grpc-status")).or_else(|| text(&head.headers, "grpc-status"));
    Ok(Answer {
        status: head.status.as_u16(),
        server: text(&head.headers, "x-server").unwrap_or_default(),
        grpc_status,
        headers: head
            .headers
            .iter()
            .map(|(k, v)| (k.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
            .collect(),
        body: String::from_utf8_lossy(&body.to_bytes()).into_owned(),
    })
}

pub(crate) fn text(headers: &hyper::HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Sends one request on a connection of its own.
pub(crate) async fn call(request: &Request) -> anyhow::Result<Answer> {
    Connection::open(request).await?.send(request).await
}

/// What an upgraded connection gave back.
#[derive(Debug, Serialize)]
pub(crate) struct Upgrade {
    status: u16,
    /// The server's name for itself.
    pub(crate) server: String,
    echoed: String,
}

/// Upgrades a connection and has a text echoed through it.
pub(crate) async fn web_socket(request: &Request) -> anyhow::Result<Upgrade> {
    let (mut answer, stream) = upgrade(request).await?;
    let Some(mut stream) = stream else { return Ok(answer) };
    stream.write_all(b"hello").await?;
    let mut echoed = [0; 5];
    timeout(Duration::from_secs(5), stream.read_exact(&mut echoed)).await.context("nothing echoed in time")??;
    answer.echoed = String::from_utf8_lossy(&echoed).into_owned();
    Ok(answer)
}

/// Asks for an upgrade to WebSocket; without a stream it was refused.
pub(crate) async fn upgrade(request: &Request) -> anyhow::Result<(Upgrade, Option<TokioIo<Upgraded>>)> {
    let Connection::Http1(mut sender) = Connection::open(request).await? else {
        bail!("WebSocket is asked for over HTTP/1.1");
    };
    let mut message = build(request)?;
    message.headers_mut().insert("connection", "upgrade".parse()?);
    message.headers_mut().insert("upgrade", "websocket".parse()?);
    let response = sender.send_request(message).await?;
    let status = response.status().as_u16();
    let server = text(response.headers(), "x-server").unwrap_or_default();
    let stream = match status {
        101 => Some(TokioIo::new(hyper::upgrade::on(response).await?)),
        _ => None,
    };
    Ok((Upgrade { status, server, echoed: String::new() }, stream))
}
