//! Files and functions stay short: CONTRIBUTING.md says why. Lengths are in lines without blanks.

use anyhow::Result;
use tidy::{Exceptions, rust_sources};

use crate::report;

const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 60;

#[test]
fn every_file_opens_with_what_it_is() -> Result<()> {
    let sources = rust_sources()?;
    let missing = sources.iter().filter(|source| !source.text.starts_with("//! "));
    report(missing.map(|source| format!("{}: the first line has to be `//! <what this is>`", source.path)).collect());
    Ok(())
}

#[test]
fn no_file_is_longer_than_500_lines() -> Result<()> {
    let exceptions = Exceptions::to("long-file")?;
    let mut complaints = Vec::new();
    for source in rust_sources()? {
        if source.length() > LONGEST_FILE && !exceptions.cover(&source.path) {
            complaints.push(format!("{}: {} lines; split it along its own seams", source.path, source.length()));
        }
    }
    complaints.extend(exceptions.unused());
    report(complaints);
    Ok(())
}

#[test]
fn no_function_is_longer_than_60_lines() -> Result<()> {
    let exceptions = Exceptions::to("long-function")?;
    let mut complaints = Vec::new();
    for source in rust_sources()? {
        for function in &source.functions {
            let place = format!("{}::{}", source.path, function.name);
            if function.length > LONGEST_FUNCTION && !exceptions.cover(&place) {
                complaints.push(format!(
                    "{}:{}: {} has {} lines",
                    source.path, function.line, function.name, function.length
                ));
            }
        }
    }
    complaints.extend(exceptions.unused());
    report(complaints);
    Ok(())
}

#[test]
fn most_files_and_functions_are_short() -> Result<()> {
    let sources = rust_sources()?;
    let files = sources.iter().map(|source| source.length()).collect();
    let functions = sources.iter().flat_map(|source| &source.functions).map(|function| function.length).collect();
    report([at_most("file", files, 150, 350), at_most("function", functions, 8, 35)].into_iter().flatten().collect());
    Ok(())
}

fn at_most(what: &str, mut lengths: Vec<usize>, median: usize, high: usize) -> Vec<String> {
    lengths.sort_unstable();
    let quantile = |percent: usize| lengths[(lengths.len() - 1) * percent / 100];
    let too_long = |name: &str, found: usize, allowed: usize| {
        (found > allowed).then(|| format!("the {name} {what} has {found} lines, allowed are {allowed}"))
    };
    [too_long("median", quantile(50), median), too_long("95th percentile", quantile(95), high)]
        .into_iter()
        .flatten()
        .collect()
}
