//! The gRPC service: who is it, may it, then its session.

use std::{convert::Infallible, fmt, sync::Arc, task, time::Duration};

use envoy_types::pb::envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest};
use futures::stream::{Stream, StreamExt};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
    time::timeout,
};
use tokio_stream::StreamMap;
use tokio_util::sync::CancellationToken;
use tonic::{
    Status,
    body::Body,
    codegen::{BoxFuture, Service, StdError, http},
    metadata::{GRPC_CONTENT_TYPE, MetadataMap},
    server::NamedService,
    transport::{Server, server::Connected},
};

use crate::{
    Admitted, Hub, Identify, Peer,
    body::ResponseBody,
    connection::{Caller, admit},
    counters::add,
    inbound::Inbound,
    protocol::Ended,
    session::{Ends, Pace, Session, drained, status},
};

/// How long a shutdown waits for connections after the last stream was ended.
const GRACE: Duration = Duration::from_secs(5);
/// What a client may send before it is read.
const WINDOW_BYTES: u32 = 256 << 10;

/// Serves until `shutdown`, then ends the streams over [`Limits::drain`](crate::Limits::drain) and returns.
///
/// # Errors
/// When `incoming` cannot be served at all; a single broken connection is no error.
pub async fn serve<C, E>(
    hub: Arc<Hub>,
    identify: Arc<dyn Identify>,
    incoming: impl Stream<Item = Result<C, E>>,
    shutdown: CancellationToken,
) -> Result<(), tonic::transport::Error>
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    E: Into<StdError>,
{
    let limits = *hub.limits();
    let streams = Arc::new(Semaphore::new(limits.streams.min(Semaphore::MAX_PERMITS)));
    let service = Ads { hub: hub.clone(), identify, streams, shutdown: shutdown.clone() };
    let server = Server::builder()
        .http2_keepalive_interval(Some(limits.keepalive_interval))
        .http2_keepalive_timeout(Some(limits.keepalive_timeout))
        .max_concurrent_streams(limits.streams_per_connection)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES)
        .add_service(service)
        .serve_with_incoming_shutdown(admit(hub.clone(), incoming), shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(limits.drain + GRACE).await;
    };
    tokio::select! {
        served = server => served,
        () = overdue => Ok(()),
        () = hub.end_the_silent() => Ok(()),
    }
}

/// `envoy.service.discovery.v3.AggregatedDiscoveryService`, its delta method.
#[derive(Clone)]
struct Ads {
    hub: Arc<Hub>,
    identify: Arc<dyn Identify>,
    streams: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl fmt::Debug for Ads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ads")
    }
}

impl Ads {
    async fn open(self, request: http::Request<Body>) -> Result<Session, Status> {
        let permit = self.streams.clone().try_acquire_owned();
        let permit = permit.map_err(|_| status(Ended::TooMany))?;
        let (mut head, body) = request.into_parts();
        let line = Caller::take(&mut head.extensions);
        let in_use = line.stream();
        let (metadata, extensions) = (MetadataMap::from_headers(head.headers), head.extensions);
        let mut inbound = Inbound::new(body, self.hub.limits().request_bytes);
        let first = self.first_request(&mut inbound).await?;
        let nobody = Node::default();
        let node = first.node.as_ref().unwrap_or(&nobody);
        let peer = Peer { metadata: &metadata, extensions: &extensions, node };
        let Admitted { proxy, ended } = self.identify.identify(peer).await?;
        tracing::debug!(%proxy, "stream opened");
        tokio::select! {
            () = self.hub.wait_for_first() => {}
            () = self.shutdown.cancelled() => return Err(Status::unavailable("the server shuts down")),
        }
        let stream = self.hub.open(&proxy, node, line).map_err(status)?;
        let pace = Pace::new(self.hub.limits());
        let drained = drained(&self.shutdown, self.hub.limits().drain, stream.id());
        let (hub, own) = (self.hub, StreamMap::new());
        let ends = Ends { drained, disproved: ended };
        let mut session = Session { hub, proxy, stream, inbound, ends, _permit: permit, _use: in_use, pace, own };
        session.receive(first)?;
        Ok(session)
    }

    async fn first_request(&self, inbound: &mut Inbound) -> Result<DeltaDiscoveryRequest, Status> {
        let late = |_| Status::deadline_exceeded("no request came on this stream");
        let first = timeout(self.hub.limits().first_request, inbound.next()).await.map_err(late)??;
        first.ok_or_else(|| Status::invalid_argument("the stream ended before its first request"))
    }
}

fn refuse(hub: &Hub, status: &Status) -> http::Response<Body> {
    add(&hub.counters().streams_refused, 1);
    tracing::info!(reason = status.message(), "stream refused");
    status.clone().into_http()
}

fn accept(hub: Arc<Hub>, session: Session) -> http::Response<Body> {
    let body = ResponseBody::new(hub, session.responses().boxed());
    let mut response = http::Response::new(Body::new(body));
    response.headers_mut().insert(http::header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

impl Service<http::Request<Body>> for Ads {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let ads = self.clone();
        Box::pin(async move {
            if !request.uri().path().ends_with("/DeltaAggregatedResources") {
                let told = "only DeltaAggregatedResources is served: set ads_config.api_type to DELTA_GRPC";
                return Ok(Status::unimplemented(told).into_http());
            }
            let hub = ads.hub.clone();
            let session = ads.open(request).await;
            Ok(session.map_or_else(|status| refuse(&hub, &status), |session| accept(hub.clone(), session)))
        })
    }
}

impl NamedService for Ads {
    const NAME: &'static str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
}
