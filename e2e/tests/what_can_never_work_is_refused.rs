//! What the API server says to who writes an object, by the operator's webhooks: refusals, warnings, and the one form of headers.

use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use smidge_e2e::{ApiServer, Tool, eventually, holds, repository, webhooks::Answering, world::SOON};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt, process::Command};

const TARGET: &str = "{apiVersion: access.smi-spec.io/v1alpha3, kind: TrafficTarget, metadata: {name: opens, namespace: shop}, \
                      spec: {destination: {kind: ServiceAccount, name: web, namespace: bank}, \
                      sources: [{kind: ServiceAccount, name: web}], rules: [{kind: TCPRoute, name: all}]}}";
const SPLIT: &str = "{apiVersion: split.smi-spec.io/v1alpha2, kind: TrafficSplit, metadata: {name: early, namespace: shop}, \
                     spec: {service: web, backends: [{service: v1, weight: 1}]}}";

fn group(name: &str, version: &str, regex: &str) -> String {
    let matches = format!("matches: [{{name: a, pathRegex: '{regex}'}}]");
    let fields = if version == "v1alpha1" { matches } else { format!("spec: {{{matches}}}") };
    format!(
        "{{apiVersion: specs.smi-spec.io/{version}, kind: HTTPRouteGroup, metadata: {{name: {name}, namespace: shop}}, {fields}}}"
    )
}

struct World {
    api: ApiServer,
    operator: Answering,
    _folder: TempDir,
}

impl World {
    /// With a group in it that is older than the webhooks, and can never work.
    async fn new() -> Result<Self> {
        let api = ApiServer::start().await?;
        api.install_crds().await?;
        api.create_namespace("shop", &[]).await?;
        let folder = tempfile::tempdir()?;
        let operator = Answering::start(&api, folder.path()).await?;
        api.apply(&group("before", "v1alpha4", "(")).await?;
        api.apply(&std::fs::read_to_string(repository().join("manifests/webhook.yaml"))?).await?;
        let world = Self { api, operator, _folder: folder };
        eventually("a webhook that refuses", SOON, async || {
            let output = world.kubectl(&["apply", "--dry-run=server", "-f", "-"], TARGET).await?;
            holds(!output.status.success(), || format!("{output:?}"))
        })
        .await?;
        Ok(world)
    }

    /// What a user types, and what they see.
    async fn kubectl(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut command = Command::new(Tool::Kubectl.path()?);
        command.arg("--kubeconfig").arg(self.api.kubeconfig()).args(arguments).kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        child.stdin.take().context("kubectl has no standard input")?.write_all(input.as_bytes()).await?;
        Ok(child.wait_with_output().await?)
    }

    /// Whether it was stored, and what was said.
    async fn apply(&self, yaml: &str) -> Result<(bool, String)> {
        let output = self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], yaml).await?;
        Ok((output.status.success(), String::from_utf8(output.stderr)?))
    }
}

#[tokio::test]
async fn an_object_that_can_never_work_is_refused_with_what_to_do() -> Result<()> {
    let world = World::new().await?;
    let (stored, said) = world.apply(TARGET).await?;
    let expected = "admission webhook \"validate.smidge.dev\" denied the request: SMI0201 spec.destination.namespace: the destination is \
                    in namespace \"bank\", the target in shop: nothing is opened. Put the target into the destination's namespace.";
    ensure!(!stored && said.contains(expected), "{said}");
    for version in ["v1alpha1", "v1alpha4"] {
        let (stored, said) = world.apply(&group("new", version, "(")).await?;
        ensure!(
            !stored && said.contains("denied the request: SMI0301 spec.matches[0].pathRegex: "),
            "{version}: {said}"
        );
    }
    let config = "{apiVersion: smidge.dev/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {mode: deny}}";
    let (stored, said) = world.apply(config).await?;
    ensure!(stored && !said.contains("SMI"), "{said}");
    Ok(())
}

#[tokio::test]
async fn what_does_not_work_yet_is_stored_with_warnings() -> Result<()> {
    let world = World::new().await?;
    let (stored, said) = world.apply(SPLIT).await?;
    ensure!(
        stored && said.contains("Warning: SMI0110 spec.backends[0].service: Service v1.shop does not exist"),
        "{said}"
    );
    // The same again says nothing: nothing changes.
    let (stored, said) = world.apply(SPLIT).await?;
    ensure!(stored && !said.contains("SMI0110"), "{said}");
    Ok(())
}

#[tokio::test]
async fn what_was_there_before_is_told_in_its_status_and_can_be_labelled_and_deleted() -> Result<()> {
    let world = World::new().await?;
    let object = "httproutegroup/before";
    world.api.wait("shop", object, "condition=Accepted=False").await?;
    let path = "-ojsonpath={.status.conditions[?(@.type==\"Accepted\")].reason}";
    ensure!(world.api.kubectl(&["get", "-n", "shop", object, path]).await? == "InvalidRegex");
    world.api.kubectl(&["label", "-n", "shop", object, "a=b"]).await?;
    let (stored, said) = world.apply(&group("before", "v1alpha4", "((")).await?;
    ensure!(stored && said.contains("Warning: SMI0301"), "not worse than it was: {said}");
    world.api.kubectl(&["delete", "-n", "shop", object]).await.map(drop)
}

#[tokio::test]
async fn headers_are_stored_as_the_list_that_every_client_reads() -> Result<()> {
    let world = World::new().await?;
    let map = "{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {name: map, namespace: shop}, \
               spec: {matches: [{name: a, headers: {cookie: beta, via: x}}]}}";
    for _ in 0..2 {
        let (stored, said) = world.apply(map).await?;
        ensure!(stored, "{said}");
        let path = "-ojsonpath={.spec.matches[0].headers}";
        let headers = world.api.kubectl(&["get", "-n", "shop", "httproutegroup/map", path]).await?;
        ensure!(headers == "[{\"cookie\":\"beta\"},{\"via\":\"x\"}]", "{headers}");
    }
    Ok(())
}

#[tokio::test]
async fn with_the_operator_away_everything_is_stored() -> Result<()> {
    let mut world = World::new().await?;
    world.operator.daemon.kill()?;
    for yaml in [TARGET, &group("new", "v1alpha4", "(")] {
        let (stored, said) = world.apply(yaml).await?;
        ensure!(stored, "{said}");
    }
    world.api.kubectl(&["delete", "-n", "shop", "httproutegroup/before"]).await.map(drop)
}
