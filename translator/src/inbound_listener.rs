//! The listener on port 15006: a filter chain per port and per what the first bytes say.
//!
//! ```text
//! TLS, ALPN smidge-http → HTTP, any identity of the mesh; routes decide      TLS, another's → TCP  ┐ not in mode
//! TLS, ALPN smidge-tcp  → TCP, only identities in callers/<port>             plaintext → HTTP, TCP ┘ deny
//! ```
//! In mode deny nothing else matches: the connection is closed, and not one byte of the app's leaves.

use envoy_types::pb::envoy::{
    config::{
        accesslog::v3::AccessLog,
        core::v3::{ExtensionConfigSource, TrafficDirection, TransportSocket},
        listener::v3::{
            Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter, ListenerFilterChainMatchPredicate, filter,
            listener_filter_chain_match_predicate::{MatchSet, Rule},
        },
    },
    extensions::filters::network::rbac::v3::Rbac as NetworkRbac,
    r#type::v3::Int32Range,
};
use prost::Name;
use smidge_mesh::{Mode, Protocol, Telemetry, WorkloadKey};

use crate::{
    access_log::{self, Side},
    envoy::{ads, number, seconds},
    http,
    inbound::ports,
    inbound_http, listener,
    name::{self, InboundPort},
    rbac, tcp, tls,
};

/// Where the redirect rules take inbound connections; the injector's rules hold the same number.
const INBOUND_PORT: u16 = 15006;

/// What `tls_inspector` says of a connection.
const IS_TLS: &str = "tls";
const IS_PLAIN: &str = "raw_buffer";

/// The listener of a workload.
pub(crate) fn inbound(key: &WorkloadKey, telemetry: Telemetry) -> Listener {
    let side = ServerSide { key, telemetry };
    let chains = ports(key).into_iter().flat_map(|(port, protocol)| side.chains(port, protocol)).collect();
    let listener = listener::redirected(name::INBOUND, INBOUND_PORT, TrafficDirection::Inbound);
    let listener = with_filter(listener, listener::tls_inspector());
    let listener = Listener { filter_chains: chains, ..listener };
    if key.mode == Mode::Deny { listener } else { admitting_plaintext(listener, key) }
}

/// Plaintext is looked into on ports that are to be found out. A client that waits for the server's first byte is
/// taken for plaintext TCP after a second.
fn admitting_plaintext(listener: Listener, key: &WorkloadKey) -> Listener {
    let inspector = ListenerFilter { filter_disabled: known_ports(key), ..listener::http_inspector() };
    Listener {
        listener_filters_timeout: seconds(1),
        continue_on_listener_filters_timeout: true,
        ..with_filter(listener, inspector)
    }
}

fn with_filter(mut listener: Listener, filter: ListenerFilter) -> Listener {
    listener.listener_filters.push(filter);
    listener
}

fn known_ports(key: &WorkloadKey) -> Option<ListenerFilterChainMatchPredicate> {
    let known = key.ports.iter().filter(|&(_, &protocol)| protocol != Protocol::Detect);
    let mut rules: Vec<_> = known.map(|(&port, _)| is_port(port)).collect();
    match rules.len() {
        0 | 1 => rules.pop(),
        _ => Some(ListenerFilterChainMatchPredicate { rule: Some(Rule::OrMatch(MatchSet { rules })) }),
    }
}

fn is_port(port: u16) -> ListenerFilterChainMatchPredicate {
    let range = Int32Range { start: port.into(), end: i32::from(port) + 1 };
    ListenerFilterChainMatchPredicate { rule: Some(Rule::DestinationPortRange(range)) }
}

/// What the chains of one listener have in common.
struct ServerSide<'a> {
    key: &'a WorkloadKey,
    telemetry: Telemetry,
}

impl ServerSide<'_> {
    fn chains(&self, port: InboundPort, protocol: Protocol) -> Vec<FilterChain> {
        let mutual = |alpn, socket, filters| FilterChain {
            transport_socket: Some(socket),
            ..matched(port, IS_TLS, &[alpn], filters)
        };
        let mut chains = vec![
            mutual(tls::ALPN_HTTP, tls::downstream(name::TRUST.to_owned()), self.http(port)),
            mutual(tls::ALPN_TCP, self.tcp_callers(port), self.tcp(port, tcp::proxy_after_handshake)),
        ];
        if self.key.mode != Mode::Deny {
            chains.extend(self.plaintext(port, protocol));
        }
        chains
    }

    fn plaintext(&self, port: InboundPort, protocol: Protocol) -> Vec<FilterChain> {
        let mut chains = vec![matched(port, IS_TLS, &[], self.tcp(port, tcp::proxy))];
        chains.extend(match protocol {
            Protocol::Http | Protocol::Http2 => vec![matched(port, IS_PLAIN, &[], self.http(port))],
            Protocol::Tcp => vec![matched(port, IS_PLAIN, &[], self.tcp(port, tcp::proxy))],
            Protocol::Detect => vec![
                matched(port, IS_PLAIN, &listener::HTTP_IN_PLAIN, self.http(port)),
                matched(port, IS_PLAIN, &[], self.tcp(port, tcp::proxy)),
            ],
        });
        chains
    }

    fn tcp_callers(&self, port: InboundPort) -> TransportSocket {
        let enforced = self.key.mode == Mode::Deny;
        tls::downstream(if enforced { port.callers() } else { name::TRUST.to_owned() })
    }

    fn http(&self, port: InboundPort) -> Vec<Filter> {
        let log = self.access_log(rbac::HTTP_FILTER);
        vec![http::network_filter(inbound_http::server(self.key, port, log))]
    }

    fn tcp(&self, port: InboundPort, proxy: fn(&str, String, Vec<AccessLog>) -> Filter) -> Vec<Filter> {
        let audit = (self.key.mode == Mode::Audit).then(|| discovered::<NetworkRbac>(port.audit()));
        let log = self.access_log(rbac::NETWORK_FILTER);
        let proxy = proxy(name::INBOUND, name::INBOUND.to_owned(), log);
        audit.into_iter().chain([proxy]).collect()
    }

    fn access_log(&self, audited_by: &str) -> Vec<AccessLog> {
        match (self.telemetry.access_log, self.key.mode) {
            (true, _) => vec![access_log::everything(Side::Inbound)],
            (false, Mode::Audit) => vec![access_log::audited(Side::Inbound, audited_by)],
            (false, _) => Vec::new(),
        }
    }
}

fn matched(port: InboundPort, transport: &str, alpn: &[&str], filters: Vec<Filter>) -> FilterChain {
    let destination_port = match port {
        InboundPort::Declared(port) => number(port.into()),
        InboundPort::Other => None,
    };
    let matching = FilterChainMatch {
        destination_port,
        transport_protocol: transport.to_owned(),
        application_protocols: alpn.iter().map(|&name| name.to_owned()).collect(),
        ..Default::default()
    };
    FilterChain { filter_chain_match: Some(matching), ..listener::chain(filters) }
}

/// A network filter whose configuration comes by ECDS.
fn discovered<T: Name>(name: String) -> Filter {
    let source =
        ExtensionConfigSource { config_source: Some(ads()), type_urls: vec![T::type_url()], ..Default::default() };
    Filter { name, config_type: Some(filter::ConfigType::ConfigDiscovery(source)) }
}
