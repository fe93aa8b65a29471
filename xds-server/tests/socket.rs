//! The server over its Unix socket, with a gRPC client: who is served, who is refused, how it ends.

#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

mod support;

use std::{sync::Arc, time::Duration};

use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::Secret;
use futures::{
    future::{BoxFuture, FutureExt, ready},
    stream::{BoxStream, StreamExt},
};
use smidge_xds::{Epoch, Name, ProxyChange, ProxyId, Resource, TypeUrl, Update};
use smidge_xds_server::{Admitted, Identify, Limits, NoResolver, Peer, Resolve};
use support::{
    PROXY, TestServer,
    client::{Stream, acknowledge, names},
    cluster, route,
};
use tokio::time::timeout;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

fn start(limits: Limits) -> TestServer {
    TestServer::start(limits, Arc::new(NoResolver))
}

#[tokio::test]
async fn a_stream_waits_for_the_first_publication() {
    let mut server = start(Limits::default());
    let opening = Stream::open_at(server.socket(), PROXY, TypeUrl::Cluster, &[]);
    tokio::pin!(opening);
    assert!(timeout(Duration::from_millis(100), &mut opening).await.is_err(), "nothing is published yet");
    server.publish_proxy(PROXY);
    assert_eq!(opening.await.unwrap().next().await.unwrap().resources, []);
}

#[tokio::test]
async fn an_unknown_proxy_is_refused_and_served_once_it_is_published() {
    let mut server = start(Limits::default());
    server.publish(vec![cluster("a", 1)]);
    let refused = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.err().unwrap();
    assert_eq!(refused.code(), Code::NotFound);
    assert!(refused.message().contains("no meshed pod"), "{refused}");
    server.publish_proxy(PROXY);
    let mut stream = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.unwrap();
    assert_eq!(names(&stream.next().await.unwrap()), ["a"]);
}

#[tokio::test]
async fn the_stream_of_a_proxy_that_is_gone_ends() {
    let mut server = start(Limits::default());
    server.publish_proxy(PROXY);
    let mut stream = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.unwrap();
    stream.next().await.unwrap();
    server.update(Update { proxies: vec![ProxyChange::Remove(PROXY.into())], ..Update::default() });
    assert_eq!(stream.next().await.unwrap_err().code(), Code::NotFound);
}

/// Believes everybody, until it does not any more.
struct Until(CancellationToken);

impl Identify for Until {
    fn identify<'a>(&'a self, peer: Peer<'a>) -> BoxFuture<'a, Result<Admitted, Status>> {
        let (proxy, over) = (ProxyId::from(peer.node.id.as_str()), self.0.clone().cancelled_owned());
        let ended = over.map(|()| Status::unauthenticated("the token expires")).boxed();
        ready(Ok(Admitted { proxy, ended })).boxed()
    }
}

#[tokio::test]
async fn a_stream_ends_when_what_proved_its_proxy_counts_no_longer() {
    let over = CancellationToken::new();
    let mut server = TestServer::identified_by(Arc::new(Until(over.clone())));
    server.publish_proxy(PROXY);
    let mut stream = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.unwrap();
    stream.next().await.unwrap();
    over.cancel();
    assert_eq!(stream.next().await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn of_too_many_streams_of_a_proxy_the_oldest_ends() {
    let mut server = start(Limits { streams_per_proxy: 1, ..Limits::default() });
    server.publish_proxy(PROXY);
    let mut old = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.unwrap();
    old.next().await.unwrap();
    let mut new = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.unwrap();
    new.next().await.unwrap();
    assert_eq!(old.next().await.unwrap_err().code(), Code::Aborted);
}

#[tokio::test]
async fn a_client_that_names_too_much_is_ended() {
    let mut server = start(Limits { subscriptions: 2, ..Limits::default() });
    server.publish_proxy(PROXY);
    let stream = Stream::open(&server, PROXY, TypeUrl::Endpoints, &["a", "b", "c"]).await;
    assert_eq!(stream.err().unwrap().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_client_that_does_not_read_delays_nobody() {
    let mut server = start(Limits::default());
    server.publish_proxy("slow.shop");
    server.publish_proxy(PROXY);
    let slow = Stream::open(&server, "slow.shop", TypeUrl::Cluster, &[]).await.unwrap();
    let mut quick = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.unwrap();
    let first = quick.next().await.unwrap();
    quick.send(acknowledge(&first));
    for timeout in 1..50 {
        server.publish(vec![cluster("a", timeout)]);
        let response = quick.next().await.unwrap();
        assert_eq!(names(&response), ["a"]);
        quick.send(acknowledge(&response));
    }
    drop(slow);
}

#[tokio::test]
async fn a_shutdown_ends_the_streams_and_the_server() {
    let mut server = start(Limits::default());
    server.publish_proxy(PROXY);
    let mut stream = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.unwrap();
    stream.next().await.unwrap();
    server.shutdown.cancel();
    assert_eq!(stream.next().await.unwrap_err().code(), Code::Unavailable);
    drop(stream);
    timeout(Duration::from_secs(10), server.task).await.expect("in time").unwrap().unwrap();
}

/// Gives every proxy a certificate that names it, in the version that is watched.
struct Certificates(tokio::sync::watch::Sender<u32>);

impl Resolve for Certificates {
    fn names(&self) -> Vec<(TypeUrl, Name)> {
        vec![(TypeUrl::Secret, "workload".into())]
    }

    fn resolve(&self, proxy: &ProxyId, type_url: TypeUrl, name: &Name) -> BoxStream<'static, Arc<Resource>> {
        let (proxy, name) = (proxy.clone(), name.clone());
        let certificate = move |n| {
            let secret = Secret { name: format!("{proxy} {n}"), ..Default::default() };
            Arc::new(Resource::new(type_url, name.clone(), &secret))
        };
        WatchStream::new(self.0.subscribe()).map(certificate).boxed()
    }
}

#[tokio::test]
async fn a_proxy_gets_its_own_certificate_and_each_renewal() {
    let renewals = tokio::sync::watch::Sender::new(1);
    let mut server = TestServer::start(Limits::default(), Arc::new(Certificates(renewals.clone())));
    server.publish_proxy(PROXY);
    let mut stream = Stream::open(&server, PROXY, TypeUrl::Secret, &["workload"]).await.unwrap();
    for n in 1..4 {
        let response = stream.next().await.unwrap();
        let body = response.resources[0].resource.clone().unwrap().value;
        assert!(String::from_utf8_lossy(&body).contains(&format!("{PROXY} {n}")));
        stream.send(acknowledge(&response));
        renewals.send_replace(n + 1);
    }
}

#[tokio::test]
async fn a_change_wakes_only_the_streams_that_want_it() {
    let mut server = start(Limits::default());
    server.publish_proxy(PROXY);
    let mut wants = Stream::open(&server, PROXY, TypeUrl::Route, &["a"]).await.unwrap();
    let absent = wants.next().await.unwrap();
    wants.send(acknowledge(&absent));
    let mut others = Vec::new();
    for n in 0..50 {
        let other = format!("other-{n}.shop");
        server.publish_proxy(&other);
        let mut stream = Stream::open(&server, &other, TypeUrl::Route, &["b"]).await.unwrap();
        let absent = stream.next().await.unwrap();
        stream.send(acknowledge(&absent));
        others.push(stream);
    }
    let marks = || server.hub.counters().marks.load(std::sync::atomic::Ordering::Relaxed);
    let before = marks();
    server.hub.publish(Update { epoch: Epoch(1000), shared: vec![route("a", Ok("x"))], ..Update::default() });
    assert_eq!(names(&wants.next().await.unwrap()), ["a"]);
    assert_eq!(marks() - before, 1, "50 proxies that do not want it cost nothing");
}
