//! An API server that answers late, or in errors, or breaks off what it was telling, or has lost its store. Traffic goes on; what
//! is written meanwhile takes effect while it lasts where that is possible at all, and after it always.

use std::time::Duration;

use anyhow::{Result, ensure};
use smidge_e2e::{Fault, Faults, eventually, holds, world::SOON};

use crate::{amount, is_full, scene::Scene, what_it_keeps_is_taken_away};

/// What a leader says when it could not renew its Lease.
const STEPPED_DOWN: &str = "could not be renewed in time";

#[tokio::test]
async fn an_api_server_that_fails_in_any_way_harms_nobody() -> Result<()> {
    let scene = Scene::begin("failing").await?;
    let faults = Faults::before(&scene.world.api).await?;
    scene.world.reach_api_by(&faults.url())?;
    scene.restart().await?;
    scene.serves(scene.proxies()).await?;
    scene.settles("a way in between").await?;

    late(&scene, &faults).await?;
    let second = Duration::from_secs(1);
    struck(&scene, &faults, Fault::Refuses(429), "too many requests").await?;
    struck(&scene, &faults, Fault::Refuses(500), "errors").await?;
    struck(&scene, &faults, Fault::BreaksWatches(second / 2), "watches broken off").await?;
    struck(&scene, &faults, Fault::NoBookmarks(second), "watches without bookmarks").await?;
    forgets(&scene, &faults).await?;
    if is_full() {
        swallows(&scene, &faults).await?;
    }
    without_its_store(&scene).await?;
    what_it_keeps_is_taken_away::one_after_the_other(&scene).await?;
    ensure!(faults.forbidden().is_empty(), "{:?}", faults.forbidden());
    scene.end().await
}

/// What is written while it lasts is in force while it lasts.
async fn struck(scene: &Scene, faults: &Faults, fault: Fault, what: &str) -> Result<()> {
    let before = faults.struck();
    faults.set(Some(fault));
    for _ in 0..amount(1, 10) {
        scene.settles(&format!("an API server of {what}")).await?;
    }
    eventually("a failure", SOON, async || holds(faults.struck() > before, || "nothing was struck".into())).await?;
    faults.set(None);
    if is_full() {
        scene.settles(&format!("after {what}")).await?;
    }
    Ok(())
}

/// Two seconds for each answer: that is slow, and no reason to give the lead away.
async fn late(scene: &Scene, faults: &Faults) -> Result<()> {
    let before = scene.world.operator_log().matches(STEPPED_DOWN).count();
    let fault = Fault::Late(Duration::from_secs(2));
    faults.set(Some(fault));
    // With what follows longer than a leader goes on that cannot renew.
    scene.goes_on_for(amount(7, 60)).await?;
    struck(scene, faults, fault, "answers that take two seconds").await?;
    let after = scene.world.operator_log().matches(STEPPED_DOWN).count();
    ensure!(after == before, "the lead was given away: {}", scene.world.operator_log());
    Ok(())
}

/// Each watch begins with a new list, and those do not become a load of their own.
async fn forgets(scene: &Scene, faults: &Faults) -> Result<()> {
    let lists = |faults: &Faults| faults.asked().iter().filter(|(asked, _)| asked.verb == "list").map(|of| of.1).sum();
    let before: u64 = lists(faults);
    let seconds = amount(3, 30);
    faults.set(Some(Fault::Forgets));
    scene.goes_on_for(seconds).await?;
    let asked = lists(faults) - before;
    println!("{asked} lists in {seconds} s of a short memory");
    // Sixteen watches, of which each waits for a fifth of a second at least between two lists.
    ensure!(asked > 0 && asked <= 16 * 5 * (seconds + 1), "{asked} lists in {seconds} s");
    struck(scene, faults, Fault::Forgets, "a short memory").await
}

/// An answer that never comes holds up nothing but itself, and that not for long.
async fn swallows(scene: &Scene, faults: &Faults) -> Result<()> {
    let before = faults.struck();
    faults.set(Some(Fault::Swallows));
    scene.turn().await?;
    scene.goes_on_for(15).await?;
    ensure!(faults.struck() > before, "nothing was written");
    faults.set(None);
    scene.settles("answers that never came").await
}

async fn without_its_store(scene: &Scene) -> Result<()> {
    let before = scene.world.operator_log().matches(STEPPED_DOWN).count();
    scene.world.api.pause_store().await?;
    scene.goes_on_for(amount(4, 60)).await?;
    scene.nobody_noticed("no store").await?;
    if is_full() {
        scene.told(STEPPED_DOWN, before + 1).await?;
    }
    scene.world.api.resume_store().await?;
    scene.settles("the store again").await?;
    scene.world.api.restart_store().await?;
    scene.settles("a store killed and started again").await
}
