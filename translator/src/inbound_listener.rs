//! The listener on port 15006: what it looks at in a connection's first bytes, and for how long.
//!
//! Everything but the chains and the matcher that picks one depends on the workload key alone, and does not change with
//! what IngressBackends say: Envoy then updates the listener in place, and only connections of a chain that is gone drain.

use envoy_types::pb::{
    envoy::{
        config::{
            core::v3::TrafficDirection,
            listener::v3::{
                Listener, ListenerFilter, ListenerFilterChainMatchPredicate,
                listener_filter_chain_match_predicate::{MatchSet, Rule},
            },
        },
        r#type::v3::Int32Range,
    },
    google::protobuf::Duration,
};
use smidge_mesh::{Inbound, Protocol, WorkloadKey};

use crate::{
    inbound::ports,
    inbound_chains::{Guests, Port},
    listener, metrics, name, selector,
};

/// Where the redirect rules take inbound connections; the injector's rules hold the same number.
const INBOUND_PORT: u16 = 15006;

/// The listener of a workload.
pub(crate) fn inbound(inbound: &Inbound) -> Listener {
    let ports: Vec<Port<'_>> = ports(&inbound.key)
        .into_iter()
        .map(|(port, protocol)| Port { inbound, port, protocol, guests: Guests::of(inbound, port) })
        .collect();
    let rules: Vec<_> = ports.iter().flat_map(Port::rules).collect();
    let mut listener = listener::redirected(name::INBOUND, INBOUND_PORT, TrafficDirection::Inbound);
    listener.listener_filters.extend([listener::tls_inspector(), http_inspector(&inbound.key)]);
    Listener {
        filter_chains: ports.iter().flat_map(Port::chains).collect(),
        filter_chain_matcher: Some(selector::matcher(&rules)),
        listener_filters_timeout: Some(patience(&inbound.key)),
        continue_on_listener_filters_timeout: true,
        access_log: metrics::refused(&inbound.key.identity),
        ..listener
    }
}

/// How long a client may be silent before it is taken for one that waits for the server's first byte. A sidecar speaks at
/// once; where a server is known to speak first, its other clients wait no longer than one lost packet takes.
fn patience(key: &WorkloadKey) -> Duration {
    match key.ports.values().any(|protocol| *protocol == Protocol::Tcp) {
        true => Duration { seconds: 0, nanos: 500_000_000 },
        false => Duration { seconds: 1, nanos: 0 },
    }
}

/// Plaintext is looked into on ports that are to be found out.
fn http_inspector(key: &WorkloadKey) -> ListenerFilter {
    ListenerFilter { filter_disabled: known_ports(key), ..listener::http_inspector() }
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
