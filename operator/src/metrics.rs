//! Numbers for operators: what the loop and the server have done, as Prometheus text.

use std::{fmt::Write, sync::Arc};

use smidge_compiler::Kind;
use smidge_engine::Counters;
use smidge_xds_server::Counters as ServerCounters;
use tokio::sync::watch;

use crate::{
    identity::{callers::Refusals, roots::Phase},
    message::Source,
    webhook::Counters as WebhookCounters,
};

/// What the loop tells of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    /// The engine's stages and cut-offs.
    pub(crate) engine: Counters,
    /// The sources that have not yet told everything; it is ready when there are none.
    pub(crate) awaited: Vec<Source>,
    /// The kinds that the API server does not know.
    pub(crate) missing: Vec<Kind>,
    /// How many Ready proxies have not acknowledged the trusted roots.
    pub(crate) untrusting: u32,
    /// Other replicas that tell what their proxies acknowledge.
    pub(crate) replicas: u64,
}

/// Where all numbers come from. A clone looks at the same.
#[derive(Clone, Debug)]
pub(crate) struct Gauges {
    pub(crate) numbers: watch::Receiver<Numbers>,
    pub(crate) server: Arc<ServerCounters>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) webhook: Arc<WebhookCounters>,
    pub(crate) rotation: watch::Receiver<Phase>,
    /// The kinds of which objects may be stored in an older version.
    pub(crate) unmigrated: watch::Receiver<Vec<String>>,
}

/// The text format of Prometheus
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
pub(crate) fn render(of: &Gauges) -> String {
    let numbers = of.numbers.borrow().clone();
    let total =
        |prefix: &'static str| move |(name, help, value)| (format!("{prefix}{name}_total"), help, "counter", value);
    let engine = engine_rows(&numbers.engine).into_iter().map(total("smidge_"));
    let missing = numbers.missing.len() as u64;
    let missing = (
        "smidge_missing_kinds".to_owned(),
        "Kinds that the API server does not know: /readyz names them.",
        "gauge",
        missing,
    );
    let replicas = (
        "smidge_replicas_connected".to_owned(),
        "Other replicas that tell this one what their proxies acknowledge: all others on the leader.",
        "gauge",
        numbers.replicas,
    );
    let tasks = (
        "smidge_tasks".to_owned(),
        "Tasks that are under way: a few for each proxy. What grows without them is a leak.",
        "gauge",
        tasks(),
    );
    let served = of.server.read().into_iter().map(|row| match row {
        ("streams", help, value) => ("smidge_xds_streams".to_owned(), help, "gauge", value),
        row => total("smidge_xds_")(row),
    });
    let admitted = of.webhook.read().into_iter().map(total("smidge_webhook_"));
    let mut text = String::new();
    let rotation = rotation_rows(*of.rotation.borrow(), numbers.untrusting);
    for (name, help, kind, value) in
        engine.chain([missing, replicas, tasks]).chain(rotation).chain(served).chain(admitted)
    {
        // Writing to a String cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    }
    text + &refused(&of.refusals)
}

fn tasks() -> u64 {
    tokio::runtime::Handle::try_current().map_or(0, |runtime| runtime.metrics().num_alive_tasks() as u64)
}

/// How far a rotation of the root is.
fn rotation_rows(phase: Phase, untrusting: u32) -> [(String, &'static str, &'static str, u64); 3] {
    let (step, since) = match phase {
        Phase::Settled => (0, None),
        Phase::Introduced { since } => (1, Some(since)),
        Phase::Signing { since } => (2, Some(since)),
    };
    let since = since.map_or(0, |since| u64::try_from(since.as_second()).unwrap_or_default());
    let row = |name: &str, help, value| (format!("smidge_root_{name}"), help, "gauge", value);
    [
        row("rotation_step", "0: no rotation; 1: the new root is trusted too; 2: the new root signs.", step),
        row("rotation_step_start_seconds", "When that step began, in seconds since 1970; 0: no rotation.", since),
        row("untrusting_proxies", "Ready proxies that have not acknowledged the trusted roots.", untrusting.into()),
    ]
}

/// Why proxies were refused, by reason.
fn refused(refusals: &Refusals) -> String {
    let name = "smidge_xds_refused_total";
    let mut text =
        format!("# HELP {name} Streams refused because of who opened them, by reason.\n# TYPE {name} counter\n");
    for (reason, count) in refusals.read() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}{{reason=\"{reason}\"}} {count}");
    }
    text
}

fn engine_rows(counters: &Counters) -> [(&'static str, &'static str, u64); 9] {
    [
        ("events", "Events taken in.", counters.events),
        ("equal_facts", "Events that said nothing new.", counters.equal_facts),
        ("compiled", "Values compiled.", counters.compiled),
        ("equal_values", "Compiled values equal to the one before.", counters.equal_values),
        ("translated", "Resources translated.", counters.translated),
        ("same_versions", "Translated resources with the version that they had before.", counters.same_versions),
        ("changed_resources", "Resources set or removed in publications.", counters.changed_resources),
        ("publications", "Publications.", counters.publications),
        ("drift", "Values that a full compile found different. Stays 0, or there is a bug.", counters.drift),
    ]
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What is shown of these numbers, when nothing else has happened.
    pub(crate) fn gauges(numbers: Numbers) -> Gauges {
        let numbers = watch::Sender::new(numbers).subscribe();
        let rotation = watch::Sender::new(Phase::Settled).subscribe();
        let unmigrated = watch::Sender::default().subscribe();
        Gauges {
            numbers,
            server: Arc::default(),
            refusals: Arc::default(),
            webhook: Arc::default(),
            rotation,
            unmigrated,
        }
    }

    #[test]
    fn every_metric_is_documented() {
        let page = include_str!("../../docs/metrics.md");
        let text = render(&gauges(Numbers::default()));
        let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
        assert!(!names.is_empty() && missing.is_empty(), "not in docs/metrics.md: {missing:?}");
    }

    #[test]
    fn metrics_say_how_much_the_incremental_state_has_drifted() {
        let numbers = Numbers { engine: Counters { drift: 3, ..Counters::default() }, ..Numbers::default() };
        let text = render(&gauges(numbers));
        assert!(text.contains("# TYPE smidge_drift_total counter\nsmidge_drift_total 3\n"), "{text}");
        assert!(text.contains("# TYPE smidge_xds_streams gauge\nsmidge_xds_streams 0\n"), "{text}");
    }

    #[test]
    fn metrics_say_how_far_a_rotation_is() {
        let rows = |phase| rotation_rows(phase, 3).map(|(.., value)| value);
        let since = jiff::Timestamp::from_second(1_800_000_000).unwrap();
        assert_eq!(rows(Phase::Settled), [0, 0, 3]);
        assert_eq!(rows(Phase::Introduced { since }), [1, 1_800_000_000, 3]);
        assert_eq!(rows(Phase::Signing { since }), [2, 1_800_000_000, 3]);
    }
}
