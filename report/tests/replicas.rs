//! Proxies of several replicas: each counts once, by the epochs of the replica that serves it, for what is the same there.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use smidge_compiler::{Kind, ObjectRef};
use smidge_engine::{Audience, Carrier, Effect, Placement};
use smidge_report::{Acknowledgements, Replica, Standing, Subject, Telling};
use smidge_xds::{Epoch, ProxyId, TypeUrl, WorkloadId};

const OBJECTS: u8 = 2;
const PROXIES: u8 = 4;

fn proxy(number: u8) -> ProxyId {
    format!("pod-{number}.ns").into()
}

fn object(number: u8) -> Subject {
    Subject::Object(ObjectRef::new(Kind::TrafficSplit, "ns", number.to_string()))
}

/// A replica: what it knows of the objects, and the streams that it has.
#[derive(Default)]
struct Process {
    acks: Acknowledgements,
    telling: Option<Telling>,
    name: u32,
    epoch: u64,
    /// In which of its epochs each took effect, and as what.
    effects: BTreeMap<u8, (Epoch, u64)>,
    streams: BTreeMap<u8, Standing>,
}

impl Process {
    /// Ids of layers are each process's own; pods are placed before anything is published.
    fn new(name: u32) -> Self {
        let mut process = Self { name, ..Self::default() };
        for number in 0..PROXIES {
            process.place(number, 7);
        }
        process
    }

    fn replica(&self) -> Replica {
        format!("replica-{}", self.name).into()
    }

    fn place(&mut self, number: u8, key: u64) {
        let placement =
            Placement { workload: self.workload(key), key: key.into(), ready: true, since: Epoch(self.epoch) };
        self.acks.place(&proxy(number), Some(placement));
    }

    fn workload(&self, key: u64) -> WorkloadId {
        WorkloadId(self.name * 10 + u32::try_from(key).expect("small"))
    }

    /// A proxy is in another layer now: one publication, which it has to acknowledge if it has a stream.
    fn reseat(&mut self, number: u8, key: u64) {
        self.epoch += 1;
        self.place(number, key);
        if let Some(standing) = self.streams.get_mut(&number) {
            standing.behind_since.get_or_insert(Epoch(self.epoch));
        }
        self.report();
    }

    /// The objects are in these versions now: one publication.
    fn learn(&mut self, versions: &BTreeMap<u8, u64>) {
        let changed = |number: &u8| self.effects.get(number).map(|(_, version)| version) != versions.get(number);
        let changed: Vec<u8> = versions.keys().copied().filter(changed).collect();
        if changed.is_empty() {
            return;
        }
        self.epoch += 1;
        for number in changed {
            self.effects.insert(number, (Epoch(self.epoch), versions[&number]));
            self.telling.iter_mut().for_each(|telling| telling.change([object(number)]));
        }
        for standing in self.streams.values_mut() {
            standing.behind_since.get_or_insert(Epoch(self.epoch));
        }
        self.report();
    }

    fn report(&mut self) {
        let stands = |number| {
            let away = Standing { behind_since: Some(Epoch(0)), ..Standing::default() };
            (proxy(number), Some(self.streams.get(&number).cloned().unwrap_or(away)))
        };
        let all: Vec<_> = (0..PROXIES).map(stands).collect();
        self.acks.report(Epoch(self.epoch), all);
    }

    fn acknowledge(&mut self, number: u8) {
        self.streams.insert(number, Standing::default());
        self.report();
    }

    fn lose(&mut self, number: u8) {
        self.streams.remove(&number);
        self.report();
    }

    fn begin_telling(&mut self, leader: &mut Acknowledgements) {
        leader.open(&self.replica());
        let subjects = self.effects.keys().map(|number| object(*number));
        self.telling = Some(Telling::everything(&self.acks, subjects.collect::<Vec<_>>()));
    }

    /// Tells one portion.
    fn tell(&mut self, leader: &mut Acknowledgements) {
        let (replica, changed) = (self.replica(), self.acks.take_changed());
        let Some(telling) = &mut self.telling else { return };
        telling.touch(changed);
        if telling.is_due(&self.acks) {
            let of = |subject: &Subject| {
                let (_, effect) = self.effects.iter().find(|(number, _)| object(**number) == *subject)?;
                Some((effect.0, effect.1.into()))
            };
            leader.hear(&replica, telling.next(&self.acks, of));
        }
    }

    fn effect(&self, number: u8) -> Effect {
        let (epoch, version) = self.effects.get(&number).copied().unwrap_or_default();
        let audience = Audience::Everyone;
        Effect { generation: 1, diagnostics: [].into(), epoch, version: version.into(), audience }
    }

    fn counts(&self, number: u8) -> (u32, u32, u32) {
        let tally = self.acks.tally(&object(number), &self.effect(number), carriers);
        (tally.total, tally.acknowledged, tally.rejected)
    }

    /// Of an object that the pods of this layer alone have: how many, and how many have it.
    fn counts_in(&self, key: u64, number: u8) -> (u32, u32) {
        let effect = Effect { audience: Audience::Workloads([self.workload(key)].into()), ..self.effect(number) };
        let tally = self.acks.tally(&object(number), &effect, carriers);
        (tally.total, tally.acknowledged)
    }
}

fn carriers() -> BTreeSet<Carrier> {
    BTreeSet::from([Carrier { workload: None, type_url: TypeUrl::Route, name: "route".into() }])
}

/// The leader has proxies 0 and 1, the follower 2 and 3, and all have version 1 of object 0.
fn pair() -> (Process, Process) {
    let (mut leader, mut follower) = (Process::new(0), Process::new(1));
    // Their epochs differ.
    follower.learn(&[(1, 9)].into());
    for (process, numbers) in [(&mut leader, [0, 1]), (&mut follower, [2, 3])] {
        process.learn(&[(0, 1)].into());
        numbers.into_iter().for_each(|number| process.acknowledge(number));
    }
    follower.begin_telling(&mut leader.acks);
    follower.tell(&mut leader.acks);
    (leader, follower)
}

#[test]
fn the_proxies_of_both_are_counted_by_the_epochs_of_each() {
    let (mut leader, mut follower) = pair();
    assert_eq!(leader.counts(0), (4, 4, 0));
    leader.learn(&[(0, 2)].into());
    leader.acknowledge(0);
    assert_eq!(leader.counts(0), (4, 1, 0), "the follower knows version 1 alone");
    follower.learn(&[(0, 2)].into());
    follower.acknowledge(2);
    follower.tell(&mut leader.acks);
    assert_eq!(leader.counts(0), (4, 2, 0));
}

#[test]
fn what_a_proxy_has_acknowledged_it_has_when_its_replica_is_gone() {
    let (mut leader, mut follower) = pair();
    let left = leader.acks.close(&follower.replica());
    assert_eq!((left, leader.counts(0)), (vec![proxy(2), proxy(3)], (4, 4, 0)));
    assert!(!leader.acks.is_served(&proxy(2)));
    // It comes here, and has not asked for anything yet: it is still what it was.
    leader.streams.insert(2, Standing { behind_since: Some(Epoch(0)), ..Standing::default() });
    leader.report();
    assert_eq!(leader.counts(0), (4, 4, 0));
    leader.learn(&[(0, 2)].into());
    leader.acknowledge(2);
    assert_eq!(leader.counts(0), (4, 1, 0));
    // The next process of that name knows nothing of it, and takes nothing away.
    follower = Process { name: 2, ..Process::new(1) };
    follower.begin_telling(&mut leader.acks);
    follower.tell(&mut leader.acks);
    assert_eq!(leader.counts(0), (4, 1, 0));
}

#[test]
fn a_proxy_in_another_layer_there_than_here_has_nothing_of_it_and_all_that_everyone_has() {
    let (mut leader, mut follower) = pair();
    let tell = |leader: &mut Process, follower: &mut Process| {
        follower.tell(&mut leader.acks);
        (leader.counts_in(8, 0), leader.counts(0))
    };
    leader.reseat(3, 8);
    assert_eq!(tell(&mut leader, &mut follower), ((1, 0), (4, 4, 0)));
    follower.reseat(3, 8);
    assert_eq!(tell(&mut leader, &mut follower), ((1, 0), (4, 4, 0)), "it has to acknowledge it there");
    follower.acknowledge(3);
    assert_eq!(tell(&mut leader, &mut follower), ((1, 1), (4, 4, 0)));
}

#[test]
fn a_rejection_at_a_follower_is_told_with_envoys_words() {
    let (mut leader, mut follower) = pair();
    for (process, numbers) in [(&mut leader, &[0, 1][..]), (&mut follower, &[2])] {
        process.learn(&[(0, 2)].into());
        numbers.iter().for_each(|number| process.acknowledge(*number));
    }
    let rejected = [((TypeUrl::Route, "route".into()), "no such filter".into())].into();
    follower.streams.insert(3, Standing { behind_since: None, rejected });
    follower.report();
    leader.acks.take_news();
    follower.tell(&mut leader.acks);
    let news = leader.acks.take_news();
    assert!(leader.acks.concern(&news, &object(0), &leader.effect(0)));
    assert_eq!(leader.counts(0), (4, 3, 1));
    let tally = leader.acks.tally(&object(0), &leader.effect(0), carriers);
    assert_eq!(tally.complaint, Some((proxy(3), "no such filter".into())));
}

#[test]
fn what_a_follower_tells_outlives_the_news_of_an_end_and_what_a_gone_one_told_does_not() {
    let (mut leader, follower) = pair();
    // Deleted and made again in the same words: the follower, which heard of both at once, has nothing new to tell.
    leader.acks.forget(&object(0));
    assert_eq!(leader.counts(0), (4, 4, 0));
    leader.acks.close(&follower.replica());
    leader.acks.forget(&object(0));
    assert_eq!(leader.counts(0), (4, 2, 0));
}

#[test]
fn of_a_pod_that_is_gone_there_nothing_is_left_here() {
    let (mut leader, mut follower) = pair();
    follower.acks.place(&proxy(2), None);
    follower.tell(&mut leader.acks);
    assert_eq!(leader.counts(0), (4, 3, 0));
}

#[test]
fn a_pod_that_came_again_counts_though_the_leader_is_told_of_it_after_the_follower() {
    let (mut leader, mut follower) = pair();
    follower.acks.place(&proxy(2), None);
    follower.lose(2);
    follower.place(2, 7);
    follower.acknowledge(2);
    follower.tell(&mut leader.acks);
    leader.acks.place(&proxy(2), None);
    assert_eq!(leader.counts(0), (3, 3, 0));
    leader.place(2, 7);
    assert_eq!(leader.counts(0), (4, 4, 0));
    // Gone for both, and for the leader first: nothing is left of it for the next one.
    leader.acks.place(&proxy(2), None);
    follower.acks.place(&proxy(2), None);
    follower.tell(&mut leader.acks);
    leader.place(2, 7);
    assert_eq!(leader.counts(0), (4, 3, 0));
}

#[test]
fn who_no_longer_leads_counts_its_own_alone() {
    let (mut leader, _) = pair();
    leader.acks.forget_others();
    assert_eq!((leader.counts(0), leader.acks.replicas()), ((4, 2, 0), 0));
}

#[derive(Clone, Debug)]
enum Step {
    /// An object changes; everybody will learn of it.
    Edit(u8),
    Learn(usize),
    /// A proxy acknowledges all that its replica has.
    Acknowledge(u8),
    /// A proxy goes to another replica; whether the one that it leaves notices.
    Move(u8, usize, bool),
    /// A replica learns that a pod is in another layer.
    Reseat(usize, u8, u64),
    Tell(usize),
    Cut(usize),
    /// A follower dies, and another process comes.
    Kill(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0..OBJECTS).prop_map(Step::Edit),
        3 => (0..3usize).prop_map(Step::Learn),
        5 => (0..PROXIES).prop_map(Step::Acknowledge),
        2 => (0..PROXIES, 0..3usize, any::<bool>()).prop_map(|(p, r, noticed)| Step::Move(p, r, noticed)),
        1 => (0..3usize, 0..PROXIES, 7..9u64).prop_map(|(r, p, key)| Step::Reseat(r, p, key)),
        4 => (1..3usize).prop_map(Step::Tell),
        1 => (1..3usize).prop_map(Step::Cut),
        1 => (1..3usize).prop_map(Step::Kill),
    ];
    proptest::collection::vec(step, 0..60)
}

/// Three replicas, the first of which leads, and what is true of the proxies.
struct World {
    processes: Vec<Process>,
    versions: BTreeMap<u8, u64>,
    /// Where each proxy is, and what it has of each object.
    places: BTreeMap<u8, usize>,
    has: BTreeMap<u8, BTreeMap<u8, u64>>,
    /// Where each last acknowledged anything.
    said_at: BTreeMap<u8, usize>,
    /// Proxy, object, version: what was ever acknowledged.
    had: BTreeSet<(u8, u8, u64)>,
    number: u32,
}

impl World {
    fn new() -> Self {
        let versions = (0..OBJECTS).map(|object| (object, 1)).collect();
        let mut world = Self {
            processes: (0..3).map(Process::new).collect(),
            versions,
            places: (0..PROXIES).map(|proxy| (proxy, usize::from(proxy % 3))).collect(),
            has: BTreeMap::new(),
            said_at: BTreeMap::new(),
            had: BTreeSet::new(),
            number: 3,
        };
        (0..3).for_each(|process| world.processes[process].learn(&world.versions));
        (1..3).for_each(|process| world.connect(process));
        world
    }

    fn connect(&mut self, process: usize) {
        let (leader, others) = self.processes.split_at_mut(1);
        others[process - 1].begin_telling(&mut leader[0].acks);
    }

    fn tell(&mut self, process: usize) {
        let (leader, others) = self.processes.split_at_mut(1);
        others[process - 1].tell(&mut leader[0].acks);
    }

    fn acknowledge(&mut self, proxy: u8) {
        let process = &mut self.processes[self.places[&proxy]];
        let now: BTreeMap<u8, u64> = process.effects.iter().map(|(object, (_, version))| (*object, *version)).collect();
        process.acknowledge(proxy);
        self.had.extend(now.iter().map(|(object, version)| (proxy, *object, *version)));
        self.has.insert(proxy, now);
        self.said_at.insert(proxy, self.places[&proxy]);
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Edit(object) => *self.versions.entry(object).or_default() += 1,
            Step::Learn(process) => self.processes[process].learn(&self.versions),
            Step::Acknowledge(proxy) => self.acknowledge(proxy),
            Step::Move(proxy, to, is_noticed) => {
                let from = self.places.insert(proxy, to).expect("it is somewhere");
                if is_noticed && from != to {
                    self.processes[from].lose(proxy);
                }
            }
            Step::Reseat(process, proxy, key) => self.processes[process].reseat(proxy, key),
            Step::Tell(process) => self.tell(process),
            Step::Cut(process) => {
                let replica = self.processes[process].replica();
                self.processes[0].acks.close(&replica);
                self.connect(process);
            }
            Step::Kill(process) => {
                let replica = self.processes[process].replica();
                self.processes[0].acks.close(&replica);
                self.processes[process] = Process::new(self.number);
                self.number += 1;
                self.processes[process].learn(&self.versions);
                self.connect(process);
            }
        }
    }

    /// All learn, tell, and notice who has left them; proxies acknowledge nothing more.
    fn come_to_rest(&mut self) {
        for process in 0..3 {
            self.processes[process].learn(&self.versions);
            let left = |(proxy, place): (&u8, &usize)| (*place != process).then_some(*proxy);
            for proxy in self.places.iter().filter_map(left).collect::<Vec<_>>() {
                self.processes[process].lose(proxy);
            }
        }
        (1..3).for_each(|process| self.tell(process));
    }

    /// How many have once acknowledged what the leader has now.
    fn had(&self, object: u8) -> u32 {
        let version = self.processes[0].effects[&object].1;
        let had = (0..PROXIES).filter(|proxy| self.had.contains(&(*proxy, object, version)));
        u32::try_from(had.count()).expect("few")
    }

    /// How many have what the leader has now, and are served where they have acknowledged it. (Of the others the last word
    /// may have been lost with a replica.)
    fn have(&self, object: u8) -> u32 {
        let version = self.processes[0].effects[&object].1;
        let has = |proxy: &u8| self.has.get(proxy).and_then(|has| has.get(&object)) == Some(&version);
        let is_there = |proxy: &u8| {
            let place = self.places[proxy];
            self.said_at.get(proxy) == Some(&place) && self.processes[place].streams.contains_key(proxy)
        };
        u32::try_from((0..PROXIES).filter(has).filter(is_there).count()).expect("few")
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn no_proxy_counts_before_it_has_it_each_does_at_rest_and_news_miss_nothing(steps in steps()) {
        let mut world = World::new();
        let mut counted: BTreeMap<(u8, u64), (u32, u32, u32)> = BTreeMap::new();
        for step in steps {
            world.run(step);
            let leader = &mut world.processes[0];
            let news = leader.acks.take_news();
            for number in 0..OBJECTS {
                let (leader, effect) = (&world.processes[0], world.processes[0].effect(number));
                let counts = leader.counts(number);
                prop_assert!(counts.1 <= world.had(number), "{} of object {}", counts.1, number);
                let before = counted.insert((number, effect.version.number()), counts);
                let is_heard = leader.acks.concern(&news, &object(number), &effect);
                prop_assert!(before.is_none_or(|before| before == counts) || is_heard, "unheard: {:?}", counts);
            }
        }
        world.come_to_rest();
        for number in 0..OBJECTS {
            let (total, acknowledged, rejected) = world.processes[0].counts(number);
            prop_assert_eq!((total, rejected), (PROXIES.into(), 0));
            let right = world.have(number)..=world.had(number);
            prop_assert!(right.contains(&acknowledged), "{} of object {}", acknowledged, number);
        }
        (0..PROXIES).for_each(|proxy| world.acknowledge(proxy));
        (1..3).for_each(|process| world.tell(process));
        for number in 0..OBJECTS {
            prop_assert_eq!(world.processes[0].counts(number), (PROXIES.into(), PROXIES.into(), 0));
        }
    }
}
