//! EDS: the addresses behind a Service, and the shares of a TCP split as weighted localities.

use std::collections::{BTreeMap, HashMap};

use envoy_types::pb::{
    envoy::config::{
        core::v3::{Locality, Metadata},
        endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
    },
    google::protobuf::{Struct, Value, value::Kind},
};
use smidge_mesh::{self as mesh, Health, Share};
use smidge_xds::{Resource, TypeUrl};

use crate::{
    cluster::{MTLS, TRANSPORT_SOCKET_MATCH},
    envoy::{address, number},
    name,
};

/// `<namespace>/<service>/<port>/http` and `…/tcp`.
pub fn translate_endpoints(endpoints: &mesh::Endpoints) -> Vec<Resource> {
    let service = &endpoints.service;
    let both = |(&port, behind): (&u16, &mesh::PortEndpoints)| {
        let own = by_zone(&serving(&behind.own));
        let tcp = behind.tcp.as_deref().map_or_else(|| own.clone(), by_share);
        [assignment(name::http(service, port), own), assignment(name::tcp(service, port), tcp)]
    };
    endpoints.ports.iter().flat_map(both).collect()
}

fn assignment(cluster_name: String, endpoints: Vec<LocalityLbEndpoints>) -> Resource {
    let assignment = ClusterLoadAssignment { cluster_name: cluster_name.clone(), endpoints, ..Default::default() };
    Resource::new(TypeUrl::Endpoints, cluster_name, &assignment)
}

/// Draining endpoints take part only where none is ready. Those left out keep the connections that they have.
fn serving(endpoints: &[mesh::Endpoint]) -> Vec<&mesh::Endpoint> {
    let ready: Vec<_> = endpoints.iter().filter(|endpoint| endpoint.health == Health::Ready).collect();
    if ready.is_empty() { endpoints.iter().collect() } else { ready }
}

/// A locality per zone, weighted by its endpoints, so that each endpoint gets the same.
fn by_zone(endpoints: &[&mesh::Endpoint]) -> Vec<LocalityLbEndpoints> {
    let mut zones = BTreeMap::<&str, Vec<&mesh::Endpoint>>::new();
    for endpoint in endpoints {
        zones.entry(endpoint.zone.as_deref().unwrap_or_default()).or_default().push(endpoint);
    }
    let zone = |(zone, endpoints): (&str, Vec<_>)| {
        let weight = u32::try_from(endpoints.len()).unwrap_or(u32::MAX);
        locality(Locality { zone: zone.to_owned(), ..Default::default() }, weight, &endpoints)
    };
    zones.into_iter().map(zone).collect()
}

/// A locality per share. Envoy keeps only the first of two endpoints with one address, so an endpoint that belongs to
/// several shares (the root among its own backends) stands in a locality of its own, which gets its part of each.
fn by_share(shares: &[Share]) -> Vec<LocalityLbEndpoints> {
    let mut owners = BTreeMap::<&mesh::Endpoint, Vec<usize>>::new();
    let mut sizes = vec![0; shares.len()];
    for (index, share) in shares.iter().enumerate() {
        for endpoint in serving(&share.endpoints) {
            owners.entry(endpoint).or_default().push(index);
            sizes[index] += 1;
        }
    }
    let mut groups = BTreeMap::<Vec<usize>, Vec<&mesh::Endpoint>>::new();
    for (endpoint, owners) in owners {
        groups.entry(owners).or_default().push(endpoint);
    }
    let weights = whole(groups.iter().map(|(of, group)| weight(shares, &sizes, of) * group.len() as f64).collect());
    let group = |((of, group), weight): ((&Vec<usize>, &Vec<&mesh::Endpoint>), u32)| {
        let sub_zone = of.iter().map(|&index| share_name(&shares[index])).collect::<Vec<_>>().join("+");
        locality(Locality { sub_zone, ..Default::default() }, weight, group)
    };
    groups.iter().zip(weights).map(group).collect()
}

fn share_name(share: &Share) -> String {
    format!("{}/{}", share.service.namespace, share.service.name)
}

/// What one endpoint gets that belongs to these shares.
fn weight(shares: &[Share], sizes: &[usize], of: &[usize]) -> f64 {
    of.iter().map(|&index| f64::from(shares[index].weight) / sizes[index] as f64).sum()
}

/// The weights as Envoy takes them: whole, above 0, their sum in 32 bits. Exact where they are whole already.
fn whole(weights: Vec<f64>) -> Vec<u32> {
    const MOST: f64 = (u32::MAX / 2) as f64;
    let sum: f64 = weights.iter().sum();
    let exact = sum <= MOST && weights.iter().all(|weight| (weight - weight.round()).abs() < 1e-6);
    let scale = if exact { 1.0 } else { MOST / 2.0 / sum };
    weights.into_iter().map(|weight| (weight * scale).round().max(1.0) as u32).collect()
}

fn locality(locality: Locality, weight: u32, endpoints: &[&mesh::Endpoint]) -> LocalityLbEndpoints {
    LocalityLbEndpoints {
        locality: Some(locality),
        load_balancing_weight: number(weight),
        lb_endpoints: endpoints.iter().map(|endpoint| lb_endpoint(endpoint)).collect(),
        ..Default::default()
    }
}

fn lb_endpoint(endpoint: &mesh::Endpoint) -> LbEndpoint {
    let address = address(endpoint.address.ip(), endpoint.address.port(), false);
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint { address: Some(address), ..Default::default() })),
        metadata: endpoint.meshed.then(meshed),
        ..Default::default()
    }
}

/// What the clusters' `transport_socket_matches` look for. Every map here has one entry: see the crate `xds`.
fn meshed() -> Metadata {
    let yes = Value { kind: Some(Kind::BoolValue(true)) };
    let fields = Struct { fields: HashMap::from([(MTLS.to_owned(), yes)]) };
    Metadata { filter_metadata: HashMap::from([(TRANSPORT_SOCKET_MATCH.to_owned(), fields)]), ..Default::default() }
}
