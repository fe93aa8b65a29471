//! Every diagnostic that the compiler can make has a case that makes it.

use anyhow::{Context, Result};
use tidy::{read, tracked};

use crate::report;

const CATALOGUE: &str = "compiler/src/codes.rs";

/// `("SMI0101", "ROOT_NOT_OWN")`, as the catalogue lists them.
fn codes(catalogue: &str) -> Vec<(&str, &str)> {
    catalogue
        .lines()
        .filter_map(|line| {
            let (id, rest) = line.trim().strip_prefix('"')?.split_once("\" ")?;
            id.starts_with("SMI").then(|| (id, rest.split(' ').next().unwrap_or_default()))
        })
        .collect()
}

/// Is it a golden, or a test?
fn is_case(path: &str) -> bool {
    path.starts_with("testdata/") || (path.ends_with(".rs") && path.contains("/tests/") && !path.starts_with("tidy/"))
}

#[test]
fn every_diagnostic_code_has_a_case() -> Result<()> {
    let catalogue = read(CATALOGUE)?.context("the catalogue is not UTF-8")?;
    let mut cases = String::new();
    for path in tracked()?.iter().filter(|path| is_case(path)) {
        cases.push_str(&read(path)?.unwrap_or_default());
    }
    let codes = codes(&catalogue);
    assert!(!codes.is_empty(), "{CATALOGUE} lists no codes");
    let without = codes.iter().filter(|(id, _)| !cases.contains(id));
    report(without.map(|(id, name)| format!("{id} ({name}) has no case: add one under testdata/")).collect());
    Ok(())
}
