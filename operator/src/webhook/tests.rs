//! The webhook over real TLS, with a client that does what the API server does, and with some that do not.

use std::net::SocketAddr;

use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Bytes, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use serde_json::{Value, json};
use smidge_mesh::TrustBundle;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;
use crate::identity::{Authority, LIFETIME, Root, Serving};

const NAME: &str = "smidge-webhook.smidge-system.svc";

struct World {
    address: SocketAddr,
    authority: Arc<Authority>,
    serving: Serving,
    root: String,
    counters: Arc<Counters>,
    namespaces: watch::Sender<NamespaceLabels>,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

impl World {
    async fn new() -> Self {
        let root = Root::generate(LIFETIME).unwrap();
        let text = root.certificate().to_owned();
        let authority = Arc::new(Authority::with(root));
        let serving = Serving::keep(Arc::clone(&authority), vec![NAME.to_owned()]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let labels = Labels::from([("smidge.dev/inject".to_owned(), "enabled".to_owned())]);
        let namespaces = watch::Sender::new(NamespaceLabels::from([("shop".to_owned(), labels)]));
        let settings = watch::Sender::new(Arc::new(Settings::default())).subscribe();
        let counters = Arc::new(Counters::default());
        let snapshot = watch::Sender::new(Some(Snapshot::default())).subscribe();
        let webhook =
            Webhook { settings, namespaces: namespaces.subscribe(), snapshot, counters: Arc::clone(&counters) };
        let shutdown = CancellationToken::new();
        let tls = tls::server_config(Arc::new(serving.clone()), &PROTOCOLS).unwrap();
        let served = tokio::spawn(serve(listener, tls, webhook, shutdown.clone()));
        Self { address, authority, serving, root: text, counters, namespaces, shutdown, served }
    }

    /// A connection whose handshake is done, and by this root alone.
    async fn shake(&self, root: &str, protocol: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(client)).connect(NAME.try_into().unwrap(), stream).await
    }

    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.shake(&self.root, "h2").await.unwrap());
        let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    fn counted(&self, name: &str) -> u64 {
        self.counters.read().into_iter().find(|(counter, ..)| *counter == name).unwrap().2
    }
}

fn review(namespace: &str, pod: Value) -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "7",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {},
            "object": pod,
        },
    })
}

fn pod(spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})
}

fn plain() -> Value {
    pod(&json!({"containers": [{"name": "app"}]}))
}

async fn send(client: &mut SendRequest<Full<Bytes>>, path: &str, body: Bytes) -> (StatusCode, Bytes) {
    let request = Request::post(format!("https://{NAME}{path}")).body(Full::new(body)).unwrap();
    let response = client.send_request(request).await.unwrap();
    (response.status(), response.into_body().collect().await.unwrap().to_bytes())
}

async fn judge(client: &mut SendRequest<Full<Bytes>>, review: &Value) -> Value {
    let (status, body) = send(client, "/inject", review.to_string().into()).await;
    assert_eq!(status, StatusCode::OK, "{body:?}");
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&answer["kind"], &answer["apiVersion"]), (&json!("AdmissionReview"), &json!("admission.k8s.io/v1")));
    assert_eq!(answer["response"]["uid"], "7");
    answer["response"].clone()
}

#[tokio::test]
async fn pods_are_patched_refused_and_warned_of_on_one_connection() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let patched = judge(&mut client, &review("shop", plain())).await;
    assert_eq!((&patched["allowed"], &patched["patchType"]), (&json!(true), &json!("JSONPatch")));
    let privileged = pod(&json!({"containers": [{"name": "app", "securityContext": {"privileged": true}}]}));
    let refused = judge(&mut client, &review("shop", privileged)).await;
    assert_eq!(refused["allowed"], false);
    assert!(refused["status"]["message"].as_str().unwrap().contains("container app is privileged"), "{refused}");
    let windows = pod(&json!({"containers": [{"name": "app"}], "os": {"name": "windows"}}));
    let warned = judge(&mut client, &review("shop", windows)).await;
    assert!(warned["warnings"][0].as_str().unwrap().contains("Linux only") && warned["patch"].is_null(), "{warned}");
    assert_eq!(["admissions", "injected", "refused", "failed"].map(|name| world.counted(name)), [3, 1, 1, 0]);
}

#[tokio::test]
async fn a_debugger_that_could_go_round_the_mesh_is_refused_in_meshed_pods_alone() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let debugger = json!([{"name": "debug", "securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}]);
    for (sidecar, allowed) in [("smidge-proxy", false), ("other", true)] {
        let init = json!([{"name": sidecar, "securityContext": {"runAsUser": 1337}}]);
        let spec = json!({"containers": [{"name": "a"}], "initContainers": init, "ephemeralContainers": debugger});
        let mut review = review("shop", pod(&spec));
        review["request"]["operation"] = "UPDATE".into();
        review["request"]["subResource"] = "ephemeralcontainers".into();
        assert_eq!(judge(&mut client, &review).await["allowed"], allowed, "{sidecar}");
    }
}

#[tokio::test]
async fn a_pod_of_a_namespace_that_is_not_known_yet_is_not_let_through() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let review = review("new", plain());
    assert_eq!(judge(&mut client, &review).await["allowed"], false);
    world.namespaces.send_modify(|all| drop(all.insert("new".to_owned(), Labels::new())));
    assert_eq!(judge(&mut client, &review).await["allowed"], false);
    let labels = Labels::from([("smidge.dev/inject".to_owned(), "enabled".to_owned())]);
    world.namespaces.send_modify(|all| drop(all.insert("new".to_owned(), labels)));
    assert_eq!(judge(&mut client, &review).await["patchType"], "JSONPatch");
}

#[tokio::test]
async fn a_pod_that_comes_a_moment_before_its_namespace_is_known_joins() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let early = review("new", plain());
    let learning = async {
        // The request is under way: a pod of a known namespace overtakes it.
        judge(&mut world.connect().await, &review("shop", plain())).await;
        let labels = Labels::from([("smidge.dev/inject".to_owned(), "enabled".to_owned())]);
        world.namespaces.send_modify(|namespaces| drop(namespaces.insert("new".to_owned(), labels)));
    };
    let (answer, ()) = tokio::join!(judge(&mut client, &early), learning);
    assert_eq!(answer["patchType"], "JSONPatch", "{}", answer["status"]);
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let world = World::new().await;
    let mut before = world.connect().await;
    judge(&mut before, &review("shop", plain())).await;
    let root = Root::generate(LIFETIME).unwrap();
    let new = root.certificate().to_owned();
    let first = world.serving.now().unwrap();
    world.authority.follow(root, TrustBundle(new.as_str().into()));
    while world.serving.now().unwrap().cert == first.cert {
        tokio::task::yield_now().await;
    }
    world.shake(&new, "h2").await.unwrap();
    world.shake(&world.root, "h2").await.unwrap_err();
    judge(&mut before, &review("shop", plain())).await;
}

#[tokio::test]
async fn what_is_no_review_of_a_pod_gets_an_answer_and_changes_nothing() {
    let world = World::new().await;
    let mut client = world.connect().await;
    for (path, body, expected) in [
        ("/inject", Bytes::from_static(b"{"), StatusCode::BAD_REQUEST),
        ("/inject", Bytes::from_static(b"{\"kind\": \"AdmissionReview\"}"), StatusCode::BAD_REQUEST),
        ("/inject", "[".repeat(100_000).into(), StatusCode::BAD_REQUEST),
        ("/inject", vec![b' '; 5 << 20].into(), StatusCode::PAYLOAD_TOO_LARGE),
        ("/other", Bytes::new(), StatusCode::NOT_FOUND),
        ("/convert", Bytes::from_static(b"{\"kind\": \"ConversionReview\"}"), StatusCode::BAD_REQUEST),
        ("/convert", vec![b' '; 5 << 20].into(), StatusCode::BAD_REQUEST),
        ("/convert", vec![b' '; 65 << 20].into(), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        assert_eq!(send(&mut client, path, body).await.0, expected);
    }
    for pod in [pod(&json!({"containers": 7})), json!({"metadata": {"annotations": {"a": {}}}})] {
        let unreadable = judge(&mut client, &review("shop", pod)).await;
        assert!(unreadable["status"]["message"].as_str().unwrap().contains("cannot read the pod"), "{unreadable}");
    }
    let mut deleted = review("shop", Value::Null);
    deleted["request"]["operation"] = "DELETE".into();
    assert_eq!(judge(&mut client, &deleted).await["allowed"], true);
    assert_eq!(world.counted("failed"), 9);
    judge(&mut client, &review("shop", plain())).await;
}

#[tokio::test]
async fn objects_are_converted_on_the_same_connection() {
    let world = World::new().await;
    let mut client = world.connect().await;
    judge(&mut client, &review("shop", plain())).await;
    let group =
        |version| json!({"apiVersion": version, "kind": "HTTPRouteGroup", "metadata": {"name": "a"}, "spec": {}});
    let objects = ["specs.smi-spec.io/v1alpha3", "specs.smi-spec.io/v1alpha4"].map(group);
    let asked = json!({"uid": "1", "desiredAPIVersion": "specs.smi-spec.io/v1alpha4", "objects": objects});
    let (status, body) = send(&mut client, "/convert", json!({"request": asked}).to_string().into()).await;
    assert_eq!(status, StatusCode::OK, "{body:?}");
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["response"]["convertedObjects"], json!([objects[1], objects[1]]));
    assert_eq!(world.counted("converted"), 2);
}

#[tokio::test]
async fn objects_are_judged_and_put_into_form_on_the_same_connection() {
    let world = World::new().await;
    let mut client = world.connect().await;
    let group = json!({"apiVersion": "specs.smi-spec.io/v1alpha4", "kind": "HTTPRouteGroup", "metadata": {"name": "a"},
                       "spec": {"matches": [{"name": "a", "headers": {"cookie": "["}}]}});
    let review = review("shop", group);
    for (path, allowed, patched) in [("/validate", false, false), ("/mutate", true, true)] {
        let (status, body) = send(&mut client, path, review.to_string().into()).await;
        assert_eq!(status, StatusCode::OK, "{body:?}");
        let answer: Value = serde_json::from_slice(&body).unwrap();
        let response = &answer["response"];
        assert_eq!((&response["allowed"], response["patch"].is_null()), (&json!(allowed), !patched), "{response}");
    }
    assert_eq!(["validated", "invalid"].map(|name| world.counted(name)), [1, 1]);
}

#[tokio::test]
async fn http_1_is_spoken_too() {
    let world = World::new().await;
    let mut stream = world.shake(&world.root, "http/1.1").await.unwrap();
    let body = review("shop", plain()).to_string();
    let head =
        format!("POST /inject HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("JSONPatch"), "{answer}");
}

#[tokio::test]
async fn after_the_shutdown_nobody_is_served() {
    let world = World::new().await;
    let mut client = world.connect().await;
    judge(&mut client, &review("shop", plain())).await;
    world.shutdown.cancel();
    world.served.await.unwrap();
    TcpStream::connect(world.address).await.unwrap_err();
}
