//! What proxies have acknowledged: those of this replica, and those that others tell of.
//!
//! Epochs are each process's own. What another replica tells of its proxies counts for what has there the same version
//! as here, by the epoch in which it took effect there.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    sync::Arc,
};

use smidge_engine::{Audience, Carrier, Effect, Placement};
use smidge_xds::{Epoch, Name, ProxyId, TypeUrl, WorkloadId};

use crate::{
    Mark, News, Rejection, Replica, Standing, Subject, Told,
    group::{Gate, Ledger},
    marks::Marks,
    replicas::{Homes, Other, Seat},
};

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

/// Where a proxy is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counted {
    seat: Seat,
    workload: WorkloadId,
    gate: Gate,
}

/// What the proxies have acknowledged. Fed by the engine ([`place`](Self::place)), the hub ([`report`](Self::report)) and
/// other replicas ([`hear`](Self::hear)). Each proxy is counted once: at the replica where it last got past its first full
/// set.
#[derive(Debug, Default)]
pub struct Acknowledgements {
    own: Marks,
    others: BTreeMap<Replica, Other>,
    homes: Homes,
    counted: BTreeMap<ProxyId, Counted>,
    ledgers: BTreeMap<Seat, Ledger>,
    rejecting: BTreeSet<ProxyId>,
    /// Proxies of this replica whose mark may be another one.
    changed: BTreeSet<ProxyId>,
    news: News,
}

impl Acknowledgements {
    /// Takes in where a proxy stands; `None`: its pod is gone. Replicas that serve it say so by themselves, and may serve
    /// already the next pod of its name.
    pub fn place(&mut self, proxy: &ProxyId, placement: Option<Placement>) {
        self.own.place(proxy, placement);
        self.changed.insert(proxy.clone());
        match placement {
            Some(_) => self.recount(proxy),
            None => self.serve(proxy, &None, false, false),
        }
    }

    /// Takes in a report of the hub: `through` is the newest publication that it covers; proxies that it does not
    /// name stand as before, and those that were behind nothing have acknowledged `through` too. `None`: the hub
    /// does not know the proxy any more.
    pub fn report(&mut self, through: Epoch, proxies: impl IntoIterator<Item = (ProxyId, Option<Standing>)>) {
        self.news.pass(&None, self.own.through().next(), through);
        for (id, rejects) in self.own.report(through, proxies) {
            self.serve(&id, &None, self.own.is_here(&id), rejects);
            self.changed.insert(id);
        }
    }

    /// Another replica begins to tell, from the beginning.
    pub fn open(&mut self, replica: &Replica) {
        self.others.entry(replica.clone()).or_default().begin();
    }

    /// Takes in what another replica tells, once it has told all. Returns the proxies of which that is news.
    pub fn hear(&mut self, replica: &Replica, told: Told) -> Vec<ProxyId> {
        let seat = Some(replica.clone());
        let Some(other) = self.others.get_mut(replica) else { return Vec::new() };
        let Some(told) = other.gather(told) else { return Vec::new() };
        for (subject, effect) in told.effects {
            match effect {
                Some(effect) => other.effects.insert(subject.clone(), effect),
                None => other.effects.remove(&subject),
            };
            self.news.note(subject);
        }
        if let Some(through) = told.through {
            self.news.pass(&seat, other.through.next(), through);
            other.through = through;
        }
        let mut proxies = Vec::new();
        for (id, mark) in told.proxies {
            let is_here = mark.as_ref().is_some_and(|mark| mark.is_here);
            let rejects = self.enter(replica, &id, mark);
            self.serve(&id, &seat, is_here, rejects);
            proxies.push(id);
        }
        proxies
    }

    /// A replica tells no more: what its proxies have acknowledged they have, until they are served elsewhere. Returns them.
    pub fn close(&mut self, replica: &Replica) -> Vec<ProxyId> {
        let seat = Some(replica.clone());
        let Some(other) = self.others.get_mut(replica) else { return Vec::new() };
        other.freeze();
        for id in other.marks.keys().cloned().collect::<Vec<_>>() {
            self.serve(&id, &seat, false, false);
        }
        let owners = self.homes.owners();
        self.others.retain(|replica, other| other.is_connected || owners.contains(replica));
        self.homes.at(&seat)
    }

    /// From now on only what this replica serves counts.
    pub fn forget_others(&mut self) {
        for replica in self.others.keys().cloned().collect::<Vec<_>>() {
            self.close(&replica);
            for id in self.homes.at(&Some(replica)) {
                self.homes.forget(&id);
                self.serve(&id, &None, self.own.is_here(&id), false);
            }
        }
        self.others.clear();
    }

    /// There is no such thing any more. Replicas that tell say so by themselves, and may know already what came after it.
    pub fn forget(&mut self, subject: &Subject) {
        for other in self.others.values_mut().filter(|other| !other.is_connected) {
            other.effects.remove(subject);
        }
    }

    /// What has changed since the last call.
    pub fn take_news(&mut self) -> News {
        mem::take(&mut self.news)
    }

    /// Proxies of this replica whose mark may have changed since the last call.
    pub fn take_changed(&mut self) -> BTreeSet<ProxyId> {
        mem::take(&mut self.changed)
    }

    /// The newest publication that the hub has reported on.
    pub fn through(&self) -> Epoch {
        self.own.through()
    }

    /// The proxies that this replica serves.
    pub fn served(&self) -> impl Iterator<Item = &ProxyId> {
        self.own.here()
    }

    /// How far a proxy has got here; `None`: it is no proxy of the mesh.
    pub fn mark(&self, proxy: &ProxyId) -> Option<Mark> {
        self.own.mark(proxy)
    }

    /// Whether any replica serves it.
    pub fn is_served(&self, proxy: &ProxyId) -> bool {
        self.homes.is_anywhere(proxy)
    }

    /// How many other replicas tell.
    pub fn replicas(&self) -> usize {
        self.others.values().filter(|other| other.is_connected).count()
    }

    /// Whether the tally of an effect may be another one after these news.
    pub fn concern(&self, news: &News, subject: &Subject, effect: &Effect) -> bool {
        let passed = |seat| self.epoch_at(seat, subject, effect).is_some_and(|epoch| news.passed(seat, epoch));
        news.tell_of(subject) || news.concern(&effect.audience) || news.seats().any(passed)
    }

    /// Counts the proxies that an effect concerns. `carriers` is asked only when some proxy has rejected something.
    pub fn tally(&self, subject: &Subject, effect: &Effect, carriers: impl FnOnce() -> BTreeSet<Carrier>) -> Tally {
        let mut tally = Tally::default();
        for (seat, ledger) in &self.ledgers {
            let epoch = self.epoch_at(seat, subject, effect).filter(|epoch| *epoch <= self.through_at(seat));
            for group in ledger.groups(&effect.audience) {
                tally.total += group.total();
                tally.acknowledged += epoch.map_or(0, |epoch| group.acknowledged(epoch));
            }
        }
        if !self.rejecting.is_empty() {
            self.add_rejections(subject, effect, &carriers(), &mut tally);
        }
        tally
    }

    fn add_rejections(&self, subject: &Subject, effect: &Effect, carriers: &BTreeSet<Carrier>, tally: &mut Tally) {
        for id in &self.rejecting {
            let Some(Counted { seat, workload, gate }) = self.counted.get(id) else { continue };
            let is_concerned = match &effect.audience {
                Audience::Everyone => true,
                Audience::Workloads(workloads) => workloads.contains(workload),
                Audience::Nobody => false,
            };
            let Some(epoch) = self.epoch_at(seat, subject, effect).filter(|_| is_concerned) else { continue };
            let carries = |(type_url, name): &(TypeUrl, Name)| {
                let carrier = |workload| Carrier { workload, type_url: *type_url, name: name.clone() };
                carriers.contains(&carrier(None)) || carriers.contains(&carrier(Some(*workload)))
            };
            let mut rejected = self.rejected_at(seat, id).into_iter().flatten();
            if let Some((_, rejection)) = rejected.find(|(key, rejection)| rejection.from <= epoch && carries(key)) {
                let counted =
                    epoch <= self.through_at(seat) && gate.of(&effect.audience).is_none_or(|gate| epoch < gate);
                tally.acknowledged -= u32::from(counted);
                tally.rejected += 1;
                tally.complaint.get_or_insert_with(|| (id.clone(), rejection.words.clone()));
            }
        }
    }

    /// In which epoch of a replica's own this took effect; `None`: what it does there is something else.
    fn epoch_at(&self, seat: &Seat, subject: &Subject, effect: &Effect) -> Option<Epoch> {
        match seat {
            None => Some(effect.epoch),
            Some(replica) => self.others.get(replica)?.epoch_of(subject, effect.version),
        }
    }

    fn through_at(&self, seat: &Seat) -> Epoch {
        let other = seat.as_ref().map(|replica| self.others.get(replica).map_or(Epoch(0), |other| other.through));
        other.unwrap_or(self.own.through())
    }

    fn rejected_at(&self, seat: &Seat, id: &ProxyId) -> Option<&BTreeMap<(TypeUrl, Name), Rejection>> {
        match seat {
            None => self.own.rejected(id),
            Some(replica) => Some(&self.others.get(replica)?.marks.get(id)?.rejected),
        }
    }

    /// Enters a mark, or that there is none any more; whether it has rejected something else than before.
    fn enter(&mut self, replica: &Replica, id: &ProxyId, mark: Option<Mark>) -> bool {
        let Some(other) = self.others.get_mut(replica) else { return false };
        let rejected = mark.as_ref().map(|mark| mark.rejected.clone());
        let before = match mark {
            Some(mark) => other.marks.insert(id.clone(), mark),
            None => other.marks.remove(id),
        };
        before.map(|before| before.rejected).unwrap_or_default() != rejected.unwrap_or_default()
    }

    /// A replica serves a proxy, or not; `rejects`: something else than before.
    fn serve(&mut self, id: &ProxyId, seat: &Seat, is_here: bool, rejects: bool) {
        self.homes.set(id, seat, is_here);
        let placement = self.own.placement(id);
        if placement.is_none() && !self.homes.is_anywhere(id) {
            self.homes.forget(id);
            self.others.values_mut().for_each(|other| drop(other.marks.remove(id)));
        }
        if rejects {
            self.news.reach(placement.map(|placement| placement.workload));
        }
        self.recount(id);
    }

    /// Where a proxy belongs now.
    fn position(&self, id: &ProxyId) -> Option<Counted> {
        let placement = self.own.placement(id).filter(|placement| placement.ready)?;
        let seat = self.homes.of(id);
        let gate = match &seat {
            None => self.own.gate(id),
            Some(replica) => self.others.get(replica).map_or(Gate::CLOSED, |other| other.gate(id, placement.key)),
        };
        Some(Counted { seat, workload: placement.workload, gate })
    }

    /// Counts a proxy where it belongs now.
    fn recount(&mut self, id: &ProxyId) {
        let after = self.position(id);
        let rejects =
            after.as_ref().and_then(|after| self.rejected_at(&after.seat, id)).is_some_and(|all| !all.is_empty());
        match rejects {
            true => self.rejecting.insert(id.clone()),
            false => self.rejecting.remove(id),
        };
        let before = self.counted.get(id).cloned();
        if before == after {
            return;
        }
        if let Some(Counted { seat, workload, gate }) = &before
            && let Some(ledger) = self.ledgers.get_mut(seat)
        {
            ledger.take(*workload, *gate);
            if ledger.is_empty() {
                self.ledgers.remove(seat);
            }
        }
        self.counted.remove(id);
        if let Some(counted) = &after {
            self.ledgers.entry(counted.seat.clone()).or_default().add(counted.workload, counted.gate);
            self.counted.insert(id.clone(), counted.clone());
        }
        self.tell(before, after);
    }

    /// News of a proxy that is counted elsewhere.
    fn tell(&mut self, before: Option<Counted>, after: Option<Counted>) {
        match (before, after) {
            (Some(old), Some(new)) if (&old.seat, old.workload) == (&new.seat, new.workload) => {
                let end = self.through_at(&new.seat).next();
                for (from, to) in [(old.gate.shared, new.gate.shared), (old.gate.layer, new.gate.layer)] {
                    let (from, to) = (from.unwrap_or(end), to.unwrap_or(end));
                    self.news.pass(&new.seat, from.min(to), Epoch(from.max(to).0.saturating_sub(1)));
                }
            }
            (before, after) => self.news.reach([before, after].into_iter().flatten().map(|counted| counted.workload)),
        }
    }
}
