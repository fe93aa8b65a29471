//! A server on a Unix socket, resources to publish, and waiting for reports.
#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod client;
pub(crate) mod envoy;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{self as cluster, Cluster},
            core::v3::{self as core, ConfigSource},
            endpoint::v3::ClusterLoadAssignment,
            listener::v3::{Filter, FilterChain, Listener, filter::ConfigType},
            route::v3 as route,
        },
        extensions::filters::{
            http::router::v3::Router,
            network::http_connection_manager::v3::{self as hcm, HttpConnectionManager},
        },
    },
    google::protobuf,
};
use prost::Message;
use smidge_xds::{Change, Epoch, LayerChange, Name, ProxyChange, ProxyId, Resource, TypeUrl, Update, WorkloadId};
use smidge_xds_server::{Hub, Identify, Limits, NoResolver, NodeId, ProxyReport, Resolve, serve};
use tokio::{net::UnixListener, task::JoinHandle, time::timeout};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;

pub(crate) const PROXY: &str = "web-0.shop";
const WAIT: Duration = Duration::from_secs(10);

pub(crate) struct TestServer {
    pub(crate) hub: Arc<Hub>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), tonic::transport::Error>>,
    pub(crate) dir: tempfile::TempDir,
    epoch: Epoch,
    reports: BTreeMap<ProxyId, ProxyReport>,
}

impl TestServer {
    pub(crate) fn start(limits: Limits, resolver: Arc<dyn Resolve>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), limits, resolver)
    }

    /// One that asks who it is.
    pub(crate) fn identified_by(identify: Arc<dyn Identify>) -> Self {
        Self::begin(tempfile::tempdir().unwrap(), Limits::default(), Arc::new(NoResolver), identify)
    }

    fn start_in(dir: tempfile::TempDir, limits: Limits, resolver: Arc<dyn Resolve>) -> Self {
        Self::begin(dir, limits, resolver, Arc::new(NodeId))
    }

    fn begin(dir: tempfile::TempDir, limits: Limits, resolver: Arc<dyn Resolve>, identify: Arc<dyn Identify>) -> Self {
        let hub = Hub::new(limits, resolver);
        let listener = UnixListener::bind(dir.path().join("xds.sock")).unwrap();
        let shutdown = CancellationToken::new();
        let serving = serve(hub.clone(), identify, UnixListenerStream::new(listener), shutdown.clone());
        let task = tokio::spawn(serving);
        Self { hub, shutdown, task, dir, epoch: Epoch::default(), reports: BTreeMap::new() }
    }

    /// Ends it; another one that has published nothing takes its place.
    pub(crate) async fn replaced(self, resolver: Arc<dyn Resolve>) -> Self {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
        std::fs::remove_file(self.dir.path().join("xds.sock")).unwrap();
        Self::start_in(self.dir, *self.hub.limits(), resolver)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("xds.sock")
    }

    pub(crate) fn publish(&mut self, shared: Vec<Change>) {
        self.update(Update { shared, ..Update::default() });
    }

    pub(crate) fn update(&mut self, update: Update) {
        self.epoch = self.epoch.next();
        self.hub.publish(Update { epoch: self.epoch, ..update });
    }

    /// Publishes a proxy with a workload layer of its own.
    pub(crate) fn publish_proxy(&mut self, proxy: &str) {
        self.update(Update {
            workloads: vec![(WorkloadId(0), LayerChange::Resources(Vec::new()))],
            proxies: vec![ProxyChange::Set(proxy.into(), WorkloadId(0))],
            ..Update::default()
        });
    }

    /// Waits until a proxy's report is as wanted.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&ProxyReport, Epoch) -> bool) -> ProxyReport {
        let last = |server: &Self| server.reports.get(PROXY).cloned();
        let waiting = async {
            loop {
                let reported = self.hub.reported().await;
                self.reports.extend(reported.proxies.into_iter().filter_map(|(proxy, report)| Some((proxy, report?))));
                if let Some(report) = self.reports.get(PROXY).filter(|report| wanted(report, reported.epoch)) {
                    return report.clone();
                }
            }
        };
        match timeout(WAIT, waiting).await {
            Ok(report) => report,
            Err(_) => panic!("the report did not come; the last one is {:?}", last(self)),
        }
    }

    /// Waits until the proxy has acknowledged all that was published.
    pub(crate) async fn until_synced(&mut self) -> ProxyReport {
        let newest = self.epoch;
        self.until(|report, epoch| epoch == newest && report.behind_since.is_none()).await
    }
}

pub(crate) fn set(type_url: TypeUrl, name: &str, message: &impl Message) -> Change {
    Change::Set(Arc::new(Resource::new(type_url, name, message)))
}

pub(crate) fn remove(type_url: TypeUrl, name: &str) -> Change {
    Change::Remove(type_url, Name::from(name))
}

pub(crate) fn ads() -> ConfigSource {
    ConfigSource {
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(Default::default())),
        ..Default::default()
    }
}

/// An EDS cluster. A timeout of zero is one that Envoy refuses.
pub(crate) fn cluster(name: &str, timeout_seconds: i64) -> Change {
    let message = Cluster {
        name: name.into(),
        connect_timeout: Some(protobuf::Duration { seconds: timeout_seconds, nanos: 0 }),
        cluster_discovery_type: Some(cluster::cluster::ClusterDiscoveryType::Type(
            cluster::cluster::DiscoveryType::Eds.into(),
        )),
        eds_cluster_config: Some(cluster::cluster::EdsClusterConfig { eds_config: Some(ads()), ..Default::default() }),
        ..Default::default()
    };
    set(TypeUrl::Cluster, name, &message)
}

pub(crate) fn endpoints(name: &str) -> Change {
    let message = ClusterLoadAssignment { cluster_name: name.into(), ..Default::default() };
    set(TypeUrl::Endpoints, name, &message)
}

/// A route that answers by itself, or one that leads to a cluster.
pub(crate) fn route(name: &str, answer: Result<&str, &str>) -> Change {
    let action = match answer {
        Ok(body) => route::route::Action::DirectResponse(route::DirectResponseAction {
            status: 200,
            body: Some(core::DataSource {
                specifier: Some(core::data_source::Specifier::InlineString(body.into())),
                ..Default::default()
            }),
            ..Default::default()
        }),
        Err(cluster) => route::route::Action::Route(route::RouteAction {
            cluster_specifier: Some(route::route_action::ClusterSpecifier::Cluster(cluster.into())),
            ..Default::default()
        }),
    };
    let prefix = route::route_match::PathSpecifier::Prefix("/".into());
    let only = route::Route {
        r#match: Some(route::RouteMatch { path_specifier: Some(prefix), ..Default::default() }),
        action: Some(action),
        ..Default::default()
    };
    let host =
        route::VirtualHost { name: "all".into(), domains: vec!["*".into()], routes: vec![only], ..Default::default() };
    let message = route::RouteConfiguration { name: name.into(), virtual_hosts: vec![host], ..Default::default() };
    set(TypeUrl::Route, name, &message)
}

pub(crate) fn packed<M: Message + prost::Name>(message: &M) -> protobuf::Any {
    protobuf::Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: message.encode_to_vec() }
}

/// A listener on a Unix socket whose routes come by RDS.
pub(crate) fn listener(name: &str, path: &std::path::Path, route: &str) -> Change {
    listener_with(name, path, route, None, None)
}

/// The same, with one more HTTP filter, and something below HTTP.
pub(crate) fn listener_with(
    name: &str,
    path: &std::path::Path,
    route: &str,
    filter: Option<hcm::HttpFilter>,
    transport_socket: Option<core::TransportSocket>,
) -> Change {
    let router = hcm::HttpFilter {
        name: "router".into(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(packed(&Router::default()))),
        ..Default::default()
    };
    let manager = HttpConnectionManager {
        stat_prefix: name.into(),
        route_specifier: Some(hcm::http_connection_manager::RouteSpecifier::Rds(hcm::Rds {
            config_source: Some(ads()),
            route_config_name: route.into(),
        })),
        http_filters: filter.into_iter().chain([router]).collect(),
        ..Default::default()
    };
    let filter = Filter { name: "http".into(), config_type: Some(ConfigType::TypedConfig(packed(&manager))) };
    let pipe = core::Pipe { path: path.display().to_string(), mode: 0 };
    let message = Listener {
        name: name.into(),
        address: Some(core::Address { address: Some(core::address::Address::Pipe(pipe)) }),
        filter_chains: vec![FilterChain { filters: vec![filter], transport_socket, ..Default::default() }],
        ..Default::default()
    };
    set(TypeUrl::Listener, name, &message)
}
