//! `/metrics`, `/readyz`, `/livez` and `/proxies` in plain HTTP/1.1: four fixed answers, so no framework. One request per
//! connection; who is slow or talks too much is hung up on. `/proxies` names pods and what they are told: it is for who may
//! forward a port of the replica, and such connections come from loopback.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, mpsc},
    time::timeout,
};

use crate::{
    message::Message,
    metrics::{Gauges, Numbers, render},
};

/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long its head may be, in bytes.
const HEAD_LIMIT: u64 = 16 << 10;
/// How many may be under way.
const CONCURRENT: usize = 32;

/// Answers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, gauges: Gauges, messages: mpsc::Sender<Message>) {
    let places = Arc::new(Semaphore::new(CONCURRENT));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let Ok((stream, peer)) = listener.accept().await else {
            // Out of file descriptors, most likely: give it a moment.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let asked = Asked { gauges: gauges.clone(), messages: messages.clone(), from: peer.ip() };
        tokio::spawn(async move {
            let _place = place;
            // The client has gone, or was too slow: its own matter.
            let _ = timeout(PATIENCE, answer(stream, &asked)).await;
        });
    }
}

/// Who asks, and what there is to tell.
struct Asked {
    gauges: Gauges,
    messages: mpsc::Sender<Message>,
    from: IpAddr,
}

/// An answer's status, type and body.
type Answer = (&'static str, &'static str, String);

const TEXT: &str = "text/plain; version=0.0.4";

async fn answer(mut stream: TcpStream, asked: &Asked) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut lines = BufReader::new(reader.take(HEAD_LIMIT)).lines();
    let request = lines.next_line().await?.unwrap_or_default();
    // The head is read to its end: closing on unread bytes would reset the connection under the answer.
    while lines.next_line().await?.is_some_and(|line| !line.is_empty()) {}
    let (status, form, body) = respond(&request, asked).await;
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\ncontent-type: {form}\r\ncontent-length: {length}\r\n");
    writer.write_all(format!("{head}connection: close\r\n\r\n{body}").as_bytes()).await?;
    writer.shutdown().await
}

async fn respond(request: &str, asked: &Asked) -> Answer {
    let gauges = &asked.gauges;
    match request.split(' ').take(2).collect::<Vec<_>>()[..] {
        ["GET", "/metrics"] => ("200 OK", TEXT, render(gauges)),
        ["GET", "/livez"] => ("200 OK", TEXT, "ok\n".to_owned()),
        ["GET", "/readyz"] => readiness(&gauges.numbers.borrow(), &gauges.unmigrated.borrow()),
        ["GET", "/proxies"] if asked.from.to_canonical().is_loopback() => proxies(&asked.messages).await,
        ["GET", "/proxies"] => ("403 Forbidden", TEXT, "by kubectl port-forward, or smidge status\n".to_owned()),
        _ => ("404 Not Found", TEXT, "there are /metrics, /proxies, /readyz and /livez\n".to_owned()),
    }
}

/// The loop's answer: it alone knows.
async fn proxies(messages: &mpsc::Sender<Message>) -> Answer {
    let (answer, mut told) = mpsc::channel(1);
    // The loop ends with the process only; then nobody waits for the answer.
    let _ = messages.send(Message::Asked(answer)).await;
    let body = told.recv().await.and_then(|told| serde_json::to_string(&told).ok());
    body.map_or(("503 Service Unavailable", TEXT, "ending\n".to_owned()), |body| ("200 OK", "application/json", body))
}

/// Who is not ready is not asked for conversions; so a kind that cannot be listed before we have converted what is stored
/// of it holds up nothing here.
fn readiness(numbers: &Numbers, unmigrated: &[String]) -> Answer {
    let awaited = || numbers.awaited.iter().map(|source| source.as_str());
    if awaited().any(|source| unmigrated.iter().all(|kind| kind != source)) {
        return (
            "503 Service Unavailable",
            TEXT,
            format!("not yet listed, see the log for why: {}\n", listed(awaited())),
        );
    }
    if !numbers.awaited.is_empty() {
        let kinds = listed(awaited());
        return (
            "200 OK",
            TEXT,
            format!("ok, but nothing is published until what is stored in an older version is listed: {kinds}\n"),
        );
    }
    if numbers.missing.is_empty() {
        return ("200 OK", TEXT, "ok\n".to_owned());
    }
    let missing = listed(numbers.missing.iter().map(|kind| kind.as_str()));
    ("200 OK", TEXT, format!("ok, without the kinds whose CRDs are not installed: {missing}\n"))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use smidge_compiler::Kind;

    use super::*;
    use crate::{message::Source, metrics::tests::gauges, proxies::Proxies};

    async fn ask(numbers: Numbers, path: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (messages, mut inbox) = mpsc::channel(1);
        let server = tokio::spawn(async move {
            tokio::select! {
                () = serve(listener, gauges(numbers), messages) => {}
                // In the loop's place.
                () = async {
                    while let Some(message) = inbox.recv().await {
                        let Message::Asked(answer) = message else { continue };
                        answer.send(Proxies { epoch: 7, ..Proxies::default() }).await.unwrap();
                    }
                } => {}
            }
        });
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        server.abort();
        answer
    }

    #[tokio::test]
    async fn it_is_ready_when_every_kind_has_been_listed() {
        let waits = || Numbers { awaited: vec![Source::Watch(Kind::Pod)], ..Numbers::default() };
        let unready = ask(waits(), "/readyz").await;
        assert!(unready.starts_with("HTTP/1.1 503 ") && unready.ends_with("for why: Pod\n"), "{unready}");
        assert!(ask(waits(), "/livez").await.starts_with("HTTP/1.1 200 "));
        assert!(ask(Numbers::default(), "/readyz").await.starts_with("HTTP/1.1 200 "));
        assert!(ask(Numbers::default(), "/metrics").await.contains("\nsmidge_drift_total 0\n"));
        assert!(ask(Numbers::default(), "/other").await.starts_with("HTTP/1.1 404 "));
    }

    #[test]
    fn it_is_ready_to_convert_what_keeps_it_from_listing() {
        let waits = |kinds: &[Kind]| Numbers {
            awaited: kinds.iter().copied().map(Source::Watch).collect(),
            ..Numbers::default()
        };
        let unmigrated = ["TrafficSplit".to_owned()];
        let (status, _, said) = readiness(&waits(&[Kind::TrafficSplit]), &unmigrated);
        assert!(status == "200 OK" && said.ends_with("is listed: TrafficSplit\n"), "{said}");
        assert_eq!(readiness(&waits(&[Kind::TrafficSplit, Kind::Pod]), &unmigrated).0, "503 Service Unavailable");
        assert_eq!(readiness(&waits(&[Kind::TrafficSplit]), &[]).0, "503 Service Unavailable");
    }

    #[tokio::test]
    async fn it_is_ready_without_a_missing_kind_and_names_it() {
        let lacks = || Numbers { missing: vec![Kind::TrafficSplit], ..Numbers::default() };
        let ready = ask(lacks(), "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 200 ") && ready.ends_with("not installed: TrafficSplit\n"), "{ready}");
        assert!(ask(lacks(), "/metrics").await.contains("\nsmidge_missing_kinds 1\n"));
    }

    #[tokio::test]
    async fn who_forwards_the_port_is_told_of_the_proxies_and_nobody_else_is() {
        let told = ask(Numbers::default(), "/proxies").await;
        assert!(told.contains("application/json") && told.contains("\"epoch\":7"), "{told}");
        let (messages, _) = mpsc::channel(1);
        let from = [10, 0, 0, 1].into();
        let asked = Asked { gauges: gauges(Numbers::default()), messages, from };
        assert_eq!(respond("GET /proxies HTTP/1.1", &asked).await.0, "403 Forbidden");
        assert_eq!(respond("GET /livez HTTP/1.1", &asked).await.0, "200 OK");
    }
}
