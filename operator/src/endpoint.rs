//! `/metrics`, `/readyz` and `/livez` in plain HTTP/1.1: three fixed answers, so no framework. One request per
//! connection; who is slow or talks too much is hung up on.

use std::{io, sync::Arc, time::Duration};

use smidge_xds_server::Counters;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::metrics::{Numbers, render};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long its head may be, in bytes.
const HEAD_LIMIT: u64 = 16 << 10;
/// How many may be under way.
const CONCURRENT: usize = 32;

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, numbers: watch::Receiver<Numbers>, counters: Arc<Counters>) {
    let places = Arc::new(Semaphore::new(CONCURRENT));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: give it a moment.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (numbers, counters) = (*numbers.borrow(), Arc::clone(&counters));
        tokio::spawn(async move {
            let _place = place;
            // The client has gone, or was too slow: its own matter.
            let _ = timeout(PATIENCE, answer(stream, &numbers, &counters)).await;
        });
    }
}

async fn answer(mut stream: TcpStream, numbers: &Numbers, counters: &Counters) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader.take(HEAD_LIMIT)).lines();
    let request = lines.next_line().await?.unwrap_or_default();
    // The head is read to its end: closing on unread bytes would reset the connection under the answer.
    while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    let (status, body) = respond(&request, numbers, counters);
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {length}\r\n");
    writer.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).await?;
    writer.shutdown().await
}

fn respond(request: &str, numbers: &Numbers, counters: &Counters) -> (&'static str, String) {
    match request.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["GET", "/metrics"] => ("200 OK", render(numbers, counters)),
        ["GET", "/livez"] => ("200 OK", "ok\n".to_owned()),
        ["GET", "/readyz"] if numbers.is_ready => ("200 OK", "ok\n".to_owned()),
        ["GET", "/readyz"] => ("503 Service Unavailable", "not every kind has been listed yet\n".to_owned()),
        _ => ("404 Not Found", "there are /metrics, /readyz and /livez\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask(is_ready: bool, path: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_numbers, numbers) = watch::channel(Numbers { is_ready, ..Numbers::default() });
        let server = tokio::spawn(serve(listener, numbers, Arc::default()));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        server.abort();
        answer
    }

    #[tokio::test]
    async fn it_is_ready_when_every_kind_has_been_listed() {
        assert!(ask(false, "/readyz").await.starts_with("HTTP/1.1 503 "));
        assert!(ask(true, "/readyz").await.starts_with("HTTP/1.1 200 "));
        assert!(ask(false, "/livez").await.starts_with("HTTP/1.1 200 "));
        assert!(ask(true, "/metrics").await.contains("\nsmidge_drift_total 0\n"));
        assert!(ask(true, "/other").await.starts_with("HTTP/1.1 404 "));
    }
}
