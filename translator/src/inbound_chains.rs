//! The filter chains of a workload's listener, and which connection each takes.
//!
//! ```text
//! what the first bytes say     chain          who                                           what then
//! TLS, ALPN smidge-http        mesh-http      any identity of the mesh                      routes decide
//! TLS, ALPN smidge-tcp         mesh-tcp       identities in callers/<port>                  –
//! TLS, another's               certificate    where an IngressBackend names certificates:   routes decide
//!                                             principals in guests/<port>
//! TLS, another's               plain-tcp      as plaintext TCP: it is the app's own         –
//! HTTP                         plain-http     strict: addresses of IngressBackends          routes decide
//!                                             permissive: everybody
//! anything else                plain-tcp      deny or strict: addresses of IngressBackends  –
//!                                             without routes; else everybody
//! ```
//! What no rule takes is closed, and not one byte of the app's leaves.
//!
//! No chain depends on the mode: a change of it holds for the next request on connections that are open, and closes none.

use std::collections::BTreeSet;

use envoy_types::pb::envoy::{
    config::{
        accesslog::v3::AccessLog,
        core::v3::ExtensionConfigSource,
        listener::v3::{Filter, FilterChain, filter},
    },
    extensions::filters::network::rbac::v3::Rbac as NetworkRbac,
};
use ipnet::IpNet;
use prost::Name;
use smidge_mesh::{Inbound, IngressGrant, Mode, Mtls, Protocol};

use crate::{
    access_log::{self, Side},
    envoy::ads,
    http, inbound_http, listener,
    metrics::{self, Reporter},
    name::{self, InboundPort},
    rbac,
    selector::{Rule, Test},
    tcp, tls,
};

const TLS: Test<'static> = Test::Transport("tls");
const PLAIN: Test<'static> = Test::Transport("raw_buffer");

/// A chain of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    MeshHttp,
    MeshTcp,
    Certificate,
    PlainHttp,
    PlainTcp,
}

impl Chain {
    const ALL: [Self; 5] = [Self::MeshHttp, Self::MeshTcp, Self::Certificate, Self::PlainHttp, Self::PlainTcp];

    fn name(self, port: InboundPort) -> String {
        let chain = match self {
            Self::MeshHttp => "mesh-http",
            Self::MeshTcp => "mesh-tcp",
            Self::Certificate => "certificate",
            Self::PlainHttp => "plain-http",
            Self::PlainTcp => "plain-tcp",
        };
        format!("{port}/{chain}")
    }
}

/// What is let in at one port from outside the mesh.
#[derive(Debug, Default)]
pub(crate) struct Guests {
    /// Addresses that may connect.
    addresses: BTreeSet<IpNet>,
    /// Of these the ones that may do anything: without requests nothing can be told apart.
    unrestricted: BTreeSet<IpNet>,
    /// Whether anybody may by certificate.
    by_certificate: bool,
}

impl Guests {
    pub(crate) fn of(inbound: &Inbound, port: InboundPort) -> Self {
        let mut guests = Self::default();
        for grant in grants(inbound, port) {
            guests.addresses.extend(grant.addresses());
            if grant.requests.is_none() {
                guests.unrestricted.extend(grant.addresses());
            }
            guests.by_certificate |= !grant.principals.is_empty() || !grant.members.identities.is_empty();
        }
        guests
    }

    pub(crate) fn by_certificate(&self) -> bool {
        self.by_certificate
    }
}

/// What IngressBackends permit on a port. They name ports of Services, so that undeclared ones are never theirs.
pub(crate) fn grants(inbound: &Inbound, port: InboundPort) -> impl Iterator<Item = &IngressGrant> {
    inbound.ingress.iter().filter(move |grant| port == InboundPort::Declared(grant.port))
}

/// One port of a workload.
pub(crate) struct Port<'a> {
    pub(crate) inbound: &'a Inbound,
    pub(crate) port: InboundPort,
    pub(crate) protocol: Protocol,
    pub(crate) guests: Guests,
}

impl Port<'_> {
    /// The chains that a rule names.
    pub(crate) fn chains(&self) -> Vec<FilterChain> {
        let named: Vec<Chain> = self.choices().into_iter().map(|(_, chain)| chain).collect();
        let is_named = |chain: &Chain| named.contains(chain);
        Chain::ALL.into_iter().filter(is_named).map(|chain| self.chain(chain)).collect()
    }

    /// Which connections they take.
    pub(crate) fn rules(&self) -> Vec<Rule<'_>> {
        let where_to = match self.port {
            InboundPort::Declared(port) => Some(Test::Port(port)),
            InboundPort::Other => {
                let declared: Vec<u16> = self.inbound.key.ports.keys().copied().collect();
                (!declared.is_empty()).then_some(Test::NotPorts(declared))
            }
        };
        let choices = self.choices().into_iter();
        let tested = choices.map(|(tests, chain)| (where_to.iter().cloned().chain(tests).collect(), chain));
        tested.map(|(tests, chain)| Rule { tests, chain: chain.name(self.port) }).collect()
    }

    fn choices(&self) -> Vec<(Vec<Test<'_>>, Chain)> {
        let mut choices = vec![
            (vec![TLS, Test::Protocol(&[tls::ALPN_HTTP])], Chain::MeshHttp),
            (vec![TLS, Test::Protocol(&[tls::ALPN_TCP])], Chain::MeshTcp),
        ];
        if self.guests.by_certificate {
            choices.extend(only(&self.guests.unrestricted).to(&[TLS], Chain::PlainTcp));
            choices.push((vec![TLS], Chain::Certificate));
        } else {
            choices.extend(self.tcp_sources().to(&[TLS], Chain::PlainTcp));
        }
        let (http, tcp) = self.kinds_of_plaintext();
        choices.extend(http.and_then(|tests| self.http_sources().to(tests, Chain::PlainHttp)));
        choices.extend(tcp.and_then(|tests| self.tcp_sources().to(tests, Chain::PlainTcp)));
        choices
    }

    /// How HTTP and everything else are known, in this order.
    fn kinds_of_plaintext(&self) -> (Option<&'static [Test<'static>]>, Option<&'static [Test<'static>]>) {
        match self.protocol {
            Protocol::Http | Protocol::Http2 => (Some(&[PLAIN]), None),
            Protocol::Tcp => (None, Some(&[PLAIN])),
            Protocol::Detect => (Some(&[PLAIN, Test::Protocol(&listener::HTTP_IN_PLAIN)]), Some(&[PLAIN])),
        }
    }

    fn http_sources(&self) -> Sources<'_> {
        match self.inbound.key.mtls {
            Mtls::Permissive => Sources::Everybody,
            Mtls::Strict => only(&self.guests.addresses),
        }
    }

    /// There are no requests to refuse: in mode deny an unidentified caller is let in or closed.
    fn tcp_sources(&self) -> Sources<'_> {
        match (self.inbound.key.mtls, self.inbound.key.mode) {
            (Mtls::Permissive, Mode::Audit | Mode::Allow) => Sources::Everybody,
            _ => only(&self.guests.unrestricted),
        }
    }

    fn chain(&self, chain: Chain) -> FilterChain {
        let port = self.port;
        let (socket, filters) = match chain {
            Chain::MeshHttp => (Some(tls::downstream(name::TRUST.to_owned())), self.http(inbound_http::Caller::Known)),
            Chain::MeshTcp => (Some(tls::downstream(port.callers())), self.tcp(tcp::proxy_after_handshake)),
            Chain::Certificate if self.protocol == Protocol::Tcp => {
                (Some(tls::of_guests(port.guests())), self.tcp(tcp::proxy_after_handshake))
            }
            Chain::Certificate => (Some(tls::of_guests(port.guests())), self.http(inbound_http::Caller::Known)),
            Chain::PlainHttp => (None, self.http(inbound_http::Caller::Unknown)),
            Chain::PlainTcp => (None, self.tcp(tcp::proxy)),
        };
        FilterChain { name: chain.name(port), transport_socket: socket, ..listener::chain(filters) }
    }

    fn http(&self, caller: inbound_http::Caller) -> Vec<Filter> {
        let logs = self.logs(rbac::HTTP_FILTER, metrics::http(self.reporter()));
        vec![http::network_filter(inbound_http::server(&self.inbound.key, self.port, caller, logs))]
    }

    fn tcp(&self, proxy: fn(&str, String, Vec<AccessLog>) -> Filter) -> Vec<Filter> {
        let logs = self.logs(rbac::NETWORK_FILTER, metrics::tcp(self.reporter()));
        let proxy = proxy(name::INBOUND, name::INBOUND.to_owned(), logs);
        vec![discovered::<NetworkRbac>(self.port.audit()), proxy]
    }

    fn reporter(&self) -> Reporter<'_> {
        Reporter::Destination(&self.inbound.key.identity, self.port)
    }

    /// What an audit finds is told in every mode, in which the policy decides whether there is an audit.
    fn logs(&self, audited_by: &str, metrics: AccessLog) -> Vec<AccessLog> {
        let lines = match self.inbound.telemetry.access_log {
            true => access_log::everything(Side::Inbound),
            false => access_log::audited(Side::Inbound, audited_by),
        };
        vec![lines, metrics, metrics::audited(self.reporter(), audited_by)]
    }
}

/// From where connections are taken.
enum Sources<'a> {
    Nobody,
    Only(&'a BTreeSet<IpNet>),
    Everybody,
}

impl<'a> Sources<'a> {
    /// The chain that takes what comes from there and passes the tests.
    fn to(self, tests: &[Test<'static>], chain: Chain) -> Option<(Vec<Test<'a>>, Chain)> {
        let mut tests: Vec<Test<'a>> = tests.to_vec();
        match self {
            Self::Nobody => return None,
            Self::Only(ranges) => tests.push(Test::Source(ranges)),
            Self::Everybody => {}
        }
        Some((tests, chain))
    }
}

fn only(ranges: &BTreeSet<IpNet>) -> Sources<'_> {
    if ranges.is_empty() { Sources::Nobody } else { Sources::Only(ranges) }
}

/// A network filter whose configuration comes by ECDS.
fn discovered<T: Name>(name: String) -> Filter {
    let source =
        ExtensionConfigSource { config_source: Some(ads()), type_urls: vec![T::type_url()], ..Default::default() };
    Filter { name, config_type: Some(filter::ConfigType::ConfigDiscovery(source)) }
}
