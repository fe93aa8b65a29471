//! The way off a cluster: in the opposite order, so that nothing waits for what is gone already.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams},
};

use crate::{
    Error,
    apply::{Kinds, shown},
    manifests::is_of_kind,
    refused,
};

/// The ConfigMap with the mesh's roots in each of its namespaces.
const TRUST: &str = "smidge-trust";
/// The label of those that the control plane has written.
const OURS: &str = "app.kubernetes.io/managed-by=smidge";

/// What becomes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is deleted.
    Deleted(String),
    /// It was not there.
    Absent(String),
    /// It stays: a CRD, and with it everything that users wrote.
    Kept(String),
}

/// Deletes what `install` has applied, and CRDs with all their objects only where `with_crds` says so. Pods keep their
/// sidecars, which go on with what they have until their certificates end: restart them without the namespace's label.
///
/// # Errors
/// When the API server refuses; what is deleted by then stays deleted, and the next run goes on.
pub async fn remove(
    client: &Client,
    objects: &[DynamicObject],
    with_crds: bool,
    mut tell: impl FnMut(Removal),
) -> Result<(), Error> {
    let mut kinds = Kinds::new(client.clone());
    // The webhook goes first: who is to answer it goes with the rest.
    let (webhooks, rest): (Vec<_>, Vec<_>) =
        objects.iter().rev().partition(|object| is_of_kind(object, "MutatingWebhookConfiguration"));
    for object in webhooks.into_iter().chain(rest) {
        let shown = shown(object);
        if is_of_kind(object, "CustomResourceDefinition") && !with_crds {
            tell(Removal::Kept(shown));
            continue;
        }
        let api = kinds.api(object).await?;
        match api.delete(&object.name_any(), &DeleteParams::background()).await {
            Ok(_) => tell(Removal::Deleted(shown)),
            Err(kube::Error::Api(status)) if status.code == 404 => tell(Removal::Absent(shown)),
            Err(error) => return Err(refused(format!("cannot delete {shown}"))(error)),
        }
    }
    forget_roots(client, &mut tell).await
}

/// The mesh's root is gone with its namespace: what still trusted it would keep a new installation from making another.
async fn forget_roots(client: &Client, tell: &mut impl FnMut(Removal)) -> Result<(), Error> {
    let all: Api<ConfigMap> = Api::all(client.clone());
    let ours = ListParams::default().fields(&format!("metadata.name={TRUST}")).labels(OURS);
    for map in all.list(&ours).await.map_err(refused(format!("cannot list the ConfigMaps {TRUST}")))? {
        let namespace = map.namespace().unwrap_or_default();
        let shown = format!("ConfigMap {TRUST} in {namespace}");
        let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
        maps.delete(TRUST, &DeleteParams::background()).await.map_err(refused(format!("cannot delete {shown}")))?;
        tell(Removal::Deleted(shown));
    }
    Ok(())
}
