//! Regular expressions against Envoy's own verdict: what we call fit, Envoy loads. One that it refused would be refused
//! with everything that stands in the same route configuration.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use smidge_compiler::pattern::{LARGEST, is_fit};
use smidge_e2e::Tool;

/// So many are made; of those that are fit, all go to one Envoy.
const EXPRESSIONS: usize = 3_000;

/// Escapes, by white space.
const ESCAPES: &str =
    r"\d \W \s \b \B \A \z \Z \x41 \x{41} \u0041 \pL \p{Greek} \C \Q.\E \1 \. \/ \- \e \a \0 \07 \n \h \R \X \G \< \_";
/// Classes, by white space.
const CLASSES: &str = concat!(
    r"[a-z] [^/] []a] [a-] [z-a] [[:alpha:]] [[:word:]] [[:^digit:]] [a&&b] [a--b] [a~~b] [\d-z]",
    " ",
    r"[\b] [ [^] [[a]] [\]] [a-c-e] [[:foo:]] [\pL] [-] [^-a]",
);

/// Single characters and what stands for one, in RE2, PCRE and Rust.
fn atom() -> impl Strategy<Value = String> {
    let one_of = |list: &'static str| prop::sample::select(list.split_whitespace().collect::<Vec<_>>());
    prop_oneof![
        4 => "[ -~]",
        4 => "[a-z/._-]{1,4}",
        2 => one_of(ESCAPES).prop_map(str::to_owned),
        2 => one_of(CLASSES).prop_map(str::to_owned),
        1 => prop::sample::select(vec![".", "^", "$", "|", "", "(?i)", "(?x)a b", "(?#c)", "é"]).prop_map(str::to_owned),
    ]
}

/// Expressions made of atoms by sequence, choice, groups and repetition, well-formed or nearly so.
fn expression() -> impl Strategy<Value = String> {
    let groups = prop::sample::select(vec![
        "(", "(?:", "(?i:", "(?s-m:", "(?x:", "(?U:", "(?u:", "(?-u:", "(?P<n>", "(?<n>", "(?=", "(?!", "(?<=", "(?>",
        "(?i-:",
    ]);
    let counts = prop::sample::select(vec![
        "*", "+", "?", "*?", "+?", "??", "**", "*+", "{2}", "{2,}", "{0,3}", "{3,2}", "{1000}", "{1001}", "{,3}",
        "{ 2 }", "{", "{a}", "{0}", "{2}{3}", "{30}",
    ]);
    atom().prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            3 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            1 => prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| parts.join("|")),
            2 => (groups.clone(), inner.clone()).prop_map(|(open, body)| format!("{open}{body})")),
            2 => (inner, counts.clone()).prop_map(|(body, count)| format!("{body}{count}")),
        ]
    })
}

/// As the translator writes them: of a path within a group, of a header as it is, and never empty.
fn route(pattern: &str) -> Value {
    let path = json!({ "regex": format!("(?:{pattern}).*") });
    let header = json!({ "regex": if pattern.is_empty() { "(?:)" } else { pattern } });
    json!({
        "match": { "safe_regex": path, "headers": [{ "name": "x", "string_match": { "safe_regex": header } }] },
        "direct_response": { "status": 200 },
    })
}

/// An Envoy that has the expressions as routes, with the bound on their programs that ours have.
fn bootstrap(patterns: &[String]) -> Value {
    let routes: Vec<Value> = patterns.iter().map(|pattern| route(pattern)).collect();
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "regex",
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": routes }] },
        "http_filters": [{ "name": "router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
    });
    let listener = json!({
        "name": "all",
        "address": { "socket_address": { "address": "127.0.0.1", "port_value": 0 } },
        "filter_chains": [{ "filters": [{ "name": "http", "typed_config": manager }] }],
    });
    let bound = json!({ "re2.max_program_size.error_level": LARGEST });
    json!({
        "static_resources": { "listeners": [listener] },
        "layered_runtime": { "layers": [{ "name": "bound", "static_layer": bound }] },
    })
}

fn load(patterns: &[String]) -> Result<()> {
    let file = tempfile::Builder::new().suffix(".json").tempfile()?;
    serde_json::to_writer(&file, &bootstrap(patterns))?;
    let mut envoy = Command::new(Tool::Envoy.path()?);
    envoy.args(["--mode", "validate", "--log-level", "error", "-c"]).arg(file.path());
    let output = envoy.output().context("envoy")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

#[test]
fn envoy_loads_every_regex_that_we_take() -> Result<()> {
    // From the clock: another set each time. A failure names the expression, so it need not be made again.
    let mut runner = TestRunner::default();
    let made = std::iter::repeat_with(|| expression().new_tree(&mut runner).map(|tree| tree.current()));
    let made: Vec<String> = made.take(EXPRESSIONS).collect::<Result<_, _>>().map_err(anyhow::Error::msg)?;
    let fit: Vec<String> = made.into_iter().filter(|pattern| is_fit(pattern)).collect();
    // Both verdicts have to occur, or nothing was compared.
    assert!((EXPRESSIONS / 10..EXPRESSIONS * 9 / 10).contains(&fit.len()), "{} are fit", fit.len());
    load(&fit)
}

#[test]
fn envoy_refuses_what_is_no_regex_at_all() {
    assert!(load(&["(".to_owned()]).is_err(), "or this file compares nothing");
}
