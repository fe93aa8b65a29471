//! `smidge operator` where something is missing, refused or away: it says what, where and what to do, and goes on.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use smidge_e2e::{ApiServer, Daemon, eventually, holds, objects, world::SOON, world::beside_this_test};

const USER: &str = "smidge-under-test";

/// An operator on a socket in a folder, with its log.
struct Operator {
    daemon: Daemon,
    log: PathBuf,
    socket: PathBuf,
}

impl Operator {
    fn start(folder: &Path, kubeconfig: &Path) -> Result<Self> {
        let (log, socket) = (folder.join("operator.log"), folder.join("run/xds.sock"));
        let daemon = Daemon::start("smidge operator", &command(kubeconfig, &socket)?, &log)?;
        Ok(Self { daemon, log, socket })
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn says(&self, text: &str) -> Result<()> {
        eventually(text, SOON, async || holds(self.log().contains(text), || self.log())).await
    }
}

fn command(kubeconfig: &Path, socket: &Path) -> Result<Command> {
    let mut command = Command::new(beside_this_test("smidge")?);
    command.arg("operator").arg("--xds-socket").arg(socket).env("KUBECONFIG", kubeconfig).env_remove("RUST_LOG");
    Ok(command)
}

/// What an operator that cannot start says.
fn refusal(output: &Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{output:?}");
    text.lines().find_map(|line| line.strip_prefix("error: ")).map(ToOwned::to_owned).context(text)
}

/// The administrator's kubeconfig, for a user that has no rights.
fn as_user(api: &ApiServer, folder: &Path) -> Result<PathBuf> {
    let theirs = std::fs::read_to_string(api.kubeconfig())?;
    let ours = theirs.replace("user: {client-certificate", &format!("user: {{as: {USER}, client-certificate"));
    ensure!(theirs != ours, "this test needs an API server of its own: run it without $KUBECONFIG");
    let path = folder.join("kubeconfig");
    std::fs::write(&path, ours)?;
    Ok(path)
}

#[tokio::test]
async fn rights_a_second_operator_an_absent_server_and_the_end() -> Result<()> {
    let api = ApiServer::start().await?;
    let folder = tempfile::tempdir()?;
    let kubeconfig = as_user(&api, folder.path())?;
    let mut operator = Operator::start(folder.path(), &kubeconfig)?;

    operator.says("ClusterRole of manifests/rbac.yaml").await?;
    operator.says(&format!("User \\\"{USER}\\\" cannot list resource \\\"endpointslices\\\"")).await?;
    the_role_is_enough(&api, &operator).await?;

    let second = command(&kubeconfig, &operator.socket)?.output()?;
    assert!(refusal(&second)?.starts_with("another control plane already serves "), "{second:?}");

    api.stop().await?;
    operator.says("no answer from the API server").await?;
    api.resume().await?;
    operator.says("the API server answers again").await?;
    let said = operator.log().matches("no answer from the API server").count();
    assert_eq!(said, 1, "said once for all kinds: {}", operator.log());

    assert!(operator.daemon.stop()?.success(), "{}", operator.log());
    assert!(!operator.socket.exists(), "nobody is there");
    Ok(())
}

/// With the role bound, objects get their statuses and Events, and nothing is refused.
async fn the_role_is_enough(api: &ApiServer, operator: &Operator) -> Result<()> {
    api.install_crds().await?;
    let role = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/rbac.yaml");
    api.apply(&std::fs::read_to_string(role)?).await?;
    let user = format!("--user={USER}");
    api.kubectl(&["create", "clusterrolebinding", "smidge", "--clusterrole=smidge-operator", &user]).await?;

    api.apply(&objects::namespace("rights", &[]).to_string()).await?;
    api.apply(&objects::split("rights", "store", "store", &[("nosuch", 1)]).to_string()).await?;
    let wait = ["wait", "-n", "rights", "--for=condition=ResolvedRefs=False", "--timeout=30s", "trafficsplit/store"];
    api.kubectl(&wait).await.with_context(|| operator.log())?;
    eventually("Event", Duration::from_secs(30), async || {
        let events = api.kubectl(&["get", "events.events.k8s.io", "-n", "rights", "-o", "name"]).await?;
        holds(!events.is_empty(), || operator.log())
    })
    .await?;
    ensure!(!operator.log().contains("was not written"), "{}", operator.log());
    Ok(())
}

#[tokio::test]
async fn what_cannot_start_says_why_and_what_to_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (absent, broken, useful) =
        (folder.path().join("absent"), folder.path().join("broken"), folder.path().join("k"));
    std::fs::write(&broken, "clusters: [")?;
    let context = "current-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n";
    let cluster = "clusters: [{name: a, cluster: {server: \"http://127.0.0.1:9\"}}]\nusers: [{name: a, user: {}}]\n";
    std::fs::write(&useful, format!("apiVersion: v1\nkind: Config\n{context}{cluster}"))?;
    let socket = folder.path().join("xds.sock");

    let without = |home: &Path| -> Result<Output> {
        Ok(command(&absent, &socket)?.env_remove("KUBECONFIG").env("HOME", home).output()?)
    };
    let told = refusal(&without(folder.path())?)?;
    assert!(told.starts_with("no way to an API server: set KUBECONFIG to "), "{told}");
    for (kubeconfig, reason) in [(&absent, "No such file"), (&broken, "unclosed bracket")] {
        let told = refusal(&command(kubeconfig, &socket)?.output()?)?;
        assert!(told.starts_with("no way to an API server by the kubeconfig (of $KUBECONFIG, "), "{told}");
        assert_eq!(told.matches(reason).count(), 1, "told once: {told}");
    }
    let told = refusal(&command(&useful, &broken.join("xds.sock"))?.output()?)?;
    assert!(told.contains("broken/xds.sock: with --xds-socket give a path in a folder that "), "{told}");
    Ok(())
}
