//! What counts as acknowledged, and that counting in groups gives what counting one by one does.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use smidge_engine::{Audience, Carrier, Effect, Placement};
use smidge_report::{Acknowledgements, Standing, Subject, Tally};
use smidge_xds::{Epoch, Name, ProxyId, TypeUrl, Version, WorkloadId};

/// Of one replica alone, whose version it is does not matter.
const SUBJECT: Subject = Subject::TrustBundle;

fn proxy(number: u8) -> ProxyId {
    format!("pod-{number}.ns").into()
}

fn placement(workload: u32, since: u64, ready: bool) -> Option<Placement> {
    Some(Placement { workload: WorkloadId(workload), key: Version::default(), ready, since: Epoch(since) })
}

fn behind(since: Option<u64>) -> Option<Standing> {
    Some(Standing { behind_since: since.map(Epoch), rejected: BTreeMap::new() })
}

fn rejecting(name: &str, words: &str) -> Option<Standing> {
    let rejected = BTreeMap::from([((TypeUrl::Route, Name::from(name)), words.into())]);
    Some(Standing { behind_since: None, rejected })
}

fn effect(epoch: u64, audience: Audience) -> Effect {
    Effect { generation: 1, diagnostics: [].into(), epoch: Epoch(epoch), version: Version::default(), audience }
}

fn carried_by(name: &str) -> BTreeSet<Carrier> {
    BTreeSet::from([Carrier { workload: None, type_url: TypeUrl::Route, name: name.into() }])
}

fn counts(acks: &Acknowledgements, epoch: u64) -> (u32, u32, u32) {
    counts_of(acks, epoch, Audience::Everyone)
}

fn counts_of(acks: &Acknowledgements, epoch: u64, audience: Audience) -> (u32, u32, u32) {
    let Tally { total, acknowledged, rejected, .. } =
        acks.tally(&SUBJECT, &effect(epoch, audience), || carried_by("route"));
    (total, acknowledged, rejected)
}

fn layer(number: u32) -> Audience {
    Audience::Workloads([WorkloadId(number)].into())
}

/// Two proxies that have acknowledged publication 1.
fn two() -> Acknowledgements {
    let mut acks = Acknowledgements::default();
    for number in [1, 2] {
        acks.place(&proxy(number), placement(0, 1, true));
    }
    acks.report(Epoch(1), [(proxy(1), behind(None)), (proxy(2), behind(None))]);
    acks
}

#[test]
fn a_ready_pod_counts_before_its_proxy_ever_connects() {
    let mut acks = two();
    acks.place(&proxy(3), placement(0, 1, true));
    acks.place(&proxy(4), placement(0, 1, false));
    assert_eq!(counts(&acks, 1), (3, 2, 0));
}

#[test]
fn nothing_is_acknowledged_before_the_hub_has_reported_on_it() {
    let mut acks = two();
    assert_eq!(counts(&acks, 2), (2, 0, 0));
    acks.report(Epoch(2), [(proxy(1), behind(Some(2)))]);
    assert_eq!(counts(&acks, 2), (2, 1, 0));
    acks.report(Epoch(3), [(proxy(1), behind(None))]);
    assert_eq!(counts(&acks, 2), (2, 2, 0));
}

#[test]
fn a_proxy_that_reconnects_still_has_what_it_acknowledged() {
    let mut acks = two();
    acks.report(Epoch(2), [(proxy(1), behind(Some(0)))]);
    assert_eq!(counts(&acks, 1), (2, 2, 0));
    assert_eq!(counts(&acks, 2), (2, 1, 0));
}

#[test]
fn a_pod_moved_to_another_layer_has_nothing_of_it_until_it_acknowledges_the_move() {
    let mut acks = two();
    acks.place(&proxy(1), placement(7, 5, true));
    assert_eq!(counts_of(&acks, 1, layer(7)), (1, 0, 0));
    acks.report(Epoch(5), [(proxy(1), behind(Some(5)))]);
    assert_eq!(counts_of(&acks, 1, layer(7)), (1, 0, 0));
    acks.report(Epoch(6), [(proxy(1), behind(None))]);
    assert_eq!(counts_of(&acks, 1, layer(7)), (1, 1, 0));
}

#[test]
fn a_pod_moved_to_another_layer_still_has_what_everyone_has() {
    let mut acks = two();
    acks.report(Epoch(4), []);
    acks.place(&proxy(1), placement(7, 5, true));
    assert_eq!(counts(&acks, 4), (2, 2, 0));
    acks.report(Epoch(5), [(proxy(1), behind(Some(5)))]);
    assert_eq!((counts(&acks, 4), counts(&acks, 5)), ((2, 2, 0), (2, 1, 0)));
    // What it has rejected of its new layer takes nothing else from it.
    acks.report(Epoch(6), [(proxy(1), rejecting("inbound", "bad"))]);
    assert_eq!((counts(&acks, 6), counts_of(&acks, 6, layer(7))), ((2, 2, 0), (1, 1, 0)));
}

#[test]
fn a_move_that_needs_no_word_from_the_proxy_is_acknowledged_with_the_report() {
    let mut acks = two();
    acks.place(&proxy(1), placement(0, 5, true));
    assert_eq!(counts_of(&acks, 1, layer(0)).1, 1);
    acks.report(Epoch(5), []);
    assert_eq!(counts_of(&acks, 1, layer(0)).1, 2);
}

#[test]
fn a_rejection_counts_for_what_the_resource_carries_with_envoys_words() {
    let mut acks = two();
    acks.report(Epoch(2), [(proxy(2), rejecting("route", "no such filter"))]);
    assert_eq!(counts(&acks, 2), (2, 1, 1));
    let tally = acks.tally(&SUBJECT, &effect(2, Audience::Everyone), || carried_by("route"));
    assert_eq!(tally.complaint, Some((proxy(2), "no such filter".into())));
    let other = acks.tally(&SUBJECT, &effect(2, Audience::Everyone), || carried_by("other"));
    assert_eq!((other.acknowledged, other.rejected), (2, 0));
}

#[test]
fn what_took_effect_before_a_rejection_stays_acknowledged_in_its_last_good_form() {
    let mut acks = two();
    acks.report(Epoch(2), [(proxy(2), rejecting("route", "bad"))]);
    acks.report(Epoch(3), [(proxy(2), rejecting("route", "still bad"))]);
    assert_eq!(counts(&acks, 1), (2, 2, 0));
    assert_eq!(counts(&acks, 2), (2, 1, 1));
    acks.report(Epoch(4), [(proxy(2), behind(None))]);
    assert_eq!(counts(&acks, 2), (2, 2, 0));
}

#[test]
fn a_pod_that_is_gone_is_not_waited_for() {
    let mut acks = two();
    acks.report(Epoch(2), [(proxy(2), rejecting("route", "bad"))]);
    acks.place(&proxy(2), None);
    acks.report(Epoch(3), [(proxy(2), None)]);
    assert_eq!(counts(&acks, 2), (1, 1, 0));
}

#[test]
fn endpoint_churn_is_no_news_for_objects_that_it_does_not_touch() {
    let mut acks = two();
    acks.take_news();
    acks.report(Epoch(2), [(proxy(1), behind(Some(2)))]);
    acks.report(Epoch(3), [(proxy(1), behind(None))]);
    let news = acks.take_news();
    assert!(!acks.concern(&news, &SUBJECT, &effect(1, Audience::Everyone)));
}

#[derive(Clone, Debug)]
enum Step {
    Place(u8, Option<(u32, bool)>),
    Report(Vec<(u8, Option<u64>)>),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let place =
        (0..4u8, proptest::option::weighted(0.8, (0..3u32, any::<bool>()))).prop_map(|(p, s)| Step::Place(p, s));
    let lag = proptest::option::of(0..4u64);
    let report = proptest::collection::vec((0..4u8, lag), 0..4).prop_map(Step::Report);
    proptest::collection::vec(prop_oneof![place, report], 0..40)
}

/// The same counts, kept one by one: for each proxy where it stands and the first epoch that it lacks.
#[derive(Default)]
struct OneByOne {
    proxies: BTreeMap<u8, (Option<Placement>, Option<u64>)>,
}

impl OneByOne {
    fn acknowledged(&self, effect: &Effect, through: u64) -> (u32, u32) {
        let concerned = |placement: &Placement| match &effect.audience {
            Audience::Everyone => true,
            Audience::Workloads(workloads) => workloads.contains(&placement.workload),
            Audience::Nobody => false,
        };
        let (mut total, mut acknowledged) = (0, 0);
        for (placement, lacks) in self.proxies.values() {
            let Some(placement) = placement.filter(|p| p.ready && concerned(p)) else { continue };
            let has = lacks.map_or(through, |lacks| lacks.saturating_sub(1));
            let since = if effect.audience == Audience::Everyone { Epoch(0) } else { placement.since };
            total += 1;
            acknowledged += u32::from(has >= since.max(effect.epoch).0);
        }
        (total, acknowledged)
    }
}

fn audiences() -> Vec<Audience> {
    let layers = (0..3).map(|id| Audience::Workloads([WorkloadId(id)].into()));
    let both = Audience::Workloads([WorkloadId(0), WorkloadId(2)].into());
    layers.chain([both, Audience::Everyone, Audience::Nobody]).collect()
}

fn every_effect(through: u64) -> Vec<Effect> {
    let epochs = 1..=through + 1;
    epochs.flat_map(|epoch| audiences().into_iter().map(move |audience| effect(epoch, audience))).collect()
}

proptest! {
    #[test]
    fn counting_in_groups_gives_what_counting_one_by_one_does_and_news_miss_nothing(steps in steps()) {
        let (mut acks, mut plain, mut through) = (Acknowledgements::default(), OneByOne::default(), 0);
        let mut told: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        for (epoch, step) in (1..).zip(steps) {
            match step {
                Step::Place(number, seat) => {
                    let old = plain.proxies.get(&number).and_then(|(placement, _)| *placement);
                    let since = |workload| old.filter(|old| old.workload.0 == workload).map_or(epoch, |old| old.since.0);
                    let new = seat.and_then(|(workload, ready)| placement(workload, since(workload), ready));
                    acks.place(&proxy(number), new);
                    match new {
                        Some(_) => plain.proxies.entry(number).or_insert((None, Some(0))).0 = new,
                        None => drop(plain.proxies.remove(&number)),
                    }
                }
                Step::Report(lags) => {
                    let lags: BTreeMap<u8, Option<u64>> = lags.into_iter().collect();
                    let stands = |lag: Option<u64>| lag.map(|lag| epoch - lag.min(epoch));
                    acks.report(Epoch(epoch), lags.iter().map(|(n, lag)| (proxy(*n), behind(stands(*lag)))));
                    for (number, lag) in lags {
                        let entry = plain.proxies.entry(number).or_insert((None, Some(0)));
                        entry.1 = stands(lag).map(|lacks| lacks.max(entry.1.unwrap_or(through + 1)));
                    }
                    through = epoch;
                }
            }
            let news = acks.take_news();
            for effect in every_effect(through) {
                let tally = acks.tally(&SUBJECT, &effect, BTreeSet::new);
                let now = (tally.total, tally.acknowledged);
                let expected = if effect.epoch.0 > through { (now.0, 0) } else { plain.acknowledged(&effect, through) };
                prop_assert_eq!(now, expected, "{:?}", effect);
                let before = told.insert(format!("{:?} {:?}", effect.epoch, effect.audience), now);
                prop_assert!(before.is_none_or(|before| before == now) || acks.concern(&news, &SUBJECT, &effect), "unheard: {:?}", effect);
            }
        }
    }
}
