//! One layer: the current resource of each name, and what has changed in it since it was last asked.
//!
//! A name has one owner: the key whose value it was translated from. Should two keys ever claim one name, the smaller
//! key has it, whichever came first, so that every process serves the same; the other gets it when the first lets go.

use std::{collections::BTreeMap, sync::Arc};

use smidge_mesh::ServiceName;
use smidge_xds::{Change, Name, Resource, TypeUrl, Version};

use crate::Counters;

/// What a resource was translated from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    Base,
    Service(ServiceName),
    Endpoints(ServiceName),
    Peers(ServiceName),
    Inbound,
}

/// The identity of a resource within a layer.
pub(crate) type ResourceKey = (TypeUrl, Name);

#[derive(Debug)]
struct Claim {
    owner: Owner,
    resource: Arc<Resource>,
}

#[derive(Debug, Default)]
pub(crate) struct Layer {
    /// Sorted by owner; the first has the name. Never empty.
    claims: BTreeMap<ResourceKey, Vec<Claim>>,
    /// Names that may have changed, with the version that was last told.
    touched: BTreeMap<ResourceKey, Option<Version>>,
}

impl Layer {
    /// Replaces all that an owner has put in, and returns what it has in the layer now: the old resource, with its
    /// bytes, wherever the version is the same. Of two resources with one name the first counts.
    pub(crate) fn replace(
        &mut self,
        owner: &Owner,
        before: &[Arc<Resource>],
        after: Vec<Resource>,
        counters: &mut Counters,
    ) -> Vec<Arc<Resource>> {
        let mut old: BTreeMap<ResourceKey, Arc<Resource>> = before.iter().map(|r| (key_of(r), r.clone())).collect();
        let mut kept: BTreeMap<ResourceKey, Arc<Resource>> = BTreeMap::new();
        for resource in after {
            counters.translated += 1;
            let key = key_of(&resource);
            match old.remove(&key) {
                _ if kept.contains_key(&key) => {}
                Some(same) if same.version == resource.version => {
                    counters.same_versions += 1;
                    kept.insert(key, same);
                }
                _ => {
                    let resource = Arc::new(resource);
                    self.claim(&key, owner, Some(resource.clone()));
                    kept.insert(key, resource);
                }
            }
        }
        for key in old.into_keys() {
            self.claim(&key, owner, None);
        }
        kept.into_values().collect()
    }

    /// What has changed since the last call, in the order of warming.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        let touched = std::mem::take(&mut self.touched);
        touched.into_iter().filter_map(|(key, told)| self.change(key, told)).collect()
    }

    /// The current resources.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.claims.values().filter_map(|claims| claims.first()).map(|claim| &claim.resource)
    }

    fn change(&self, key: ResourceKey, told: Option<Version>) -> Option<Change> {
        match self.current(&key) {
            Some(now) if told == Some(now.version) => None,
            Some(now) => Some(Change::Set(now.clone())),
            None => told.map(|_| Change::Remove(key.0, key.1)),
        }
    }

    fn current(&self, key: &ResourceKey) -> Option<&Arc<Resource>> {
        self.claims.get(key)?.first().map(|claim| &claim.resource)
    }

    fn claim(&mut self, key: &ResourceKey, owner: &Owner, resource: Option<Arc<Resource>>) {
        let told = self.current(key).map(|resource| resource.version);
        self.touched.entry(key.clone()).or_insert(told);
        let claims = self.claims.entry(key.clone()).or_default();
        claims.retain(|claim| claim.owner != *owner);
        if let Some(resource) = resource {
            let place = claims.partition_point(|claim| claim.owner < *owner);
            claims.insert(place, Claim { owner: owner.clone(), resource });
        }
        if claims.is_empty() {
            self.claims.remove(key);
        }
    }
}

/// The identity of a resource within its layer.
pub(crate) fn key_of(resource: &Resource) -> ResourceKey {
    (resource.type_url, resource.name.clone())
}

#[cfg(test)]
mod tests {
    use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;

    use super::*;

    fn route(name: &str, body: &str) -> Resource {
        let message = RouteConfiguration { name: body.to_owned(), ..Default::default() };
        Resource::new(TypeUrl::Route, name, &message)
    }

    fn owner(name: &str) -> Owner {
        Owner::Service(ServiceName::new("ns", name))
    }

    fn told(layer: &mut Layer) -> Vec<String> {
        let line = |change| match change {
            Change::Set(resource) => format!("set {} {}", resource.name, resource.version),
            Change::Remove(_, name) => format!("remove {name}"),
        };
        layer.take_changes().into_iter().map(line).collect()
    }

    #[test]
    fn a_resource_with_the_same_version_keeps_its_bytes_and_is_not_told() {
        let (mut layer, mut counters) = (Layer::default(), Counters::default());
        let first = layer.replace(&owner("a"), &[], vec![route("x", "1")], &mut counters);
        assert_eq!(told(&mut layer).len(), 1);
        let second = layer.replace(&owner("a"), &first, vec![route("x", "1")], &mut counters);
        assert!(Arc::ptr_eq(&first[0], &second[0]));
        assert_eq!(told(&mut layer), Vec::<String>::new());
        assert_eq!((counters.translated, counters.same_versions), (2, 1));
    }

    #[test]
    fn a_name_that_two_keys_claim_goes_to_the_smaller_key_in_either_order() {
        let (one, two) = (route("x", "1"), route("x", "2"));
        for order in [["a", "b"], ["b", "a"]] {
            let (mut layer, mut counters) = (Layer::default(), Counters::default());
            let mut held = BTreeMap::new();
            for name in order {
                let resource = if name == "a" { one.clone() } else { two.clone() };
                held.insert(name, layer.replace(&owner(name), &[], vec![resource], &mut counters));
            }
            assert_eq!(told(&mut layer), [format!("set x {}", one.version)]);
            layer.replace(&owner("a"), &held["a"], vec![], &mut counters);
            assert_eq!(told(&mut layer), [format!("set x {}", two.version)], "the other claim takes over");
            layer.replace(&owner("b"), &held["b"], vec![], &mut counters);
            assert_eq!(told(&mut layer), ["remove x"]);
        }
    }

    #[test]
    fn what_came_and_went_between_two_tellings_is_not_told() {
        let (mut layer, mut counters) = (Layer::default(), Counters::default());
        let held = layer.replace(&owner("a"), &[], vec![route("x", "1")], &mut counters);
        layer.replace(&owner("a"), &held, vec![], &mut counters);
        assert_eq!(told(&mut layer), Vec::<String>::new());
        assert_eq!(layer.resources().count(), 0);
    }

    #[test]
    fn of_two_resources_of_one_owner_with_one_name_the_first_counts() {
        let (mut layer, mut counters) = (Layer::default(), Counters::default());
        let (one, two) = (route("x", "1"), route("x", "2"));
        let held = layer.replace(&owner("a"), &[], vec![one.clone(), two], &mut counters);
        assert_eq!(held.len(), 1);
        assert_eq!(told(&mut layer), [format!("set x {}", one.version)]);
    }
}
