//! Clients on the server's Unix socket that do not answer, do not read, or open nothing: what they cost is bounded.

#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

mod support;

use std::{sync::Arc, sync::atomic::Ordering::Relaxed, time::Duration};

use smidge_xds::TypeUrl;
use smidge_xds_server::{Limits, NoResolver};
use support::{
    PROXY, TestServer,
    client::{Stream, acknowledge, names, subscribe},
    cluster, route, set,
};
use tokio::{
    io::AsyncReadExt,
    net::UnixStream,
    time::{Instant, timeout},
};
use tonic::Code;

const IN_TIME: Duration = Duration::from_secs(10);

fn start(limits: Limits) -> TestServer {
    TestServer::start(limits, Arc::new(NoResolver))
}

/// Lets paused time pass.
async fn pass(time: Duration) {
    timeout(time, std::future::pending::<()>()).await.unwrap_err();
}

/// Nothing waits for real time: it passes when nobody has anything to do.
#[tokio::test(start_paused = true)]
async fn a_stream_that_does_not_answer_is_told_of_and_ended() {
    let mut server = start(Limits::default());
    server.publish_proxy(PROXY);
    server.publish(vec![cluster("a", 1), route("web", Ok("x"))]);
    let mut stream = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.unwrap();
    assert_eq!(names(&stream.next().await.unwrap()), ["a"]);
    let sent = Instant::now();
    let ended = stream.responses.message().await.unwrap_err();
    let patience = server.hub.limits().answer;
    assert!((patience..patience * 12 / 10).contains(&sent.elapsed()), "{:?}", sent.elapsed());
    assert_eq!(ended.code(), Code::DeadlineExceeded);
    assert!(ended.message().contains("a response of type Cluster was not answered"), "{ended}");
    assert_eq!(server.hub.counters().unanswered.load(Relaxed), 1);
    server.until(|report, _| !report.connected).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_answers_and_has_nothing_to_do_goes_on() {
    let mut server = start(Limits::default());
    server.publish_proxy(PROXY);
    let mut stream = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.unwrap();
    let first = stream.next().await.unwrap();
    stream.send(acknowledge(&first));
    assert!(timeout(Duration::from_secs(3600), stream.responses.message()).await.is_err(), "it has ended");
    assert_eq!(server.hub.counters().connections_closed.load(Relaxed), 0);
}

#[tokio::test]
async fn a_client_that_does_not_even_read_loses_its_connection() {
    let mut server = start(Limits { answer: Duration::from_secs(1), ..Limits::default() });
    server.publish_proxy(PROXY);
    // More than a client's window (2 MiB): the rest waits in the server, and so does all that comes after it.
    let large = "x".repeat(4 << 20);
    server.publish(vec![set(TypeUrl::Cluster, "large", &large), set(TypeUrl::Secret, "large", &large)]);
    let stream = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.unwrap();
    stream.send(subscribe(TypeUrl::Secret, &["large"]));
    server.until(|report, _| report.connected).await;
    server.until(|report, _| !report.connected).await;
    assert_eq!(server.hub.counters().connections_closed.load(Relaxed), 1);
}

#[tokio::test]
async fn a_connection_without_a_stream_is_closed() {
    let server = start(Limits { unused_connection: Duration::from_millis(100), ..Limits::default() });
    let mut idle = UnixStream::connect(server.socket()).await.unwrap();
    let mut heard = Vec::new();
    timeout(IN_TIME, idle.read_to_end(&mut heard)).await.expect("closed in time").unwrap();
    assert_eq!(server.hub.counters().connections_closed.load(Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_stream_has_ended_is_closed() {
    let mut server = start(Limits::default());
    server.publish_proxy(PROXY);
    let stream = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.unwrap();
    let _channel = stream.channel.clone();
    drop(stream);
    let closed = || server.hub.counters().connections_closed.load(Relaxed);
    let unused = server.hub.limits().unused_connection;
    pass(unused / 2).await;
    assert_eq!(closed(), 0, "Envoy may open another");
    pass(unused * 2).await;
    assert_eq!(closed(), 1);
}

#[tokio::test]
async fn of_too_many_connections_the_newest_is_closed_and_its_place_is_free_again() {
    let mut server = start(Limits { connections: 1, ..Limits::default() });
    server.publish_proxy(PROXY);
    let stream = Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.unwrap();
    let mut surplus = UnixStream::connect(server.socket()).await.unwrap();
    assert_eq!(timeout(IN_TIME, surplus.read(&mut [0])).await.expect("closed in time").unwrap(), 0);
    assert_eq!(server.hub.counters().connections_refused.load(Relaxed), 1);
    drop(stream);
    let again = async {
        while Stream::open(&server, PROXY, TypeUrl::Cluster, &[]).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(IN_TIME, again).await.expect("the place is free again");
}
