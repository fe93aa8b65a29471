//! Commands on a running mesh, against a real API server without a kubelet: what they write, what they refuse, and that a bug
//! report holds nothing secret. What needs pods that run is tested on a whole cluster.

use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use smidge_e2e::{ApiServer, objects, world::beside_this_test};

fn smidge(api: &ApiServer, arguments: &[&str]) -> Result<Output> {
    let mut command = Command::new(beside_this_test("smidge")?);
    command.args(arguments).env("KUBECONFIG", api.kubeconfig()).env_remove("RUST_LOG");
    command.output().context("smidge")
}

/// All that it printed, with its exit code as expected.
fn told(api: &ApiServer, arguments: &[&str], code: i32) -> Result<String> {
    let output = smidge(api, arguments)?;
    ensure!(output.status.code() == Some(code), "{arguments:?}: {output:?}");
    Ok([output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat())
}

fn has(text: &str, part: &str) -> Result<()> {
    ensure!(text.contains(part), "no `{part}` in\n{text}");
    Ok(())
}

#[tokio::test]
async fn an_installation_is_upgraded_and_its_modes_are_changed() -> Result<()> {
    let api = ApiServer::start().await?;
    has(&told(&api, &["upgrade", "--no-wait"], 1)?, "there is no installation in smidge-system to upgrade")?;
    let images =
        ["--image", "own/smidge:0.0.1", "--proxy-image", "own/envoy:1", "--redirect-image", "own/redirect:0.0.1"];
    told(&api, &[&["install", "--no-wait", "--replicas", "3"], &images[..]].concat(), 0)?;
    let upgraded = told(&api, &["upgrade", "--no-wait"], 0)?;
    has(&upgraded, "• control plane: own/smidge:0.0.1 → own/smidge:0.1.0 (this is smidge 0.1.0)")?;
    let get = ["get", "deployment", "smidge-operator", "-n", "smidge-system", "-ojson"];
    let now = api.kubectl(&get).await?;
    for part in [
        "\"own/smidge:0.1.0\"",
        "--proxy-image=own/envoy:1\"",
        "--redirect-image=own/redirect:0.1.0\"",
        "\"replicas\": 3",
    ] {
        has(&now, part)?;
    }
    has(&told(&api, &["status"], 1)?, "there is no replica of the control plane in smidge-system")?;
    modes(&api).await?;
    a_bug_report_holds_nothing_secret(&api).await
}

async fn modes(api: &ApiServer) -> Result<()> {
    api.apply(&objects::namespace("shop", &[("smidge.dev/inject", "enabled")]).to_string()).await?;
    has(&told(api, &["mode", "audit", "-n", "shop"], 0)?, "✓ namespace shop: deny (the mesh's) → audit")?;
    has(&told(api, &["mode", "audit", "-n", "shop"], 0)?, "✓ namespace shop: audit already; nothing is changed")?;
    let mesh = told(api, &["mode", "allow", "--mesh"], 0)?;
    has(&mesh, "✓ the mesh: deny → allow")?;
    has(&mesh, "• namespace shop has its own: audit")?;
    let spec = api.kubectl(&["get", "meshconfig", "default", "-ojsonpath={.spec.mode}"]).await?;
    ensure!(spec == "allow", "{spec}");
    has(&told(api, &["mode", "deny", "-n", "default"], 0)?, "! it is not in the mesh, so nothing is enforced yet")?;
    has(&told(api, &["mode", "deny", "-n", "none"], 1)?, "there is no namespace none")?;
    told(api, &["mode", "deny"], 2).map(drop)
}

/// Planted where people put such things.
async fn a_bug_report_holds_nothing_secret(api: &ApiServer) -> Result<()> {
    let planted = "planted-f1b2";
    let secret = format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: s, namespace: smidge-system}}, stringData: {{a: {planted}}}}}"
    );
    let map = secret.replace("Secret", "ConfigMap").replace("stringData", "data");
    let pod = format!(
        "{{apiVersion: v1, kind: Pod, metadata: {{name: odd, namespace: smidge-system, annotations: {{note: {planted}}}}}, spec: \
         {{containers: [{{name: a, image: a, securityContext: {{allowPrivilegeEscalation: false, runAsNonRoot: true, capabilities: \
         {{drop: [ALL]}}, seccompProfile: {{type: RuntimeDefault}}}}, env: [{{name: PASSWORD, value: {planted}}}]}}]}}}}"
    );
    for object in [secret, map, pod] {
        api.apply(&object).await?;
    }
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("report.tar");
    let path = file.to_str().context("the folder's path is not UTF-8")?;
    let said = told(api, &["bug-report", "-o", path, "--timeout", "1s"], 0)?;
    has(&said, "✓ wrote ")?;
    let bytes = std::fs::read(&file)?;
    let report = String::from_utf8_lossy(&bytes);
    ensure!(!report.contains(planted), "a planted secret is in the report");
    let base64 = "cGxhbnRlZC1mMWIy";
    ensure!(!report.contains(base64), "a planted secret is in the report, in base64");
    for part in ["control-plane/Pod.yaml", "PASSWORD", "own/smidge:0.1.0", "objects/MeshConfig.yaml", "check.txt", "✗ "]
    {
        has(&report, part)?;
    }
    Ok(())
}
