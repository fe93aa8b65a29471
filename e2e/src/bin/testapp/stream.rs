//! A plain TCP client.

use std::time::Duration;

use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{Instant, timeout_at},
};

use crate::Tcp;

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
    let mut stream = TcpStream::connect(&tcp.address).await?;
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
