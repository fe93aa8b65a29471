//! The pure crates are functions of their arguments: no runtime, no client, no clock, no environment, no file.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use tidy::{Graph, Source, rust_sources};

use crate::report;

pub(crate) const PURE: [&str; 8] = ["crds", "mesh", "compiler", "xds", "translator", "engine", "report", "injector"];

/// Crates with which a program reaches out.
const IMPURE: [&str; 10] =
    ["tokio", "tonic", "kube-client", "kube-runtime", "hyper", "mio", "notify", "reqwest", "nix", "tracing-subscriber"];

/// Generated message types: they bring tonic's generated services along, which no pure crate calls.
const MESSAGES: &str = "envoy-types";

/// What the standard library offers to reach out with.
const REACHING_OUT: [&str; 14] = [
    "SystemTime",
    "Instant",
    "std::env",
    "env::var",
    "std::fs",
    "fs::read",
    "File::",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "std::process",
    "std::thread",
    "thread::spawn",
    "Timestamp::now",
];

#[test]
fn pure_crates_are_built_from_nothing_that_reaches_out() -> Result<()> {
    let graph = Graph::read()?;
    let impure = BTreeSet::from(IMPURE.map(str::to_owned));
    let mut complaints = Vec::new();
    for folder in PURE {
        let package = graph.packages.iter().find(|package| package.folder == folder);
        let package = package.with_context(|| format!("no crate {folder}"))?;
        for found in package.dependencies(MESSAGES)?.intersection(&impure) {
            complaints.push(format!("{folder} must not depend on {found}: cargo tree -p {} -i {found}", package.name));
        }
    }
    report(complaints);
    Ok(())
}

#[test]
fn pure_crates_do_not_reach_out_through_the_standard_library() -> Result<()> {
    let sources = rust_sources()?;
    report(sources.iter().filter(|source| is_pure(source)).flat_map(reaching_out).collect());
    Ok(())
}

fn is_pure(source: &Source) -> bool {
    PURE.iter().any(|folder| source.path.starts_with(&format!("{folder}/src/")))
}

fn reaching_out(source: &Source) -> Vec<String> {
    let lines = source.production_code();
    let told = |(number, line): (usize, &str)| {
        let word = REACHING_OUT.iter().find(|word| line.contains(**word))?;
        Some(format!("{}:{number}: `{word}` in a pure crate; let the caller hand in the value", source.path))
    };
    lines.filter_map(told).collect()
}
