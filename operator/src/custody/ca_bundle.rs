//! The `caBundle` by which the API server trusts our webhook: that field of our own configuration, and no other.

use k8s_openapi::{ByteString, api::admissionregistration::v1::MutatingWebhookConfiguration};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use smidge_mesh::TrustBundle;

use super::{FIELD_MANAGER, mirror::Mirrors};

/// The webhook's configuration, by which pods join.
pub const INJECTOR: &str = "smidge-injector";

/// The names of the webhooks in our configuration, if one of them trusts something else.
pub(super) fn wrong(mirrors: &Mirrors, bundle: &TrustBundle) -> Vec<Vec<String>> {
    mirrors.webhooks().iter().filter(|of| !trusts(of, bundle)).map(|of| names(of)).collect()
}

fn trusts(configuration: &MutatingWebhookConfiguration, bundle: &TrustBundle) -> bool {
    let trusted = |bytes: &ByteString| bytes.0 == bundle.0.as_bytes();
    configuration.webhooks.iter().flatten().all(|hook| hook.client_config.ca_bundle.as_ref().is_some_and(trusted))
}

fn names(configuration: &MutatingWebhookConfiguration) -> Vec<String> {
    configuration.webhooks.iter().flatten().map(|hook| hook.name.clone()).collect()
}

/// Puts it right.
pub(super) async fn write(client: &Client, webhooks: &[String], bundle: &TrustBundle) -> Result<(), kube::Error> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    // A name of its own: what the installer applies and what stands here do not take each other's fields away.
    let params = PatchParams::apply(&format!("{FIELD_MANAGER}-ca")).force();
    configurations.patch(INJECTOR, &params, &Patch::Apply(body(webhooks, bundle))).await.map(drop)
}

fn body(webhooks: &[String], bundle: &TrustBundle) -> Value {
    let bundle = json!(ByteString(bundle.0.as_bytes().to_vec()));
    let webhooks: Vec<_> =
        webhooks.iter().map(|name| json!({"name": name, "clientConfig": {"caBundle": bundle}})).collect();
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": INJECTOR}, "webhooks": webhooks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_trusts_the_whole_bundle_or_is_put_right() {
        let bundle = TrustBundle("one two".into());
        let with = |bundles: &[Option<&str>]| {
            let hook = |bundle: &Option<&str>| {
                let ca = bundle.map(|text| ByteString(text.as_bytes().to_vec()));
                json!({"name": "a.smidge.dev", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                       "clientConfig": {"caBundle": ca}})
            };
            let hooks: Vec<_> = bundles.iter().map(hook).collect();
            serde_json::from_value(json!({"metadata": {}, "webhooks": hooks})).unwrap()
        };
        assert!(trusts(&with(&[Some("one two"), Some("one two")]), &bundle));
        assert!(!trusts(&with(&[Some("one two"), Some("one")]), &bundle));
        assert!(!trusts(&with(&[None]), &bundle));
    }
}
