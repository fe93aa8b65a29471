//! `smidge authz`: whether one service account may call another, and what decides it.

mod answer;
mod judge;
mod missing;
mod request;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, io::Write, process::ExitCode};

use smidge_operator::Scope;

use crate::{
    args::{Authz, Shape},
    paint::{BAD, DOUBTFUL, GOOD, out, painted},
    seen::Seen,
};
pub(crate) use answer::{Answer, Question, answer, identity, inbounds, pods, shown};
use answer::{By, OnPort};
pub(crate) use missing::{in_ports, targets, targets_to};
pub(crate) use request::{Path, Request, in_words, parse_header, parse_method};

pub(crate) fn run(args: &Authz) -> anyhow::Result<ExitCode> {
    let question = args.question();
    let namespaces = [&question.from, &question.to].map(|account| account.namespace.to_string());
    let seen = Seen::look(&args.files, &Scope::Namespaces(namespaces.into()))?;
    let mut answer = answer(&seen.snapshot, &question);
    answer.notes.extend(seen.remarks);
    match args.output {
        Shape::Json => writeln!(out(), "{}", serde_json::to_string_pretty(&answer)?)?,
        Shape::Text => write!(out(), "{}", text(&answer))?,
    }
    Ok(if answer.allowed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A sentence for all ports that say the same, and the notes.
fn text(answer: &Answer) -> String {
    let mut alike: BTreeMap<OnPort, Vec<Option<String>>> = BTreeMap::new();
    for port in &answer.ports {
        let number = port.port.map(|port| port.to_string());
        alike.entry(OnPort { port: None, ..port.clone() }).or_default().push(number);
    }
    let mut alike: Vec<_> = alike.into_iter().collect();
    alike.sort_by_key(|(port, _)| !port.allowed);
    let sentences = alike.iter().map(|(port, numbers)| sentence(answer, port, numbers));
    sentences.chain(answer.notes.iter().map(|note| format!("note: {note}\n"))).collect()
}

fn sentence(answer: &Answer, port: &OnPort, numbers: &[Option<String>]) -> String {
    let may = if port.allowed { "may" } else { "may not" };
    let what = match &answer.request {
        _ if port.protocol == smidge_mesh::Protocol::Tcp => "open TCP connections to".to_owned(),
        Some(request) => format!("{request} at"),
        None => "call".to_owned(),
    };
    let known: Vec<&str> = numbers.iter().flatten().map(String::as_str).collect();
    let ports = match known.as_slice() {
        [] => "a port that no Service names".to_owned(),
        [one] => format!("port {one}"),
        several => format!("ports {}", several.join(", ")),
    };
    let protocol = format!("{:?}", port.protocol).to_lowercase();
    let caller = port.caller.map_or(String::new(), |ip| format!(" at {ip}"));
    let call = format!("{}{caller} {may} {what} {} on {ports} ({protocol})", answer.from, answer.to);
    let missing = port.missing.join("; ");
    match port.verdict {
        "permitted" => format!("{}: {call}, by {}\n", painted(GOOD, "allowed"), by(&port.by, answer.request.is_none())),
        "not enforced" => {
            let (from, to) = (&answer.from, &answer.to);
            let why = "they have no sidecar, so nothing is enforced there";
            format!(
                "{}: {from} may call those pods of {to} that are outside the mesh: {why}\n",
                painted(DOUBTFUL, "allowed")
            )
        }
        "audited" => {
            let why = "nothing permits it: mode audit lets it in and logs it, mode deny would refuse it";
            format!("{}: {call}, though {why}: {missing}\n", painted(DOUBTFUL, "allowed"))
        }
        "unrestricted" => {
            let why = "nothing permits it: mode allow lets everything in";
            format!("{}: {call}, though {why}: {missing}\n", painted(DOUBTFUL, "allowed"))
        }
        "forbidden" => format!("{}: {call}, and gets HTTP 403: {missing}\n", painted(BAD, "denied")),
        "bad path" => format!("{}: {call}, and gets HTTP 400: {missing}\n", painted(BAD, "denied")),
        _ => format!("{}: {call}, the connection is closed: {missing}\n", painted(BAD, "denied")),
    }
}

/// `TrafficTarget/shop/orders (HTTPRouteGroup/shop/api match read: GET /orders…)`
fn by(all: &[By], with_what: bool) -> String {
    let one = |by: &By| {
        let routes: Vec<String> = match (by.routes.is_empty(), with_what) {
            (true, _) => by.what.clone(),
            (false, false) => by.routes.clone(),
            (false, true) => by.routes.iter().zip(&by.what).map(|(route, what)| format!("{route}: {what}")).collect(),
        };
        format!("{} ({})", by.object, routes.join("; "))
    };
    all.iter().map(one).collect::<Vec<_>>().join(" and ")
}
