//! `smidge lint`: what is wrong with manifests, offline.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde::Serialize;
use smidge_compiler::{Diagnostic, ObjectRef, Severity, Snapshot, diagnose, manifest::Authored};
use smidge_injector::misspelt;
use smidge_operator::standalone::{Manifests, Problem};

use crate::args::{Findings, Lint};

/// One thing that was found.
#[derive(Serialize)]
struct Finding<'a> {
    path: Option<&'a Path>,
    line: Option<usize>,
    severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    field: &'a str,
    message: &'a str,
}

/// A label or annotation of a pod that means nothing.
struct Meaningless {
    object: ObjectRef,
    field: String,
    message: String,
}

pub(crate) fn run(args: &Lint) -> anyhow::Result<ExitCode> {
    let manifests = read(&args.files)?;
    let mut snapshot = Snapshot::default();
    for event in manifests.events() {
        snapshot.apply(event);
    }
    let diagnostics: Vec<_> = snapshot.objects().flat_map(|object| diagnose(&snapshot, object)).collect();
    let problems = manifests.problems();
    let unreadable = problems.iter().map(of_problem);
    let meaningless = meaningless(&manifests);
    let misspelt = meaningless.iter().map(|key| of_meaningless(key, &manifests));
    let told = diagnostics.iter().map(|d| of_diagnostic(d, &manifests));
    let mut findings: Vec<_> = unreadable.chain(told).chain(misspelt).collect();
    if let Findings::Text = args.output {
        findings.extend(manifests.unused().map(note_unused));
    }
    findings.sort_by_key(|finding| (finding.path, finding.line));
    print(&findings, args.output)?;
    if manifests.is_empty() {
        eprintln!("warning: there are no manifests: their files end in .yaml, .yml or .json");
    }
    let has_errors = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if has_errors { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Nothing is wrong, but who lints the file may have thought that it says something.
fn note_unused(path: &Path) -> Finding<'_> {
    let message = "no object in it is of a kind that Smidge reads";
    Finding { path: Some(path), line: None, severity: Severity::Info, code: None, object: None, field: "", message }
}

/// Reads everything that the paths name.
pub(crate) fn read(paths: &[PathBuf]) -> anyhow::Result<Manifests> {
    let mut manifests = Manifests::default();
    manifests.read(paths)?;
    Ok(manifests)
}

fn of_problem(problem: &Problem) -> Finding<'_> {
    Finding {
        path: Some(&problem.path),
        line: problem.line,
        severity: Severity::Error,
        code: None,
        object: None,
        field: "",
        message: &problem.message,
    }
}

fn of_diagnostic<'a>(diagnostic: &'a Diagnostic, manifests: &'a Manifests) -> Finding<'a> {
    let located = manifests.locate(&diagnostic.object, &diagnostic.field);
    Finding {
        path: located.as_ref().map(|located| located.path),
        line: located.map(|located| located.line),
        severity: diagnostic.code.severity,
        code: Some(diagnostic.code.id),
        object: Some(diagnostic.object.to_string()),
        field: &diagnostic.field,
        message: &diagnostic.message,
    }
}

fn meaningless(manifests: &Manifests) -> Vec<Meaningless> {
    let of_pod = |(object, authored): (ObjectRef, &Authored)| {
        let at = |field: String| authored.field.to_owned() + field.strip_prefix("metadata").unwrap_or_default();
        let told = misspelt(&authored.metadata).into_iter();
        told.map(|told| Meaningless { object: object.clone(), field: at(told.field), message: told.message })
            .collect::<Vec<_>>()
    };
    manifests.pods().flat_map(of_pod).collect()
}

fn of_meaningless<'a>(key: &'a Meaningless, manifests: &'a Manifests) -> Finding<'a> {
    let located = manifests.locate(&key.object, &key.field);
    Finding {
        path: located.as_ref().map(|located| located.path),
        line: located.map(|located| located.line),
        severity: Severity::Warning,
        code: None,
        object: Some(key.object.to_string()),
        field: &key.field,
        message: &key.message,
    }
}

fn print(findings: &[Finding<'_>], form: Findings) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match form {
        Findings::Json => writeln!(out, "{}", serde_json::to_string_pretty(findings)?)?,
        Findings::Text => {
            for finding in findings {
                writeln!(out, "{}", line(finding))?;
            }
        }
    }
    Ok(())
}

/// `shop.yaml:12: error SMI0101 TrafficSplit/shop/web spec.backends[1].weight: …`
fn line(finding: &Finding<'_>) -> String {
    let path = finding.path.map(|path| format!("{}:", path.display()));
    let line = finding.line.map(|line| format!("{line}:"));
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let place = path.unwrap_or_default() + &line.unwrap_or_default();
    let field = if finding.field.is_empty() { String::new() } else { finding.field.to_owned() };
    let words =
        [place.as_str(), severity, finding.code.unwrap_or_default(), finding.object.as_deref().unwrap_or_default()];
    let head: Vec<&str> = words.into_iter().chain([field.as_str()]).filter(|word| !word.is_empty()).collect();
    format!("{}: {}", head.join(" "), finding.message)
}
