//! Pods: who they are, where they are, whether a sidecar runs in them.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, PodStatus};
use smidge_mesh::{PodName, ServiceAccountName};

use super::{Digest, Fact, Origin};

/// The name of the container that makes a pod one of the mesh.
pub const SIDECAR: &str = "smidge-proxy";

/// The facts about a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Which.
    pub origin: Origin,
    /// Which pod of that name: a new one has another. Empty in a folder.
    pub uid: Arc<str>,
    /// Its service account.
    pub service_account: Arc<str>,
    /// Its addresses, while it has not ended; none if they are its node's.
    pub addresses: Vec<IpAddr>,
    /// Whether it uses the addresses of its node, and so is never meshed.
    pub on_host: bool,
    /// What Services select it by.
    pub labels: BTreeMap<Arc<str>, Arc<str>>,
    /// The TCP ports of its containers that have names.
    pub named_ports: BTreeMap<Arc<str>, u16>,
    /// Whether a sidecar runs in it.
    pub meshed: bool,
    /// Whether it is Ready.
    pub ready: bool,
    /// Whether it is being deleted.
    pub terminating: bool,
}

impl PodFacts {
    /// Its name.
    pub fn name(&self) -> PodName {
        PodName::new(self.origin.namespace.clone(), self.origin.name.clone())
    }

    /// Its service account.
    pub fn account(&self) -> ServiceAccountName {
        ServiceAccountName::new(self.origin.namespace.clone(), self.service_account.clone())
    }
}

impl Digest for Pod {
    fn digest(&self) -> Fact {
        let nothing = (PodSpec::default(), PodStatus::default());
        let spec = self.spec.as_ref().unwrap_or(&nothing.0);
        let status = self.status.as_ref().unwrap_or(&nothing.1);
        let on_host = spec.host_network == Some(true);
        let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
        Fact::Pod(Arc::new(PodFacts {
            origin: Origin::of(&self.metadata),
            uid: self.metadata.uid.as_deref().unwrap_or_default().into(),
            service_account: spec
                .service_account_name
                .as_deref()
                .filter(|name| !name.is_empty())
                .unwrap_or("default")
                .into(),
            addresses: if on_host || ended { Vec::new() } else { addresses(status) },
            on_host: on_host && !ended,
            labels: texts(self.metadata.labels.as_ref()),
            named_ports: named_ports(spec),
            meshed: !on_host && !ended && containers(spec).any(|container| container.name == SIDECAR),
            ready: is_ready(status),
            terminating: self.metadata.deletion_timestamp.is_some(),
        }))
    }
}

/// A map of labels, shared.
pub(super) fn texts(map: Option<&BTreeMap<String, String>>) -> BTreeMap<Arc<str>, Arc<str>> {
    map.into_iter().flatten().map(|(key, value)| (key.as_str().into(), value.as_str().into())).collect()
}

fn containers(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers.iter().chain(spec.init_containers.iter().flatten())
}

fn addresses(status: &PodStatus) -> Vec<IpAddr> {
    let all = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str()).chain(status.pod_ip.as_deref());
    let mut addresses: Vec<IpAddr> = all.filter_map(|ip| ip.parse().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// The first container that names a port has it, as in Kubernetes.
fn named_ports(spec: &PodSpec) -> BTreeMap<Arc<str>, u16> {
    let mut named = BTreeMap::new();
    for port in containers(spec).flat_map(|container| container.ports.iter().flatten()) {
        let is_tcp = port.protocol.as_deref().unwrap_or("TCP") == "TCP";
        if let (true, Some(name), Ok(number)) = (is_tcp, &port.name, u16::try_from(port.container_port)) {
            named.entry(name.as_str().into()).or_insert(number);
        }
    }
    named
}

fn is_ready(status: &PodStatus) -> bool {
    status.conditions.iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
