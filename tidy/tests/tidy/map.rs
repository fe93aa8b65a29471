//! ARCHITECTURE.md's code map names every crate, and nothing else; docs/security.md names tests that there are.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use tidy::{Graph, read, rust_sources};

use crate::{purity::PURE, report};

/// The code map, row by row: the first word in backticks.
fn mapped() -> Result<BTreeSet<String>> {
    let text = read("ARCHITECTURE.md")?.context("ARCHITECTURE.md is not UTF-8")?;
    let (_, after) = text.split_once("## Code map").context("ARCHITECTURE.md has no code map")?;
    let map = after.split("\n## ").next().unwrap_or_default();
    let names = map.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    Ok(names.map(|(name, _)| name.to_owned()).collect())
}

#[test]
fn the_code_map_names_every_crate_and_nothing_else() -> Result<()> {
    let crates: BTreeSet<String> = Graph::read()?.packages.into_iter().map(|package| package.folder).collect();
    assert_eq!(mapped()?, crates, "the code map (left) and the workspace's members (right)");
    Ok(())
}

#[test]
fn architecture_lists_the_same_pure_crates_as_the_tidy_test() -> Result<()> {
    let text = read("ARCHITECTURE.md")?.context("ARCHITECTURE.md is not UTF-8")?;
    assert!(text.contains(&format!("Pure crates (`{}`)", PURE.join(" "))), "{PURE:?}");
    Ok(())
}

/// A claim of security without a test is a wish.
#[test]
fn every_claim_of_security_names_a_test() -> Result<()> {
    let text = read("docs/security.md")?.context("docs/security.md is not UTF-8")?;
    let sources = rust_sources()?;
    let functions: BTreeSet<&str> =
        sources.iter().flat_map(|source| &source.functions).map(|function| function.name.as_str()).collect();
    let claims = text.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "));
    let mut complaints = Vec::new();
    for (claim, shown_by) in claims.filter(|(_, shown_by)| *shown_by != "shown by") {
        let tests: Vec<&str> = shown_by.split('`').skip(1).step_by(2).filter(|word| word.contains('_')).collect();
        if !tests.iter().any(|test| functions.contains(test)) {
            complaints.push(format!("docs/security.md: no such test {tests:?} for: {claim}"));
        }
    }
    report(complaints);
    Ok(())
}
