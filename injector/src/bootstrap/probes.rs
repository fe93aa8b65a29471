//! The listeners that answer the kubelet's probes, and the clusters behind them: the app's own ports on the pod's address.
//!
//! HTTP and HTTPS requests go to the app; TCP ports are watched by Envoy's own health checks, whose last verdict is the
//! answer; each gRPC port has a listener of its own, because a gRPC probe cannot say which it means.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::envoy::{address, endpoint, everywhere, exactly, extension, http_listener, protocol};
use crate::{
    APP_DSCP, PROBE_PORT,
    probe::{POD_IP, Probe, Target, grpc_ports, literal},
};

/// The only method that the kubelet calls.
const CHECK: &str = "/grpc.health.v1.Health/Check";

pub(super) fn listeners(probes: &[Probe]) -> Vec<Value> {
    let grpc = grpc_ports(probes).into_iter().map(|(port, ours)| grpc_listener(probes, port, ours));
    http(probes).into_iter().chain(grpc).collect()
}

pub(super) fn clusters(probes: &[Probe]) -> Vec<Value> {
    let mut clusters = BTreeMap::new();
    for probe in probes {
        let name = probe.target.cluster();
        // Of two probes of one port the more frequent one says how often it is looked at.
        let checks = probes.iter().filter(|other| other.target == probe.target);
        clusters.entry(name.clone()).or_insert_with(|| cluster(&name, &probe.target, checks));
    }
    clusters.into_values().collect()
}

fn http(probes: &[Probe]) -> Option<Value> {
    let routes: Vec<_> = probes.iter().filter_map(http_route).collect();
    let checks: Vec<_> = probes.iter().filter_map(tcp_answer).collect();
    let needed = !routes.is_empty() || !checks.is_empty();
    needed.then(|| http_listener("probes", &everywhere(PROBE_PORT), checks, &routes))
}

/// From the probe's own path on our port to what its author wrote.
fn http_route(probe: &Probe) -> Option<Value> {
    let Target::Http { port, path, host, .. } = &probe.target else { return None };
    // The kubelet would have sent the pod's address with the app's port; ours has been taken off.
    let host = match host {
        Some(host) => json!({"host_rewrite_literal": literal(host)}),
        None => json!({"host_rewrite": format!("%REQ(:AUTHORITY)%:{port}")}),
    };
    let mut action = json!({
        "cluster": probe.target.cluster(),
        "prefix_rewrite": literal(path),
        "timeout": format!("{}s", probe.timeout),
        "idle_timeout": format!("{}s", probe.timeout),
    });
    merge(&mut action, host);
    Some(json!({
        "match": exactly("GET", &literal(&probe.path())),
        "route": action,
        // Followed, it would lead the kubelet to a path that is not here; a redirect alone is success.
        "response_headers_to_remove": ["location"],
    }))
}

/// Answers a TCP probe's path by whether the last connection to the port succeeded.
fn tcp_answer(probe: &Probe) -> Option<Value> {
    let Target::Tcp { .. } = probe.target else { return None };
    Some(extension(
        "envoy.filters.http.health_check",
        "envoy.extensions.filters.http.health_check.v3.HealthCheck",
        json!({
            "pass_through_mode": false,
            "headers": [{"name": ":path", "string_match": {"exact": literal(&probe.path())}}],
            "cluster_min_healthy_percentages": {probe.target.cluster(): {"value": 100}},
        }),
    ))
}

fn grpc_listener(probes: &[Probe], port: u16, ours: u16) -> Value {
    let target = Target::Grpc { port };
    let timeout = probes.iter().filter(|probe| probe.target == target).map(|probe| probe.timeout).max();
    let route = json!({
        "match": exactly("POST", CHECK),
        "route": {
            "cluster": target.cluster(),
            "host_rewrite": format!("%REQ(:AUTHORITY)%:{port}"),
            "timeout": format!("{}s", timeout.unwrap_or(1)),
            "idle_timeout": format!("{}s", timeout.unwrap_or(1)),
        },
    });
    http_listener(&format!("probes/grpc/{port}"), &everywhere(ours), Vec::new(), &[route])
}

fn cluster<'a>(name: &str, target: &Target, probes: impl Iterator<Item = &'a Probe>) -> Value {
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": endpoint(name, &address(POD_IP, target.port())),
        "upstream_bind_config": {"socket_options": mark()},
    });
    match target {
        Target::Http { tls: true, .. } => merge(&mut cluster, json!({"transport_socket": unverified()})),
        Target::Http { .. } => {}
        Target::Grpc { .. } => {
            let http2 = protocol(json!({"explicit_http_config": {"http2_protocol_options": {}}}));
            merge(&mut cluster, json!({"typed_extension_protocol_options": http2}));
        }
        Target::Tcp { .. } => merge(&mut cluster, json!({"health_checks": [tcp_check(probes)]})),
    }
    cluster
}

/// No certificate is asked for, as the kubelet asks for none.
fn unverified() -> Value {
    extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        json!({"common_tls_context": {}}),
    )
}

/// Connects again and again: often while nobody listens, which costs the app nothing, so that its first probe succeeds;
/// then twice a period, but at least once a second, so that the first probe after its death fails.
fn tcp_check<'a>(probes: impl Iterator<Item = &'a Probe>) -> Value {
    let (period, timeout) =
        probes.fold((u32::MAX, 1), |(period, timeout), probe| (period.min(probe.period), timeout.max(probe.timeout)));
    let healthy = if period <= 1 { "0.5s" } else { "1s" };
    json!({
        "timeout": format!("{timeout}s"),
        "interval": healthy,
        // A cluster that carries no traffic is checked by these.
        "no_traffic_interval": "0.1s",
        "no_traffic_healthy_interval": healthy,
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "tcp_health_check": {},
    })
}

/// DSCP on the sockets of either family: the redirect rules let calls to the app through. IP_TOS and IPV6_TCLASS.
fn mark() -> Value {
    let option = |level: u32, name: u32, version: &str| {
        let value = u32::from(APP_DSCP) << 2;
        json!({"level": level, "name": name, "int_value": value, "ip_version": version})
    };
    json!([option(0, 1, "SOCKET_IP_VERSION_IPV4"), option(41, 67, "SOCKET_IP_VERSION_IPV6")])
}

fn merge(into: &mut Value, from: Value) {
    if let (Value::Object(into), Value::Object(from)) = (into, from) {
        into.extend(from);
    }
}
