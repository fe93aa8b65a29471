//! Connections: how many there may be, and what closes one. Only a connection itself can end what its client does not
//! read, so it can be told to close; and it closes by itself when nobody opens a stream on it.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use futures::{
    future,
    stream::{Stream, StreamExt},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Extensions, transport::server::Connected};

use crate::{Hub, counters::add};

/// What streams and their connection know of each other.
#[derive(Debug)]
pub(crate) struct Line {
    used: Mutex<Used>,
    closing: CancellationToken,
}

#[derive(Debug)]
struct Used {
    streams: usize,
    /// When the last one ended, or the connection came.
    since: Instant,
}

impl Default for Line {
    fn default() -> Self {
        Self { used: Mutex::new(Used { streams: 0, since: Instant::now() }), closing: CancellationToken::new() }
    }
}

impl Line {
    /// Closes the connection.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// One more stream, until the value is dropped.
    pub(crate) fn stream(self: &Arc<Self>) -> InUse {
        self.used().streams += 1;
        InUse(self.clone())
    }

    /// Since when there is no stream.
    fn unused_since(&self) -> Option<Instant> {
        let used = self.used();
        (used.streams == 0).then_some(used.since)
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that is open on a connection.
pub(crate) struct InUse(Arc<Line>);

impl Drop for InUse {
    fn drop(&mut self) {
        let mut used = self.0.used();
        used.streams -= 1;
        used.since = Instant::now();
    }
}

/// What requests know of their connection.
#[derive(Clone)]
pub(crate) struct Caller {
    line: Arc<Line>,
    /// What the transport says of it.
    transport: Extensions,
}

impl Caller {
    /// The connection of a request; leaves in its place what the transport says.
    pub(crate) fn take(extensions: &mut Extensions) -> Arc<Line> {
        let Some(caller) = extensions.remove::<Self>() else { return Arc::default() };
        extensions.extend(caller.transport);
        caller.line
    }
}

/// A connection, closed when it is unused for long or told to.
pub(crate) struct Connection<C> {
    inner: C,
    hub: Arc<Hub>,
    line: Arc<Line>,
    told_to_close: Pin<Box<WaitForCancellationFutureOwned>>,
    look: Pin<Box<Sleep>>,
    is_closed: bool,
    _place: OwnedSemaphorePermit,
}

/// Takes in connections as long as there are not too many.
pub(crate) fn admit<C, E>(
    hub: Arc<Hub>,
    incoming: impl Stream<Item = Result<C, E>>,
) -> impl Stream<Item = Result<Connection<C>, E>> {
    let places = Arc::new(Semaphore::new(hub.limits().connections.min(Semaphore::MAX_PERMITS)));
    let mut full = false;
    incoming.filter_map(move |accepted| {
        let place = places.clone().try_acquire_owned();
        let was_full = std::mem::replace(&mut full, place.is_err());
        future::ready(match (accepted, place) {
            (Err(error), _) => Some(Err(error)),
            (Ok(inner), Ok(place)) => Some(Ok(Connection::new(hub.clone(), inner, place))),
            (Ok(_), Err(_)) => {
                refuse(&hub, was_full);
                None
            }
        })
    })
}

/// Said once per episode: whoever is refused tries again.
fn refuse(hub: &Hub, is_told: bool) {
    add(&hub.counters().connections_refused, 1);
    if !is_told {
        let limit = hub.limits().connections;
        tracing::warn!(limit, "too many connections; new ones are closed until others end");
    }
}

impl<C> Connection<C> {
    fn new(hub: Arc<Hub>, inner: C, place: OwnedSemaphorePermit) -> Self {
        let line = Arc::new(Line::default());
        let told_to_close = Box::pin(line.closing.clone().cancelled_owned());
        let look = Box::pin(sleep(hub.limits().unused_connection));
        Self { inner, hub, line, told_to_close, look, is_closed: false, _place: place }
    }

    /// An error once the connection has to be closed.
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let patience = self.hub.limits().unused_connection;
        while self.look.as_mut().poll(cx).is_ready() {
            let since = self.line.unused_since();
            let next = since.unwrap_or_else(Instant::now) + patience;
            if next <= Instant::now() {
                self.line.close();
                break;
            }
            self.look.set(sleep_until(next));
        }
        if self.told_to_close.as_mut().poll(cx).is_pending() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.is_closed, true) {
            add(&self.hub.counters().connections_closed, 1);
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not read, or opens no stream"))
    }
}

impl<C: Connected> Connected for Connection<C> {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        let mut transport = Extensions::new();
        transport.insert(self.inner.connect_info());
        Caller { line: self.line.clone(), transport }
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Connection<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Connection<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
