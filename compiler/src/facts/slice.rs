//! EndpointSlices: the addresses that somebody says are behind a Service.

use std::{net::IpAddr, sync::Arc};

use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use smidge_mesh::{Health, PodName, ServiceName};

use super::{Digest, Fact, Origin};

/// The label that says whose endpoints a slice holds.
const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// The facts about an EndpointSlice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSliceFacts {
    /// Which.
    pub origin: Origin,
    /// The Service, of the slice's own namespace; `None`: of nobody.
    pub service: Option<ServiceName>,
    /// Its TCP ports.
    pub ports: Vec<SlicePort>,
    /// Its usable endpoints: one for each address.
    pub endpoints: Vec<EndpointFacts>,
}

/// A port of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the Service's port.
    pub name: Arc<str>,
    /// The number on the endpoints.
    pub number: u16,
}

/// An address in a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointFacts {
    /// The address.
    pub address: IpAddr,
    /// Whether requests may go there.
    pub health: Health,
    /// Where it is best called from: the zone of its hint, else its own.
    pub zone: Option<Arc<str>>,
    /// The pod, of the slice's own namespace, whose it says to be.
    pub pod: Option<PodName>,
}

impl Digest for EndpointSlice {
    fn digest(&self) -> Fact {
        let origin = Origin::of(&self.metadata);
        let label = self.metadata.labels.as_ref().and_then(|labels| labels.get(SERVICE_LABEL));
        Fact::EndpointSlice(Arc::new(EndpointSliceFacts {
            service: label.map(|service| ServiceName::new(origin.namespace.clone(), service.as_str())),
            ports: self.ports.iter().flatten().filter_map(port).collect(),
            // Names (`addressType: FQDN`) are no addresses and fall out here.
            endpoints: self.endpoints.iter().flatten().flat_map(|one| endpoints(one, &origin.namespace)).collect(),
            origin,
        }))
    }
}

fn port(port: &EndpointPort) -> Option<SlicePort> {
    let is_tcp = port.protocol.as_deref().unwrap_or("TCP") == "TCP";
    let number = u16::try_from(port.port?).ok().filter(|&number| is_tcp && number != 0)?;
    Some(SlicePort { name: port.name.as_deref().unwrap_or_default().into(), number })
}

fn endpoints<'a>(endpoint: &'a Endpoint, namespace: &Arc<str>) -> impl Iterator<Item = EndpointFacts> + use<'a> {
    let zone = zone(endpoint);
    let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
    let pod = target.and_then(|target| target.name.as_deref()).map(|name| PodName::new(namespace.clone(), name));
    let health = health(endpoint);
    endpoint.addresses.iter().filter_map(move |address| {
        let address = address.parse().ok()?;
        Some(EndpointFacts { address, health: health?, zone: zone.clone(), pod: pod.clone() })
    })
}

/// An absent condition reads as Kubernetes says: `ready` as true, `serving` as `ready`.
fn health(endpoint: &Endpoint) -> Option<Health> {
    let conditions = endpoint.conditions.as_ref();
    let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
    let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
    let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
    match (ready, serving && terminating) {
        (true, _) => Some(Health::Ready),
        (false, true) => Some(Health::Draining),
        (false, false) => None,
    }
}

/// An endpoint with hints belongs to the zones that shall call it: its own if it is among them.
fn zone(endpoint: &Endpoint) -> Option<Arc<str>> {
    let hints = endpoint.hints.as_ref().and_then(|hints| hints.for_zones.as_ref());
    let hinted = hints.into_iter().flatten().map(|zone| zone.name.as_str());
    let own = endpoint.zone.as_deref();
    let chosen = match hinted.clone().any(|hint| Some(hint) == own) {
        true => own,
        false => hinted.into_iter().next().or(own),
    };
    chosen.filter(|zone| !zone.is_empty()).map(Into::into)
}
