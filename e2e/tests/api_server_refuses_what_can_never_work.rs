//! The schemas and CEL rules of our CRDs, judged by the real API server: each file of `crds/testdata` is sent to it.
//!
//! Nobody converts here: what is judged is each version by itself.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::{Context, Result, ensure};
use hyper::Request;
use serde_json::{Value, json};
use smidge_e2e::{ApiServer, eventually, repository};

const NAMESPACE: &str = "objects";

/// A file of test data.
struct Case {
    file: String,
    /// What the API server's answer must contain.
    message: Option<String>,
    /// Of several, each is an update of the one before; the last one is meant.
    documents: Vec<Value>,
}

#[tokio::test]
async fn what_may_work_is_taken_and_what_never_can_is_refused_with_the_reason() -> Result<()> {
    let server = Server::start().await?;
    // One after the other: an object that a case stores on its way would stand in the others' way.
    let mut wrong = Vec::new();
    for case in cases("accepted")? {
        if let Err(answer) = server.send(&case, "Strict").await {
            wrong.push(format!("{}: {answer:#}", case.file));
        }
    }
    for case in cases("refused")? {
        let message = case.message.as_ref().with_context(|| format!("{} has no line `# message:`", case.file))?;
        match server.send(&case, "Ignore").await {
            Err(Answer::Refused(said)) if said.contains(message) => {}
            other => wrong.push(format!("{}: wanted {message:?}, got {other:?}", case.file)),
        }
    }
    ensure!(wrong.is_empty(), "not as written:\n{}", wrong.join("\n"));
    Ok(())
}

/// An answer that is not success.
#[derive(Debug, thiserror::Error)]
enum Answer {
    #[error("refused as invalid: {0}")]
    Refused(String),
    #[error(transparent)]
    Other(#[from] anyhow::Error),
}

/// The API server with every version of every kind served.
struct Server {
    client: kube::Client,
    /// Where the objects of each `apiVersion` and kind are.
    collections: BTreeMap<(String, String), String>,
    _api: ApiServer,
}

impl Server {
    async fn start() -> Result<Self> {
        let api = ApiServer::start().await?;
        serve_unconverted(&api).await?;
        Ok(Self { client: api.client().await?, collections: collections(), _api: api })
    }

    /// Sends the last document as a trial, after the ones before it have been stored.
    async fn send(&self, case: &Case, validation: &str) -> Result<(), Answer> {
        let (last, before) = case.documents.split_last().context("an empty file")?;
        let trial = format!("?dryRun=All&fieldValidation={validation}");
        let Some(first) = before.first() else {
            return self.request("POST", &format!("{}{trial}", self.collection(last)?), last).await.map(drop);
        };
        let stored = self.request("POST", self.collection(first)?, first).await?;
        let path = format!("{}/{}", self.collection(last)?, stored["metadata"]["name"].as_str().unwrap_or_default());
        let mut update = last.clone();
        update["metadata"]["resourceVersion"] = stored["metadata"]["resourceVersion"].clone();
        let answer = self.request("PUT", &format!("{path}{trial}"), &update).await;
        self.request("DELETE", &path, &json!({})).await?;
        answer.map(drop)
    }

    fn collection(&self, object: &Value) -> Result<&String> {
        let text = |field: &str| object[field].as_str().unwrap_or_default().to_owned();
        self.collections.get(&(text("apiVersion"), text("kind"))).with_context(|| format!("no CRD serves {object}"))
    }

    async fn request(&self, method: &str, path: &str, body: &Value) -> Result<Value, Answer> {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(body.to_string().into_bytes()).context("a request")?;
        match self.client.request(request).await {
            Ok(object) => Ok(object),
            Err(kube::Error::Api(status)) if status.code == 422 => Err(Answer::Refused(status.message.clone())),
            Err(error) => Err(anyhow::Error::new(error).context(format!("{method} {path}")).into()),
        }
    }
}

async fn serve_unconverted(api: &ApiServer) -> Result<()> {
    let mut crds = smidge_crds::all();
    for conversion in crds.iter_mut().flat_map(|crd| &mut crd.spec.conversion) {
        (conversion.strategy, conversion.webhook) = ("None".to_owned(), None);
    }
    let crds: Vec<Value> = crds
        .iter()
        .map(|crd| {
            let mut object = serde_json::to_value(crd)?;
            object["apiVersion"] = json!("apiextensions.k8s.io/v1");
            object["kind"] = json!("CustomResourceDefinition");
            Ok(object)
        })
        .collect::<Result<_>>()?;
    api.apply(&json!({"apiVersion": "v1", "kind": "List", "items": crds}).to_string()).await?;
    api.create_namespace(NAMESPACE, &[]).await?;
    let client = api.client().await?;
    for path in collections().values() {
        eventually(path, Duration::from_secs(30), async || {
            Ok(client.request::<Value>(Request::get(path).body(Vec::new())?).await?)
        })
        .await?;
    }
    Ok(())
}

fn collections() -> BTreeMap<(String, String), String> {
    let mut paths = BTreeMap::new();
    for crd in smidge_crds::all() {
        let (group, names) = (crd.spec.group, crd.spec.names);
        let scope = if crd.spec.scope == "Cluster" { String::new() } else { format!("namespaces/{NAMESPACE}/") };
        for version in crd.spec.versions {
            let api_version = format!("{group}/{}", version.name);
            let path = format!("/apis/{api_version}/{scope}{}", names.plural);
            paths.insert((api_version, names.kind.clone()), path);
        }
    }
    paths
}

fn cases(folder: &str) -> Result<Vec<Case>> {
    let folder = repository().join("crds/testdata").join(folder);
    let mut cases = Vec::new();
    for entry in fs::read_dir(&folder)? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        cases.push(Case {
            file: path.display().to_string(),
            message: text.lines().find_map(|line| line.strip_prefix("# message: ")).map(str::to_owned),
            documents: text
                .split("\n---\n")
                .map(|document| serde_yaml::from_str(document).with_context(|| path.display().to_string()))
                .collect::<Result<_>>()?,
        });
    }
    ensure!(!cases.is_empty(), "no objects in {}", folder.display());
    Ok(cases)
}
