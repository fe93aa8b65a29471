//! What the API server has of the objects that the custody looks at. Watches in, stores out.

use std::sync::Arc;

use futures::{
    StreamExt,
    stream::{BoxStream, select_all},
};
use k8s_openapi::api::{
    admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
    certificates::v1beta1::ClusterTrustBundle,
    core::v1::{ConfigMap, Namespace, Secret},
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Crd;
use kube::{Api, Client, ResourceExt};
use kube_runtime::{reflector::Store, watcher};
use smidge_injector::{CLUSTER_TRUST_BUNDLE, TRUST_CONFIG_MAP};

use super::{
    ca_bundle::{INJECTOR, VALIDATOR},
    root_secret::ROOT_SECRET,
};
use crate::watch::{Lacking, is_listed, mirror, mirror_if_served};

/// The stores.
pub(super) struct Mirrors {
    roots: Store<Secret>,
    namespaces: Store<Namespace>,
    maps: Store<ConfigMap>,
    cluster: Store<ClusterTrustBundle>,
    lacks_cluster: Lacking,
    injectors: Store<MutatingWebhookConfiguration>,
    validators: Store<ValidatingWebhookConfiguration>,
    /// One for each kind that is converted: a right by name covers a watch of that name alone.
    crds: Vec<Store<Crd>>,
}

impl Mirrors {
    /// The stores, and a stream that has an item for each change. It has to be read for them to follow.
    pub(super) fn watch(client: &Client, namespace: &str) -> (Self, BoxStream<'static, ()>) {
        let named = |name: &str| watcher::Config::default().fields(&format!("metadata.name={name}"));
        let meshed = watcher::Config::default().labels("smidge.dev/inject=enabled");
        let (roots, a) = mirror(Api::namespaced(client.clone(), namespace), named(ROOT_SECRET), "Secret smidge-root");
        let (namespaces, b) = mirror(Api::all(client.clone()), meshed, "namespaces");
        let (maps, c) = mirror(Api::all(client.clone()), named(TRUST_CONFIG_MAP), "ConfigMaps smidge-trust");
        let (injectors, d) = mirror(Api::all(client.clone()), named(INJECTOR), "the webhook's configuration");
        let (validators, g) = mirror(Api::all(client.clone()), named(VALIDATOR), "the validator's configuration");
        let (cluster, lacks_cluster, e) =
            mirror_if_served(client, named(CLUSTER_TRUST_BUNDLE), "ClusterTrustBundle smidge-trust");
        let crd = |crd: Crd| mirror(Api::all(client.clone()), named(&crd.name_any()), "a CRD of SMI");
        let (crds, f): (Vec<_>, Vec<_>) = smidge_crds::converted().map(crd).unzip();
        let stores = Self { roots, namespaces, maps, cluster, lacks_cluster, injectors, validators, crds };
        (stores, select_all([a, b, c, d, e, g].into_iter().chain(f)).boxed())
    }

    /// Whether each store has had its first list, if there is anything to list.
    pub(super) fn are_listed(&self) -> bool {
        let core = is_listed(&self.roots) && is_listed(&self.namespaces) && is_listed(&self.maps);
        let asking = is_listed(&self.injectors) && is_listed(&self.validators) && self.crds.iter().all(is_listed);
        core && asking && (self.lacks_cluster.is_certain() || is_listed(&self.cluster))
    }

    /// The Secret with the roots.
    pub(super) fn root(&self) -> Option<Arc<Secret>> {
        self.roots.state().pop()
    }

    /// The namespaces that are in the mesh, and stay.
    pub(super) fn namespaces(&self) -> impl Iterator<Item = String> {
        let staying = self.namespaces.state().into_iter().filter(|of| of.metadata.deletion_timestamp.is_none());
        staying.filter_map(|of| of.metadata.name.clone())
    }

    /// The ConfigMaps with trusted roots.
    pub(super) fn maps(&self) -> Vec<Arc<ConfigMap>> {
        self.maps.state()
    }

    /// The ClusterTrustBundles of our name: one, or none; `None` where the API server has no such kind, or has not said yet.
    pub(super) fn cluster(&self) -> Option<Vec<Arc<ClusterTrustBundle>>> {
        (!self.lacks_cluster.is_certain() && is_listed(&self.cluster)).then(|| self.cluster.state())
    }

    /// A namespace that trusts some root.
    pub(super) fn trusting(&self) -> Option<String> {
        self.maps.state().first().and_then(|map| map.metadata.namespace.clone())
    }

    /// The configurations of webhooks that change what is written: one, or none.
    pub(super) fn injectors(&self) -> Vec<Arc<MutatingWebhookConfiguration>> {
        self.injectors.state()
    }

    /// The configurations of webhooks that refuse: one, or none.
    pub(super) fn validators(&self) -> Vec<Arc<ValidatingWebhookConfiguration>> {
        self.validators.state()
    }

    /// The CRDs whose objects are converted, as far as they are installed.
    pub(super) fn crds(&self) -> impl Iterator<Item = Arc<Crd>> {
        self.crds.iter().flat_map(Store::state)
    }
}
