//! `docs/diagnostics.md` is the catalogue of diagnostics as a page. `UPDATE=1 cargo test --workspace --test catalogue_is_documented` rewrites it.

use std::{collections::BTreeSet, env, fmt::Write, fs, path::Path};

use smidge_compiler::{
    Code,
    codes::{CATALOGUE, REFUSED},
};

const HEAD: &str = "# Diagnostics

Smidge tells the author of an object what is wrong with it: in the object's status conditions, in events, in the log and by
`smidge lint`. Each kind of message has a permanent code. This page is made from the catalogue in `compiler/src/codes.rs`.

An **error** turns a condition to `False`, with the reason given here, where the object has a status: what is unfit counts as
absent, access stays closed, a split falls back to its root service. A **warning** says that an object does less than its author
may think; an **info** is worth knowing.

An error marked **refused** is decided by the object alone: it can never work, so the API server refuses to store it, and `kubectl`
shows the message. All other errors and warnings are shown by `kubectl` as warnings, and the object is stored. An object that was
there before is never in the way of a change that leaves its `spec` alone, nor of its deletion: its status tells.
";

const FAMILIES: &[(&str, &str)] = &[
    ("SMI01", "TrafficSplit"),
    ("SMI02", "TrafficTarget"),
    ("SMI03", "HTTPRouteGroup, TCPRoute, UDPRoute"),
    ("SMI04", "Service, EndpointSlice"),
    ("SMI05", "MeshConfig, Namespace"),
    ("SMI06", "IngressBackend"),
];

#[test]
fn the_page_says_what_the_catalogue_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/diagnostics.md");
    let page = page();
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).expect("docs/ is there");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/diagnostics.md is out of date: UPDATE=1 cargo test --workspace --test catalogue_is_documented"
    );
}

#[test]
fn codes_are_unique_in_order_and_of_a_family() {
    let ids: Vec<_> = CATALOGUE.iter().map(|code| code.id).collect();
    assert!(ids.is_sorted() && ids.iter().collect::<BTreeSet<_>>().len() == ids.len(), "{ids:?}");
    let is_of_family = |id: &&str| FAMILIES.iter().any(|(prefix, _)| id.starts_with(prefix) && id.len() == 7);
    assert!(ids.iter().all(is_of_family), "{ids:?}");
}

#[test]
fn reasons_are_camel_case_words() {
    for code in CATALOGUE {
        let is_word = code.reason.starts_with(|c: char| c.is_ascii_uppercase())
            && code.reason.chars().all(|c| c.is_ascii_alphanumeric());
        assert!(is_word, "{}: {}", code.id, code.reason);
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (prefix, family) in FAMILIES {
        write!(page, "\n## {prefix}xx: {family}\n\n").expect("a string takes all");
        page += "| code | severity | condition | reason | what it means | what to do |\n|---|---|---|---|---|---|\n";
        page.extend(CATALOGUE.iter().filter(|code| code.id.starts_with(prefix)).map(row));
    }
    page
}

fn row(code: &Code) -> String {
    let Code { id, reason, meaning, remedy, .. } = code;
    let refused = if REFUSED.contains(code) { ", refused" } else { "" };
    let severity = format!("{:?}{refused}", code.severity).to_lowercase();
    let condition = code.condition.map_or("–".to_owned(), |condition| format!("`{condition:?}`"));
    format!("| {id} | {severity} | {condition} | `{reason}` | {meaning} | {remedy} |\n")
}
