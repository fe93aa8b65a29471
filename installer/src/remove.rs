//! The way off a cluster: in the opposite order, so that nothing waits for what is gone already; and then the wait until it is
//! gone, because the API server only begins to delete what has something to finish first.

use std::time::Duration;

use k8s_openapi::{
    api::{
        certificates::v1beta1::ClusterTrustBundle,
        core::v1::{ConfigMap, Pod},
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Crd,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams},
};
use serde_json::json;
use smidge_injector::{CLUSTER_TRUST_BUNDLE, TRUST_CONFIG_MAP};
use tokio::time::{Instant, sleep};

use crate::{
    Error, NAMESPACE, OPERATOR,
    apply::{Kinds, LOOK_AGAIN, shown},
    manifests::is_of_kind,
    refused,
};

/// By these the API server asks the control plane.
const WEBHOOKS: [&str; 2] = ["MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"];

/// The label of what the control plane has written.
const OURS: &str = "app.kubernetes.io/managed-by=smidge";

/// What becomes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is gone.
    Deleted(String),
    /// It is being deleted, and has something to finish first.
    Terminating(String),
    /// It was not there.
    Absent(String),
    /// It stays: a CRD, and with it everything that users wrote.
    Kept(String),
}

/// How an installation is removed.
#[derive(Clone, Copy, Debug)]
pub struct Removing {
    /// The CRDs too, and with them every object of theirs.
    pub with_crds: bool,
    /// How long to wait until everything is gone.
    pub patience: Duration,
}

/// Deletes what `install` has applied and what the control plane has written outside its namespace, and waits until it is gone.
/// CRDs, with all their objects, only where `how` says so. Pods keep their sidecars, which go on with what they have until
/// their certificates end: restart them without the namespace's label.
///
/// # Errors
/// When the API server refuses, or something is not gone in time; what is deleted by then stays deleted, and the next run
/// goes on.
pub async fn remove(
    client: &Client,
    objects: &[DynamicObject],
    how: Removing,
    mut tell: impl FnMut(Removal),
) -> Result<(), Error> {
    let deadline = Deadline { at: Instant::now() + how.patience, patience: how.patience };
    let mut kinds = Kinds::new(client.clone());
    let mut terminating = Vec::new();
    // The webhooks go first: who is to answer it goes with the rest.
    let (webhooks, rest): (Vec<_>, Vec<_>) =
        objects.iter().rev().partition(|object| WEBHOOKS.iter().any(|kind| is_of_kind(object, kind)));
    for object in webhooks.into_iter().chain(rest) {
        let shown = shown(object);
        if is_of_kind(object, "CustomResourceDefinition") && !how.with_crds {
            rest_on_stored_version(client, &object.name_any()).await?;
            tell(Removal::Kept(shown));
            continue;
        }
        let api = kinds.api(object).await?;
        match api.delete(&object.name_any(), &DeleteParams::background()).await {
            // Some kinds answer with what they were when they went, others with what has to be finished first.
            Ok(answer) => match answer.left().and_then(|last| last.metadata.deletion_timestamp) {
                None => tell(Removal::Deleted(shown)),
                Some(_) => {
                    tell(Removal::Terminating(shown.clone()));
                    terminating.push((api, object.name_any(), shown));
                }
            },
            Err(kube::Error::Api(status)) if status.code == 404 => tell(Removal::Absent(shown)),
            Err(error) => return Err(refused(format!("cannot delete {shown}"))(error)),
        }
    }
    // Its last leader would write the roots again.
    no_replica_runs(client, deadline).await?;
    forget_roots(client, &mut tell).await?;
    for (api, name, shown) in terminating {
        gone(&api, &name, &shown, deadline).await?;
        tell(Removal::Deleted(shown));
    }
    Ok(())
}

/// A CRD that stays has nobody to convert any more: from now on only the version in which objects are stored is served.
async fn rest_on_stored_version(client: &Client, name: &str) -> Result<(), Error> {
    let crds: Api<Crd> = Api::all(client.clone());
    let what = || format!("cannot make CustomResourceDefinition {name} serve the stored version alone");
    let Some(crd) = crds.get_opt(name).await.map_err(refused(what()))? else { return Ok(()) };
    if crd.spec.conversion.as_ref().is_none_or(|conversion| conversion.strategy != "Webhook") {
        return Ok(());
    }
    let older = crd.spec.versions.iter().enumerate().filter(|(_, version)| !version.storage);
    let unserved =
        older.map(|(at, _)| json!({"op": "replace", "path": format!("/spec/versions/{at}/served"), "value": false}));
    let unasked = json!({"op": "replace", "path": "/spec/conversion", "value": {"strategy": "None"}});
    let patch = serde_json::from_value(unserved.chain([unasked]).collect()).map_err(kube::Error::SerdeError);
    let patch: Patch<Crd> = Patch::Json(patch.map_err(refused(what()))?);
    crds.patch(name, &PatchParams::default(), &patch).await.map(drop).map_err(refused(what()))
}

/// Until when is waited.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    patience: Duration,
}

impl Deadline {
    /// Waits a moment, or is too late: this is still to be gone.
    async fn wait(self, what: &str) -> Result<(), Error> {
        if Instant::now() >= self.at {
            return Err(Error::Remains { what: what.to_owned(), seconds: self.patience.as_secs() });
        }
        sleep(LOOK_AGAIN).await;
        Ok(())
    }
}

async fn no_replica_runs(client: &Client, deadline: Deadline) -> Result<(), Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let replicas = ListParams::default().labels(&format!("app.kubernetes.io/name={OPERATOR}"));
    loop {
        let running = pods.list(&replicas).await.map_err(refused("cannot list the control plane's pods"))?;
        match running.items.first() {
            None => return Ok(()),
            Some(pod) => deadline.wait(&format!("pod {} in {NAMESPACE}", pod.name_any())).await?,
        }
    }
}

async fn gone(api: &Api<DynamicObject>, name: &str, shown: &str, deadline: Deadline) -> Result<(), Error> {
    loop {
        let found = api.get_opt(name).await.map_err(refused(format!("cannot read {shown}")))?;
        // One that has been created anew is not ours to wait for.
        let Some(object) = found.filter(|object| object.metadata.deletion_timestamp.is_some()) else { return Ok(()) };
        deadline.wait(&format!("{shown} ({})", unfinished(&object))).await?;
    }
}

/// What an object that is being deleted waits for, as far as it says so.
fn unfinished(object: &DynamicObject) -> String {
    let conditions = object.data["status"]["conditions"].as_array();
    let remaining = |condition: &&serde_json::Value| {
        let type_ = condition["type"].as_str().unwrap_or_default();
        condition["status"] == "True" && ["Remaining", "Failure", "Terminating"].iter().any(|end| type_.ends_with(end))
    };
    let said = conditions.into_iter().flatten().filter(remaining).filter_map(|condition| condition["message"].as_str());
    let said: Vec<&str> = said.filter(|message| !message.is_empty()).collect();
    if !said.is_empty() {
        return format!("Terminating: {}", said.join(" "));
    }
    let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
    let own = object.data["spec"]["finalizers"].as_array().into_iter().flatten();
    finalizers.extend(own.filter_map(|finalizer| finalizer.as_str().map(str::to_owned)));
    format!(
        "Terminating: waits for {}",
        if finalizers.is_empty() { "its end".to_owned() } else { finalizers.join(", ") }
    )
}

/// The mesh's root is gone with its namespace: what still trusted it would keep a new installation from making another.
async fn forget_roots(client: &Client, tell: &mut impl FnMut(Removal)) -> Result<(), Error> {
    let all: Api<ConfigMap> = Api::all(client.clone());
    let ours = ListParams::default().fields(&format!("metadata.name={TRUST_CONFIG_MAP}")).labels(OURS);
    for map in all.list(&ours).await.map_err(refused(format!("cannot list the ConfigMaps {TRUST_CONFIG_MAP}")))? {
        let namespace = map.namespace().unwrap_or_default();
        let shown = format!("ConfigMap {TRUST_CONFIG_MAP} in {namespace}");
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        delete(&maps, TRUST_CONFIG_MAP, shown, tell).await?;
    }
    let bundles: Api<ClusterTrustBundle> = Api::all(client.clone());
    let shown = format!("ClusterTrustBundle {CLUSTER_TRUST_BUNDLE}");
    // An API server without the kind has none.
    let found = bundles.get_opt(CLUSTER_TRUST_BUNDLE).await.map_err(refused(format!("cannot read {shown}")))?;
    let is_ours =
        |bundle: &ClusterTrustBundle| bundle.labels().iter().any(|(key, value)| format!("{key}={value}") == OURS);
    match found.filter(is_ours) {
        Some(_) => delete(&bundles, CLUSTER_TRUST_BUNDLE, shown, tell).await,
        None => Ok(()),
    }
}

async fn delete<K>(api: &Api<K>, name: &str, shown: String, tell: &mut impl FnMut(Removal)) -> Result<(), Error>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => tell(Removal::Deleted(shown)),
        Err(kube::Error::Api(status)) if status.code == 404 => tell(Removal::Absent(shown)),
        Err(error) => return Err(refused(format!("cannot delete {shown}"))(error)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_terminates_says_what_it_waits_for() {
        let said = |object: serde_json::Value| unfinished(&serde_json::from_value(object).unwrap());
        let waiting = json!({"metadata": {"name": "a", "finalizers": ["x/y"]}, "spec": {"finalizers": ["kubernetes"]}});
        assert_eq!(said(waiting), "Terminating: waits for x/y, kubernetes");
        let conditions = json!([
            {"type": "NamespaceContentRemaining", "status": "True", "message": "pods. has 1 resource instances"},
            {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "all found"},
        ]);
        let told = json!({"metadata": {"name": "a"}, "status": {"conditions": conditions}});
        assert_eq!(said(told), "Terminating: pods. has 1 resource instances");
        assert_eq!(said(json!({"metadata": {"name": "a"}})), "Terminating: waits for its end");
    }
}
