//! A Service as its clients' sidecars see it: listeners at its addresses, routes, clusters.

use std::net::IpAddr;

use envoy_types::pb::envoy::{
    config::{
        accesslog::v3::AccessLog,
        listener::v3::{FilterChain, FilterChainMatch, Listener},
        route::v3::{
            Route, VirtualHost, WeightedCluster, route_action::ClusterSpecifier, weighted_cluster::ClusterWeight,
        },
    },
    extensions::filters::network::http_connection_manager::v3::HttpConnectionManager,
};
use smidge_mesh::{self as mesh, HttpRoute, Protocol, ServiceName, ServicePort, Telemetry, WeightedBackend};
use smidge_xds::Resource;

use crate::{
    access_log::{self, Side},
    base::cluster_resource,
    cluster,
    envoy::{number, seconds},
    http, listener, matching,
    metrics::{self, Reporter},
    name, tcp,
};

/// Clusters and routes of each port, and a listener at each address.
pub fn translate_service(service: &mesh::Service) -> Vec<Resource> {
    service.ports.iter().flat_map(|(&port, spec)| translate_port(service, port, spec)).collect()
}

fn translate_port(service: &mesh::Service, port: u16, spec: &ServicePort) -> Vec<Resource> {
    let mut resources = clusters(&service.name, port, spec);
    if spec.protocol != Protocol::Tcp {
        resources.push(routes(&service.name, port, spec));
    }
    let to = Destination::new(&service.name, port, spec, service.telemetry);
    resources.extend(service.addresses.iter().map(|&ip| listener::resource(&to.listener(ip, port))));
    resources.extend(spec.direct.iter().map(|pod| listener::resource(&to.listener(pod.ip, pod.port))));
    resources
}

/// A cluster for HTTP stands there for TCP ports too: a split of an HTTP root may name them.
fn clusters(service: &ServiceName, port: u16, spec: &ServicePort) -> Vec<Resource> {
    let (speaks_http, speaks_tcp) = speaks(spec.protocol);
    let direct = is_direct(spec);
    let clusters = [
        Some(cluster::http(service, port)),
        speaks_tcp.then(|| cluster::tcp(service, port)),
        (direct && speaks_http).then(|| cluster::direct_http(service, port)),
        (direct && speaks_tcp).then(|| cluster::direct_tcp(service, port)),
    ];
    clusters.iter().flatten().map(cluster_resource).collect()
}

/// Whether connections may turn out to be HTTP, and whether they may turn out not to be.
fn speaks(protocol: Protocol) -> (bool, bool) {
    match protocol {
        Protocol::Http | Protocol::Http2 => (true, false),
        Protocol::Tcp => (false, true),
        Protocol::Detect => (true, true),
    }
}

/// The pods of a headless Service are meant one by one: no split spreads calls to them.
fn is_direct(spec: &ServicePort) -> bool {
    !spec.direct.is_empty()
}

/// The body of a 503: which of the backends has no endpoints, since a split goes on sending it its share.
fn nobody_there() -> String {
    "smidge: no pod behind %UPSTREAM_CLUSTER_RAW% is ready (<namespace>/<service>/<port>, of a split its backend): \
     look at that Service's EndpointSlices"
        .to_owned()
}

/// The routes in their order, then what none matches: the Service's own endpoints.
fn routes(service: &ServiceName, port: u16, spec: &ServicePort) -> Resource {
    let name = name::service_port(service, port);
    let own = if is_direct(spec) { name::direct_http(service, port) } else { name::http(service, port) };
    let rules: &[HttpRoute] = if is_direct(spec) { &[] } else { &spec.routes };
    let mut routes: Vec<Route> = rules.iter().flat_map(route).collect();
    routes.push(http::route("root", matching::every_request(), ClusterSpecifier::Cluster(own)));
    let retry_policy = Some(http::never_delivered());
    http::route_configuration(VirtualHost { name, routes, retry_policy, ..Default::default() })
}

/// An Envoy route per match, all to the same backends.
fn route(rule: &HttpRoute) -> Vec<Route> {
    let matches = match rule.matches.as_slice() {
        [] => vec![matching::every_request()],
        matches => matches.iter().map(matching::route_match).collect(),
    };
    let clusters = spread(&rule.backends);
    matches.into_iter().map(|matching| http::route(&rule.name.0, matching, clusters.clone())).collect()
}

fn spread(backends: &[WeightedBackend]) -> ClusterSpecifier {
    let cluster = |backend: &WeightedBackend| name::http(&backend.service, backend.port);
    match backends {
        [only] => ClusterSpecifier::Cluster(cluster(only)),
        _ => ClusterSpecifier::WeightedClusters(WeightedCluster {
            clusters: backends
                .iter()
                .map(|backend| ClusterWeight {
                    name: cluster(backend),
                    weight: number(backend.weight),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }),
    }
}

/// Where the listeners of a port lead: the same from each of its addresses.
struct Destination {
    protocol: Protocol,
    name: String,
    tcp: String,
    telemetry: Telemetry,
}

impl Destination {
    fn new(service: &ServiceName, port: u16, spec: &ServicePort, telemetry: Telemetry) -> Self {
        let tcp = if is_direct(spec) { name::direct_tcp(service, port) } else { name::tcp(service, port) };
        Self { protocol: spec.protocol, name: name::service_port(service, port), tcp, telemetry }
    }

    fn listener(&self, ip: IpAddr, port: u16) -> Listener {
        let listener =
            Listener { stat_prefix: self.name.clone(), ..listener::handed_over(name::outbound(ip, port), ip, port) };
        match self.protocol {
            Protocol::Http | Protocol::Http2 => Listener { filter_chains: vec![self.http()], ..listener },
            Protocol::Tcp => Listener { filter_chains: vec![self.tcp()], ..listener },
            Protocol::Detect => self.detecting(listener),
        }
    }

    /// HTTP if the first bytes look like it, else TCP; a client that waits for the server's first byte is taken for
    /// TCP after a second.
    fn detecting(&self, listener: Listener) -> Listener {
        let looks_like_http = FilterChainMatch {
            application_protocols: listener::HTTP_IN_PLAIN.map(str::to_owned).to_vec(),
            ..Default::default()
        };
        Listener {
            listener_filters: vec![listener::http_inspector()],
            listener_filters_timeout: seconds(1),
            continue_on_listener_filters_timeout: true,
            filter_chains: vec![FilterChain { filter_chain_match: Some(looks_like_http), ..self.http() }],
            default_filter_chain: Some(self.tcp()),
            ..listener
        }
    }

    fn http(&self) -> FilterChain {
        let logs = self.access_log().into_iter().chain([metrics::http(self.reporter())]).collect();
        let server = http::server(name::OUTBOUND, self.name.clone(), logs);
        let local_reply_config = Some(http::local_reply(access_log::with_flag("UH"), nobody_there()));
        listener::chain(vec![http::network_filter(HttpConnectionManager { local_reply_config, ..server })])
    }

    fn tcp(&self) -> FilterChain {
        let logs = self.access_log().into_iter().chain([metrics::tcp(self.reporter())]).collect();
        listener::chain(vec![tcp::proxy(name::OUTBOUND, self.tcp.clone(), logs)])
    }

    fn reporter(&self) -> Reporter<'_> {
        Reporter::Source(Some(&self.name))
    }

    fn access_log(&self) -> Option<AccessLog> {
        self.telemetry.access_log.then(|| access_log::everything(Side::Outbound(Some(&self.name))))
    }
}
