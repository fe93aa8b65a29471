//! A client that keeps one connection open: over TCP, through an upgrade to WebSocket, or as one stream of gRPC messages.

use std::{convert::Infallible, time::Duration};

use anyhow::{Context, bail};
use futures::{SinkExt, StreamExt, channel::mpsc};
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    body::{Bytes, Frame, Incoming},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde::Serialize;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};

use crate::{Hold, PATIENCE, Request, asked_to_end, client, print};

/// One gRPC message: not compressed, four bytes long.
const MESSAGE: &[u8] = b"\0\0\0\0\x04ping";

/// How one long connection went.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Held {
    echoes: u64,
    /// Who answered: one server, as it is one connection.
    server: String,
    broken: Option<String>,
}

trait Bidirectional: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bidirectional for T {}

/// What is kept open.
enum Line {
    /// Each echo is `<server>:ping`.
    Tcp(TcpStream),
    /// Each echo is what was sent.
    WebSocket(Box<dyn Bidirectional>),
    /// Each echo is a message.
    Grpc(mpsc::Sender<Bytes>, Incoming),
}

/// Has a line echoed until SIGTERM or until the connection breaks. Every echo prints a line.
pub(crate) async fn hold(hold: &Hold) -> anyhow::Result<Held> {
    let (mut line, server) = open(hold).await?;
    let mut held = Held { server, ..Held::default() };
    let mut ticks = interval(Duration::from_millis(hold.every_ms));
    let mut ended = std::pin::pin!(asked_to_end());
    loop {
        tokio::select! {
            () = &mut ended => return Ok(held),
            _ = ticks.tick() => match timeout(PATIENCE, line.echo()).await.context("no echo in time").flatten() {
                Ok(server) => {
                    held.echoes += 1;
                    held.server = server.unwrap_or(held.server);
                    print(&held)?;
                }
                Err(error) => {
                    held.broken = Some(format!("{error:#}"));
                    return Ok(held);
                }
            },
        }
    }
}

async fn open(hold: &Hold) -> anyhow::Result<(Line, String)> {
    if hold.request.grpc {
        return grpc(&hold.request).await;
    }
    if hold.web_socket {
        let (response, stream) = client::upgrade(&hold.request).await?;
        let stream = stream.with_context(|| format!("no upgrade: {response:?}"))?;
        return Ok((Line::WebSocket(Box::new(stream)), response.server));
    }
    Ok((Line::Tcp(TcpStream::connect(&hold.request.address).await?), String::new()))
}

async fn grpc(request: &Request) -> anyhow::Result<(Line, String)> {
    let stream = TcpStream::connect(&request.address).await?;
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (messages, sent) = mpsc::channel(1);
    let frames = sent.map(|message| Ok::<_, Infallible>(Frame::data(message)));
    let response = sender.send_request(client::head(request)?.body(StreamBody::new(frames))?).await?;
    let server = client::text(response.headers(), "x-server").unwrap_or_default();
    Ok((Line::Grpc(messages, response.into_body()), server))
}

impl Line {
    /// Sends `ping` and reads its echo, and the server's name where that says it.
    async fn echo(&mut self) -> anyhow::Result<Option<String>> {
        match self {
            Self::Tcp(stream) => {
                let answer = exchange(stream).await?;
                let (server, _) = answer.split_once(':').with_context(|| format!("no echo: {answer:?}"))?;
                Ok(Some(server.to_owned()))
            }
            Self::WebSocket(stream) => expect("ping", &exchange(stream).await?),
            Self::Grpc(messages, body) => {
                messages.send(Bytes::from_static(MESSAGE)).await.context("the stream is closed")?;
                let frame = body.frame().await.context("the stream has ended")??;
                let Ok(message) = frame.into_data() else { bail!("the stream has ended with trailers") };
                expect("ping", &String::from_utf8_lossy(message.get(5..).unwrap_or_default()))
            }
        }
    }
}

fn expect(expected: &str, answer: &str) -> anyhow::Result<Option<String>> {
    if answer == expected { Ok(None) } else { bail!("closed, or no echo: {answer:?}") }
}

async fn exchange(stream: &mut (impl Bidirectional + ?Sized)) -> anyhow::Result<String> {
    stream.write_all(b"ping").await?;
    let mut buffer = [0; 256];
    let read = stream.read(&mut buffer).await?;
    Ok(String::from_utf8_lossy(&buffer[..read]).into_owned())
}
