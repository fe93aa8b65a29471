//! The way off a cluster: in the opposite order, so that nothing waits for what is gone already.

use kube::{
    Client, ResourceExt,
    api::{DeleteParams, DynamicObject},
};

use crate::{
    Error,
    apply::{Kinds, shown},
    manifests::is_of_kind,
    refused,
};

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
    Ok(())
}
