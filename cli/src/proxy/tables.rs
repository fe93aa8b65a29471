//! Tables of what Envoy has: a configuration dump in, short lines out: a name, what it leads to, how it is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use smidge_xds::TypeUrl;

use super::dump::{Dump, State};
use crate::columns::columns;

/// How many resources of each type there are.
pub(super) fn summary(dump: &Dump) -> String {
    let rows = TypeUrl::ALL.map(|kind| {
        let entries = dump.entries(kind);
        let count = |state| entries.iter().filter(|entry| entry.state == state).count().to_string();
        let refused = entries.iter().filter(|entry| entry.error.is_some()).count();
        [kind.to_string(), count(State::Active), count(State::Warming), count(State::Static), refused.to_string()]
    });
    columns(["TYPE", "ACTIVE", "WARMING", "STATIC", "REFUSED"], rows)
}

/// Clusters, and how many of their endpoints can be used.
pub(super) fn clusters(dump: &Dump, status: &Value) -> String {
    let healthy = health(status);
    let rows = dump.entries(TypeUrl::Cluster).into_iter().map(|entry| {
        let kind = entry.content["type"].as_str().or(entry.content["cluster_type"]["name"].as_str());
        let endpoints = healthy.get(entry.name).map(|(healthy, all)| format!("{healthy} of {all}"));
        let kind = kind.unwrap_or("STATIC").to_owned();
        [entry.name.to_owned(), kind, endpoints.unwrap_or_default(), entry.shown_state()]
    });
    columns(["CLUSTER", "KIND", "HEALTHY", "STATE"], rows)
}

/// Of each cluster, how many of its endpoints are healthy, and how many there are.
fn health(status: &Value) -> BTreeMap<&str, (usize, usize)> {
    let of = |cluster: &'_ Value| {
        let hosts = list(&cluster["host_statuses"]);
        let healthy = hosts.iter().filter(|host| ailments(&host["health_status"]).is_empty()).count();
        (healthy, hosts.len())
    };
    let named = list(&status["cluster_statuses"]).iter();
    named.filter_map(|cluster| Some((cluster["name"].as_str()?, of(cluster)))).collect()
}

/// Endpoints as Envoy sees them.
pub(super) fn endpoints(status: &Value) -> String {
    let rows = list(&status["cluster_statuses"]).iter().flat_map(|cluster| {
        let name = cluster["name"].as_str().unwrap_or_default();
        list(&cluster["host_statuses"]).iter().map(move |host| {
            let ailments = ailments(&host["health_status"]);
            let state = if ailments.is_empty() { "healthy".to_owned() } else { ailments.join(", ") };
            [name.to_owned(), address(&host["address"]), host["weight"].as_u64().unwrap_or(1).to_string(), state]
        })
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    columns(["CLUSTER", "ADDRESS", "WEIGHT", "STATE"], rows)
}

/// Why an endpoint is not used: Envoy's names of what is so.
fn ailments(health: &Value) -> Vec<String> {
    let eds = health["eds_health_status"].as_str().filter(|status| !["HEALTHY", "UNKNOWN"].contains(status));
    let flags = health.as_object().into_iter().flatten().filter(|(_, value)| value.as_bool() == Some(true));
    eds.map(str::to_ascii_lowercase).into_iter().chain(flags.map(|(flag, _)| flag.replace('_', " "))).collect()
}

/// Listeners, and the route configurations and clusters that their chains lead to.
pub(super) fn listeners(dump: &Dump) -> String {
    let rows = dump.entries(TypeUrl::Listener).into_iter().map(|entry| {
        let mut targets = BTreeSet::new();
        lead(entry.content, &mut targets);
        let targets = targets.into_iter().collect::<Vec<_>>().join(", ");
        [entry.name.to_owned(), address(&entry.content["address"]), targets, entry.shown_state()]
    });
    columns(["LISTENER", "ADDRESS", "LEADS TO", "STATE"], rows)
}

/// All that filters of a listener name: route configurations, and clusters of TCP.
fn lead(content: &Value, targets: &mut BTreeSet<String>) {
    match content {
        Value::Array(items) => items.iter().for_each(|item| lead(item, targets)),
        Value::Object(fields) => {
            if let Some(name) = content["rds"]["route_config_name"].as_str() {
                targets.insert(format!("route {name}"));
            }
            let is_tcp = content["@type"].as_str().is_some_and(|kind| kind.ends_with(".TcpProxy"));
            if is_tcp {
                targets.extend(destination(content));
            }
            // What is logged by a cluster does not lead there.
            fields.iter().filter(|(name, _)| *name != "access_log").for_each(|(_, value)| lead(value, targets));
        }
        _ => {}
    }
}

/// Routes in the order in which Envoy tries them.
pub(super) fn routes(dump: &Dump) -> String {
    let rows = dump.entries(TypeUrl::Route).into_iter().flat_map(|entry| {
        let hosts = list(&entry.content["virtual_hosts"]).iter();
        let routes = hosts.flat_map(|host| list(&host["routes"]));
        routes.map(move |route| {
            let to = destination(&route["route"]).unwrap_or_else(|| other_action(route));
            [entry.name.to_owned(), matching(&route["match"]), to, entry.shown_state()]
        })
    });
    columns(["ROUTES", "MATCH", "TO", "STATE"], rows)
}

/// `path=… :method=…`, patterns as Envoy has them.
fn matching(of: &Value) -> String {
    let path = match (&of["prefix"], &of["path"], &of["safe_regex"]["regex"]) {
        (Value::String(prefix), ..) if prefix.is_empty() => "any path".to_owned(),
        (Value::String(prefix), ..) => format!("path={prefix}…"),
        (_, Value::String(path), _) => format!("path={path}"),
        (.., Value::String(regex)) => format!("path~{regex}"),
        _ => "(other)".to_owned(),
    };
    let headers = list(&of["headers"]).iter().map(|header| {
        let name = header["name"].as_str().unwrap_or_default();
        let value = &header["string_match"];
        match (value["exact"].as_str(), value["safe_regex"]["regex"].as_str()) {
            (Some(exact), _) => format!("{name}={exact}"),
            (_, Some(regex)) => format!("{name}~{regex}"),
            _ => name.to_owned(),
        }
    });
    [path].into_iter().chain(headers).collect::<Vec<_>>().join(" ")
}

/// A cluster, or clusters with their weights.
fn destination(of: &Value) -> Option<String> {
    if let Some(cluster) = of["cluster"].as_str() {
        return Some(cluster.to_owned());
    }
    let shares = list(&of["weighted_clusters"]["clusters"]).iter().map(|share| {
        let weight = share["weight"].as_u64().unwrap_or_default();
        format!("{} {weight}", share["name"].as_str().unwrap_or_default())
    });
    let shares: Vec<String> = shares.collect();
    (!shares.is_empty()).then(|| shares.join(", "))
}

fn other_action(route: &Value) -> String {
    match route["direct_response"]["status"].as_u64() {
        Some(status) => format!("answers {status}"),
        None => "(other)".to_owned(),
    }
}

fn address(of: &Value) -> String {
    let socket = &of["socket_address"];
    match (socket["address"].as_str(), socket["port_value"].as_u64()) {
        (Some(ip), Some(port)) if ip.contains(':') => format!("[{ip}]:{port}"),
        (Some(ip), Some(port)) => format!("{ip}:{port}"),
        _ => of["pipe"]["path"].as_str().unwrap_or_default().to_owned(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::dump::tests::dump, *};

    #[test]
    fn tables_say_what_leads_where() {
        let listeners = listeners(&dump());
        assert!(listeners.contains("route inbound/8080, shop/db/5432/tcp"), "{listeners}");
        let routes = routes(&dump());
        assert!(routes.contains("path~(?:/api).* :method~GET|HEAD"), "{routes}");
        assert!(routes.contains("shop/cart/80/http 90, shop/cart-v2/80/http 10"), "{routes}");
        let summary = summary(&dump());
        assert!(summary.contains("Listener               1       1        1       1"), "{summary}");
    }

    #[test]
    fn an_endpoint_that_is_not_used_says_why() {
        let host = |ip: &str, health: Value| json!({"address": {"socket_address": {"address": ip, "port_value": 80}}, "health_status": health});
        let hosts = [
            host("10.0.0.1", json!({"eds_health_status": "HEALTHY"})),
            host("fd00::1", json!({"eds_health_status": "DRAINING", "failed_outlier_check": true})),
        ];
        let status = json!({"cluster_statuses": [{"name": "shop/cart/80/http", "host_statuses": hosts}]});
        let expected = "\
CLUSTER            ADDRESS       WEIGHT  STATE
shop/cart/80/http  10.0.0.1:80   1       healthy
shop/cart/80/http  [fd00::1]:80  1       draining, failed outlier check
";
        assert_eq!(endpoints(&status), expected);
        let clusters = clusters(&dump(), &status);
        assert!(clusters.contains("shop/cart/80/http  EDS         1 of 2   active"), "{clusters}");
    }
}
