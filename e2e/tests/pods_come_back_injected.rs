//! A real API server asks the webhook, as `manifests/webhook.yaml` tells it to: what the injector makes of the pods of
//! `testdata/inject` is valid there, and what it says reaches who created them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};
use http_body_util::BodyExt;
use hyper::{HeaderMap, Request, StatusCode};
use serde_json::{Value, json};
use smidge_e2e::{ApiServer, eventually, holds, repository};
use smidge_injector::{INJECT, PROXY, REDIRECT, Settings};
use smidge_operator::{
    identity::{Authority, LIFETIME, Root, Serving},
    tls,
    webhook::{self, Labels, NamespaceLabels, PROTOCOLS, Webhook},
};
use tokio::{net::TcpListener, sync::watch, time::Duration};
use tokio_util::sync::CancellationToken;

/// Cases that are not for an API server: namespaces that it does not ask for, what it takes for running pods only,
/// and what it lacks.
const ELSEWHERE: [&str; 5] =
    ["control_plane", "kube_system", "not_meshed", "ephemeral_containers", "cluster_trust_bundle"];

struct World {
    client: kube::Client,
    api: ApiServer,
    namespaces: watch::Sender<NamespaceLabels>,
    shutdown: CancellationToken,
}

/// What the API server says to a new pod.
struct Answer {
    status: StatusCode,
    warnings: Vec<String>,
    body: Value,
}

impl World {
    async fn new() -> Result<Self> {
        let root = Root::generate(LIFETIME)?;
        let certificate = root.certificate().to_owned();
        let serving = Serving::keep(Arc::new(Authority::with(root)), vec!["localhost".to_owned()]);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://localhost:{}/inject", listener.local_addr()?.port());
        let namespaces = watch::Sender::new(NamespaceLabels::new());
        let settings = watch::Sender::new(Arc::new(Settings::default())).subscribe();
        let snapshot = watch::Sender::default().subscribe();
        let webhook = Webhook { settings, namespaces: namespaces.subscribe(), snapshot, counters: Arc::default() };
        let shutdown = CancellationToken::new();
        let tls = tls::server_config(Arc::new(serving), &PROTOCOLS)?;
        tokio::spawn(webhook::serve(listener, tls, webhook, shutdown.clone()));
        let api = ApiServer::start().await?;
        let client = api.client().await?;
        let world = Self { client, api, namespaces, shutdown };
        world.configure(&url, &certificate).await?;
        Ok(world)
    }

    /// The configuration that users install, with this webhook in place of the Service.
    async fn configure(&self, url: &str, certificate: &str) -> Result<()> {
        let text = fs::read_to_string(repository().join("manifests/webhook.yaml"))?;
        // The first of its documents.
        let mut configuration: Value = serde_yaml::from_str(text.split("\n---\n").next().unwrap_or_default())?;
        let bundle = k8s_openapi::ByteString(certificate.as_bytes().to_vec());
        configuration["webhooks"][0]["clientConfig"] = json!({"url": url, "caBundle": bundle});
        self.api.apply(&configuration.to_string()).await?;
        self.namespace("ready", &BTreeMap::from([(INJECT.to_owned(), "enabled".to_owned())])).await?;
        eventually("webhook that is asked", Duration::from_secs(30), async || {
            let answer = self.create("ready", &plain()).await?;
            holds(answer.body["spec"]["initContainers"].is_array(), || answer.body.to_string())
        })
        .await
    }

    async fn namespace(&self, name: &str, labels: &Labels) -> Result<()> {
        self.namespaces.send_modify(|all| drop(all.insert(name.to_owned(), labels.clone())));
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        self.api.create_namespace(name, &labels.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    async fn create(&self, namespace: &str, pod: &Value) -> Result<Answer> {
        let request = Request::post(format!("/api/v1/namespaces/{namespace}/pods?dryRun=All"))
            .header("content-type", "application/json")
            .body(pod.to_string().into_bytes().into())?;
        let response = self.client.send(request).await?;
        let (status, warnings) = (response.status(), warnings(response.headers()));
        let body = response.into_body().collect().await?.to_bytes();
        Ok(Answer { status, warnings, body: serde_json::from_slice(&body)? })
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn warnings(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all("warning").into_iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

fn plain() -> Value {
    let spec = json!({"serviceAccountName": "default", "containers": [{"name": "a", "image": "a"}]});
    json!({"metadata": {"name": "a"}, "spec": spec})
}

struct Case {
    name: String,
    labels: Labels,
    pod: Value,
    expected: Value,
}

impl Case {
    fn namespace(&self) -> String {
        self.name.replace('_', "-")
    }
}

fn cases() -> Result<Vec<Case>> {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(repository().join("testdata/inject"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    folders.sort();
    let read = |folder: &Path| -> Result<Case> {
        let name = folder.file_name().context("a folder has a name")?.to_string_lossy().into_owned();
        let mut labels = Labels::from([(INJECT.to_owned(), "enabled".to_owned())]);
        let mut pod = Value::Null;
        for document in fs::read_to_string(folder.join("pod.yaml"))?.split("\n---\n") {
            let object: Value = serde_yaml::from_str(document)?;
            if object["kind"] == "Namespace" {
                labels = serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default();
            } else {
                pod = object;
            }
        }
        complete(&mut pod);
        let expected = serde_yaml::from_str(&fs::read_to_string(folder.join("out.yaml"))?)?;
        Ok(Case { name, labels, pod, expected })
    };
    folders.iter().map(|folder| read(folder).with_context(|| folder.display().to_string())).collect()
}

/// What the cases leave out and the API server wants, or would have filled in with all of its plugins.
fn complete(pod: &mut Value) {
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    if pod["spec"]["serviceAccountName"].is_null() {
        pod["spec"]["serviceAccountName"] = "default".into();
    }
    for list in ["containers", "initContainers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            if container["image"].is_null() {
                container["image"] = "app:1".into();
            }
        }
    }
}

fn judge(case: &Case, answer: &Answer) -> Result<()> {
    for warning in case.expected["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        // Here each case has a namespace of its own; and in the header quotes are escaped.
        let warning = warning.replace("namespace shop", &format!("namespace {}", case.namespace()));
        let start = warning.split('"').next().unwrap_or_default();
        ensure!(answer.warnings.iter().any(|told| told.contains(start)), "no {warning:?} in {:?}", answer.warnings);
    }
    let message = answer.body["message"].as_str().unwrap_or_default();
    if let Some(why) = case.expected["refused"].as_str() {
        ensure!(answer.status == StatusCode::BAD_REQUEST && message.contains(why), "{} {message}", answer.status);
        return Ok(());
    }
    if case.name == "pod_security_level" {
        ensure!(answer.status == StatusCode::FORBIDDEN && message.contains("NET_ADMIN"), "{message}");
        return Ok(());
    }
    ensure!(answer.status == StatusCode::CREATED, "{} {message}", answer.status);
    let init = answer.body["spec"]["initContainers"].as_array();
    let names: Vec<_> = init.into_iter().flatten().filter_map(|container| container["name"].as_str()).collect();
    match case.expected["patch"].is_array() {
        true => ensure!(names.starts_with(&[REDIRECT, PROXY]), "{names:?}"),
        false => ensure!(!names.contains(&PROXY), "{names:?}"),
    }
    Ok(())
}

#[tokio::test]
async fn the_api_server_takes_what_the_injector_makes_and_passes_on_what_it_says() -> Result<()> {
    let world = World::new().await?;
    let mut wrong = Vec::new();
    for case in cases()?.into_iter().filter(|case| !ELSEWHERE.contains(&case.name.as_str())) {
        let namespace = case.namespace();
        world.namespace(&namespace, &case.labels).await?;
        let answer = world.create(&namespace, &case.pod).await?;
        if let Err(error) = judge(&case, &answer) {
            wrong.push(format!("{}: {error:#}", case.name));
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

#[tokio::test]
async fn in_a_labelled_namespace_no_pod_starts_without_the_webhook() -> Result<()> {
    let world = World::new().await?;
    world.shutdown.cancel();
    let pod = plain();
    eventually("refusal", Duration::from_secs(30), async || {
        let answer = world.create("ready", &pod).await?;
        holds(answer.status == StatusCode::INTERNAL_SERVER_ERROR, || answer.body.to_string())
    })
    .await?;
    world.namespace("outside", &Labels::new()).await?;
    let answer = world.create("outside", &pod).await?;
    ensure!(answer.status == StatusCode::CREATED, "{}", answer.body);
    Ok(())
}
