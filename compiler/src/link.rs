//! By what other objects find an object: the index of a snapshot.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use smidge_mesh::{PodName, ServiceAccountName, ServiceName};

use crate::{
    Fact, ObjectRef,
    facts::{EndpointSliceFacts, IngressFacts, PodFacts, ServiceFacts, SplitFacts, TargetFacts},
};

/// A key of the index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Link {
    /// Of an EndpointSlice: whose endpoints it holds.
    SliceOf(ServiceName),
    /// Of an EndpointSlice: an address that it holds.
    SliceAddress(IpAddr),
    /// Of an EndpointSlice: a pod that it names.
    SlicePod(PodName),
    /// Of a Pod: its address.
    PodAddress(IpAddr),
    /// Of a Pod: its service account.
    Account(ServiceAccountName),
    /// Of a Pod: a label, with the namespace first.
    Label(Arc<str>, Arc<str>, Arc<str>),
    /// Of a Service: the most telling label of its selector, with the namespace first.
    Selector(Arc<str>, Arc<str>, Arc<str>),
    /// Of a Service: its own address.
    Virtual(IpAddr),
    /// Of a TrafficSplit: its root.
    Root(ServiceName),
    /// Of a TrafficSplit: a backend.
    Backend(ServiceName),
    /// Of a TrafficTarget: whose pods it opens.
    Destination(ServiceAccountName),
    /// Of an IngressBackend: a Service that it opens.
    Ingress(ServiceName),
    /// Of an IngressBackend: a Service whose pods it lets in.
    Guests(ServiceName),
    /// Of a TrafficSplit, TrafficTarget or IngressBackend: routes that it names.
    Names(ObjectRef),
}

/// Everything by which an object is found.
pub(crate) fn links(fact: &Fact) -> BTreeSet<Link> {
    match fact {
        Fact::Service(facts) => of_service(facts),
        Fact::EndpointSlice(facts) => of_slice(facts),
        Fact::Pod(facts) => of_pod(facts),
        Fact::TrafficSplit(facts) => of_split(facts),
        Fact::TrafficTarget(facts) => of_target(facts),
        Fact::IngressBackend(facts) => of_ingress(facts),
        Fact::Namespace(_) | Fact::HttpRouteGroup(_) | Fact::TcpRoute(_) | Fact::UdpRoute(_) | Fact::MeshConfig(_) => {
            BTreeSet::new()
        }
    }
}

fn of_service(facts: &ServiceFacts) -> BTreeSet<Link> {
    // One label is enough to find it. The longest value tends to be the one that fewest share.
    let telling = facts.selector.iter().max_by_key(|(key, value)| (value.len(), *key));
    let selector =
        telling.map(|(key, value)| Link::Selector(facts.origin.namespace.clone(), key.clone(), value.clone()));
    facts.addresses().iter().copied().map(Link::Virtual).chain(selector).collect()
}

fn of_slice(facts: &EndpointSliceFacts) -> BTreeSet<Link> {
    let addresses = facts.endpoints.iter().map(|endpoint| Link::SliceAddress(endpoint.address));
    let pods = facts.endpoints.iter().filter_map(|endpoint| endpoint.pod.clone()).map(Link::SlicePod);
    addresses.chain(pods).chain(facts.service.clone().map(Link::SliceOf)).collect()
}

fn of_pod(facts: &PodFacts) -> BTreeSet<Link> {
    let addresses = facts.addresses.iter().copied().map(Link::PodAddress);
    let namespace = &facts.origin.namespace;
    let labels = facts.labels.iter().map(|(key, value)| Link::Label(namespace.clone(), key.clone(), value.clone()));
    addresses.chain(labels).chain([Link::Account(facts.account())]).collect()
}

fn of_split(facts: &SplitFacts) -> BTreeSet<Link> {
    let backends = facts.backends.iter().map(|backend| Link::Backend(backend.service.clone()));
    let root = facts.root.clone().map(Link::Root);
    backends.chain(root).chain(facts.group_objects().map(Link::Names)).collect()
}

fn of_target(facts: &TargetFacts) -> BTreeSet<Link> {
    let routes = facts.rules.iter().map(|rule| Link::Names(facts.object_of(rule)));
    routes.chain(facts.destination.clone().map(Link::Destination)).collect()
}

fn of_ingress(facts: &IngressFacts) -> BTreeSet<Link> {
    let opened = facts.backends.iter().map(|backend| Link::Ingress(backend.service.clone()));
    let guests = facts.services().cloned().map(Link::Guests);
    opened.chain(guests).chain(facts.groups().map(Link::Names)).collect()
}
