//! The ClusterTrustBundle `smidge-trust`, where the API server has such: the roots once for the whole cluster. It has no
//! signer's name, so writing it takes no right to attest for one.

use k8s_openapi::api::certificates::v1beta1::ClusterTrustBundle;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use smidge_injector::CLUSTER_TRUST_BUNDLE;
use smidge_mesh::TrustBundle;

use super::{FIELD_MANAGER, mirror::Mirrors};

/// What it is called.
pub(super) const NAME: &str = CLUSTER_TRUST_BUNDLE;

/// Whether there could be one, and it is missing or says something else.
pub(super) fn is_wrong(mirrors: &Mirrors, bundle: &TrustBundle) -> bool {
    mirrors.cluster().is_some_and(|found| !found.iter().any(|found| holds(found, bundle)))
}

/// Whether there is one that pods can have the roots from.
pub(super) fn is_there(mirrors: &Mirrors) -> bool {
    mirrors.cluster().is_some_and(|found| !found.is_empty())
}

fn holds(found: &ClusterTrustBundle, bundle: &TrustBundle) -> bool {
    found.spec.trust_bundle == *bundle.0
}

/// Puts it right.
pub(super) async fn write(client: &Client, bundle: &TrustBundle) -> Result<(), kube::Error> {
    let bundles: Api<ClusterTrustBundle> = Api::all(client.clone());
    bundles.patch(NAME, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(body(bundle))).await.map(drop)
}

fn body(bundle: &TrustBundle) -> Value {
    json!({
        "apiVersion": "certificates.k8s.io/v1beta1", "kind": "ClusterTrustBundle",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/managed-by": "smidge"}},
        "spec": {"trustBundle": &*bundle.0},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_holds_the_whole_bundle_and_names_no_signer() {
        let [both, one] = ["one two", "one"].map(|text| TrustBundle(text.into()));
        let written: ClusterTrustBundle = serde_json::from_value(body(&both)).unwrap();
        assert!(holds(&written, &both));
        assert!(!holds(&written, &one));
        assert_eq!(written.spec.signer_name, None);
        // With a signer's name it would have to begin with that.
        assert!(!NAME.contains(':'));
    }
}
