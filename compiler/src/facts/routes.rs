//! HTTPRouteGroups, TCPRoutes and UDPRoutes: which traffic a target or a split is about.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use smidge_crds::{
    HTTPRouteGroup, TCPRoute, UDPRoute,
    specs::{
        http_route_group::{Headers, HttpMatch as CrdMatch, Method as CrdMethod},
        ports::PortMatch,
    },
};
use smidge_mesh::{HeaderName, HttpMatch, Method, PathPattern, PortSet, ValuePattern};

use super::{Digest, Fact, Origin, Problem, shown};
use crate::{codes, pattern};

/// The facts about an HTTPRouteGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteGroupFacts {
    /// Which.
    pub origin: Origin,
    /// Its matches that are fit; their names are unique.
    pub matches: Vec<NamedMatch>,
    /// What is unfit in it.
    pub problems: Vec<Problem>,
}

/// One match of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMatch {
    /// What rules call it.
    pub name: Arc<str>,
    /// Which requests it is about.
    pub request: HttpMatch,
}

/// The facts about a TCPRoute or a UDPRoute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRouteFacts {
    /// Which.
    pub origin: Origin,
    /// What rules call its one match.
    pub match_name: Option<Arc<str>>,
    /// The ports of the destination's pods.
    pub ports: PortSet,
    /// What is unfit in it.
    pub problems: Vec<Problem>,
}

/// How many matches of a group count.
const MOST_MATCHES: usize = 256;
/// How many headers a match may have.
const MOST_HEADERS: usize = 32;

impl Digest for HTTPRouteGroup {
    fn digest(&self) -> Fact {
        let mut problems = Vec::new();
        let count = self.spec.matches.len();
        if count == 0 {
            problems.push(Problem::new(
                codes::NO_MATCHES,
                "spec.matches",
                "no match: nothing is opened or chosen by it",
            ));
        }
        if count > MOST_MATCHES {
            let message = format!("{count} matches; the first {MOST_MATCHES} count");
            problems.push(Problem::new(codes::TOO_MANY_MATCHES, "spec.matches", message));
        }
        let (mut names, mut matches) = (BTreeSet::new(), Vec::new());
        for (position, written) in self.spec.matches.iter().take(MOST_MATCHES).enumerate() {
            let field = format!("spec.matches[{position}]");
            // A name is taken even by an unfit match: else a second one would open what nobody sees.
            if !names.insert(written.name.as_str()) {
                let message = format!("a match before it is called {} too", shown(&written.name));
                problems.push(Problem::new(codes::DUPLICATE_MATCH, field + ".name", message));
                continue;
            }
            match request(written, &field) {
                Ok(request) => matches.push(NamedMatch { name: written.name.as_str().into(), request }),
                Err(problem) => problems.push(problem),
            }
        }
        let origin = Origin::with_status(&self.metadata);
        Fact::HttpRouteGroup(Arc::new(RouteGroupFacts { origin, matches, problems }))
    }
}

/// What a match is about; unfit in one part, it is unfit as a whole: without the part it would match more.
fn request(written: &CrdMatch, field: &str) -> Result<HttpMatch, Problem> {
    let path = written.path_regex.as_deref().filter(|regex| !regex.is_empty());
    let path =
        path.map(|regex| checked(regex, format!("{field}.pathRegex")).map(PathPattern::from_checked)).transpose()?;
    let headers = headers(&written.headers, &format!("{field}.headers"))?;
    Ok(HttpMatch { path, methods: methods(&written.methods), headers })
}

fn methods(methods: &[CrdMethod]) -> BTreeSet<Method> {
    match methods.contains(&CrdMethod::Any) {
        true => BTreeSet::new(),
        false => methods.iter().map(|method| Method::from_checked(method.as_str())).collect(),
    }
}

fn headers(headers: &Headers, field: &str) -> Result<BTreeMap<HeaderName, ValuePattern>, Problem> {
    let unfit = |message: String| Problem::new(codes::BAD_HEADER, field, message);
    if let Some(position) = headers.first_misshapen_item() {
        let message = format!("item {position} must have exactly one key");
        return Err(Problem::new(codes::BAD_HEADER, format!("{field}[{position}]"), message));
    }
    let mut conditions = BTreeMap::new();
    for (name, regex) in headers.iter() {
        if conditions.len() == MOST_HEADERS {
            return Err(unfit(format!("more than {MOST_HEADERS} headers")));
        }
        let lower = header_name(name).ok_or_else(|| unfit(format!("{} is no header's name", shown(name))))?;
        let value = ValuePattern::from_checked(checked(regex, format!("{field}.{lower}"))?);
        if conditions.insert(HeaderName::from_checked(lower.as_str()), value).is_some() {
            return Err(unfit(format!("header {lower} is named twice")));
        }
    }
    Ok(conditions)
}

/// A token of RFC 9110 §5.6.2 in lower case; never a pseudo header.
fn header_name(name: &str) -> Option<String> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    ((1..=255).contains(&name.len()) && name.bytes().all(is_token)).then(|| name.to_ascii_lowercase())
}

fn checked(regex: &str, field: String) -> Result<&str, Problem> {
    match pattern::check(regex) {
        Ok(()) => Ok(regex),
        Err(unfit) => Err(Problem::new(unfit.code, field, format!("{}: {}", shown(regex), unfit.reason))),
    }
}

impl Digest for TCPRoute {
    fn digest(&self) -> Fact {
        Fact::TcpRoute(port_route(&self.metadata, self.spec.matches.as_ref()))
    }
}

impl Digest for UDPRoute {
    fn digest(&self) -> Fact {
        Fact::UdpRoute(port_route(&self.metadata, self.spec.matches.as_ref()))
    }
}

fn port_route(meta: &ObjectMeta, matches: Option<&PortMatch>) -> Arc<PortRouteFacts> {
    let named = matches.map_or(&[][..], |matches| &matches.ports);
    let ports: BTreeSet<u16> = named.iter().copied().filter(|&port| port != 0).collect();
    let zero = || Problem::new(codes::BAD_PORT, "spec.matches.ports", "port 0 is none");
    Arc::new(PortRouteFacts {
        origin: Origin::with_status(meta),
        match_name: matches.and_then(|matches| matches.name.as_deref()).map(Into::into),
        // A list of which nothing is left opens nothing: it is not an absent one.
        ports: if named.is_empty() { PortSet::All } else { PortSet::Only(ports) },
        problems: named.contains(&0).then(zero).into_iter().collect(),
    })
}
