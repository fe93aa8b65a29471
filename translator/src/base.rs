//! What every proxy has, whatever it calls.

use envoy_types::pb::{
    envoy::config::{cluster::v3::Cluster, core::v3::TrafficDirection, listener::v3::Listener},
    google::protobuf::BoolValue,
};
use smidge_mesh as mesh;
use smidge_xds::{Resource, TypeUrl};

use crate::{
    access_log::{self, Side},
    cluster, listener,
    metrics::{self, Reporter},
    name, secret, tcp,
};

/// Where the redirect rules take outbound connections; the injector's rules hold the same number.
const OUTBOUND_PORT: u16 = 15001;

/// `outbound`, `passthrough`, `inbound` (the cluster) and `trust`.
pub fn translate_base(base: &mesh::Base) -> Vec<Resource> {
    vec![
        secret::trust(&base.trust_domain, &base.trust_bundle),
        cluster_resource(&cluster::passthrough()),
        cluster_resource(&cluster::inbound()),
        listener::resource(&outbound(base.telemetry)),
    ]
}

pub(crate) fn cluster_resource(cluster: &Cluster) -> Resource {
    Resource::new(TypeUrl::Cluster, cluster.name.clone(), cluster)
}

/// Hands each connection to the listener of its destination, and passes it through where there is none.
fn outbound(telemetry: mesh::Telemetry) -> Listener {
    let log = telemetry.access_log.then(|| access_log::everything(Side::Outbound(None)));
    let logs = log.into_iter().chain([metrics::tcp(Reporter::Source(None))]).collect();
    let proxy = tcp::proxy(name::PASSTHROUGH, name::PASSTHROUGH.to_owned(), logs);
    Listener {
        use_original_dst: Some(BoolValue { value: true }),
        filter_chains: vec![listener::chain(vec![proxy])],
        ..listener::redirected(name::OUTBOUND, OUTBOUND_PORT, TrafficDirection::Outbound)
    }
}
