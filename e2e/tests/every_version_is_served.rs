//! Every version of every kind on a real API server, converted by a real operator: nothing is lost on any way, old clients keep
//! what they do not know, and with the operator away the stored versions still work.

use std::fs;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt, TryStreamExt, future, stream};
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use serde_json::{Value, json};
use smidge_e2e::{ApiServer, eventually, repository, webhooks::Answering, world::SOON};
use tempfile::TempDir;

const NAMESPACE: &str = "versions";

struct World {
    api: ApiServer,
    client: Client,
    operator: Answering,
    folder: TempDir,
}

impl World {
    async fn new() -> Result<Self> {
        let api = ApiServer::start().await?;
        api.install_crds().await?;
        api.create_namespace(NAMESPACE, &[]).await?;
        let folder = tempfile::tempdir()?;
        let operator = Answering::start(&api, folder.path()).await?;
        Ok(Self { client: api.client().await?, api, operator, folder })
    }

    /// The objects of a kind in a version, as a client of that version has them.
    fn of(&self, kind: &str, version: &str) -> Result<Api<DynamicObject>> {
        let crd =
            smidge_crds::converted().find(|crd| crd.spec.names.kind == kind).context("a kind that is converted")?;
        let resource = ApiResource {
            group: crd.spec.group.clone(),
            version: version.to_owned(),
            api_version: format!("{}/{version}", crd.spec.group),
            kind: kind.to_owned(),
            plural: crd.spec.names.plural,
        };
        Ok(Api::namespaced_with(self.client.clone(), NAMESPACE, &resource))
    }

    fn splits(&self, version: &str) -> Result<Api<DynamicObject>> {
        self.of("TrafficSplit", version)
    }
}

/// What an author has written in it, apart from its name.
fn fields(object: &DynamicObject) -> Value {
    let mut fields = object.data.clone();
    fields.as_object_mut().into_iter().for_each(|fields| drop(fields.remove("status")));
    fields
}

/// Every object of `crds/testdata/accepted` whose kind is converted, with the version that it is written in.
fn written() -> Result<Vec<(String, DynamicObject)>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(repository().join("crds/testdata/accepted"))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let mut object: DynamicObject = serde_yaml::from_str(text.split("\n---\n").last().unwrap_or_default())
            .context(path.display().to_string())?;
        object.metadata.name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        let types = object.types.clone().context("a kind")?;
        if smidge_crds::converted().any(|crd| crd.spec.names.kind == types.kind) {
            let (_, version) = types.api_version.split_once('/').context("a group and a version")?;
            all.push((version.to_owned(), object));
        }
    }
    Ok(all)
}

#[tokio::test]
async fn an_object_is_the_same_after_a_client_of_any_version_has_written_it_back() -> Result<()> {
    let world = World::new().await?;
    let go = async |(version, object): (String, DynamicObject)| {
        let went = there_and_back(&world, &version, &object).await;
        went.err().map(|error| format!("{}: {error:#}", object.name_any()))
    };
    let wrong: Vec<_> = stream::iter(written()?).map(go).buffer_unordered(8).filter_map(future::ready).collect().await;
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

async fn there_and_back(world: &World, version: &str, object: &DynamicObject) -> Result<()> {
    let (kind, name) = (object.types.clone().unwrap_or_default().kind, object.name_any());
    let own = world.of(&kind, version)?;
    let written = own.create(&PostParams::default(), object).await?;
    let crd = smidge_crds::converted().find(|crd| crd.spec.names.kind == kind).context("its CRD")?;
    for other in crd.spec.versions.iter().map(|version| version.name.as_str()) {
        let there = world.of(&kind, other)?;
        let read = there.get(&name).await.with_context(|| format!("read as {other}"))?;
        let to = format!("{}/{other}", crd.spec.group);
        let expected: DynamicObject =
            serde_json::from_value(smidge_crds::convert(serde_json::to_value(&written)?, &to))?;
        ensure!(fields(&read) == fields(&expected), "as {other}: {} is not {}", read.data, expected.data);
        // Something changes each time, else nothing would be written.
        let mut read = read;
        read.labels_mut().insert("writer".to_owned(), other.to_owned());
        there.replace(&name, &PostParams::default(), &read).await.with_context(|| format!("written as {other}"))?;
    }
    let back = own.get(&name).await?;
    ensure!(fields(&back) == fields(&written), "in the end {} is not {}", back.data, written.data);
    ensure!(back.labels().contains_key("writer") && back.uid() == written.uid(), "{:?}", back.metadata);
    Ok(())
}

const TESTED: &str = "{apiVersion: split.smi-spec.io/v1alpha4, kind: TrafficSplit, metadata: {name: tested, namespace: versions}, \
                      spec: {service: web, backends: [{service: a, weight: 90}, {service: b, weight: 10}], \
                      matches: [{kind: HTTPRouteGroup, name: beta}]}}";

#[tokio::test]
async fn an_old_client_changes_weights_and_keeps_what_it_does_not_know() -> Result<()> {
    let world = World::new().await?;
    world.api.apply(TESTED).await?;
    let stored = world.splits("v1alpha4")?;
    let matches = json!([{"kind": "HTTPRouteGroup", "name": "beta"}]);
    let weights = async |expected: Value| {
        let now = stored.get("tested").await?;
        let now = (&now.data["spec"]["backends"], &now.data["spec"]["matches"]);
        ensure!(now == (&expected, &matches), "{now:?}");
        anyhow::Ok(())
    };

    // GET, change, PUT, in quantities.
    let first = world.splits("v1alpha1")?;
    let mut split = first.get("tested").await?;
    ensure!(
        split.data["spec"].get("matches").is_none() && split.data["spec"]["backends"][0]["weight"] == "90",
        "{}",
        split.data
    );
    split.data["spec"]["backends"] = json!([{"service": "a", "weight": "500m"}, {"service": "b", "weight": "1"}]);
    first.replace("tested", &PostParams::default(), &split).await?;
    weights(json!([{"service": "a", "weight": 1}, {"service": "b", "weight": 2}])).await?;
    ensure!(
        first.get("tested").await?.data["spec"]["backends"][0]["weight"] == "500m",
        "its own way of writing is kept"
    );

    // A JSON merge patch, in whole numbers.
    let backends = json!([{"service": "a", "weight": 30}, {"service": "b", "weight": 70}]);
    let patch = Patch::Merge(json!({"spec": {"backends": backends}}));
    world.splits("v1alpha2")?.patch("tested", &PatchParams::default(), &patch).await?;
    weights(backends.clone()).await?;

    // Server-side apply, as one of several owners.
    let applied = json!({
        "apiVersion": "split.smi-spec.io/v1alpha1", "kind": "TrafficSplit", "metadata": {"name": "tested"},
        "spec": {"service": "web", "backends": [{"service": "a", "weight": "5"}, {"service": "b", "weight": "95"}]},
    });
    first.patch("tested", &PatchParams::apply("rollout").force(), &Patch::Apply(applied)).await?;
    weights(json!([{"service": "a", "weight": 5}, {"service": "b", "weight": 95}])).await
}

#[tokio::test]
async fn kubectl_reads_applies_and_watches_in_an_old_version() -> Result<()> {
    let world = World::new().await?;
    world.api.apply(TESTED).await?;
    let table = world.api.kubectl(&["get", "-n", NAMESPACE, "trafficsplits.v1alpha1.split.smi-spec.io"]).await?;
    ensure!(table.contains("ACCEPTED") && table.contains("\"weight\":\"90\""), "{table}");
    let old = world.splits("v1alpha1")?;
    let version = old.list(&Default::default()).await?.metadata.resource_version.unwrap_or_default();
    let mut events = old.watch(&WatchParams::default().timeout(60), &version).await?.boxed();
    world.api.apply(&TESTED.replace("weight: 90", "weight: 91")).await?;
    let event = tokio::time::timeout(SOON, events.try_next()).await??.context("the watch ended")?;
    let WatchEvent::Modified(split) = event else { anyhow::bail!("{event:?}") };
    ensure!(split.data["spec"]["backends"][0]["weight"] == "91", "{}", split.data);
    // kubectl prefers the newest.
    let preferred = world.api.kubectl(&["get", "-n", NAMESPACE, "ts", "-ojsonpath={.items[*].apiVersion}"]).await?;
    ensure!(preferred == "split.smi-spec.io/v1alpha4", "{preferred}");
    Ok(())
}

#[tokio::test]
async fn with_the_operator_away_the_stored_version_works_and_the_others_say_why_not() -> Result<()> {
    let mut world = World::new().await?;
    world.api.apply(TESTED).await?;
    // An old client has written it too: the server remembers which fields are its.
    let old = world.splits("v1alpha1")?;
    let patch = Patch::Merge(json!({"spec": {"backends": [{"service": "a", "weight": "1"}]}}));
    old.patch("tested", &PatchParams::default(), &patch).await?;
    world.operator.daemon.kill()?;

    let stored = world.splits("v1alpha4")?;
    let split = stored.get("tested").await?;
    ensure!(stored.list(&Default::default()).await?.items.len() == 1, "a list");
    stored.replace("tested", &PostParams::default(), &split).await.context("PUT")?;
    let patch = Patch::Merge(json!({"spec": {"backends": [{"service": "a", "weight": 2}]}}));
    stored.patch("tested", &PatchParams::default(), &patch).await.context("PATCH")?;
    world.api.apply(&TESTED.replace("tested", "another")).await.context("apply")?;
    world.api.apply(TESTED).await.context("apply what an old client has written to")?;
    let why = match old.get("tested").await {
        Err(kube::Error::Api(status)) => status.message.clone(),
        other => anyhow::bail!("{other:?}"),
    };
    ensure!(why.contains("conversion webhook for split.smi-spec.io/v1alpha4, Kind=TrafficSplit failed"), "{why}");
    ensure!(why.contains("https://smidge-webhook.smidge-system.svc"), "{why}");
    stored.delete("tested", &Default::default()).await.context("DELETE")?;

    let folder = world.folder.path().to_owned();
    world.operator.again(&world.api, &folder).await?;
    eventually("old clients again", SOON, async || Ok(old.get("another").await?)).await.map(drop)
}

#[tokio::test]
async fn a_ca_bundle_that_somebody_has_taken_away_is_put_back() -> Result<()> {
    let world = World::new().await?;
    let crd = "crd/trafficsplits.split.smi-spec.io";
    let path = "-ojsonpath={.spec.conversion.webhook.clientConfig.caBundle}";
    let right = world.api.kubectl(&["get", crd, path]).await?;
    ensure!(!right.is_empty(), "no caBundle");
    let spoil = r#"[{"op": "replace", "path": "/spec/conversion/webhook/clientConfig/caBundle", "value": ""}]"#;
    world.api.kubectl(&["patch", crd, "--type=json", "-p", spoil]).await?;
    eventually("caBundle again", SOON, async || {
        let now = world.api.kubectl(&["get", crd, path]).await?;
        ensure!(now == right, "{now}");
        Ok(())
    })
    .await?;
    // The installer's fields and the leader's do not get in each other's way.
    world.api.install_crds().await?;
    ensure!(world.api.kubectl(&["get", crd, path]).await? == right, "kept over an installation");
    Ok(())
}
