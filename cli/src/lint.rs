//! `smidge lint`: what is wrong with manifests, offline.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use serde::Serialize;
use smidge_compiler::{Diagnostic, ObjectRef, Severity, Snapshot, codes, diagnose};
use smidge_operator::standalone::{Manifests, Problem};

use crate::{
    args::{Findings, Lint},
    paint::{BAD, DOUBTFUL, HEAD, out, painted},
    pods::{Remark, remarks},
    sarif::sarif,
};

/// One thing that was found.
#[derive(Serialize)]
pub(crate) struct Finding<'a> {
    pub(crate) path: Option<&'a Path>,
    pub(crate) line: Option<usize>,
    pub(crate) severity: Severity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) field: &'a str,
    pub(crate) message: &'a str,
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
    let (unseen, told): (Vec<_>, Vec<_>) = diagnostics.iter().partition(|told| lacks_pods(&snapshot, told));
    let told = told.into_iter().map(|told| of_diagnostic(told, &manifests));
    let remarks = remarks(&manifests, &snapshot);
    let remarks = remarks.iter().map(|remark| of_remark(remark, &manifests));
    let mut findings: Vec<_> = unreadable.chain(told).chain(remarks).collect();
    if let Findings::Text = args.output {
        findings.extend(manifests.unused().map(note_unused));
        findings.extend(unseen.into_iter().map(|told| note_unseen(told, &manifests)));
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

/// Whether it is said that there are no pods where the files hold none at all of the namespace: a folder of policy is no mistake.
fn lacks_pods(snapshot: &Snapshot, told: &Diagnostic) -> bool {
    told.code == codes::DESTINATION_HAS_NO_PODS
        && !snapshot.pods().any(|pod| pod.origin.namespace == told.object.namespace)
}

/// Nothing is wrong as far as can be seen, and that is not far.
fn note_unseen<'a>(told: &'a Diagnostic, manifests: &'a Manifests) -> Finding<'a> {
    let message =
        "the files hold no pod, Deployment or the like of the namespace, so whether one runs as it is not looked at";
    Finding { code: None, message, ..of_diagnostic(told, manifests) }
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
    let (path, line) = place(&diagnostic.object, &diagnostic.field, manifests);
    Finding {
        path,
        line,
        severity: diagnostic.code.severity,
        code: Some(diagnostic.code.id),
        object: Some(diagnostic.object.to_string()),
        field: &diagnostic.field,
        message: &diagnostic.message,
    }
}

fn of_remark<'a>(remark: &'a Remark, manifests: &'a Manifests) -> Finding<'a> {
    let (path, line) = place(&remark.object, &remark.field, manifests);
    Finding {
        path,
        line,
        severity: remark.severity,
        code: None,
        object: Some(remark.object.to_string()),
        field: &remark.field,
        message: &remark.message,
    }
}

fn place<'a>(object: &ObjectRef, field: &str, manifests: &'a Manifests) -> (Option<&'a Path>, Option<usize>) {
    manifests.locate(object, field).map(|located| (located.path, located.line)).unzip()
}

fn print(findings: &[Finding<'_>], form: Findings) -> anyhow::Result<()> {
    let mut out = out();
    match form {
        Findings::Sarif => writeln!(out, "{}", serde_json::to_string_pretty(&sarif(findings))?)?,
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
        Severity::Error => painted(BAD, "error"),
        Severity::Warning => painted(DOUBTFUL, "warning"),
        Severity::Info => painted(HEAD, "info"),
    };
    let place = path.unwrap_or_default() + &line.unwrap_or_default();
    let field = if finding.field.is_empty() { String::new() } else { finding.field.to_owned() };
    let words = [
        place.as_str(),
        severity.as_str(),
        finding.code.unwrap_or_default(),
        finding.object.as_deref().unwrap_or_default(),
    ];
    let head: Vec<&str> = words.into_iter().chain([field.as_str()]).filter(|word| !word.is_empty()).collect();
    format!("{}: {}", head.join(" "), finding.message)
}
