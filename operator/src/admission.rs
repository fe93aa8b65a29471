//! What admissions depend on, as the API server has it: watches of namespaces and of the MeshConfig in, and whether there is a
//! ClusterTrustBundle; what the webhook looks at out.

use std::sync::Arc;

use futures::{StreamExt, stream::select};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use kube_runtime::watcher::Config;
use smidge_crds::smidge::v1alpha1::{MeshConfig, NAME};
use smidge_injector::Settings;
use tokio::sync::watch;

use crate::{
    watch::{is_listed, mirror},
    webhook::NamespaceLabels,
};

/// What the webhook is told.
pub(crate) struct Told {
    pub(crate) settings: watch::Sender<Arc<Settings>>,
    pub(crate) namespaces: watch::Sender<NamespaceLabels>,
}

/// Follows all for ever. `installed` is what the installation says: images and the control plane's namespace.
pub(crate) async fn follow(client: Client, installed: Settings, mut has_bundle: watch::Receiver<bool>, told: Told) {
    let (namespaces, a) = mirror::<Namespace>(Api::all(client.clone()), Config::default(), "namespaces");
    let (configs, b) = mirror::<MeshConfig>(Api::all(client), Config::default(), "the MeshConfig");
    let mut changes = select(a, b).ready_chunks(1024);
    loop {
        tokio::select! {
            Some(_) = changes.next() => {}
            Ok(()) = has_bundle.changed() => {}
            else => return,
        }
        if is_listed(&namespaces) {
            told.namespaces.send_replace(namespaces.state().iter().filter_map(|of| labels(of)).collect());
        }
        let config = configs.state().into_iter().find(|config| config.metadata.name.as_deref() == Some(NAME));
        let config = config.map(|config| config.spec.clone()).unwrap_or_default();
        let has_bundle = *has_bundle.borrow_and_update();
        let wanted = installed.clone().chosen(&config.sidecar, config.permit_proxy_bypass, has_bundle);
        told.settings.send_if_modified(|now| {
            **now != wanted && {
                *now = Arc::new(wanted);
                true
            }
        });
    }
}

fn labels(namespace: &Namespace) -> Option<(String, std::collections::BTreeMap<String, String>)> {
    let metadata = &namespace.metadata;
    Some((metadata.name.clone()?, metadata.labels.clone().unwrap_or_default()))
}
