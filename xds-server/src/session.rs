//! One stream: passes requests to the hub and responses to the client. It holds one response at a time, made when the
//! last one is flushed; while a client does not read, its requests are not read either.

use std::{sync::Arc, time::Duration};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use futures::{
    future::BoxFuture,
    stream::{BoxStream, Stream, StreamExt, unfold},
};
use smidge_xds::{ProxyId, Resource};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tokio_stream::StreamMap;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    Hub, Limits,
    connection::InUse,
    hub::OpenStream,
    inbound::Inbound,
    protocol::{Ended, Next, Response, Wanted},
};

/// What ends a stream that does nothing wrong.
pub(crate) struct Ends {
    /// Its turn when the server shuts down.
    pub(crate) drained: BoxFuture<'static, ()>,
    /// What proved its proxy counts no longer.
    pub(crate) disproved: BoxFuture<'static, Status>,
}

/// A stream that has said who it is.
pub(crate) struct Session {
    pub(crate) hub: Arc<Hub>,
    pub(crate) proxy: ProxyId,
    pub(crate) stream: OpenStream,
    pub(crate) inbound: Inbound,
    pub(crate) ends: Ends,
    /// Counts it among the streams of the server.
    pub(crate) _permit: OwnedSemaphorePermit,
    /// Counts it among the streams of its connection.
    pub(crate) _use: InUse,
    pub(crate) pace: Pace,
    /// What is resolved for its proxy.
    pub(crate) own: StreamMap<Wanted, BoxStream<'static, Arc<Resource>>>,
}

impl Session {
    /// The responses, until either side ends the stream.
    pub(crate) fn responses(self) -> impl Stream<Item = Result<Response, Status>> + Send {
        unfold(Some(self), async |session| {
            let mut session = session?;
            match session.next().await {
                Ok(Some(response)) => Some((Ok(response), Some(session))),
                Ok(None) => None,
                Err(status) => {
                    tracing::info!(proxy = %session.proxy, reason = status.message(), "stream ended");
                    Some((Err(status), None))
                }
            }
        })
    }

    /// Takes in a request.
    pub(crate) fn receive(&mut self, request: DeltaDiscoveryRequest) -> Result<(), Status> {
        if let Some(error) = &request.error_detail {
            let (proxy, type_url) = (&self.proxy, &request.type_url);
            tracing::warn!(%proxy, type_url, nonce = request.response_nonce, error = error.message, "rejected");
        }
        self.pace.spend(Instant::now());
        for wanted in self.stream.receive(request).map_err(status)? {
            let resources = self.hub.resolver().resolve(&self.proxy, wanted.0, &wanted.1);
            self.own.insert(wanted, resources);
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Response>, Status> {
        loop {
            match self.stream.next() {
                Next::Response(response) => {
                    self.pace.earn();
                    return Ok(Some(response));
                }
                Next::Ended(why) => return Err(status(why)),
                Next::Idle => {}
            }
            let ready_at = self.pace.ready_at();
            tokio::select! {
                request = self.inbound.next(), if ready_at.is_none() => match request {
                    Ok(Some(request)) => self.receive(request)?,
                    Ok(None) => return Ok(None),
                    Err(status) => return Err(status),
                },
                () = self.stream.woken() => {}
                Some((_, resource)) = self.own.next(), if !self.own.is_empty() => self.stream.resolve(resource),
                () = wait_until(ready_at), if ready_at.is_some() => {}
                () = &mut self.ends.drained =>
                    return Err(Status::unavailable("the server shuts down; Envoy will reconnect")),
                status = &mut self.ends.disproved => return Err(status),
            }
        }
    }
}

async fn wait_until(ready_at: Option<Instant>) {
    if let Some(ready_at) = ready_at {
        tokio::time::sleep_until(ready_at).await;
    }
}

/// A stream's turn when the server shuts down. A token of its own: on one for all, thousands of streams that wake at once
/// would wait for each other.
pub(crate) fn drained(shutdown: &CancellationToken, drain: Duration, stream: u32) -> BoxFuture<'static, ()> {
    let shutdown = shutdown.child_token();
    Box::pin(async move {
        shutdown.cancelled().await;
        tokio::time::sleep(turn(drain, stream)).await;
    })
}

/// When a stream is ended during a drain: they are spread evenly over it (the golden ratio's multiples are).
fn turn(drain: Duration, stream: u32) -> Duration {
    let spread = stream.wrapping_mul(0x9E37_79B9);
    drain.mul_f64(f64::from(spread) / f64::from(u32::MAX))
}

/// What the client is told.
pub(crate) fn status(why: Ended) -> Status {
    match why {
        Ended::Unknown => Status::not_found(why.to_string()),
        Ended::Replaced => Status::aborted(why.to_string()),
        Ended::TooMany => Status::resource_exhausted(why.to_string()),
        Ended::Violation => Status::invalid_argument(why.to_string()),
        Ended::Unanswered(_) => Status::deadline_exceeded(why.to_string()),
    }
}

/// How many requests a client may still send now: as many as it was sent responses, and a bounded number on top.
#[derive(Debug)]
pub(crate) struct Pace {
    left: f64,
    counted: Instant,
    burst: f64,
    per_second: f64,
}

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        let burst = f64::from(limits.request_burst);
        Self { left: burst, counted: Instant::now(), burst, per_second: f64::from(limits.requests_per_second) }
    }

    fn spend(&mut self, now: Instant) {
        let earned = (now - self.counted).as_secs_f64() * self.per_second;
        self.counted = now;
        self.left = (self.left + earned).min(self.burst) - 1.0;
    }

    fn earn(&mut self) {
        self.left = (self.left + 1.0).min(self.burst);
    }

    /// When the next request may be read, if not now.
    fn ready_at(&self) -> Option<Instant> {
        (self.left < 0.0).then(|| self.counted + Duration::from_secs_f64(-self.left / self.per_second.max(0.001)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_asks_over_and_over_waits() {
        let limits = Limits { request_burst: 2, requests_per_second: 10, ..Limits::default() };
        let mut pace = Pace::new(&limits);
        let now = pace.counted;
        pace.spend(now);
        pace.spend(now);
        assert_eq!(pace.ready_at(), None);
        pace.spend(now);
        assert_eq!(pace.ready_at().unwrap() - now, Duration::from_millis(100));
        pace.earn();
        assert_eq!(pace.ready_at(), None);
    }

    #[test]
    fn a_drain_spreads_the_streams_over_its_time() {
        let drain = Duration::from_secs(10);
        let mut turns: Vec<_> = (0..100).map(|stream| turn(drain, stream)).collect();
        turns.sort();
        assert!(turns[99] <= drain);
        let widest = turns.windows(2).map(|w| w[1] - w[0]).max().unwrap();
        assert!(widest < Duration::from_millis(300), "{widest:?}");
    }
}
