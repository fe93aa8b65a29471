//! What to tell the author of an object, and where the object takes effect.

mod ingress;
mod reach;
mod routes;
mod service;
mod split;
mod target;

use std::collections::BTreeMap;

use crate::{Code, Diagnostic, Fact, ObjectRef, Snapshot};

pub use reach::{Reach, grantors, reach};

/// How often an object is told the same.
const MOST_OF_A_CODE: usize = 8;

/// Everything there is to say about an object, errors first; empty: all is well (or there is no such object).
pub fn diagnose(snapshot: &Snapshot, object: &ObjectRef) -> Vec<Diagnostic> {
    let Some(fact) = snapshot.fact(object) else { return Vec::new() };
    let mut told = Told { snapshot, object, diagnostics: Vec::new() };
    for problem in fact.problems() {
        told.add(problem.code, problem.field.clone(), problem.message.clone());
    }
    match fact {
        Fact::Service(facts) => service::tell(&mut told, facts),
        Fact::EndpointSlice(facts) => service::tell_slice(&mut told, facts),
        Fact::TrafficSplit(facts) => split::tell(&mut told, facts),
        Fact::TrafficTarget(facts) => target::tell(&mut told, facts),
        Fact::IngressBackend(facts) => ingress::tell(&mut told, facts),
        Fact::HttpRouteGroup(_) | Fact::TcpRoute(_) => routes::tell(&mut told),
        Fact::UdpRoute(_) => routes::tell_udp(&mut told),
        Fact::Namespace(_) | Fact::Pod(_) | Fact::MeshConfig(_) => {}
    }
    let mut diagnostics = told.diagnostics;
    diagnostics.sort_by(|a, b| a.order().cmp(&b.order()));
    diagnostics.dedup();
    bounded(diagnostics)
}

/// The first few of each code: nobody reads a hundred, and a status has little room.
fn bounded(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    diagnostics.retain(|diagnostic| {
        let count = counts.entry(diagnostic.code.id).or_default();
        *count += 1;
        *count <= MOST_OF_A_CODE
    });
    diagnostics
}

/// What is told of one object.
struct Told<'a> {
    snapshot: &'a Snapshot,
    object: &'a ObjectRef,
    diagnostics: Vec<Diagnostic>,
}

impl Told<'_> {
    fn add(&mut self, code: Code, field: impl Into<String>, message: impl Into<String>) {
        let (field, message) = (field.into(), message.into());
        self.diagnostics.push(Diagnostic { code, object: self.object.clone(), field, message });
    }

    fn has(&self, codes: &[Code]) -> bool {
        self.diagnostics.iter().any(|diagnostic| codes.contains(&diagnostic.code))
    }
}
