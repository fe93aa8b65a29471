//! What the policy, as it stands in the folder, lets one expect of each app's calls.
//!
//! In this example a version's Service, service account and app have one name. Only the split of the root, the
//! sources of the targets and the namespace's mode are looked at: whoever edits paths or methods has to judge by eye.

use std::collections::{BTreeMap, BTreeSet};

use crate::manifests::Manifests;

/// The Service that customers call.
pub(crate) const ROOT: &str = "bookstore";
/// The Service that stores call.
const WAREHOUSE: &str = "bookwarehouse";

/// How one call ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// This app has answered with 200.
    Served(String),
    /// A sidecar has answered with 403.
    Denied,
    /// Anything else: this status, or 0 for no answer.
    Failed(u16),
}

/// The policy's part that the demo measures.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Policy {
    /// Each app and the service account it runs under.
    accounts: BTreeMap<String, String>,
    /// Each version of the store with its share of the root's traffic; they add up to 1.
    shares: BTreeMap<String, f64>,
    /// Destination and source accounts of all targets.
    permitted: BTreeSet<(String, String)>,
    /// True if the namespace's mode lets through what no target permits.
    open: bool,
}

impl Policy {
    pub(crate) fn new(manifests: &Manifests) -> Self {
        let accounts: BTreeMap<_, _> = manifests.pods.iter().filter_map(account).collect();
        let stores = accounts.values().filter(|name| name.starts_with(&format!("{ROOT}-"))).cloned().collect();
        Self { shares: shares(manifests, stores), permitted: permitted(manifests), open: is_open(manifests), accounts }
    }

    /// True if this app calls of its own accord: a store calls only when something was bought from it.
    pub(crate) fn is_customer(&self, app: &str) -> bool {
        !self.shares.contains_key(self.account(app))
    }

    fn account<'a>(&'a self, app: &'a str) -> &'a str {
        self.accounts.get(app).map_or(app, String::as_str)
    }

    /// Each outcome that a call of this app may have, with its probability; nothing for one that calls nobody.
    pub(crate) fn expected(&self, app: &str) -> BTreeMap<Outcome, f64> {
        let account = self.account(app);
        let warehouse = BTreeMap::from([(WAREHOUSE.to_string(), 1.0)]);
        let called = match account {
            WAREHOUSE => return BTreeMap::new(),
            store if self.shares.contains_key(store) => &warehouse,
            _ => &self.shares,
        };
        let mut expected = BTreeMap::new();
        for (server, share) in called.iter().filter(|(_, share)| **share > 0.0) {
            let permits = self.open || self.permitted.contains(&(server.clone(), account.to_string()));
            let outcome = if permits { Outcome::Served(server.clone()) } else { Outcome::Denied };
            *expected.entry(outcome).or_default() += share;
        }
        expected
    }
}

fn account(pod: &k8s_openapi::api::core::v1::Pod) -> Option<(String, String)> {
    Some((pod.metadata.name.clone()?, pod.spec.as_ref()?.service_account_name.clone()?))
}

/// The split's weights as shares, of the backends that exist; without a split that has any weight, all pods of the root alike.
fn shares(manifests: &Manifests, stores: Vec<String>) -> BTreeMap<String, f64> {
    let split = manifests.splits.iter().find(|split| split.spec.service == ROOT);
    let mut weights: BTreeMap<String, f64> = stores.into_iter().map(|store| (store, 0.0)).collect();
    let exists = |name: &str| manifests.services.iter().any(|service| service.metadata.name.as_deref() == Some(name));
    let backends = split.iter().flat_map(|split| &split.spec.backends);
    for backend in backends.filter(|backend| exists(&backend.service)) {
        *weights.entry(backend.service.clone()).or_default() += f64::from(backend.weight);
    }
    if weights.values().sum::<f64>() == 0.0 {
        weights.values_mut().for_each(|weight| *weight = 1.0);
    }
    let sum: f64 = weights.values().sum();
    weights.into_iter().map(|(store, weight)| (store, weight / sum)).collect()
}

fn is_open(manifests: &Manifests) -> bool {
    let mut labels = manifests.namespaces.iter().flat_map(|namespace| namespace.metadata.labels.iter().flatten());
    labels.any(|(key, value)| key == "smidge.dev/mode" && value != "deny")
}

fn permitted(manifests: &Manifests) -> BTreeSet<(String, String)> {
    let pairs = manifests.targets.iter().flat_map(|target| {
        let sources = target.spec.sources.iter();
        sources.map(|source| (target.spec.destination.name.clone(), source.name.clone()))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        Policy::new(&Manifests::read(folder).unwrap())
    }

    #[test]
    fn the_buyer_is_served_by_shares_and_the_thief_is_denied() {
        let served = |name: &str| Outcome::Served(name.into());
        let buyer = BTreeMap::from([(served("bookstore-v1"), 0.9), (served("bookstore-v2"), 0.1)]);
        assert_eq!(policy().expected("bookbuyer"), buyer);
        assert_eq!(policy().expected("bookthief").keys().collect::<Vec<_>>(), [&Outcome::Denied]);
        assert_eq!(policy().expected("bookstore-v2"), BTreeMap::from([(served("bookwarehouse"), 1.0)]));
    }

    #[test]
    fn a_version_without_a_service_leaves_its_share_to_the_others() {
        let mut manifests = Manifests::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR"))).unwrap();
        manifests.services.retain(|service| service.metadata.name.as_deref() != Some("bookstore-v2"));
        let buyer = BTreeMap::from([(Outcome::Served("bookstore-v1".into()), 1.0)]);
        assert_eq!(Policy::new(&manifests).expected("bookbuyer"), buyer);
    }

    #[test]
    fn in_audit_mode_the_thief_is_served_as_the_buyer_is() {
        let open = Policy { open: true, ..policy() };
        assert_eq!(open.expected("bookthief"), policy().expected("bookbuyer"));
    }

    #[test]
    fn a_version_that_does_not_know_the_buyer_denies_its_share() {
        let mut policy = policy();
        policy.permitted.remove(&("bookstore-v2".into(), "bookbuyer".into()));
        assert_eq!(policy.expected("bookbuyer")[&Outcome::Denied], 0.1);
    }
}
