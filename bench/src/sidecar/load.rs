//! The load: requests at a steady rate that no slow answer holds up, over connections that stay open.
//!
//! Each connection has a thread of its own, which sleeps until its next request is due: the kernel wakes it within some tens of
//! microseconds, where a runtime's timer knows milliseconds only.

use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// From the making of a schedule to its first request.
const LEAD: Duration = Duration::from_millis(20);

/// An open connection of HTTP/1.1, and the one request that is sent on it.
pub(super) struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// When a connection sends.
#[derive(Clone, Copy)]
struct Schedule {
    first: Instant,
    pace: Duration,
    count: u32,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let request = "GET /books-bought HTTP/1.1\r\nhost: bookstore\r\nuser-agent: bench\r\naccept: */*\r\n\r\n";
        Ok(Self { stream, request: request.into(), answer: Vec::new() })
    }

    /// Sends the request and reads the whole answer.
    pub(super) fn exchange(&mut self) -> Result<()> {
        self.answer.clear();
        self.stream.write_all(&self.request)?;
        let mut buffer = [0; 4096];
        loop {
            let read = self.stream.read(&mut buffer)?;
            ensure!(read > 0, "closed after {:?}", String::from_utf8_lossy(&self.answer));
            self.answer.extend_from_slice(&buffer[..read]);
            if let Some(length) = length(&self.answer)? {
                ensure!(self.answer.len() <= length, "more than one answer");
                if self.answer.len() == length {
                    return Ok(());
                }
            }
        }
    }

    /// How long each answer took. A request that is late because the answer before it was counts from when it was due.
    fn keep(&mut self, schedule: Schedule) -> Result<Vec<Duration>> {
        let mut took = Vec::with_capacity(schedule.count as usize);
        for number in 0..schedule.count {
            let due = schedule.first + schedule.pace * number;
            let wait = due.saturating_duration_since(Instant::now());
            let begin = if wait.is_zero() {
                due
            } else {
                thread::sleep(wait);
                Instant::now()
            };
            self.exchange()?;
            took.push(begin.elapsed());
        }
        Ok(took)
    }
}

/// The length of an answer with its head, as soon as that is there.
fn length(answer: &[u8]) -> Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&answer[..end])?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let fields = head.lines().filter_map(|line| line.split_once(": "));
    let mut lengths = fields.filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let (_, length) = lengths.next().with_context(|| format!("no length in {head}"))?;
    Ok(Some(end + 4 + length.parse::<usize>()?))
}

/// Sends `rate` requests a second in all over these connections, one after the other; how long each answer took.
pub(super) fn steady(connections: &mut [Connection], rate: u32, lasting: Duration) -> Result<Vec<Duration>> {
    let number = u32::try_from(connections.len())?;
    let pace = Duration::from_secs(1) * number / rate;
    let count = u32::try_from(lasting.as_nanos() / pace.as_nanos())?.max(1);
    let start = Instant::now() + LEAD;
    thread::scope(|scope| {
        let threads: Vec<_> = connections
            .iter_mut()
            .zip(0u32..)
            .map(|(connection, n)| {
                let schedule = Schedule { first: start + pace * n / number, pace, count };
                scope.spawn(move || connection.keep(schedule))
            })
            .collect();
        let mut all = Vec::new();
        for thread in threads {
            all.extend(thread.join().map_err(|_| anyhow::anyhow!("a connection's thread panicked"))??);
        }
        Ok(all)
    })
}
