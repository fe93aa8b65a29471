//! A storm of edits: the splits that nobody's traffic goes by are written all the time, each again and again.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use anyhow::Result;
use serde_json::json;
use smidge_e2e::{eventually, holds, world::SOON};
use tokio::{
    task::JoinHandle,
    time::{Duration, MissedTickBehavior, interval},
};

use crate::scene::{Scene, idle, splits};

/// The time from one edit to the next.
const PACE: Duration = Duration::from_millis(25);

/// It goes on until it is dropped.
pub(crate) struct Storm {
    edits: Arc<AtomicU64>,
    editor: JoinHandle<()>,
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.editor.abort();
    }
}

impl Storm {
    pub(crate) fn begin(scene: &Scene) -> Self {
        let (rest, edits) = (scene.rest.clone(), Arc::new(AtomicU64::new(0)));
        let paths: Vec<String> = (0..splits()).map(|n| scene.split(&idle(n))).collect();
        let counted = Arc::clone(&edits);
        let editor = tokio::spawn(async move {
            let mut ticks = interval(PACE);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for (edit, path) in paths.iter().cycle().enumerate() {
                ticks.tick().await;
                let backends = json!([{"service": "v1", "weight": edit + 2}, {"service": "v2", "weight": 1}]);
                // An API server that is away takes none.
                if rest.merge(path, &json!({"spec": {"backends": backends}})).await.is_ok() {
                    counted.fetch_add(1, Relaxed);
                }
            }
        });
        Self { edits, editor }
    }

    /// Waits until so many more edits are written.
    pub(crate) async fn goes_on(&self, edits: u64) -> Result<()> {
        let until = self.edits.load(Relaxed) + edits;
        eventually("edits", SOON, async || {
            let now = self.edits.load(Relaxed);
            holds(now >= until, || format!("{now} of {until}"))
        })
        .await
    }
}
