//! The app behind every way: an HTTP/1.1 server that does as little as possible, a thread for each connection.

use std::{
    io::{Read, Result, Write},
    net::{TcpListener, TcpStream},
    thread,
};

/// Where it listens.
pub(super) const PORT: u16 = 14001;
/// How long its answers are, in bytes.
const BODY: usize = 1024;

/// Serves until the program ends.
pub(super) fn serve(listener: TcpListener) {
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away ends its thread.
            thread::spawn(|| answer(stream));
        }
    });
}

fn answer(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {BODY}\r\n\r\n{:BODY$}", "");
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..read]);
        // Requests have no body and come one at a time.
        if head.ends_with(b"\r\n\r\n") {
            stream.write_all(answer.as_bytes())?;
            head.clear();
        }
    }
}
