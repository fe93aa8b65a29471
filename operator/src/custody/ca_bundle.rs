//! The `caBundle` by which the API server trusts our webhooks: that field of our own configurations, and no other.

use std::{fmt::Debug, sync::Arc};

use k8s_openapi::{
    ByteString,
    api::admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
};
use kube::{
    Api, Client, Resource,
    api::{Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use smidge_mesh::TrustBundle;

use super::FIELD_MANAGER;

/// The configuration of the webhooks that change what is written: by it pods join, and headers are stored in one form.
pub const INJECTOR: &str = "smidge-injector";
/// The configuration of the webhook that refuses what can never work.
pub const VALIDATOR: &str = "smidge-validator";

/// A configuration of webhooks.
pub(super) trait Configuration: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned {
    /// What it is called.
    const NAME: &'static str;

    /// Its webhooks: name and `caBundle`.
    fn hooks(&self) -> Vec<(&str, Option<&ByteString>)>;
}

macro_rules! configuration {
    ($($kind:ty: $name:expr),*) => {
        $(impl Configuration for $kind {
            const NAME: &'static str = $name;

            fn hooks(&self) -> Vec<(&str, Option<&ByteString>)> {
                let hooks = self.webhooks.iter().flatten();
                hooks.map(|hook| (hook.name.as_str(), hook.client_config.ca_bundle.as_ref())).collect()
            }
        })*
    };
}

configuration! { MutatingWebhookConfiguration: INJECTOR, ValidatingWebhookConfiguration: VALIDATOR }

/// The configuration, if one of its webhooks trusts something else.
pub(super) fn wrong<K: Configuration>(stored: Vec<Arc<K>>, bundle: &TrustBundle) -> Option<Arc<K>> {
    stored.into_iter().find(|of| !trusts(&**of, bundle))
}

fn trusts(configuration: &impl Configuration, bundle: &TrustBundle) -> bool {
    let trusted = |bytes: &ByteString| bytes.0 == bundle.0.as_bytes();
    configuration.hooks().into_iter().all(|(_, found)| found.is_some_and(trusted))
}

/// What it is called in the log, and in what a rotation waits for.
pub(super) fn shown<K: Configuration>() -> String {
    format!("the caBundle of {} {}", K::kind(&()), K::NAME)
}

/// Puts it right.
pub(super) async fn write<K: Configuration>(client: &Client, of: &K, bundle: &TrustBundle) -> Result<(), kube::Error> {
    let configurations: Api<K> = Api::all(client.clone());
    // A name of its own: what the installer applies and what stands here do not take each other's fields away.
    let params = PatchParams::apply(&format!("{FIELD_MANAGER}-ca")).force();
    configurations.patch(K::NAME, &params, &Patch::Apply(body(of, bundle))).await.map(drop)
}

fn body<K: Configuration>(of: &K, bundle: &TrustBundle) -> Value {
    let bundle = json!(ByteString(bundle.0.as_bytes().to_vec()));
    let hooks = of.hooks().into_iter().map(|(name, _)| json!({"name": name, "clientConfig": {"caBundle": bundle}}));
    json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": K::NAME},
        "webhooks": hooks.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_trusts_the_whole_bundle_or_is_put_right() {
        let bundle = TrustBundle("one two".into());
        let with = |bundles: &[Option<&str>]| -> MutatingWebhookConfiguration {
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
        let written: MutatingWebhookConfiguration =
            serde_json::from_value(body(&with(&[None, Some("one")]), &bundle)).unwrap();
        assert!(trusts(&written, &bundle) && written.hooks().len() == 2, "{written:?}");
    }
}
