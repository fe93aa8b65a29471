//! What the proxies of this replica have acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use smidge_engine::{Audience, Carrier, Effect, Placement};
use smidge_xds::{Epoch, Name, ProxyId, TypeUrl, WorkloadId};

use crate::group::Group;

/// How one proxy stands, as the hub says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The first publication of which it has not acknowledged all that it subscribes to; `None`: it has all.
    pub behind_since: Option<Epoch>,
    /// What it has rejected and not had a better form of since, with Envoy's words.
    pub rejected: BTreeMap<(TypeUrl, Name), Arc<str>>,
}

/// How far an object's effect has got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Ready meshed pods that it concerns, connected or not.
    pub total: u32,
    /// Of them, those that have it.
    pub acknowledged: u32,
    /// Of them, those that rejected it.
    pub rejected: u32,
    /// Who rejected it first by name, and Envoy's words.
    pub complaint: Option<(ProxyId, Arc<str>)>,
}

/// What has changed since the last time it was asked: which objects are worth another look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Proxies got past these epochs, or fell behind them: from, through.
    epochs: Option<(Epoch, Epoch)>,
    /// Proxies of these layers came, went, became Ready, or rejected something. Any such news concern the objects
    /// whose audience is everyone.
    workloads: BTreeSet<WorkloadId>,
}

impl News {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.epochs.is_none() && self.workloads.is_empty()
    }

    /// Whether the tally of an effect may be another one now.
    pub fn concern(&self, effect: &Effect) -> bool {
        let passed = self.epochs.is_some_and(|(from, through)| (from..=through).contains(&effect.epoch));
        passed
            || match &effect.audience {
                Audience::Everyone => !self.workloads.is_empty(),
                Audience::Workloads(workloads) => !workloads.is_disjoint(&self.workloads),
                Audience::Nobody => false,
            }
    }

    fn pass(&mut self, from: Epoch, through: Epoch) {
        if from <= through {
            let (low, high) = self.epochs.unwrap_or((from, through));
            self.epochs = Some((low.min(from), high.max(through)));
        }
    }
}

#[derive(Debug, PartialEq)]
struct Rejection {
    words: Arc<str>,
    /// What took effect before this epoch the proxy still has, in the form that it accepted last.
    from: Epoch,
}

#[derive(Debug)]
struct Proxy {
    placement: Option<Placement>,
    /// Never goes back while the proxy is known: what it has acknowledged it has, connected or not.
    behind: Option<Epoch>,
    rejected: BTreeMap<(TypeUrl, Name), Rejection>,
    /// Where it is counted at present.
    counted: Option<(WorkloadId, Option<Epoch>)>,
}

impl Default for Proxy {
    fn default() -> Self {
        Self { placement: None, behind: Some(Epoch(0)), rejected: BTreeMap::new(), counted: None }
    }
}

impl Proxy {
    /// The first epoch that it has not acknowledged, when all through `through` were reported on.
    fn gate(&self, through: Epoch) -> Option<Epoch> {
        let since = self.placement.map_or(Epoch(0), |placement| placement.since);
        match self.behind {
            Some(behind) if behind > since => Some(behind),
            None if since <= through => None,
            _ => Some(Epoch(0)),
        }
    }
}

/// What the proxies of this replica have acknowledged. Fed by the engine ([`place`](Self::place)) and the hub
/// ([`report`](Self::report)).
#[derive(Debug, Default)]
pub struct Acknowledgements {
    proxies: BTreeMap<ProxyId, Proxy>,
    everyone: Group,
    workloads: BTreeMap<WorkloadId, Group>,
    rejecting: BTreeSet<ProxyId>,
    /// Proxies that were placed by a publication that is not reported on yet.
    early: BTreeSet<ProxyId>,
    through: Epoch,
    news: News,
}

impl Acknowledgements {
    /// Takes in where a proxy stands; `None`: its pod is gone.
    pub fn place(&mut self, proxy: &ProxyId, placement: Option<Placement>) {
        match placement {
            Some(_) => {
                self.proxies.entry(proxy.clone()).or_default().placement = placement;
                self.recount(proxy);
            }
            None => {
                self.uncount(proxy);
                let gone = self.proxies.remove(proxy).and_then(|gone| gone.placement);
                self.news.workloads.extend(gone.map(|placement| placement.workload));
                self.rejecting.remove(proxy);
                self.early.remove(proxy);
            }
        }
    }

    /// Takes in a report of the hub: `through` is the newest publication that it covers; proxies that it does not
    /// name stand as before, and those that were behind nothing have acknowledged `through` too. `None`: the hub
    /// does not know the proxy any more.
    pub fn report(&mut self, through: Epoch, proxies: impl IntoIterator<Item = (ProxyId, Option<Standing>)>) {
        let reported = self.through;
        self.through = through;
        self.news.pass(reported.next(), through);
        let mut changed = mem::take(&mut self.early);
        for (id, standing) in proxies {
            let is_placed = self.proxies.get(&id).is_some_and(|proxy| proxy.placement.is_some());
            if standing.is_some() || is_placed {
                self.stand(&id, standing.as_ref(), reported);
                changed.insert(id);
            } else {
                self.proxies.remove(&id);
            }
        }
        changed.iter().for_each(|id| self.recount(id));
    }

    /// What has changed since the last call.
    pub fn take_news(&mut self) -> News {
        mem::take(&mut self.news)
    }

    /// Counts the proxies that an effect concerns. `carriers` is asked only when some proxy has rejected something.
    pub fn tally(&self, effect: &Effect, carriers: impl FnOnce() -> BTreeSet<Carrier>) -> Tally {
        let groups: Vec<&Group> = match &effect.audience {
            Audience::Everyone => vec![&self.everyone],
            Audience::Workloads(workloads) => workloads.iter().filter_map(|id| self.workloads.get(id)).collect(),
            Audience::Nobody => Vec::new(),
        };
        let is_reported = effect.epoch <= self.through;
        let acknowledged = |group: &&Group| if is_reported { group.acknowledged(effect.epoch) } else { 0 };
        let mut tally = Tally {
            total: groups.iter().map(|group| group.total()).sum(),
            acknowledged: groups.iter().map(acknowledged).sum(),
            ..Tally::default()
        };
        if !self.rejecting.is_empty() {
            self.add_rejections(effect, &carriers(), &mut tally);
        }
        tally
    }

    fn add_rejections(&self, effect: &Effect, carriers: &BTreeSet<Carrier>, tally: &mut Tally) {
        for (id, proxy) in self.rejecting.iter().filter_map(|id| Some((id, self.proxies.get(id)?))) {
            let Some((workload, gate)) = proxy.counted else { continue };
            let is_concerned = match &effect.audience {
                Audience::Everyone => true,
                Audience::Workloads(workloads) => workloads.contains(&workload),
                Audience::Nobody => false,
            };
            let carries = |(type_url, name): &(TypeUrl, Name)| {
                let carrier = |workload| Carrier { workload, type_url: *type_url, name: name.clone() };
                carriers.contains(&carrier(None)) || carriers.contains(&carrier(Some(workload)))
            };
            let culprit = proxy.rejected.iter().find(|(key, r)| r.from <= effect.epoch && carries(key));
            if let (true, Some((_, rejection))) = (is_concerned, culprit) {
                let counted = effect.epoch <= self.through && gate.is_none_or(|gate| effect.epoch < gate);
                tally.acknowledged -= u32::from(counted);
                tally.rejected += 1;
                tally.complaint.get_or_insert_with(|| (id.clone(), rejection.words.clone()));
            }
        }
    }

    /// `reported`: what the report before this one covered.
    fn stand(&mut self, id: &ProxyId, standing: Option<&Standing>, reported: Epoch) {
        let proxy = self.proxies.entry(id.clone()).or_default();
        let first = proxy.behind.unwrap_or(reported.next());
        proxy.behind = match standing {
            Some(standing) => standing.behind_since.map(|behind| behind.max(first)),
            None => Some(Epoch(0)),
        };
        let old = mem::take(&mut proxy.rejected);
        let rejection = |(key, words): (&(TypeUrl, Name), &Arc<str>)| {
            let from = old.get(key).map_or(first, |old| old.from);
            (key.clone(), Rejection { words: words.clone(), from })
        };
        proxy.rejected = standing.into_iter().flat_map(|standing| &standing.rejected).map(rejection).collect();
        let was_changed = proxy.rejected != old;
        match proxy.rejected.is_empty() {
            true => self.rejecting.remove(id),
            false => self.rejecting.insert(id.clone()),
        };
        if let (true, Some(placement)) = (was_changed, proxy.placement) {
            self.news.workloads.insert(placement.workload);
        }
    }

    /// Counts a proxy where it belongs now.
    fn recount(&mut self, id: &ProxyId) {
        let Some(proxy) = self.proxies.get_mut(id) else { return };
        let gate = proxy.gate(self.through);
        let Some(placement) = proxy.placement else { return };
        if proxy.behind.is_none() && placement.since > self.through {
            self.early.insert(id.clone());
        }
        let counted = placement.ready.then_some((placement.workload, gate));
        let before = proxy.counted;
        if before == counted {
            return;
        }
        self.uncount(id);
        self.count(id, counted);
        match (before, counted) {
            (Some((old, from)), Some((new, to))) if old == new => {
                let end = self.through.next();
                let (from, to) = (from.unwrap_or(end), to.unwrap_or(end));
                self.news.pass(from.min(to), Epoch(from.max(to).0.saturating_sub(1)));
            }
            _ => self.news.workloads.extend([before, counted].into_iter().flatten().map(|(workload, _)| workload)),
        }
    }

    fn count(&mut self, id: &ProxyId, counted: Option<(WorkloadId, Option<Epoch>)>) {
        if let (Some(proxy), Some((workload, gate))) = (self.proxies.get_mut(id), counted) {
            proxy.counted = counted;
            self.everyone.add(gate);
            self.workloads.entry(workload).or_default().add(gate);
        }
    }

    fn uncount(&mut self, id: &ProxyId) {
        let counted = self.proxies.get_mut(id).and_then(|proxy| proxy.counted.take());
        let Some((workload, gate)) = counted else { return };
        self.everyone.take(gate);
        if let Some(group) = self.workloads.get_mut(&workload) {
            group.take(gate);
            if group.total() == 0 {
                self.workloads.remove(&workload);
            }
        }
    }
}
