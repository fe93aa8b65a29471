//! IngressBackends: who outside the mesh may call which ports of which Services.

use std::sync::Arc;

use ipnet::IpNet;
use smidge_crds::{
    IngressBackend,
    smidge::v1alpha1::{Backend, IngressRoute, Source, SourceKind},
};
use smidge_mesh::{Principal, ServiceName};

use super::{Digest, Fact, Origin, Problem, Rule, RuleKind, shown};
use crate::{Code, ObjectRef, codes};

/// The facts about an IngressBackend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressFacts {
    /// Which.
    pub origin: Origin,
    /// What it opens.
    pub backends: Vec<IngressBackendFacts>,
    /// To whom.
    pub sources: Vec<SourceFacts>,
    /// What is unfit in it.
    pub problems: Vec<Problem>,
}

/// A port that an IngressBackend opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressBackendFacts {
    /// Whose.
    pub service: ServiceName,
    /// The Service's number of it.
    pub port: u16,
    /// The routes that are opened; `None`: everything is.
    pub routes: Option<Vec<Rule>>,
    /// Where it stands in `spec.backends`.
    pub position: usize,
}

/// Callers outside the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFacts {
    /// Who.
    pub source: IngressSource,
    /// Where they stand in `spec.sources`.
    pub position: usize,
}

/// By what callers outside the mesh are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressSource {
    /// Their address.
    Range(IpNet),
    /// That they are a Service's pods.
    Service(ServiceName),
    /// Their certificate.
    Principal(Principal),
}

/// How many backends, sources and routes of a backend count.
const MOST_BACKENDS: usize = 64;
const MOST_SOURCES: usize = 256;
const MOST_ROUTES: usize = 64;

impl IngressFacts {
    /// The HTTPRouteGroups that it names.
    pub fn groups(&self) -> impl Iterator<Item = ObjectRef> {
        let rules = self.backends.iter().flat_map(|backend| backend.routes.iter().flatten());
        rules.map(|rule| rule.object_in(&self.origin.namespace))
    }

    /// The Services whose pods may call.
    pub fn services(&self) -> impl Iterator<Item = &ServiceName> {
        self.sources.iter().filter_map(|facts| match &facts.source {
            IngressSource::Service(service) => Some(service),
            IngressSource::Range(_) | IngressSource::Principal(_) => None,
        })
    }
}

impl Digest for IngressBackend {
    fn digest(&self) -> Fact {
        let mut problems = Vec::new();
        let origin = Origin::with_status(&self.metadata);
        let backends = backends(&self.spec.backends, &origin.namespace, &mut problems);
        let sources = sources(&self.spec.sources, &origin.namespace, &mut problems);
        Fact::IngressBackend(Arc::new(IngressFacts { origin, backends, sources, problems }))
    }
}

fn backends(written: &[Backend], own: &Arc<str>, problems: &mut Vec<Problem>) -> Vec<IngressBackendFacts> {
    bound(written.len(), MOST_BACKENDS, "spec.backends", problems);
    need(!written.is_empty(), codes::INGRESS_NO_BACKENDS, "spec.backends", problems);
    let backend = |(position, backend): (usize, &Backend)| {
        let field = format!("spec.backends[{position}].routes");
        IngressBackendFacts {
            service: ServiceName::new(own.clone(), backend.name.as_str()),
            port: backend.port.number,
            routes: (!backend.routes.is_empty()).then(|| routes(&backend.routes, &field, problems)),
            position,
        }
    };
    written.iter().take(MOST_BACKENDS).enumerate().map(backend).collect()
}

fn routes(written: &[IngressRoute], field: &str, problems: &mut Vec<Problem>) -> Vec<Rule> {
    bound(written.len(), MOST_ROUTES, field, problems);
    let rule = |(position, route): (usize, &IngressRoute)| Rule {
        kind: RuleKind::HttpRouteGroup,
        name: route.name.as_str().into(),
        matches: (!route.matches.is_empty()).then(|| route.matches.iter().map(|name| name.as_str().into()).collect()),
        position,
    };
    written.iter().take(MOST_ROUTES).enumerate().map(rule).collect()
}

fn sources(written: &[Source], own: &Arc<str>, problems: &mut Vec<Problem>) -> Vec<SourceFacts> {
    bound(written.len(), MOST_SOURCES, "spec.sources", problems);
    let mut sources = Vec::new();
    for (position, written) in written.iter().take(MOST_SOURCES).enumerate() {
        match source(written, own) {
            Ok(source) => sources.push(SourceFacts { source, position }),
            Err(message) => {
                problems.push(Problem::new(codes::BAD_SOURCE, format!("spec.sources[{position}]"), message));
            }
        }
    }
    need(!sources.is_empty(), codes::INGRESS_NO_SOURCES, "spec.sources", problems);
    sources
}

fn source(written: &Source, own: &Arc<str>) -> Result<IngressSource, String> {
    let [cidr, name, namespace] =
        [&written.cidr, &written.name, &written.namespace].map(|text| text.as_deref().filter(|text| !text.is_empty()));
    match written.kind {
        SourceKind::IpRange => {
            let cidr = cidr.ok_or("an IPRange needs a cidr, such as 10.0.0.0/8")?;
            let range: Result<IpNet, _> = cidr.parse();
            let range = range.map_err(|_| format!("{} is no CIDR such as 10.0.0.0/8", shown(cidr)))?;
            // Bits behind the length say nothing.
            Ok(IngressSource::Range(range.trunc()))
        }
        SourceKind::Service => {
            let name = name.ok_or("a Service needs a name")?;
            Ok(IngressSource::Service(ServiceName::new(namespace.unwrap_or(own), name)))
        }
        SourceKind::AuthenticatedPrincipal => {
            let name = name.ok_or("an AuthenticatedPrincipal needs a name, such as spiffe://example.org/ingress")?;
            is_san(name).then(|| IngressSource::Principal(Principal::from_checked(name))).ok_or_else(|| {
                format!("{} is neither a URI, such as spiffe://example.org/ingress, nor a DNS name", shown(name))
            })
        }
    }
}

/// Whether it is a URI or a DNS name, as a certificate holds it.
fn is_san(name: &str) -> bool {
    let is_dns = |b: u8| b.is_ascii_alphanumeric() || b".-_".contains(&b);
    name.len() <= 2048
        && match name.split_once("://") {
            Some((scheme, rest)) => {
                !scheme.is_empty() && !rest.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())
            }
            None => name.bytes().all(is_dns),
        }
}

fn bound(count: usize, most: usize, field: &str, problems: &mut Vec<Problem>) {
    if count > most {
        let message = format!("{count} of them; the first {most} count");
        problems.push(Problem::new(codes::INGRESS_TOO_MANY_PARTS, field, message));
    }
}

fn need(is_there: bool, code: Code, field: &str, problems: &mut Vec<Problem>) {
    if !is_there {
        problems.push(Problem::new(code, field, "none that is usable: nobody is let in by it"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_an_address_and_a_length_that_fits_it() {
        let read = |cidr: &str| {
            let written =
                Source { kind: SourceKind::IpRange, cidr: Some(cidr.to_owned()), name: None, namespace: None };
            match source(&written, &"shop".into()) {
                Ok(IngressSource::Range(range)) => Some(range.to_string()),
                _ => None,
            }
        };
        assert_eq!(read("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(read("0.0.0.0/0").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(read("fd00::1:2/112").as_deref(), Some("fd00::1:0/112"));
        for cidr in ["10.0.0.0", "10.0.0.0/33", "::/129", "10.0.0/8", "x/8", "/8", "10.0.0.0/", "10.0.0.0/-1"] {
            assert_eq!(read(cidr), None, "{cidr}");
        }
    }
}
