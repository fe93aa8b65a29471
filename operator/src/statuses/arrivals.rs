//! After a start, or the end of another replica: which proxies have not come back yet. Until they have, or had their time, it is not known what the
//! proxies have, and no status is taken back.

use std::{collections::HashSet, time::Duration};

use smidge_xds::ProxyId;
use tokio::time::Instant;

/// How long proxies have to come back: Envoy waits up to 30 s between two tries, mostly a second or two.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who is awaited.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    /// Ready pods, and the proxies that a replica serves.
    ready: HashSet<ProxyId>,
    served: HashSet<ProxyId>,
    missing: HashSet<ProxyId>,
    deadline: Option<Instant>,
    complete: bool,
}

impl Arrivals {
    /// The time of the proxies begins.
    pub(crate) fn start(&mut self, now: Instant) {
        self.deadline.get_or_insert(now + PATIENCE);
    }

    /// A pod is there, Ready or not; only Ready ones are waited for.
    pub(crate) fn expect(&mut self, proxy: &ProxyId, is_ready: bool) {
        if is_ready {
            self.ready.insert(proxy.clone());
        } else {
            self.ready.remove(proxy);
        }
        if !self.complete && is_ready && !self.served.contains(proxy) {
            self.missing.insert(proxy.clone());
        } else {
            self.missing.remove(proxy);
        }
    }

    /// A replica serves a proxy, or none does.
    pub(crate) fn arrive(&mut self, proxy: &ProxyId, is_served: bool) {
        if is_served {
            self.missing.remove(proxy);
            self.served.insert(proxy.clone());
        } else {
            self.served.remove(proxy);
        }
    }

    /// These were at a replica that is gone: they will come to another one.
    pub(crate) fn lose(&mut self, proxies: &[ProxyId], now: Instant) {
        let awaited: Vec<_> = proxies.iter().filter(|proxy| self.ready.contains(*proxy)).cloned().collect();
        if !awaited.is_empty() {
            self.missing.extend(awaited);
            (self.deadline, self.complete) = (Some(now + PATIENCE), false);
        }
    }

    /// No other proxies than these are served.
    pub(crate) fn keep(&mut self, is_served: impl Fn(&ProxyId) -> bool) {
        self.served.retain(is_served);
    }

    /// Who begins to lead waits for those that another one has had.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.missing = self.ready.difference(&self.served).cloned().collect();
        self.complete = false;
        // Who leads before it has published anything knows no proxies yet: their time begins with that.
        self.deadline = self.deadline.map(|_| now + PATIENCE);
    }

    /// Whether it is known what the proxies have.
    pub(crate) fn are_complete(&self) -> bool {
        self.complete
    }

    /// When the waiting ends.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| !self.complete)
    }

    /// Ends the waiting if all are there or had their time; whether it ended just now.
    pub(crate) fn conclude(&mut self, now: Instant) -> bool {
        let ends = self.deadline().is_some_and(|deadline| self.missing.is_empty() || deadline <= now);
        if ends {
            self.missing.clear();
            self.complete = true;
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_view_is_complete_when_every_ready_pod_has_come_back() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        let (web, slow) = (ProxyId::from("web.shop"), ProxyId::from("slow.shop"));
        arrivals.expect(&web, true);
        arrivals.expect(&slow, false);
        assert!(!arrivals.conclude(now), "nothing is published yet");
        arrivals.start(now);
        assert!(!arrivals.conclude(now), "web is missing");
        arrivals.arrive(&web, true);
        assert!(arrivals.conclude(now) && arrivals.are_complete());
    }

    #[test]
    fn a_pod_that_never_comes_back_is_waited_for_in_bounds() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        arrivals.expect(&ProxyId::from("dead.shop"), true);
        arrivals.start(now);
        assert!(!arrivals.conclude(now));
        assert!(arrivals.conclude(now + PATIENCE));
        assert_eq!(arrivals.deadline(), None);
        arrivals.arrive(&ProxyId::from("web.shop"), true);
        arrivals.restart(now);
        assert!(!arrivals.are_complete() && !arrivals.conclude(now), "a new leader waits for it again");
        arrivals.arrive(&ProxyId::from("dead.shop"), true);
        assert!(arrivals.conclude(now));
    }

    #[test]
    fn who_leads_before_it_has_listed_anything_awaits_the_proxies_all_the_same() {
        let (mut arrivals, now) = (Arrivals::default(), Instant::now());
        arrivals.restart(now);
        assert!(!arrivals.conclude(now), "nothing is published yet");
        let web = ProxyId::from("web.shop");
        arrivals.expect(&web, true);
        arrivals.start(now);
        assert!(!arrivals.conclude(now), "web is missing");
        arrivals.arrive(&web, true);
        assert!(arrivals.conclude(now));
    }
}
