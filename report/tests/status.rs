//! The conditions, by the rules of smi.md §4.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use smidge_compiler::{Code, Condition as Judged, Diagnostic, Kind, ObjectRef, Severity};
use smidge_crds::{Proxies, Status};
use smidge_engine::{Audience, Effect};
use smidge_report::{Difference, Row, Tally, View, announcements, desired, difference, needs_write, reasons, table};
use smidge_xds::{Epoch, Version};

const NO_WEIGHT: Code = Code {
    id: "SMI9901",
    reason: "NoWeight",
    severity: Severity::Error,
    condition: Some(Judged::Accepted),
    meaning: "All weights are 0.",
    remedy: "Give a backend a weight.",
};
const NO_BACKEND: Code =
    Code { id: "SMI9902", reason: "BackendNotFound", condition: Some(Judged::ResolvedRefs), ..NO_WEIGHT };
const NOTE: Code = Code { id: "SMI9903", reason: "Note", severity: Severity::Info, condition: None, ..NO_WEIGHT };

fn split() -> ObjectRef {
    ObjectRef::new(Kind::TrafficSplit, "shop", "checkout")
}

fn effect(generation: i64, codes: &[Code]) -> Effect {
    let diagnostic =
        |code: &Code| Diagnostic { code: *code, object: split(), field: String::new(), message: "so it is".to_owned() };
    let diagnostics = codes.iter().map(diagnostic).collect();
    Effect { generation, diagnostics, epoch: Epoch(1), version: Version::default(), audience: Audience::Everyone }
}

fn tally(acknowledged: u32, total: u32) -> Tally {
    Tally { total, acknowledged, ..Tally::default() }
}

fn rejected() -> Tally {
    Tally { rejected: 1, complaint: Some(("pod.ns".into(), "unknown filter".into())), ..tally(1, 2) }
}

fn at(second: i64) -> Time {
    Time(Timestamp::from_second(second).expect("a small number"))
}

fn fresh(effect: &Effect, tally: &Tally) -> Status {
    desired(effect, tally, View::Complete, &Status::default(), &at(1))
}

/// `Accepted=True/Accepted …` for each condition.
fn lines(status: &Status) -> Vec<String> {
    status.conditions.iter().map(|c| format!("{}={}/{}", c.type_, c.status, c.reason)).collect()
}

fn condition<'a>(status: &'a Status, type_: &str) -> &'a Condition {
    status.conditions.iter().find(|c| c.type_ == type_).expect("every status has all conditions")
}

#[track_caller]
fn check(codes: &[Code], tally: &Tally, expected: [&str; 3]) {
    assert_eq!(lines(&fresh(&effect(3, codes), tally)), expected);
}

#[test]
fn smi_4_programmed_is_true_only_when_all_ready_pods_have_acknowledged() {
    let well = ["Accepted=True/Accepted", "ResolvedRefs=True/ResolvedRefs"];
    check(&[], &tally(2, 2), [well[0], well[1], "Programmed=True/Programmed"]);
    check(&[], &tally(1, 2), [well[0], well[1], "Programmed=False/Pending"]);
    check(&[], &tally(0, 0), [well[0], well[1], "Programmed=True/NoProxies"]);
    check(&[], &rejected(), [well[0], well[1], "Programmed=False/Rejected"]);
}

#[test]
fn smi_4_a_nack_shows_envoys_own_words() {
    let status = fresh(&effect(1, &[]), &rejected());
    let message = &condition(&status, "Programmed").message;
    assert_eq!(message, "1 of 2 proxies rejected it and stay on what they had; pod.ns says: unknown filter");
    assert_eq!(status.proxies, Some(Proxies { total: 2, acknowledged: 1, rejected: 1 }));
}

#[test]
fn smi_4_what_is_not_in_force_is_not_programmed() {
    let expected = ["Accepted=False/NoWeight", "ResolvedRefs=True/ResolvedRefs", "Programmed=False/NotAccepted"];
    check(&[NO_WEIGHT], &tally(0, 0), expected);
}

#[test]
fn smi_4_a_missing_reference_does_not_keep_the_rest_from_being_programmed() {
    let expected = ["Accepted=True/Accepted", "ResolvedRefs=False/BackendNotFound", "Programmed=True/Programmed"];
    check(&[NO_BACKEND], &tally(2, 2), expected);
}

#[test]
fn smi_4_what_is_left_without_effect_is_not_programmed() {
    let without = |codes: &[Code]| {
        let status = fresh(&Effect { audience: Audience::Nobody, ..effect(1, codes) }, &tally(0, 0));
        (lines(&status)[2].clone(), condition(&status, "Programmed").message.clone())
    };
    let (verdict, message) = without(&[NO_BACKEND]);
    assert_eq!(verdict, "Programmed=False/NoEffect");
    assert!(message.contains("condition ResolvedRefs"), "{message}");
    let (verdict, message) = without(&[]);
    assert_eq!(verdict, "Programmed=True/NoProxies", "routes that nothing names harm nobody");
    assert!(message.contains("nothing uses it"), "{message}");
    assert_eq!(without(&[NO_BACKEND, NO_WEIGHT]).0, "Programmed=False/NotAccepted");
}

#[test]
fn a_note_stands_in_the_message_of_accepted() {
    let status = fresh(&effect(1, &[NOTE]), &tally(1, 1));
    assert_eq!(
        condition(&status, "Accepted").message,
        "well-formed, and no other takes its place; note: SMI9903: so it is"
    );
    assert!(Row::of(&split(), &status).message.contains("SMI9903"));
}

#[test]
fn each_code_is_told_before_one_is_told_at_length() {
    let many = Code { id: "SMI9904", condition: Some(Judged::Accepted), ..NOTE };
    let codes = [&[NO_WEIGHT; 30][..], &[many]].concat();
    let mut effect = effect(1, &codes);
    let lengthen = |mut d: Diagnostic| {
        d.message = "x".repeat(300);
        d
    };
    effect.diagnostics = effect.diagnostics.iter().cloned().map(lengthen).collect();
    let status = fresh(&effect, &tally(1, 1));
    let message = &condition(&status, "Accepted").message;
    let ids: Vec<&str> = message.split("; ").map(|line| &line[..7]).collect();
    assert_eq!(ids[..3], ["SMI9901", "SMI9904", "SMI9901"]);
    assert!(message.len() < 2100 && message.ends_with("; and 25 more"), "{message}");
}

#[test]
fn every_condition_says_which_generation_it_is_about() {
    let status = fresh(&effect(7, &[]), &tally(1, 1));
    assert!(status.conditions.iter().all(|c| c.observed_generation == Some(7)));
}

#[test]
fn every_reason_is_of_the_documented_set_and_camel_case() {
    let known = reasons(&[NO_WEIGHT, NO_BACKEND, NOTE]);
    for tally in [tally(2, 2), tally(1, 2), tally(0, 0), rejected()] {
        for codes in [&[][..], &[NO_WEIGHT], &[NO_BACKEND], &[NOTE]] {
            let audience = if tally.total == 0 { Audience::Nobody } else { Audience::Everyone };
            let status = fresh(&Effect { audience, ..effect(1, codes) }, &tally);
            assert!(status.conditions.iter().all(|c| known.contains(&&*c.reason)), "{:?}", lines(&status));
        }
    }
    let is_camel = |reason: &&str| reason.starts_with(char::is_uppercase) && reason.chars().all(char::is_alphanumeric);
    assert!(known.iter().all(is_camel));
}

#[test]
fn a_condition_keeps_its_time_until_its_status_turns() {
    let old = fresh(&effect(1, &[]), &tally(1, 2));
    let later = desired(&effect(2, &[]), &tally(0, 2), View::Complete, &old, &at(5));
    assert_eq!(condition(&later, "Programmed").last_transition_time, at(1));
    let turned = desired(&effect(2, &[]), &tally(2, 2), View::Complete, &later, &at(9));
    assert_eq!(condition(&turned, "Programmed").last_transition_time, at(9));
    assert_eq!(condition(&turned, "Accepted").last_transition_time, at(1));
}

#[test]
fn nothing_is_written_when_nothing_but_time_has_changed() {
    let old = fresh(&effect(1, &[]), &tally(2, 2));
    let mut aged = old.clone();
    aged.conditions.iter_mut().for_each(|c| c.last_transition_time = at(99));
    assert!(!needs_write(&old, &aged));
}

#[test]
fn counts_alone_are_less_urgent_than_a_verdict() {
    let status = |generation, acknowledged| fresh(&effect(generation, &[]), &tally(acknowledged, 3));
    assert_eq!(difference(&status(1, 1), &status(1, 2)), Difference::Counts);
    assert_eq!(difference(&status(1, 1), &status(1, 3)), Difference::Verdict);
    assert_eq!(difference(&status(1, 1), &status(2, 1)), Difference::Verdict);
    assert_eq!(difference(&Status::default(), &status(1, 1)), Difference::Verdict);
}

#[test]
fn smi_4_programmed_is_unknown_while_a_view_is_missing_unless_it_is_known_already() {
    let partial = |generation, observed: &Status| {
        desired(&effect(generation, &[]), &tally(0, 2), View::Partial, observed, &at(5))
    };
    let first = partial(1, &Status::default());
    assert_eq!(lines(&first)[2], "Programmed=Unknown/AwaitingReplica");
    let known = fresh(&effect(1, &[]), &tally(2, 2));
    assert!(!needs_write(&known, &partial(1, &known)), "a restart changes no status");
    assert_eq!(lines(&partial(2, &known))[2], "Programmed=Unknown/AwaitingReplica");
}

#[test]
fn an_event_is_announced_when_a_condition_turns_false_and_not_again() {
    let good = fresh(&effect(1, &[]), &tally(2, 2));
    let bad = fresh(&effect(2, &[NO_BACKEND]), &tally(1, 2));
    let told = announcements(&good, &bad);
    let kinds: Vec<_> = told.iter().map(|told| (told.type_, &*told.reason)).collect();
    assert_eq!(kinds, [("Warning", "BackendNotFound"), ("Normal", "Pending")]);
    assert_eq!(announcements(&bad, &bad), []);
    assert_eq!(announcements(&bad, &good), []);
}

#[test]
fn a_message_is_bounded_whatever_envoy_says() {
    let words = "é".repeat(100_000);
    let tally = Tally { complaint: Some(("pod.ns".into(), words.into())), ..rejected() };
    let status = fresh(&effect(1, &[]), &tally);
    assert!(condition(&status, "Programmed").message.len() < 2_100);
}

#[test]
fn the_table_shows_what_is_wrong_and_how_far_it_has_got() {
    let rows = [
        Row::of(&split(), &fresh(&effect(1, &[]), &tally(2, 2))),
        Row::of(&split(), &fresh(&effect(1, &[]), &rejected())),
        Row::of(&split(), &Status::default()),
    ];
    let expected = "\
OBJECT                      ACCEPTED  RESOLVEDREFS  PROGRAMMED  PROXIES          MESSAGE
TrafficSplit/shop/checkout  True      True          True        2/2
TrafficSplit/shop/checkout  True      True          False       1/2, 1 rejected  \
Rejected: 1 of 2 proxies rejected it and stay on what they had; pod.ns says: unknown filter
TrafficSplit/shop/checkout  -         -             -           -
";
    assert_eq!(table(&rows), expected);
}
