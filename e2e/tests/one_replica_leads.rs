//! Two operators on a real API server: one leads, and the other when that one ends, in whatever way.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use smidge_e2e::{
    ApiServer, Daemon, eventually, holds,
    secure::{CONTROL_PLANE, account},
    world::{SOON, beside_this_test},
};
use tempfile::TempDir;

struct Replicas {
    api: ApiServer,
    kubeconfig: PathBuf,
    folder: TempDir,
}

impl Replicas {
    async fn new() -> Result<Self> {
        let api = ApiServer::start().await?;
        api.install_crds().await?;
        let folder = tempfile::tempdir()?;
        let kubeconfig = account(&api, folder.path()).await?;
        Ok(Self { api, kubeconfig, folder })
    }

    fn start(&self, name: &str) -> Result<Daemon> {
        let mut command = Command::new(beside_this_test("smidge")?);
        command.args(["operator", "--xds-address", "127.0.0.1:0", "--replica-address", "127.0.0.1:0"]);
        command.env("KUBECONFIG", &self.kubeconfig).env("POD_NAMESPACE", CONTROL_PLANE).env("POD_NAME", name);
        Daemon::start(name, &command, &self.folder.path().join(name))
    }

    async fn until_led_by(&self, name: &str, within: Duration) -> Result<()> {
        eventually(&format!("lead of {name}"), within, async || {
            let path = "-ojsonpath={.spec.holderIdentity}";
            let holder = self.api.kubectl(&["get", "lease", "smidge-leader", "-n", CONTROL_PLANE, path]).await?;
            let log = std::fs::read_to_string(self.folder.path().join(name))?;
            holds(holder == name && log.contains("this replica leads"), || format!("{holder} leads; {log}"))
        })
        .await
    }

    async fn root(&self) -> Result<String> {
        let path = "-ojsonpath={.metadata.uid}";
        self.api.kubectl(&["get", "secret", "smidge-root", "-n", CONTROL_PLANE, path]).await
    }
}

#[tokio::test]
async fn of_two_replicas_one_leads_and_the_other_takes_over() -> Result<()> {
    let replicas = Replicas::new().await?;
    let mut first = replicas.start("first")?;
    replicas.until_led_by("first", SOON).await?;
    let root = eventually("root", SOON, async || replicas.root().await).await?;
    let mut second = replicas.start("second")?;
    let log = replicas.folder.path().join("second");
    eventually("a follower with the root", SOON, async || {
        let log = std::fs::read_to_string(&log)?;
        holds(log.contains("leader=\"first\"") && log.contains("the mesh's roots"), || log.clone())
    })
    .await?;

    // Dead without a word: after the Lease's time.
    first.kill()?;
    replicas.until_led_by("second", Duration::from_secs(40)).await?;
    // In good order: at once, long before the Lease's time.
    let _third = replicas.start("third")?;
    let begun = std::time::Instant::now();
    let status = second.stop()?;
    ensure!(status.success(), "{status}");
    replicas.until_led_by("third", Duration::from_secs(12)).await?;
    ensure!(begun.elapsed() < Duration::from_secs(14), "the Lease was given back: {:?}", begun.elapsed());
    ensure!(replicas.root().await? == root, "the root is still the same");

    // A leader that loses the API server stops before another could begin.
    replicas.api.stop().await?;
    let log = replicas.folder.path().join("third");
    eventually("a leader that steps down", Duration::from_secs(30), async || {
        let log = std::fs::read_to_string(&log)?;
        holds(log.contains("could not be renewed in time"), || log.clone())
    })
    .await?;
    replicas.api.resume().await.context("the API server again")?;
    eventually("its return", Duration::from_secs(40), async || {
        let log = std::fs::read_to_string(&log)?;
        holds(log.matches("this replica leads").count() == 2, || log.clone())
    })
    .await
}
