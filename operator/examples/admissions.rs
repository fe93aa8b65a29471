//! How long admissions take: the webhook on a thread of its own (one core), asked over TLS and one HTTP/2 connection as the
//! API server does, with the pods of `testdata/inject`, at a pace and as fast as it goes. Prints a table.
//!
//!     cargo run --release --example admissions -- [admissions a second] [seconds]

use std::{
    error::Error,
    fs,
    net::SocketAddr,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Bytes, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::{Value, json};
use smidge_injector::Settings;
use smidge_operator::{
    identity::{Authority, LIFETIME, Root, Serving},
    tls,
    webhook::{self, Labels, NamespaceLabels, PROTOCOLS, Webhook},
};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime,
    sync::watch,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

type Failed = Box<dyn Error + Send + Sync>;
type Client = SendRequest<Full<Bytes>>;

const NAME: &str = "smidge-webhook.smidge-system.svc";
/// How many requests are under way when it is asked as fast as it goes.
const DEPTH: usize = 32;

fn main() -> Result<(), Failed> {
    let mut arguments = std::env::args().skip(1);
    let pace: u32 = arguments.next().map_or(Ok(500), |text| text.parse())?;
    let seconds: u32 = arguments.next().map_or(Ok(20), |text| text.parse())?;
    let (told, ready) = mpsc::channel();
    thread::spawn(move || {
        runtime::Builder::new_current_thread().enable_all().build().map(|own| own.block_on(serve(told)))
    });
    let (address, root) = ready.recv()?;
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let reviews = reviews()?;
        let mut client = connect(address, &root).await?;
        full_speed(&mut client, &reviews, 200).await?;
        println!("{:<28} {:>8} {:>9} {:>9} {:>9}", "", "a second", "p50, ms", "p99, ms", "max, ms");
        row("at a pace", paced(&client, &reviews, pace, seconds).await?);
        row("as fast as it goes", full_speed(&mut client, &reviews, (pace * seconds) as usize).await?);
        Ok(())
    })
}

async fn serve(told: mpsc::Sender<(SocketAddr, String)>) -> Result<(), Failed> {
    let root = Root::generate(LIFETIME)?;
    let certificate = root.certificate().to_owned();
    let serving = Serving::keep(Arc::new(Authority::with(root)), vec![NAME.to_owned()]);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    told.send((listener.local_addr()?, certificate))?;
    let labels = Labels::from([("smidge.dev/inject".to_owned(), "enabled".to_owned())]);
    let namespaces = watch::Sender::new(NamespaceLabels::from([("shop".to_owned(), labels)]));
    let settings = watch::Sender::new(Arc::new(Settings::default()));
    let webhook = Webhook {
        settings: settings.subscribe(),
        namespaces: namespaces.subscribe(),
        snapshot: watch::Sender::default().subscribe(),
        counters: Arc::default(),
    };
    let tls = tls::server_config(Arc::new(serving), &PROTOCOLS)?;
    webhook::serve(listener, tls, webhook, CancellationToken::new()).await;
    Ok(())
}

async fn connect(address: SocketAddr, root: &str) -> Result<Client, Failed> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut tls = tls.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let stream = TlsConnector::from(Arc::new(tls)).connect(ServerName::try_from(NAME)?, stream).await?;
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A review of every pod that is injected.
fn reviews() -> Result<Vec<Bytes>, Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/inject");
    let mut reviews = Vec::new();
    for case in fs::read_dir(folder)? {
        let text = fs::read_to_string(case?.path().join("pod.yaml"))?;
        // What a case says of its namespace or MeshConfig stands in documents of their own.
        if !text.contains("\n---\n") {
            let pod: Value = serde_yaml::from_str(&text)?;
            let kind = json!({"group": "", "version": "v1", "kind": "Pod", "resource": "pods"});
            let request = json!({
                "uid": "7", "kind": kind, "resource": kind, "namespace": "shop", "operation": "CREATE", "userInfo": {},
                "object": pod,
            });
            let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
            reviews.push(review.to_string().into());
        }
    }
    Ok(reviews)
}

async fn ask(mut client: Client, review: Bytes) -> Result<Duration, Failed> {
    let begin = Instant::now();
    let request = Request::post(format!("https://{NAME}/inject")).body(Full::new(review))?;
    let response = client.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    if !status.is_success() {
        return Err(format!("{status}: {body:?}").into());
    }
    Ok(begin.elapsed())
}

/// Every admission begins at its time, however long others take.
async fn paced(client: &Client, reviews: &[Bytes], pace: u32, seconds: u32) -> Result<Series, Failed> {
    let mut ticks = interval(Duration::from_secs(1) / pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let begin = Instant::now();
    let mut asked = Vec::new();
    for review in reviews.iter().cycle().take((pace * seconds) as usize) {
        ticks.tick().await;
        asked.push(tokio::spawn(ask(client.clone(), review.clone())));
    }
    let mut took = Vec::new();
    for answer in asked {
        took.push(answer.await??);
    }
    Ok(Series { took, all: begin.elapsed() })
}

async fn full_speed(client: &mut Client, reviews: &[Bytes], count: usize) -> Result<Series, Failed> {
    let begin = Instant::now();
    let (mut waiting, mut took) = (FuturesUnordered::new(), Vec::new());
    for review in reviews.iter().cycle().take(count) {
        if waiting.len() >= DEPTH
            && let Some(answer) = waiting.next().await
        {
            took.push(answer?);
        }
        waiting.push(ask(client.clone(), review.clone()));
    }
    while let Some(answer) = waiting.next().await {
        took.push(answer?);
    }
    Ok(Series { took, all: begin.elapsed() })
}

struct Series {
    took: Vec<Duration>,
    all: Duration,
}

fn row(what: &str, mut series: Series) {
    series.took.sort();
    let at = |percent: usize| series.took[(series.took.len() - 1) * percent / 100].as_secs_f64() * 1e3;
    let rate = series.took.len() as f64 / series.all.as_secs_f64();
    println!("{what:<28} {rate:>8.0} {:>9.2} {:>9.2} {:>9.2}", at(50), at(99), at(100));
}
