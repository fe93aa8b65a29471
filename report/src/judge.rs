//! The rules of the three conditions (smi.md §4), one small function each.

use std::collections::BTreeSet;

use smidge_compiler::{Condition as Judged, Diagnostic};
use smidge_engine::{Audience, Effect};

use crate::Tally;

/// A reason that this crate gives by itself. With those of the diagnostics' catalogue they are the closed set of
/// reasons in our conditions ([`reasons`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The CamelCase word in the condition.
    pub name: &'static str,
    /// What it means, in a sentence.
    pub meaning: &'static str,
}

const fn reason(name: &'static str, meaning: &'static str) -> Reason {
    Reason { name, meaning }
}

const ACCEPTED: Reason = reason("Accepted", "`Accepted`: the object is well-formed, and no other takes its place.");
const RESOLVED: Reason = reason("ResolvedRefs", "`ResolvedRefs`: everything that the object names exists and fits.");
const PROGRAMMED: Reason =
    reason("Programmed", "`Programmed`: every Ready pod concerned has a proxy that has acknowledged this generation.");
const NO_PROXIES: Reason = reason(
    "NoProxies",
    "`Programmed`: no Ready pod of the mesh is concerned; the first one will have it from its start. Or nothing uses the object, as routes that no other object names.",
);
const PENDING: Reason = reason("Pending", "`Programmed`: some proxies have not acknowledged this generation yet.");
const REJECTED: Reason =
    reason("Rejected", "`Programmed`: a proxy has rejected it; the message holds the proxy's own words.");
const NO_EFFECT: Reason = reason(
    "NoEffect",
    "`Programmed`: too little is left of the object to have any effect, because what it names is missing or does not fit; see `ResolvedRefs`.",
);
const NOT_ACCEPTED: Reason = reason("NotAccepted", "`Programmed`: the object is not in force; see `Accepted`.");
const AWAITING: Reason = reason(
    "AwaitingReplica",
    "`Programmed`: a replica of the control plane does not know yet what its proxies have, as in the first seconds after its start.",
);

/// The reasons that this crate gives by itself.
pub const REASONS: &[Reason] =
    &[ACCEPTED, RESOLVED, PROGRAMMED, NO_PROXIES, PENDING, REJECTED, NO_EFFECT, NOT_ACCEPTED, AWAITING];

/// How much of a message is kept: a status is read by people.
const MESSAGE_LIMIT: usize = 2048;
/// How much of what one diagnostic says.
const LINE_LIMIT: usize = 512;

/// The closed set of reasons that may stand in a condition, given the catalogue of diagnostics.
pub fn reasons(catalogue: &[smidge_compiler::Code]) -> Vec<&'static str> {
    let own = REASONS.iter().map(|reason| reason.name);
    own.chain(catalogue.iter().filter(|code| code.condition.is_some()).map(|code| code.reason)).collect()
}

/// Whether it is known what the proxies have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// Every replica has told.
    Complete,
    /// A replica has not told yet, such as this one just after its start.
    Partial,
}

/// A condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// `Accepted`, `ResolvedRefs` or `Programmed`.
    pub(crate) type_: &'static str,
    /// `True`, `False` or `Unknown`.
    pub(crate) status: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
}

fn verdict(type_: &'static str, status: &'static str, reason: Reason, message: impl Into<String>) -> Verdict {
    Verdict { type_, status, reason: reason.name, message: message.into() }
}

/// Whether it has an effect depends on what it names, which the other conditions judge.
const WELL_FORMED: &str = "well-formed, and no other takes its place";

/// `Accepted`: well-formed, and no other takes its place. What is only said, not held against the object, is said here.
pub(crate) fn accepted(diagnostics: &[Diagnostic]) -> Verdict {
    against("Accepted", Judged::Accepted, diagnostics).unwrap_or_else(|| {
        let notes = spelled(diagnostics.iter().filter(|d| d.code.condition.is_none()));
        let message = if notes.is_empty() { WELL_FORMED.to_owned() } else { format!("{WELL_FORMED}; note: {notes}") };
        verdict("Accepted", "True", ACCEPTED, message)
    })
}

/// `ResolvedRefs`: everything that the object names exists and fits.
pub(crate) fn resolved_refs(diagnostics: &[Diagnostic]) -> Verdict {
    let all_well = || verdict("ResolvedRefs", "True", RESOLVED, "everything that it names exists and fits");
    against("ResolvedRefs", Judged::ResolvedRefs, diagnostics).unwrap_or_else(all_well)
}

/// `Programmed`: the proxies concerned have acknowledged this generation.
pub(crate) fn programmed(effect: &Effect, tally: &Tally, view: View) -> Verdict {
    let is_held = |against| effect.diagnostics.iter().any(|d| d.code.condition == Some(against));
    let Tally { total, acknowledged, rejected, complaint } = tally;
    let told = |status, reason, message: String| verdict("Programmed", status, reason, bounded(message, MESSAGE_LIMIT));
    match complaint {
        _ if is_held(Judged::Accepted) => {
            told("False", NOT_ACCEPTED, "it is not in force: do what condition Accepted says".into())
        }
        _ if effect.audience == Audience::Nobody && is_held(Judged::ResolvedRefs) => {
            told("False", NO_EFFECT, "it has no effect, so no proxy has it: do what condition ResolvedRefs says".into())
        }
        _ if effect.audience == Audience::Nobody => {
            told("True", NO_PROXIES, "nothing uses it at present, so no proxy has to have it".into())
        }
        Some((proxy, words)) => told("False", REJECTED, rejection(proxy.as_str(), words, *rejected, *total)),
        None if view == View::Partial => told(
            "Unknown",
            AWAITING,
            "the control plane has just started, and not all proxies have come back to it yet".into(),
        ),
        None if *total == 0 => {
            told("True", NO_PROXIES, "no Ready pod of the mesh is concerned; the first one will have it".into())
        }
        None if acknowledged == total => told("True", PROGRAMMED, format!("{total} of {total} proxies have it")),
        None => {
            let missing = total.saturating_sub(*acknowledged);
            let advice = "if it stays so, look whether their sidecars run and reach the control plane";
            told("False", PENDING, format!("{acknowledged} of {total} proxies have it, {missing} do not yet; {advice}"))
        }
    }
}

fn rejection(proxy: &str, words: &str, rejected: u32, total: u32) -> String {
    format!("{rejected} of {total} proxies rejected it and stay on what they had; {proxy} says: {words}")
}

/// The condition made False by the diagnostics that hold something against the object, if any.
fn against(type_: &'static str, judged: Judged, diagnostics: &[Diagnostic]) -> Option<Verdict> {
    let mut held = diagnostics.iter().filter(|d| d.code.condition == Some(judged)).peekable();
    let reason = held.peek()?.code.reason;
    Some(Verdict { type_, status: "False", reason, message: spelled(held) })
}

/// The first of each code, then what else there is, as far as there is room.
fn spelled<'a>(diagnostics: impl Iterator<Item = &'a Diagnostic>) -> String {
    let mut codes = BTreeSet::new();
    let (first, others): (Vec<_>, Vec<_>) = diagnostics.partition(|diagnostic| codes.insert(diagnostic.code.id));
    let (mut message, mut left_out) = (String::new(), 0);
    for line in first.into_iter().chain(others).map(line) {
        if message.is_empty() {
            message = line;
        } else if message.len() + line.len() < MESSAGE_LIMIT {
            message = format!("{message}; {line}");
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 { format!("{message}; and {left_out} more") } else { message }
}

fn line(diagnostic: &Diagnostic) -> String {
    let Diagnostic { code, field, message, .. } = diagnostic;
    let space = if field.is_empty() { "" } else { " " };
    bounded(format!("{}{space}{field}: {message}", code.id), LINE_LIMIT)
}

fn bounded(mut message: String, limit: usize) -> String {
    if message.len() > limit {
        message.truncate(message.floor_char_boundary(limit));
        message.push('…');
    }
    message
}
