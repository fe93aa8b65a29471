//! Services: their addresses, ports and selectors.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use k8s_openapi::{
    api::core::v1::{Service, ServicePort, ServiceSpec},
    apimachinery::pkg::util::intstr::IntOrString,
};
use smidge_mesh::ServiceName;

use super::{Digest, Fact, Origin, pod::texts};

/// The facts about a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceFacts {
    /// Which.
    pub origin: Origin,
    /// How it is addressed.
    pub addressing: Addressing,
    /// The labels of the pods behind it; empty: it selects none, its EndpointSlices are its author's.
    pub selector: BTreeMap<Arc<str>, Arc<str>>,
    /// Its TCP ports by number.
    pub ports: BTreeMap<u16, ServicePortFacts>,
    /// Whether pods that are not ready are published too.
    pub publishes_unready: bool,
}

/// How a Service is addressed. `externalIPs` and load balancers are ignored: nobody steals another's traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// By addresses of its own.
    Virtual(Vec<IpAddr>),
    /// By the addresses of its pods.
    Headless,
    /// By another DNS name: it has no endpoints.
    External,
}

/// The facts about a port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePortFacts {
    /// Its name; empty for the only port of a Service.
    pub name: Arc<str>,
    /// The port of the pods.
    pub target: TargetPort,
    /// `appProtocol`.
    pub app_protocol: Option<Arc<str>>,
}

/// Which port of a pod is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// This one.
    Number(u16),
    /// The one with this name: its number may differ from pod to pod.
    Name(Arc<str>),
}

impl ServiceFacts {
    /// Its name.
    pub fn name(&self) -> ServiceName {
        ServiceName::new(self.origin.namespace.clone(), self.origin.name.clone())
    }

    /// Its own addresses; none for a headless or external one.
    pub fn addresses(&self) -> &[IpAddr] {
        match &self.addressing {
            Addressing::Virtual(addresses) => addresses,
            Addressing::Headless | Addressing::External => &[],
        }
    }

    /// Whether a pod with these labels, in its own namespace, is behind it.
    pub fn selects(&self, labels: &BTreeMap<Arc<str>, Arc<str>>) -> bool {
        !self.selector.is_empty() && self.selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}

impl Digest for Service {
    fn digest(&self) -> Fact {
        let nothing = ServiceSpec::default();
        let spec = self.spec.as_ref().unwrap_or(&nothing);
        Fact::Service(Arc::new(ServiceFacts {
            origin: Origin::of(&self.metadata),
            addressing: addressing(spec),
            selector: texts(spec.selector.as_ref()),
            ports: spec.ports.iter().flatten().filter_map(port).collect(),
            publishes_unready: spec.publish_not_ready_addresses == Some(true),
        }))
    }
}

fn addressing(spec: &ServiceSpec) -> Addressing {
    if spec.type_.as_deref() == Some("ExternalName") {
        return Addressing::External;
    }
    let all = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    let mut addresses: Vec<IpAddr> = all.clone().filter_map(|ip| ip.parse().ok()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    match addresses.is_empty() && all.into_iter().any(|ip| ip == "None") {
        true => Addressing::Headless,
        false => Addressing::Virtual(addresses),
    }
}

fn port(port: &ServicePort) -> Option<(u16, ServicePortFacts)> {
    if port.protocol.as_deref().unwrap_or("TCP") != "TCP" {
        return None;
    }
    let number = u16::try_from(port.port).ok().filter(|&number| number != 0)?;
    let target = match &port.target_port {
        None | Some(IntOrString::Int(0)) => TargetPort::Number(number),
        Some(IntOrString::Int(target)) => TargetPort::Number(u16::try_from(*target).ok()?),
        // A manifest may quote a number.
        Some(IntOrString::String(name)) => {
            name.parse().map_or(TargetPort::Name(name.as_str().into()), TargetPort::Number)
        }
    };
    let name = port.name.as_deref().unwrap_or_default().into();
    Some((number, ServicePortFacts { name, target, app_protocol: port.app_protocol.as_deref().map(Into::into) }))
}
