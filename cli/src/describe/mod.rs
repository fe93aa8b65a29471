//! `smidge describe`: what SMI says about an object, in sentences.

mod access;
mod routes;
mod service;
mod split;
mod subject;
#[cfg(test)]
mod tests;
mod workload;

use std::{io::Write, process::ExitCode};

use serde::Serialize;
use smidge_compiler::{Fact, Kind, ObjectRef, Severity, Snapshot, diagnose};
use smidge_crds::{Proxies, Status};

use crate::{
    args::{Describe, Shape},
    paint::{BAD, DOUBTFUL, GOOD, HEAD, out, painted},
    seen::Seen,
};
pub(crate) use subject::Asked;
use subject::Subject;

/// What is said of an object.
#[derive(Debug, Serialize)]
pub(crate) struct Description {
    /// Such as `TrafficSplit/shop/web`.
    object: String,
    /// What it is and does.
    says: Vec<Said>,
    /// What is wrong with it, or doubtful.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    diagnostics: Vec<Told>,
    /// The conditions of its status, as the operator has written them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conditions: Vec<ConditionShown>,
    /// How many proxies have it, as the operator has written it.
    #[serde(skip_serializing_if = "Option::is_none")]
    proxies: Option<Proxies>,
    /// What the answer may lack.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

/// Sentences about one thing.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Said {
    about: &'static str,
    sentences: Vec<String>,
}

impl Said {
    /// `None`: there is nothing to say.
    fn of(about: &'static str, sentences: impl IntoIterator<Item = String>) -> Option<Self> {
        let sentences: Vec<String> = sentences.into_iter().collect();
        (!sentences.is_empty()).then_some(Self { about, sentences })
    }
}

/// A diagnostic.
#[derive(Debug, Serialize)]
struct Told {
    code: &'static str,
    severity: Severity,
    #[serde(skip_serializing_if = "String::is_empty")]
    field: String,
    message: String,
    remedy: &'static str,
}

/// A condition of the status.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConditionShown {
    r#type: String,
    status: String,
    reason: String,
    message: String,
}

pub(crate) fn run(args: &Describe) -> anyhow::Result<ExitCode> {
    let (seen, namespace) = Seen::look_around(&args.files, args.namespace.as_deref())?;
    let is_elsewhere = args.namespace.is_none() && !args.files.is_empty();
    let subject = args.object.find(&seen.snapshot, &namespace, is_elsewhere)?;
    let description = describe(&seen, &subject);
    match args.output {
        Shape::Json => writeln!(out(), "{}", serde_json::to_string_pretty(&description)?)?,
        Shape::Text => write!(out(), "{}", text(&description))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn describe(seen: &Seen, subject: &Subject) -> Description {
    let snapshot = &seen.snapshot;
    let (says, object) = match subject {
        Subject::Account(account) => (workload::tell_account(snapshot, account), None),
        Subject::Object(object) => (tell(snapshot, object), Some(object)),
    };
    let diagnostics = object.map(|object| diagnose(snapshot, object)).unwrap_or_default();
    let status =
        object.and_then(|object| seen.statuses.get(object)).map(|status| Status::clone(status)).unwrap_or_default();
    let told = |told: smidge_compiler::Diagnostic| Told {
        code: told.code.id,
        severity: told.code.severity,
        field: told.field,
        message: told.message,
        remedy: told.code.remedy,
    };
    Description {
        object: subject.to_string(),
        says,
        diagnostics: diagnostics.into_iter().map(told).collect(),
        conditions: conditions(&status),
        proxies: status.proxies,
        notes: seen.remarks.clone(),
    }
}

fn conditions(status: &Status) -> Vec<ConditionShown> {
    let shown = status.conditions.iter().map(|condition| ConditionShown {
        r#type: condition.type_.clone(),
        status: condition.status.clone(),
        reason: condition.reason.clone(),
        message: condition.message.clone(),
    });
    shown.collect()
}

fn tell(snapshot: &Snapshot, object: &ObjectRef) -> Vec<Said> {
    match snapshot.fact(object) {
        Some(Fact::TrafficSplit(facts)) => split::tell(snapshot, facts),
        Some(Fact::TrafficTarget(facts)) => access::tell_target(snapshot, facts),
        Some(Fact::IngressBackend(facts)) => access::tell_ingress(snapshot, facts),
        Some(Fact::HttpRouteGroup(facts)) => routes::tell_group(snapshot, facts),
        Some(Fact::TcpRoute(facts)) => routes::tell_ports(snapshot, facts, Kind::TcpRoute),
        Some(Fact::UdpRoute(facts)) => routes::tell_ports(snapshot, facts, Kind::UdpRoute),
        Some(Fact::Service(facts)) => service::tell(snapshot, facts),
        Some(Fact::Pod(facts)) => workload::tell_pod(snapshot, facts),
        _ => Vec::new(),
    }
}

fn text(description: &Description) -> String {
    let mut lines = vec![painted(HEAD, &description.object)];
    for said in &description.says {
        lines.push(format!("{}:", said.about));
        lines.extend(said.sentences.iter().map(|sentence| format!("  {sentence}")));
    }
    if !description.diagnostics.is_empty() {
        lines.push("what is to be said of it:".to_owned());
    }
    for told in &description.diagnostics {
        let (style, severity) = match told.severity {
            Severity::Error => (BAD, "error"),
            Severity::Warning => (DOUBTFUL, "warning"),
            Severity::Info => (HEAD, "info"),
        };
        let place = if told.field.is_empty() { String::new() } else { format!(" {}", told.field) };
        let head = painted(style, &format!("{severity} {}", told.code));
        lines.push(format!("  {head}{place}: {} → {}", told.message, told.remedy));
    }
    lines.extend(status_lines(description));
    lines.extend(description.notes.iter().map(|note| format!("note: {note}")));
    lines.join("\n") + "\n"
}

fn status_lines(description: &Description) -> Vec<String> {
    let line = |condition: &ConditionShown| {
        let style = if condition.status == "True" { GOOD } else { BAD };
        let ConditionShown { r#type, status, reason, message } = condition;
        format!("  {}: {} ({reason}) {message}", r#type, painted(style, status)).trim_end().to_owned()
    };
    let mut lines: Vec<String> = description.conditions.iter().map(line).collect();
    if let Some(Proxies { total, acknowledged, rejected }) = description.proxies {
        let rejects = if rejected == 0 { String::new() } else { format!(", {rejected} reject it") };
        lines.push(format!("  {acknowledged} of {total} proxies have acknowledged it{rejects}"));
    }
    if !lines.is_empty() {
        lines.insert(0, "its status:".to_owned());
    }
    lines
}
