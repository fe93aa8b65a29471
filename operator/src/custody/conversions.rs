//! The `caBundle` by which the API server trusts our conversions: that field of the CRDs that ask us, and no other. And which
//! kinds have objects that nobody can read before we have converted them.

use k8s_openapi::{
    ByteString,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition as Crd, WebhookClientConfig},
};
use kube::{
    Api, Client, ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use smidge_crds::{WEBHOOK_SERVICE, stored_version};
use smidge_mesh::TrustBundle;

use super::{FIELD_MANAGER, mirror::Mirrors};

/// The names of the CRDs that ask us and trust something else.
pub(super) fn wrong(mirrors: &Mirrors, bundle: &TrustBundle) -> Vec<String> {
    mirrors
        .crds()
        .filter(|crd| asks_us(crd).is_some_and(|hook| !trusts(hook, bundle)))
        .map(|crd| crd.name_any())
        .collect()
}

/// How a CRD asks us, if it does: one that somebody else has installed is theirs.
fn asks_us(crd: &Crd) -> Option<&WebhookClientConfig> {
    let hook = crd.spec.conversion.as_ref()?.webhook.as_ref()?.client_config.as_ref()?;
    hook.service.as_ref().is_some_and(|service| service.name == WEBHOOK_SERVICE).then_some(hook)
}

fn trusts(hook: &WebhookClientConfig, bundle: &TrustBundle) -> bool {
    hook.ca_bundle.as_ref().is_some_and(|trusted| trusted.0 == bundle.0.as_bytes())
}

/// Puts it right.
pub(super) async fn write(client: &Client, name: &str, bundle: &TrustBundle) -> Result<(), kube::Error> {
    let crds: Api<Crd> = Api::all(client.clone());
    // A name of its own: what the installer applies and what stands here do not take each other's fields away.
    let params = PatchParams::apply(&format!("{FIELD_MANAGER}-ca")).force();
    crds.patch(name, &params, &Patch::Apply(body(name, bundle))).await.map(drop)
}

fn body(name: &str, bundle: &TrustBundle) -> Value {
    let bundle = json!(ByteString(bundle.0.as_bytes().to_vec()));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": bundle}}}},
    })
}

/// The kinds of which objects may be stored in an older version: they cannot be listed before we convert.
pub(super) fn unmigrated(mirrors: &Mirrors) -> Vec<String> {
    mirrors.crds().filter(|crd| is_unmigrated(crd)).map(|crd| crd.spec.names.kind.clone()).collect()
}

fn is_unmigrated(crd: &Crd) -> bool {
    let stored = crd.status.iter().flat_map(|status| status.stored_versions.iter().flatten());
    asks_us(crd).is_some() && stored.into_iter().any(|version| Some(version.as_str()) != stored_version(crd))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crd(service: &str, stored: &[&str]) -> Crd {
        let mut crd = smidge_crds::converted().next().unwrap();
        let hook = crd.spec.conversion.as_mut().unwrap().webhook.as_mut().unwrap().client_config.as_mut().unwrap();
        hook.service.as_mut().unwrap().name = service.to_owned();
        crd.status = serde_json::from_value(json!({"storedVersions": stored})).unwrap();
        crd
    }

    #[test]
    fn our_own_crds_trust_the_whole_bundle_or_are_put_right() {
        let bundle = TrustBundle("one two".into());
        let mut crd = crd(WEBHOOK_SERVICE, &[]);
        let mut hook = asks_us(&crd).unwrap().clone();
        assert!(!trusts(&hook, &bundle));
        hook.ca_bundle = Some(ByteString(b"one".to_vec()));
        assert!(!trusts(&hook, &bundle));
        hook.ca_bundle = Some(ByteString(b"one two".to_vec()));
        assert!(trusts(&hook, &bundle));
        crd.spec.conversion.as_mut().unwrap().webhook = None;
        assert_eq!(asks_us(&crd), None);
        assert_eq!(asks_us(&self::crd("other-webhook", &[])), None);
    }

    #[test]
    fn a_kind_is_unmigrated_while_an_older_version_may_be_stored() {
        for (stored, expected) in [(&["v1alpha3"][..], false), (&[], false), (&["v1alpha2", "v1alpha3"], true)] {
            assert_eq!(is_unmigrated(&crd(WEBHOOK_SERVICE, stored)), expected, "{stored:?}");
        }
        assert!(!is_unmigrated(&crd("other-webhook", &["v1alpha2"])));
    }
}
