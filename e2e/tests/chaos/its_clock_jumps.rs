//! An operator whose clock jumps (libfaketime; the Envoys' clocks are right): who is served stays served, and who cannot be let in
//! by that clock waits until it is right again.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};
use smidge_e2e::{
    eventually, holds,
    world::{PodOptions, SOON},
};

use crate::scene::Scene;

/// A little less than what certificates allow for clocks that differ (five minutes).
const A_LITTLE: &str = "+240s";

#[tokio::test]
async fn a_clock_that_jumps_harms_nobody() -> Result<()> {
    let scene = Scene::begin("clock").await?;
    let clock = Clock::of(&scene).await?;
    scene.restart().await?;
    scene.serves(scene.proxies()).await?;
    scene.settles("a clock that can be moved").await?;

    clock.set(A_LITTLE)?;
    let late = PodOptions { app: "late", service_account: "late", meshed: true };
    let mut late =
        scene.world.pod_with("late", late).await.context("a pod that joins by a clock that is a little fast")?;
    scene.settles("a clock four minutes fast").await?;

    clock.set("+1d")?;
    scene.settles("a clock a day fast").await?;
    let refused = "smidge_xds_refused_total{reason=\"expired\"}";
    let before = scene.world.metric(refused).await?;
    late.pod.restart_envoy().await?;
    eventually("a refusal", SOON, async || {
        let now = scene.world.metric(refused).await?;
        holds(now > before, || format!("{now} were refused"))
    })
    .await?;
    clock.set("+0")?;
    late.pod.wait_ready(SOON * 2).await.context("a pod that is let in by a clock that is right again")?;
    scene.settles("a clock that is right again").await?;

    clock.set("-1h")?;
    scene.settles("a clock an hour slow").await?;
    clock.set("+0")?;
    started_fast(&scene, &clock).await?;
    scene.end().await
}

/// What it issues is good from tomorrow on: nobody takes it, and all go on with what they have.
async fn started_fast(scene: &Scene, clock: &Clock) -> Result<()> {
    clock.set("+1d")?;
    scene.restart().await?;
    scene.goes_on_for(5).await?;
    scene.nobody_noticed("an operator started a day fast").await?;
    clock.set("+0")?;
    scene.restart().await?;
    scene.serves(scene.proxies() + 1).await?;
    scene.settles("an operator started by the right clock").await
}

/// The clock of the operators of a scene.
struct Clock(PathBuf);

impl Clock {
    /// Of those that are started from now on.
    async fn of(scene: &Scene) -> Result<Self> {
        let file = scene.world.log_of("clock");
        let (library, path) = (library()?, file.display().to_string());
        let environment = [
            ("LD_PRELOAD", library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", path),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            // What lasts is measured by a clock that does not jump.
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        scene.world.operators.lock().await.environment =
            environment.map(|(name, value)| (name.to_owned(), value)).into();
        let clock = Self(file);
        clock.set("+0")?;
        Ok(clock)
    }

    fn set(&self, offset: &str) -> Result<()> {
        let next = self.0.with_extension("new");
        fs::write(&next, offset)?;
        Ok(fs::rename(next, &self.0)?)
    }
}

/// Of the Debian package `libfaketime`, that for programs of several threads.
fn library() -> Result<PathBuf> {
    let folders = fs::read_dir("/usr/lib")?.filter_map(|folder| Some(folder.ok()?.path()));
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|file| file.exists());
    found.context("no libfaketime: `make tools` installs it (Debian: faketime)")
}
