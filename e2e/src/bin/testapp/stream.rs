//! Plain TCP clients.

use std::time::Duration;

use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, interval, timeout, timeout_at},
};

use crate::{Hold, PATIENCE, Tcp, asked_to_end, print};

/// What one connection gave back.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Exchange {
    received: String,
    bytes: usize,
    /// Whether the other side closed it before the time was over.
    closed: bool,
    /// Why it broke, where it did.
    error: Option<String>,
}

/// Sends a text and reads until there is enough, the connection is closed, or the time is over.
pub(crate) async fn exchange(tcp: &Tcp) -> anyhow::Result<Exchange> {
    let mut stream = TcpStream::connect(tcp.address).await?;
    stream.write_all(tcp.send.as_bytes()).await?;
    let deadline = Instant::now() + Duration::from_millis(tcp.wait_ms);
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    let mut end = Exchange::default();
    loop {
        match timeout_at(deadline, stream.read(&mut buffer)).await {
            Err(_) => break,
            Ok(Ok(0)) => end.closed = true,
            Ok(Ok(read)) => {
                seen.extend_from_slice(&buffer[..read]);
                if tcp.bytes.is_none_or(|enough| seen.len() < enough) {
                    continue;
                }
            }
            Ok(Err(error)) => {
                end.closed = true;
                end.error = Some(error.to_string());
            }
        }
        break;
    }
    Ok(Exchange { bytes: seen.len(), received: String::from_utf8_lossy(&seen).into_owned(), ..end })
}

/// How one long connection went.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Held {
    echoes: u64,
    /// Who answered: one server, as it is one connection.
    server: String,
    broken: Option<String>,
}

/// Has a line echoed on one connection until SIGTERM or until the connection breaks. Every echo prints a line.
pub(crate) async fn hold(hold: &Hold) -> anyhow::Result<Held> {
    let mut stream = TcpStream::connect(hold.address).await?;
    let mut held = Held::default();
    let mut ticks = interval(Duration::from_millis(hold.every_ms));
    let mut ended = std::pin::pin!(asked_to_end());
    loop {
        tokio::select! {
            () = &mut ended => return Ok(held),
            _ = ticks.tick() => match echo(&mut stream).await {
                Ok(server) => {
                    held.echoes += 1;
                    held.server = server;
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

/// Sends `ping` and reads `<server>:ping`.
async fn echo(stream: &mut TcpStream) -> anyhow::Result<String> {
    stream.write_all(b"ping").await?;
    let mut buffer = [0; 256];
    let read = timeout(PATIENCE, stream.read(&mut buffer)).await??;
    let answer = String::from_utf8_lossy(&buffer[..read]).into_owned();
    let (server, _) = answer.split_once(':').ok_or_else(|| anyhow::anyhow!("closed, or no echo: {answer:?}"))?;
    Ok(server.to_owned())
}
