//! The demo's one loop: read the policy, count what the apps did, show it; at the end, judge.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::{
    signal,
    time::{MissedTickBehavior, interval, sleep_until},
};

use crate::{manifests::Manifests, policy::Policy, screen::Screen, tally::Tally, verdict, world::World};

/// How often the policy and the logs are read: well below the time that an edit is given to settle.
const TICK: Duration = Duration::from_millis(100);
/// How often the screen is drawn, in ticks.
const DRAW: u32 = 10;

/// Runs until the time is over, or Ctrl-C; true if what was measured fits.
pub(crate) async fn run(folder: &Path, until: Option<Duration>) -> Result<bool> {
    let begin = Instant::now();
    let mut screen = Screen::new(folder, begin);
    let manifests = Manifests::read(folder)?;
    let policy = Policy::new(&manifests);
    let mut world = World::start(folder, &manifests).await?;
    let mut tally = Tally::new(policy, Instant::now());
    let end = sleep_until(begin.checked_add(until.unwrap_or(Duration::MAX)).unwrap_or(begin + FOR_EVER).into());
    tokio::select! {
        counted = count(folder, &mut world, &mut tally, &mut screen) => counted?,
        interrupted = signal::ctrl_c() => interrupted?,
        () = end => {}
    }
    let findings = tally.periods().iter().map(|period| verdict::judge(period, &world.apps())).collect::<Vec<_>>();
    screen.summary(&tally, &findings);
    Ok(tally.first_sale.is_some() && findings.iter().flatten().all(|finding| finding.fits))
}

/// Longer than anyone watches, and short enough to be added to the present.
const FOR_EVER: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Counts until it is stopped, or something has ended that should not.
async fn count(folder: &Path, world: &mut World, tally: &mut Tally, screen: &mut Screen) -> Result<()> {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for tick in 0_u32.. {
        ticks.tick().await;
        let now = Instant::now();
        // The policy first: calls that are read after it may already have met the new one, and are left out.
        match Manifests::read(folder) {
            Ok(manifests) => tally.stands(Policy::new(&manifests), now),
            Err(error) => screen.unreadable(&error),
        }
        for (app, record) in world.new_records().await? {
            tally.add(&app, record, now);
        }
        if tick % DRAW == DRAW - 1 {
            screen.draw(tally, &world.apps());
        }
    }
    Ok(())
}
