//! `docs/conditions.md` says what conditions and reasons mean. `UPDATE=1 cargo test --workspace --test reasons_are_documented` rewrites it.

use std::{env, fs, path::Path};

use smidge_report::{REASONS, Reason};

const HEAD: &str = "# Conditions

Every SMI object carries three conditions in its status, each with a reason and, where something is wrong, a message that begins
with a code of [diagnostics.md](diagnostics.md), whose tables name the reason too. The reasons below have no code. This page is
made from `report/src/judge.rs`.

| reason | what it means |
|---|---|
";

#[test]
fn the_page_says_what_the_reasons_mean() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conditions.md");
    let row = |Reason { name, meaning }: &Reason| format!("| `{name}` | {meaning} |\n");
    let page = HEAD.to_owned() + &REASONS.iter().map(row).collect::<String>();
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).expect("docs/ is there");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/conditions.md is out of date: UPDATE=1 cargo test --workspace --test reasons_are_documented"
    );
}
