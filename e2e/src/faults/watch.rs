//! A watch on its way to the client: line by line, an event each, until a fault ends it.

use std::{sync::Arc, time::Duration};

use anyhow::{Result, anyhow};
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, StreamExt, channel::mpsc};
use http_body_util::{BodyExt, BodyStream, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use tokio::time::{Instant, sleep_until};

use super::{Between, Fault};

type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

const TOO_OLD: &str = r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (2)","reason":"Expired","code":410}}"#;
const FAR: Duration = Duration::from_secs(1 << 20);

/// The same watch, as long as no fault ends it.
pub(super) fn through(body: Body, between: Arc<Between>) -> Body {
    let (out, coming) = mpsc::channel(1);
    tokio::spawn(Watch { lines: Lines { body: BodyStream::new(body), read: BytesMut::new() }, out, between }.run());
    StreamBody::new(coming.map(|line: Result<Bytes>| line.map(Frame::data))).boxed_unsync()
}

struct Watch {
    lines: Lines,
    out: mpsc::Sender<Result<Bytes>>,
    between: Arc<Between>,
}

impl Watch {
    async fn run(mut self) {
        let mut faults = self.between.fault.subscribe();
        let begun = Instant::now();
        loop {
            let fault = *faults.borrow_and_update();
            let ends_at = begun + lasts(fault);
            let sent = tokio::select! {
                () = sleep_until(ends_at) => return self.end(fault).await,
                _ = faults.changed() => continue,
                line = self.lines.next() => match line {
                    Some(Ok(line)) if hides(fault, &line) => {
                        self.between.strike();
                        Ok(())
                    }
                    Some(line) => self.out.send(line).await,
                    None => return,
                },
            };
            if sent.is_err() {
                return;
            }
        }
    }

    async fn end(mut self, fault: Option<Fault>) {
        self.between.strike();
        // The client may have gone before.
        let _ = match fault {
            Some(Fault::BreaksWatches(_)) => self.out.send(Err(anyhow!("broken off by a test"))).await,
            Some(Fault::Forgets) => self.out.send(Ok(Bytes::from(format!("{TOO_OLD}\n")))).await,
            _ => Ok(()),
        };
    }
}

fn lasts(fault: Option<Fault>) -> Duration {
    match fault {
        Some(Fault::BreaksWatches(time) | Fault::NoBookmarks(time)) => time,
        Some(Fault::Forgets) => Duration::ZERO,
        _ => FAR,
    }
}

fn hides(fault: Option<Fault>, line: &[u8]) -> bool {
    matches!(fault, Some(Fault::NoBookmarks(_))) && line.starts_with(br#"{"type":"BOOKMARK""#)
}

struct Lines {
    body: BodyStream<Body>,
    read: BytesMut,
}

impl Lines {
    /// The next line with its end; `None`: there is none any more. Loses nothing when it is dropped.
    async fn next(&mut self) -> Option<Result<Bytes>> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                return Some(Ok(self.read.split_to(end + 1).freeze()));
            }
            match self.body.next().await? {
                Ok(frame) => self.read.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data)),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
