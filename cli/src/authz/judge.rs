//! What a server's sidecar does with a call: the compiled inbound side, of which Envoy's rules are made, and a call in, the
//! verdict out. It mirrors `translator/src/inbound*.rs` and `rbac.rs`, and a test holds it to what those make.

use std::net::IpAddr;

use smidge_mesh::{Grant, HttpMatch, Identity, Inbound, IngressGrant, Mode, Mtls, PortSet, Protocol, Protocols};

use super::request::{Path, Request};

/// Who calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Caller<'a> {
    /// A pod of the mesh.
    Known(&'a Identity),
    /// Somebody without mTLS, at this address.
    Outside(IpAddr),
}

/// What is called for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Asked<'a> {
    /// Whatever may be.
    Anything,
    /// This request.
    Request(&'a Request),
    /// A TCP connection.
    Connection,
}

/// A port of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Port {
    /// Its number; `None`: any that no Service names.
    pub(crate) number: Option<u16>,
    /// What Services say that it speaks; `None`: no Service names it.
    pub(crate) declared: Option<Protocol>,
}

impl Port {
    /// The port of this number, or any other.
    pub(crate) fn of(inbound: &Inbound, number: Option<u16>) -> Self {
        Self { number, declared: number.and_then(|number| inbound.key.ports.get(&number).copied()) }
    }

    /// What it speaks.
    pub(crate) fn protocol(self) -> Protocol {
        self.declared.unwrap_or(Protocol::Detect)
    }

    fn is_in(self, ports: &PortSet) -> bool {
        self.number.map_or(*ports == PortSet::All, |number| ports.permits(number))
    }
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) caller: Caller<'a>,
    pub(crate) port: Port,
    pub(crate) asked: Asked<'a>,
}

/// What permits a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Permit<'a> {
    /// A TrafficTarget.
    Target(&'a Grant),
    /// An IngressBackend.
    Ingress(&'a IngressGrant),
}

/// What comes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is permitted.
    Permitted,
    /// Nothing permits it, and the mode lets it in.
    LetIn(Mode),
    /// HTTP 403, of gRPC status 7.
    Forbidden,
    /// HTTP 400, whoever asks.
    BadPath,
    /// The connection is closed, without a word.
    Closed,
}

impl Verdict {
    /// Whether the app gets the call.
    pub(crate) fn is_let_in(self) -> bool {
        matches!(self, Self::Permitted | Self::LetIn(_))
    }
}

/// What the server's sidecar does with a call.
pub(crate) fn judge(inbound: &Inbound, call: &Call<'_>) -> Verdict {
    if matches!(call.asked, Asked::Request(Request { path: Path::Refused(_), .. })) {
        return Verdict::BadPath;
    }
    let key = &inbound.key;
    let is_connection = matches!(call.asked, Asked::Connection);
    match call.caller {
        _ if !permits(inbound, call).is_empty() => Verdict::Permitted,
        Caller::Outside(ip) if !may_connect(inbound, call.port, is_connection, ip) => Verdict::Closed,
        _ if key.mode != Mode::Deny => Verdict::LetIn(key.mode),
        _ if is_connection => Verdict::Closed,
        _ => Verdict::Forbidden,
    }
}

/// Everything that permits a call.
pub(crate) fn permits<'a>(inbound: &'a Inbound, call: &Call<'_>) -> Vec<Permit<'a>> {
    let targets = inbound.grants.iter().filter(|grant| opens(grant, call)).map(Permit::Target);
    let ingress = inbound.ingress.iter().filter(|grant| lets_in(grant, call)).map(Permit::Ingress);
    targets.chain(ingress).collect()
}

fn opens(grant: &Grant, call: &Call<'_>) -> bool {
    let Caller::Known(identity) = call.caller else { return false };
    let is_opened = match (call.asked, &grant.protocols) {
        (Asked::Anything, _) | (Asked::Request(_), Protocols::Any) => true,
        (Asked::Request(request), Protocols::Http(matches)) => fits(request, matches),
        // A handshake does not know the port, so that undeclared ones take a grant for all.
        (Asked::Connection, Protocols::Any) => call.port.declared.is_some() || grant.ports == PortSet::All,
        (Asked::Connection, Protocols::Http(_)) => false,
    };
    is_opened && grant.sources.contains(identity) && call.port.is_in(&grant.ports)
}

fn lets_in(grant: &IngressGrant, call: &Call<'_>) -> bool {
    let is_named = match call.caller {
        Caller::Known(identity) => {
            let name = identity.to_string();
            grant.certified().iter().any(|principal| principal.as_str() == name)
        }
        Caller::Outside(ip) => grant.addresses().iter().any(|range| range.contains(&ip)),
    };
    let is_opened = match (call.asked, &grant.requests) {
        (Asked::Anything, _) | (_, None) => true,
        (Asked::Request(request), Some(matches)) => fits(request, matches),
        (Asked::Connection, Some(_)) => false,
    };
    is_named && is_opened && call.port.declared.is_some() && call.port.number == Some(grant.port)
}

fn fits(request: &Request, matches: &[HttpMatch]) -> bool {
    matches.iter().any(|matching| request.fits(matching))
}

/// Whether a caller without mTLS finds a filter chain that takes its connection.
fn may_connect(inbound: &Inbound, port: Port, is_connection: bool, ip: IpAddr) -> bool {
    let is_permissive = inbound.key.mtls == Mtls::Permissive;
    let is_at_the_door = |grant: &IngressGrant| {
        port.number == Some(grant.port) && grant.addresses().iter().any(|range| range.contains(&ip))
    };
    match is_connection {
        // Of those that an IngressBackend names, only the unrestricted may, and they are permitted.
        true => is_permissive && inbound.key.mode != Mode::Deny,
        false => is_permissive || inbound.ingress.iter().any(is_at_the_door),
    }
}
