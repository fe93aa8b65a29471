//! Numbers for operators: what the loop and the server have done, as Prometheus text.

use std::fmt::Write;

use smidge_compiler::Kind;
use smidge_engine::Counters;
use smidge_xds_server::Counters as ServerCounters;

use crate::{identity::callers::Refusals, message::Source};

/// What the loop tells of itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Numbers {
    /// The engine's stages and cut-offs.
    pub(crate) engine: Counters,
    /// The sources that have not yet told everything; it is ready when there are none.
    pub(crate) awaited: Vec<Source>,
    /// The kinds that the API server does not know.
    pub(crate) missing: Vec<Kind>,
}

/// The text format of Prometheus
/// (<https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>).
pub(crate) fn render(numbers: &Numbers, server: &ServerCounters) -> String {
    let engine = engine_rows(&numbers.engine);
    let rows = engine.into_iter().map(|(name, help, value)| (format!("smidge_{name}_total"), help, "counter", value));
    let missing = numbers.missing.len() as u64;
    let missing = (
        "smidge_missing_kinds".to_owned(),
        "Kinds that the API server does not know: /readyz names them.",
        "gauge",
        missing,
    );
    let served = server.read().into_iter().map(|(name, help, value)| match name {
        "streams" => ("smidge_xds_streams".to_owned(), help, "gauge", value),
        _ => (format!("smidge_xds_{name}_total"), help, "counter", value),
    });
    let mut text = String::new();
    for (name, help, kind, value) in rows.chain([missing]).chain(served) {
        // Writing to a String cannot fail.
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
    }
    text
}

/// Why proxies were refused, by reason.
pub(crate) fn render_refusals(refusals: &Refusals) -> String {
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
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_documented() {
        let page = include_str!("../../docs/metrics.md");
        let text = render(&Numbers::default(), &ServerCounters::default()) + &render_refusals(&Refusals::default());
        let names: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
        assert!(!names.is_empty() && missing.is_empty(), "not in docs/metrics.md: {missing:?}");
    }

    #[test]
    fn metrics_say_how_much_the_incremental_state_has_drifted() {
        let numbers = Numbers { engine: Counters { drift: 3, ..Counters::default() }, ..Numbers::default() };
        let text = render(&numbers, &ServerCounters::default());
        assert!(text.contains("# TYPE smidge_drift_total counter\nsmidge_drift_total 3\n"), "{text}");
        assert!(text.contains("# TYPE smidge_xds_streams gauge\nsmidge_xds_streams 0\n"), "{text}");
    }
}
