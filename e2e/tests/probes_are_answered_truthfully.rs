//! The probe listeners of an injected pod, in stock Envoy behind the redirect that was injected with it: an app that lives
//! passes, an app that is dead fails within one period, and nothing else of the app or of Envoy is to be had there.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute, not what they share")]

use std::{
    collections::BTreeMap, convert::Infallible, fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path,
    sync::Arc, time::Duration,
};

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Empty, Full, StreamBody, combinators::BoxBody};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use k8s_openapi::api::core::v1::Pod as PodObject;
use serde_json::{Value, json};
use smidge_e2e::{eventually, holds};
use smidge_injector::{
    ADMIN_PATH, GRPC_PROBE_PORT, METRICS_PORT, Namespace, PROBE_PORT, READY_PORT, Settings, Verdict, inject,
};
use smidge_sandbox::{Command, Error, Pod, PodSpec, ROOT_UID, Sandbox, Sidecar, expand};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
    time::Instant,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

const READY: Duration = Duration::from_secs(20);
/// The period of every probe here; what a busy machine may take beyond it.
const PERIOD: Duration = Duration::from_secs(1);
const BUSY: Duration = Duration::from_secs(2);

const POD: &str = r#"
metadata: {name: app, namespace: test}
spec:
  containers:
  - name: app
    startupProbe: {tcpSocket: {port: 9000}, periodSeconds: 1}
    readinessProbe: {httpGet: {path: "/ready?deep=$(POD_NAME)", port: 8080, httpHeaders: [{name: X-Probe, value: "1"}]}, periodSeconds: 1}
    livenessProbe: {httpGet: {path: /live, port: 8443, scheme: HTTPS, httpHeaders: [{name: Host, value: "app.example:99"}]}, periodSeconds: 1}
    lifecycle: {postStart: {httpGet: {path: /warm, port: 8080}}}
  - name: api
    livenessProbe: {grpc: {port: 9090}, periodSeconds: 1}
"#;

/// The pod as injection makes it.
fn injected() -> Value {
    let mut pod: Value = serde_yaml::from_str(POD).unwrap();
    let typed: PodObject = serde_json::from_value(pod.clone()).unwrap();
    let labels = BTreeMap::from([("smidge.dev/inject".to_owned(), "enabled".to_owned())]);
    let outcome = inject(&Settings::default(), Namespace { name: "test", labels: &labels }, &typed);
    let Verdict::Patched(patch) = outcome.verdict else { panic!("{outcome:?}") };
    json_patch::patch(&mut pod, &patch).unwrap();
    pod
}

/// Its bootstrap without the control plane, which is another test's matter, and its redirect rules. `admin` is the folder
/// that it alone would mount.
fn sidecar(pod: &Value, ip: &str, admin: &Path) -> (String, String) {
    let containers = &pod["spec"]["initContainers"];
    let bootstrap = expand(containers[1]["args"][1].as_str().unwrap(), &[("POD_IP", ip)]);
    let bootstrap = bootstrap.replace(ADMIN_PATH, &admin.to_string_lossy());
    let mut bootstrap: Value = serde_json::from_str(&bootstrap).unwrap();
    bootstrap.as_object_mut().unwrap().remove("dynamic_resources");
    bootstrap["static_resources"]["clusters"].as_array_mut().unwrap().retain(|cluster| cluster["name"] != "xds");
    (bootstrap.to_string(), containers[0]["args"][0].as_str().unwrap().to_owned())
}

struct Probed {
    app: Pod,
    kubelet: Pod,
    _sandbox: Sandbox,
    _admin: TempDir,
}

async fn world(ips: [&str; 2]) -> Result<Probed> {
    let sandbox = Sandbox::new("probes")?;
    let admin = tempfile::tempdir()?;
    fs::set_permissions(admin.path(), fs::Permissions::from_mode(0o777))?;
    let (bootstrap, rules) = sidecar(&injected(), ips[0], admin.path());
    let sidecar = Sidecar { bootstrap: Some(bootstrap), ..Sidecar::new("default", Path::new("/none")) };
    let spec = |name: &str, ip: &str, sidecar| {
        Ok::<_, anyhow::Error>(PodSpec { name: name.into(), namespace: "test".into(), ips: vec![ip.parse()?], sidecar })
    };
    let mut app = sandbox.pod(spec("app", ips[0], Some(sidecar))?)?;
    let output = app.run(&Command::new("nft").arg(rules).uid(ROOT_UID)).await?;
    ensure!(output.status.success(), "{}", output.stderr);
    let kubelet = sandbox.pod(spec("kubelet", ips[1], None)?)?;
    app.wait_ready(READY).await?;
    Ok(Probed { app, kubelet, _sandbox: sandbox, _admin: admin })
}

impl Probed {
    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.app.ips()[0], port)
    }

    /// A request as the kubelet makes it.
    async fn ask(&self, method: &str, port: u16, path: &str, headers: &[(&str, &str)]) -> Result<StatusCode> {
        let stream = TokioIo::new(self.kubelet.connect(self.at(port)).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", self.at(port).to_string());
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(sender.send_request(request.body(Empty::<Bytes>::new())?).await?.status())
    }

    /// What `grpc-status` a unary call gets.
    async fn call(&self, port: u16, method: &str) -> Result<Option<String>> {
        let stream = TokioIo::new(self.kubelet.connect(self.at(port)).await?);
        let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        tokio::spawn(connection);
        let request = Request::post(format!("http://{}{method}", self.at(port)))
            .header("content-type", "application/grpc")
            .header("te", "trailers");
        let response = sender.send_request(request.body(Full::new(Bytes::from_static(&[0; 5])))?).await?;
        let status = |headers: &HeaderMap| Some(headers.get("grpc-status")?.to_str().ok()?.to_owned());
        let first = status(response.headers());
        let body = response.into_body().collect().await?;
        Ok(first.or_else(|| body.trailers().and_then(status)))
    }

    async fn kinds(&self) -> BTreeMap<&'static str, bool> {
        let is = |answer: Result<StatusCode>| answer.is_ok_and(|status| status == StatusCode::OK);
        let host = [("host", "app.example:99")];
        BTreeMap::from([
            ("tcp", is(self.ask("GET", PROBE_PORT, "/app/startup", &[]).await)),
            ("http", is(self.ask("GET", PROBE_PORT, "/app/readiness", &[("x-probe", "1")]).await)),
            ("https", is(self.ask("GET", PROBE_PORT, "/app/liveness", &host).await)),
            ("hook", is(self.ask("GET", PROBE_PORT, "/app/postStart", &[]).await)),
            (
                "grpc",
                self.call(GRPC_PROBE_PORT, "/grpc.health.v1.Health/Check")
                    .await
                    .is_ok_and(|s| s.as_deref() == Some("0")),
            ),
        ])
    }

    /// Waits until every kind answers so, and says how long that took.
    async fn all(&self, alive: bool) -> Result<Duration> {
        let begin = Instant::now();
        eventually("same answer of every kind", Duration::from_secs(10), async || {
            let kinds = self.kinds().await;
            holds(kinds.values().all(|answer| *answer == alive), || format!("{kinds:?}"))
        })
        .await?;
        Ok(begin.elapsed())
    }
}

type Body = BoxBody<Bytes, Infallible>;

/// What the app answers: 200 to exactly what its author asked for.
fn respond(request: &Request<Incoming>, own: SocketAddr) -> Response<Body> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    let (host, own) = (header("host"), own.to_string());
    let is_asked_for = match path {
        "/ready?deep=$(POD_NAME)" => host == own && header("x-probe") == "1",
        "/warm" => host == own,
        "/live" => host == "app.example:99",
        _ => false,
    };
    let status = if is_asked_for { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    eprintln!("app: {path} {:?}: {status}", request.headers());
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = status;
    response
}

/// gRPC's health service: it serves.
fn healthy(request: &Request<Incoming>) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    let status = if request.uri().path() == "/grpc.health.v1.Health/Check" { "0" } else { "5" };
    trailers.insert("grpc-status", status.parse().unwrap());
    let frames = [Frame::data(Bytes::from_static(&[0, 0, 0, 0, 2, 8, 1])), Frame::trailers(trailers)];
    let body = StreamBody::new(futures::stream::iter(frames.map(Ok::<_, Infallible>)));
    let response = Response::builder().header("content-type", "application/grpc");
    response.body(BodyExt::boxed(body)).unwrap()
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, own: SocketAddr) {
    let service = service_fn(move |request: Request<Incoming>| {
        let is_grpc = request.headers().get("content-type").is_some_and(|value| value == "application/grpc");
        let response = if is_grpc { healthy(&request) } else { respond(&request, own) };
        async move { Ok::<_, Infallible>(response) }
    });
    let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}

fn tls() -> TlsAcceptor {
    let certified = rcgen::generate_simple_self_signed(["app.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    Arc::new(config.with_single_cert(vec![certified.cert.der().clone()], key).unwrap()).into()
}

/// The app: dead when it is dropped.
struct App(Vec<JoinHandle<()>>);

impl App {
    fn start(world: &Probed) -> Result<Self> {
        let tls = tls();
        let ports = [8080, 8443, 9000, 9090].map(|port| {
            let (own, tls) = (world.at(port), tls.clone());
            let listener = world.app.listen(own).with_context(|| format!("port {port}"))?;
            Ok(tokio::spawn(async move {
                let mut served = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    let tls = (port == 8443).then(|| tls.clone());
                    served.spawn(async move {
                        match tls {
                            Some(tls) => serve(tls.accept(stream).await.unwrap(), own).await,
                            None => serve(stream, own).await,
                        }
                    });
                }
            }))
        });
        Ok(Self(ports.into_iter().collect::<Result<_>>()?))
    }
}

impl Drop for App {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn check(ips: [&str; 2]) -> Result<()> {
    let world = world(ips).await?;
    ensure!(world.kinds().await.values().all(|alive| !alive), "nobody is there yet");
    for _ in 0..2 {
        let app = App::start(&world)?;
        let born = world.all(true).await?;
        ensure!(born <= PERIOD + BUSY, "alive after {born:?}");
        drop(app);
        let died = world.all(false).await?;
        ensure!(died <= PERIOD + BUSY, "dead after {died:?}");
    }
    Ok(())
}

#[tokio::test]
async fn of_a_pod_with_an_ipv4_address() -> Result<()> {
    check(["10.1.0.2", "10.1.0.3"]).await
}

#[tokio::test]
async fn of_a_pod_with_an_ipv6_address() -> Result<()> {
    check(["fd01::2", "fd01::3"]).await
}

#[tokio::test]
async fn and_nothing_else_is_to_be_had() -> Result<()> {
    let world = world(["10.1.0.2", "10.1.0.3"]).await?;
    let _app = App::start(&world)?;
    world.all(true).await?;
    for (method, port, path, expected) in [
        ("GET", READY_PORT, "/ready", 200),
        ("GET", METRICS_PORT, "/stats/prometheus", 200),
        ("POST", READY_PORT, "/ready", 404),
        ("POST", READY_PORT, "/quitquitquit", 404),
        ("GET", METRICS_PORT, "/config_dump", 404),
        ("GET", METRICS_PORT, "/stats/prometheus/../../config_dump", 404),
        ("GET", METRICS_PORT, "//stats/prometheus", 404),
        ("GET", PROBE_PORT, "/", 404),
        ("GET", PROBE_PORT, "/live", 404),
        ("GET", PROBE_PORT, "/app/liveness/x", 404),
        ("POST", PROBE_PORT, "/app/liveness", 404),
    ] {
        let status = world.ask(method, port, path, &[("host", "x")]).await?;
        ensure!(status == expected, "{method} {path} on {port}: {status}");
    }
    // From within, as an app would: Envoy's state can be read, and nothing be changed.
    ensure!(world.app.admin("GET", "/stats").await?.contains("server.live"));
    for (method, path) in [("POST", "/quitquitquit"), ("POST", "/stats"), ("GET", "/heap_dump"), ("GET", "/")] {
        let answer = world.app.admin(method, path).await;
        ensure!(matches!(answer, Err(Error::Admin { status: 404, .. })), "{method} {path}: {answer:?}");
    }
    let other = world.call(GRPC_PROBE_PORT, "/orders.Orders/List").await?;
    ensure!(other.as_deref() == Some("12"), "another method: {other:?}");
    let shown = json!(world.kinds().await);
    ensure!(world.ask("GET", 8080, "/warm", &[]).await.is_err(), "past the listeners: {shown}");
    Ok(())
}
