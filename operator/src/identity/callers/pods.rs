//! Which pods the watch has shown, and which of their name: the loop writes it, streams wait for it and end by it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use smidge_xds::ProxyId;
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

type Uid = Option<Arc<str>>;

/// The uid of each pod that is there. A clone is another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct Pods(Arc<Mutex<HashMap<ProxyId, watch::Sender<Uid>>>>);

/// A pod that was seen.
#[derive(Debug)]
pub(super) struct Seen {
    uid: Arc<str>,
    now: watch::Receiver<Uid>,
}

impl Seen {
    /// Returns when the pod is gone, or another one has its name.
    pub(super) async fn gone(mut self) {
        let uid = self.uid;
        // An error means that it is forgotten: gone.
        let _ = self.now.wait_for(|now| now.as_deref() != Some(&*uid)).await;
    }
}

impl Pods {
    /// Says which pod has this name now.
    pub fn set(&self, pod: ProxyId, uid: Arc<str>) {
        let mut pods = self.lock();
        let known = pods.entry(pod).or_insert_with(|| watch::Sender::new(None));
        known.send_if_modified(|now| {
            let is_news = now.as_deref() != Some(&*uid);
            *now = Some(uid);
            is_news
        });
    }

    /// Says that no pod has this name any more.
    pub fn remove(&self, pod: &ProxyId) {
        self.lock().remove(pod);
    }

    /// Waits until the watch has shown this very pod; `None`: it does not.
    pub(super) async fn see(&self, pod: &ProxyId, uid: &Arc<str>, patience: Duration) -> Option<Seen> {
        let deadline = Instant::now() + patience;
        loop {
            let mut now = self.watch(pod);
            match timeout_at(deadline, now.wait_for(|now| now.as_deref() == Some(&**uid)))
                .await
                .map(|seen| seen.is_ok())
            {
                Ok(true) => return Some(Seen { uid: uid.clone(), now }),
                // One of its name went: the next may be this one.
                Ok(false) => {}
                Err(_) => {
                    drop(now);
                    self.forget_unseen(pod);
                    return None;
                }
            }
        }
    }

    fn watch(&self, pod: &ProxyId) -> watch::Receiver<Uid> {
        self.lock().entry(pod.clone()).or_insert_with(|| watch::Sender::new(None)).subscribe()
    }

    /// Who waited in vain leaves no trace.
    fn forget_unseen(&self, pod: &ProxyId) {
        let mut pods = self.lock();
        if pods.get(pod).is_some_and(|known| known.borrow().is_none() && known.receiver_count() == 0) {
            pods.remove(pod);
        }
    }

    // Held for a look-up only; a thread that panicked meanwhile has left the map whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<ProxyId, watch::Sender<Uid>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_the_watch_shows_late_is_waited_for_in_bounds() {
        let (pods, pod, uid) = (Pods::default(), ProxyId::from("web-0.shop"), Arc::from("1"));
        assert!(pods.see(&pod, &uid, PATIENCE).await.is_none());
        assert!(pods.lock().is_empty(), "who waited in vain leaves no trace");
        let see = pods.see(&pod, &uid, PATIENCE);
        tokio::pin!(see);
        assert!(see.as_mut().now_or_never().is_none());
        pods.set(pod.clone(), "0".into());
        assert!(see.as_mut().now_or_never().is_none(), "the one before it");
        pods.remove(&pod);
        assert!(see.as_mut().now_or_never().is_none());
        pods.set(pod.clone(), uid.clone());
        assert!(see.await.is_some());
    }

    #[tokio::test]
    async fn a_pod_is_gone_when_it_is_removed_or_replaced_and_not_before() {
        for replaced in [true, false] {
            let (pods, pod, uid) = (Pods::default(), ProxyId::from("web-0.shop"), Arc::from("1"));
            pods.set(pod.clone(), Arc::clone(&uid));
            let gone = pods.see(&pod, &uid, PATIENCE).await.unwrap().gone();
            tokio::pin!(gone);
            pods.set(pod.clone(), Arc::clone(&uid));
            assert!(gone.as_mut().now_or_never().is_none());
            if replaced {
                pods.set(pod, "2".into())
            } else {
                pods.remove(&pod)
            }
            gone.await;
        }
    }
}
