//! A pod as far as Smidge reads it. The whole type has thousands of fields, and reading it from YAML takes minutes to
//! build; none of what is left out here is in the facts.

use k8s_openapi::{
    api::core::v1::{Container, ContainerPort, Pod, PodCondition, PodIP, PodSpec, PodStatus},
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct ReadPod {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ReadSpec,
    #[serde(default)]
    status: ReadStatus,
}

impl ReadPod {
    /// One that does not run yet.
    pub(super) fn new(metadata: ObjectMeta, spec: ReadSpec) -> Self {
        Self { metadata, spec, status: ReadStatus::default() }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ReadSpec {
    service_account_name: Option<String>,
    host_network: Option<bool>,
    containers: Vec<ReadContainer>,
    init_containers: Vec<ReadContainer>,
}

#[derive(Deserialize)]
struct ReadContainer {
    name: String,
    #[serde(default)]
    ports: Option<Vec<ContainerPort>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReadStatus {
    phase: Option<String>,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIP>>,
    conditions: Option<Vec<PodCondition>>,
}

impl From<ReadPod> for Pod {
    fn from(read: ReadPod) -> Self {
        let containers = |read: Vec<ReadContainer>| read.into_iter().map(Container::from).collect::<Vec<_>>();
        let ReadSpec { service_account_name, host_network, containers: main, init_containers } = read.spec;
        let init_containers = Some(containers(init_containers));
        let containers = containers(main);
        let spec = PodSpec { service_account_name, host_network, containers, init_containers, ..PodSpec::default() };
        let ReadStatus { phase, pod_ip, pod_ips, conditions } = read.status;
        let status = PodStatus { phase, pod_ip, pod_ips, conditions, ..PodStatus::default() };
        Self { metadata: read.metadata, spec: Some(spec), status: Some(status) }
    }
}

impl From<ReadContainer> for Container {
    fn from(read: ReadContainer) -> Self {
        Self { name: read.name, ports: read.ports, ..Self::default() }
    }
}
