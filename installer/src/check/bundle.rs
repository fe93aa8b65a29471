//! Can pods have the mesh's roots from where the MeshConfig says?

use k8s_openapi::api::certificates::v1beta1::ClusterTrustBundle;
use kube::{Api, Client};
use smidge_crds::smidge::v1alpha1::{MeshConfig, NAME, TrustFrom};
use smidge_injector::CLUSTER_TRUST_BUNDLE;

use super::Finding;

/// Nothing to say where it is the ConfigMap: that is looked at in each namespace.
pub(super) async fn bundle(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let configs: Api<MeshConfig> = Api::all(client.clone());
    // A cluster that lacks the kind has no such wish; the kinds are looked at by themselves.
    let config = configs.get_opt(NAME).await?;
    if config.is_none_or(|config| config.spec.sidecar.trust_from == TrustFrom::ConfigMap) {
        return Ok(Vec::new());
    }
    let bundles: Api<ClusterTrustBundle> = Api::all(client.clone());
    Ok(vec![found(bundles.get_opt(CLUSTER_TRUST_BUNDLE).await?.is_some())])
}

fn found(is_there: bool) -> Finding {
    let what = format!("ClusterTrustBundle {CLUSTER_TRUST_BUNDLE} has the mesh's roots");
    if is_there {
        return Finding::good(what);
    }
    let why = "it is not there, so new pods have them from their namespace's ConfigMap: the API server needs the feature gates \
               ClusterTrustBundle and ClusterTrustBundleProjection, and --runtime-config=\
               certificates.k8s.io/v1beta1/clustertrustbundles=true; the leader then writes it";
    Finding::doubtful(what, why)
}
