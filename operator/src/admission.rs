//! What admissions depend on, as the API server has it: watches of namespaces and of the MeshConfig in, and whether there is a
//! ClusterTrustBundle; what the webhook looks at out.

use std::sync::Arc;

use futures::{StreamExt, stream::select};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};
use kube_runtime::watcher::Config;
use smidge_crds::smidge::v1alpha1::{self, MeshConfig, MeshConfigSpec, NAME};
use smidge_injector::{Resources, Settings, TrustFrom};
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
        let wanted = with(&installed, &config, *has_bundle.borrow_and_update());
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

fn with(installed: &Settings, config: &MeshConfigSpec, has_bundle: bool) -> Settings {
    let sidecar = &config.sidecar;
    Settings {
        proxy_image: sidecar.image.clone().unwrap_or_else(|| installed.proxy_image.clone()),
        redirect_image: sidecar.redirect_image.clone().unwrap_or_else(|| installed.redirect_image.clone()),
        resources: Resources::from(&sidecar.resources),
        log_level: sidecar.log_level.as_str().to_owned(),
        pre_stop_seconds: sidecar.pre_stop_seconds,
        allow_bypass: config.permit_proxy_bypass,
        trust_from: match sidecar.trust_from {
            // A pod would wait for a bundle that is not there.
            v1alpha1::TrustFrom::ClusterTrustBundle if has_bundle => TrustFrom::ClusterTrustBundle,
            v1alpha1::TrustFrom::ClusterTrustBundle | v1alpha1::TrustFrom::ConfigMap => TrustFrom::ConfigMap,
        },
        ..installed.clone()
    }
}

#[cfg(test)]
mod tests {
    use smidge_crds::smidge::v1alpha1::Sidecar;

    use super::*;

    #[test]
    fn an_image_of_the_mesh_config_goes_before_that_of_the_installation() {
        let installed = Settings { proxy_image: "installed".into(), ..Settings::default() };
        assert_eq!(with(&installed, &MeshConfigSpec::default(), false).proxy_image, "installed");
        let sidecar = Sidecar { image: Some("chosen".into()), ..Sidecar::default() };
        let config = MeshConfigSpec { sidecar, ..MeshConfigSpec::default() };
        assert_eq!(with(&installed, &config, false).proxy_image, "chosen");
    }

    #[test]
    fn only_a_bundle_that_is_there_and_wanted_is_projected() {
        let from = |trust_from, has_bundle| {
            let sidecar = Sidecar { trust_from, ..Sidecar::default() };
            let config = MeshConfigSpec { sidecar, ..MeshConfigSpec::default() };
            with(&Settings::default(), &config, has_bundle).trust_from
        };
        assert_eq!(from(v1alpha1::TrustFrom::ClusterTrustBundle, true), TrustFrom::ClusterTrustBundle);
        assert_eq!(from(v1alpha1::TrustFrom::ClusterTrustBundle, false), TrustFrom::ConfigMap);
        assert_eq!(from(v1alpha1::TrustFrom::default(), true), TrustFrom::ConfigMap);
    }
}
