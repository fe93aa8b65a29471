//! Reviews, remembered by the token's hash: equal tokens share one review, and none is asked for twice within moments.
//! In go tokens, out come verdicts; bounded are those under way, those that wait, what is remembered, and the time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicBool, atomic::Ordering::Relaxed},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt, Shared};
use ring::digest::{SHA256, digest};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout},
};

use super::{Refusal, Review, Verdict};

/// How many reviews are under way at a time.
const CONCURRENT: usize = 64;
/// How many verdicts are remembered, and may be waited for.
const REMEMBERED: usize = 20_000;
/// How long a good verdict counts; not longer than the token.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// How long a bad one does: its pod may not have been known yet.
const BAD_FOR: Duration = Duration::from_secs(5);
/// How long one request may take,
const REQUEST: Duration = Duration::from_secs(5);
/// and how long passes before the next,
const RETRY: Duration = Duration::from_secs(1);
/// until the caller is told to come again.
const PATIENCE: Duration = Duration::from_secs(20);

type Hash = [u8; 32];

/// All reviews.
pub(super) struct Reviews {
    reviewer: Arc<dyn Review>,
    audience: &'static str,
    known: Mutex<HashMap<Hash, Entry>>,
    places: Semaphore,
    is_away: AtomicBool,
}

enum Entry {
    Asked(Shared<BoxFuture<'static, Verdict>>),
    Known(Verdict, Instant),
}

impl Reviews {
    pub(super) fn new(reviewer: Arc<dyn Review>, audience: &'static str) -> Arc<Self> {
        let places = Semaphore::new(CONCURRENT);
        Arc::new(Self { reviewer, audience, known: Mutex::default(), places, is_away: AtomicBool::new(false) })
    }

    /// Whose token it is. `left`: how long the token still counts.
    pub(super) async fn verdict(self: &Arc<Self>, token: &str, left: Duration) -> Verdict {
        let hash: Hash = digest(&SHA256, token.as_bytes()).as_ref().try_into().unwrap_or_default();
        let asked = match self.look_up(hash, token, left) {
            Ok(asked) => asked,
            Err(verdict) => return verdict,
        };
        asked.await
    }

    /// The review that is under way, or what is known without one.
    fn look_up(
        self: &Arc<Self>,
        hash: Hash,
        token: &str,
        left: Duration,
    ) -> Result<Shared<BoxFuture<'static, Verdict>>, Verdict> {
        let mut known = self.lock();
        match known.get(&hash) {
            Some(Entry::Asked(asked)) => return Ok(asked.clone()),
            Some(Entry::Known(verdict, until)) if *until > Instant::now() => return Err(verdict.clone()),
            _ => {}
        }
        if known.len() >= REMEMBERED {
            known.retain(|_, entry| matches!(entry, Entry::Asked(_)));
        }
        if known.len() >= REMEMBERED {
            return Err(Err(Refusal::Busy));
        }
        let asked = self.begin(hash, token.to_owned(), left);
        known.insert(hash, Entry::Asked(asked.clone()));
        Ok(asked)
    }

    /// A task of its own: who waits may go away meanwhile.
    fn begin(self: &Arc<Self>, hash: Hash, token: String, left: Duration) -> Shared<BoxFuture<'static, Verdict>> {
        let reviews = Arc::clone(self);
        let task = tokio::spawn(async move {
            let verdict = timeout(PATIENCE, reviews.ask(&token)).await.unwrap_or(Err(Refusal::ReviewAway));
            reviews.remember(hash, &verdict, left);
            verdict
        });
        task.map(|ended| ended.unwrap_or(Err(Refusal::ReviewAway))).boxed().shared()
    }

    async fn ask(&self, token: &str) -> Verdict {
        let _place = self.places.acquire().await;
        loop {
            match timeout(REQUEST, self.reviewer.review(token, self.audience)).await {
                Ok(Ok(verdict)) => {
                    if self.is_away.swap(false, Relaxed) {
                        tracing::info!("the API server reviews tokens again");
                    }
                    return verdict;
                }
                Ok(Err(error)) => self.note(&error),
                Err(_) => self.note(&std::io::Error::from(std::io::ErrorKind::TimedOut)),
            }
            sleep(RETRY).await;
        }
    }

    /// Said once: new streams wait, open ones go on.
    fn note(&self, error: &(dyn std::error::Error + 'static)) {
        if !self.is_away.swap(true, Relaxed) {
            tracing::warn!(
                error,
                "the API server does not review tokens (may the operator create tokenreviews?): new streams wait, open ones go on"
            );
        }
    }

    fn remember(&self, hash: Hash, verdict: &Verdict, left: Duration) {
        let time = match verdict {
            Ok(_) => GOOD_FOR.min(left),
            Err(Refusal::ReviewAway) => {
                self.lock().remove(&hash);
                return;
            }
            Err(_) => BAD_FOR,
        };
        self.lock().insert(hash, Entry::Known(verdict.clone(), Instant::now() + time));
    }

    // Held for a look-up only; a thread that panicked meanwhile has left the map whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use futures::future::{join_all, ready};

    use super::*;
    use crate::identity::callers::Caller;

    /// An API server that counts; tokens that begin with `good` are of a pod.
    #[derive(Default)]
    struct Counting {
        asked: AtomicUsize,
        under_way: AtomicUsize,
        most: AtomicUsize,
        is_away: AtomicBool,
    }

    impl Review for Counting {
        fn review<'a>(&'a self, token: &'a str, _: &'a str) -> BoxFuture<'a, Result<Verdict, kube::Error>> {
            self.asked.fetch_add(1, Relaxed);
            if self.is_away.load(Relaxed) {
                return ready(Err(kube::Error::LinesCodecMaxLineLengthExceeded)).boxed();
            }
            let now = self.under_way.fetch_add(1, Relaxed) + 1;
            self.most.fetch_max(now, Relaxed);
            async move {
                tokio::task::yield_now().await;
                self.under_way.fetch_sub(1, Relaxed);
                let [pod, uid, namespace, service_account] = ["web-0", "u", "shop", "web"].map(Arc::from);
                let caller = Caller { pod, uid, namespace, service_account };
                Ok(if token.starts_with("good") { Ok(Arc::new(caller)) } else { Err(Refusal::NotVouchedFor) })
            }
            .boxed()
        }
    }

    const LONG: Duration = Duration::from_secs(3600);

    fn reviews() -> (Arc<Counting>, Arc<Reviews>) {
        let server = Arc::new(Counting::default());
        (server.clone(), Reviews::new(server, "smidge-xds"))
    }

    #[tokio::test(start_paused = true)]
    async fn equal_tokens_share_one_review_and_its_verdict_for_a_while() {
        let (server, reviews) = reviews();
        let verdicts = join_all((0..50).map(|_| reviews.verdict("good", LONG))).await;
        assert!(verdicts.iter().all(Result::is_ok));
        assert_eq!(server.asked.load(Relaxed), 1);
        tokio::time::advance(GOOD_FOR).await;
        assert!(reviews.verdict("good", Duration::from_secs(2)).await.is_ok());
        assert_eq!(server.asked.load(Relaxed), 2);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(reviews.verdict("good", Duration::ZERO).await.is_ok());
        assert_eq!(server.asked.load(Relaxed), 3, "never longer than the token");
    }

    #[tokio::test(start_paused = true)]
    async fn a_bad_verdict_is_remembered_shortly() {
        let (server, reviews) = reviews();
        for _ in 0..3 {
            assert_eq!(reviews.verdict("bad", LONG).await, Err(Refusal::NotVouchedFor));
        }
        assert_eq!(server.asked.load(Relaxed), 1);
        tokio::time::advance(BAD_FOR).await;
        let _ = reviews.verdict("bad", LONG).await;
        assert_eq!(server.asked.load(Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn reviews_under_way_are_bounded() {
        let (server, reviews) = reviews();
        let tokens: Vec<_> = (0..500).map(|i| format!("good-{i}")).collect();
        let verdicts = join_all(tokens.iter().map(|token| reviews.verdict(token, LONG))).await;
        assert!(verdicts.iter().all(Result::is_ok));
        assert!(server.most.load(Relaxed) <= CONCURRENT);
    }

    #[tokio::test(start_paused = true)]
    async fn without_an_api_server_callers_wait_in_bounds_and_are_served_when_it_is_back() {
        let (server, reviews) = reviews();
        server.is_away.store(true, Relaxed);
        let start = Instant::now();
        assert_eq!(reviews.verdict("good", LONG).await, Err(Refusal::ReviewAway));
        assert_eq!(start.elapsed(), PATIENCE);
        let waiting = reviews.verdict("good", LONG);
        tokio::pin!(waiting);
        assert!(timeout(RETRY, &mut waiting).await.is_err());
        server.is_away.store(false, Relaxed);
        assert!(waiting.await.is_ok());
    }
}
