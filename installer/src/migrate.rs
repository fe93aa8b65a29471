//! Objects that may be stored in an older version → read and written unchanged, by which the API server stores them in the newest;
//! then their CRD forgets the older versions. Only with the rights of who installs: the control plane never writes what users wrote.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Crd;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;
use smidge_crds::stored_version;

use crate::{Error, Progress, refused};

/// How many objects are asked for at once.
const PAGE: u32 = 500;
/// How many objects that could not be written are named.
const SHOWN: usize = 5;

/// Migrates every kind of ours that has something to migrate.
///
/// # Errors
/// When the API server refuses to have objects read, or does not take one as it is: it stays as it was, with its CRD.
pub(crate) async fn migrate(client: &Client, tell: &mut impl FnMut(Progress)) -> Result<(), Error> {
    let crds: Api<Crd> = Api::all(client.clone());
    for ours in smidge_crds::all() {
        let name = ours.name_any();
        let found = crds.get(&name).await.map_err(refused(format!("cannot read CustomResourceDefinition {name}")))?;
        let older = older_versions(&found);
        if older.is_empty() {
            continue;
        }
        let (kind, newest) = (&ours.spec.names.kind, stored_version(&ours).unwrap_or_default());
        let number = rewrite_all(client, &ours).await?;
        forget(&crds, &name, newest).await?;
        let older = older.join(", ");
        tell(Progress::Migrated(format!("objects of {kind} ({number}) are stored as {newest}, none as {older}")));
    }
    Ok(())
}

/// The versions in which objects may be stored still, beside the one in which they are stored now.
pub(crate) fn older_versions(crd: &Crd) -> Vec<String> {
    let stored = crd.status.as_ref().and_then(|status| status.stored_versions.clone()).unwrap_or_default();
    stored.into_iter().filter(|version| Some(version.as_str()) != stored_version(crd)).collect()
}

/// Where the objects of a kind are, in the version in which they are stored.
pub(crate) fn resource(crd: &Crd) -> ApiResource {
    let version = stored_version(crd).unwrap_or_default();
    ApiResource {
        group: crd.spec.group.clone(),
        version: version.to_owned(),
        api_version: format!("{}/{version}", crd.spec.group),
        kind: crd.spec.names.kind.clone(),
        plural: crd.spec.names.plural.clone(),
    }
}

async fn rewrite_all(client: &Client, crd: &Crd) -> Result<usize, Error> {
    let resource = resource(crd);
    let all: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let (mut page, mut number, mut refusals) = (ListParams::default().limit(PAGE), 0, Vec::new());
    loop {
        let list = all.list(&page).await.map_err(refused(format!("cannot list objects of {}", resource.kind)))?;
        number += list.items.len();
        for object in list.items {
            refusals.extend(rewrite(client, &resource, &object).await?);
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => break,
        }
    }
    if refusals.is_empty() {
        return Ok(number);
    }
    let shown = refusals[..refusals.len().min(SHOWN)].join("; ");
    Err(Error::Unmigrated { kind: resource.kind, number: refusals.len(), shown })
}

/// Writes an object as it was read; what the API server does not take is told.
async fn rewrite(client: &Client, resource: &ApiResource, object: &DynamicObject) -> Result<Option<String>, Error> {
    let api: Api<DynamicObject> = match object.metadata.namespace.as_deref() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    let shown = || format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    match api.replace(&object.name_any(), &PostParams::default(), object).await {
        Ok(_) => Ok(None),
        // Gone, or written by somebody else meanwhile: by that it is stored anew.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
        // It was made under another CRD, which took what ours does not.
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
            Ok(Some(format!("{}: {}", shown(), status.message)))
        }
        Err(error) => Err(refused(format!("cannot write {} {}", resource.kind, shown()))(error)),
    }
}

/// Nothing is stored in an older version any more: later versions of the CRD may leave these out.
async fn forget(crds: &Api<Crd>, name: &str, newest: &str) -> Result<(), Error> {
    let status = Patch::Merge(json!({"status": {"storedVersions": [newest]}}));
    let what = format!("cannot set status.storedVersions of CustomResourceDefinition {name}");
    crds.patch_status(name, &PatchParams::default(), &status).await.map(drop).map_err(refused(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_in_the_newest_version_has_nothing_older() {
        let mut crd = smidge_crds::converted().next().unwrap();
        let mut older = |stored: &[&str]| {
            crd.status = serde_json::from_value(json!({"storedVersions": stored})).unwrap();
            older_versions(&crd)
        };
        assert!(older(&["v1alpha3"]).is_empty() && older(&[]).is_empty());
        assert_eq!(older(&["v1alpha2", "v1alpha3", "v1alpha1"]), ["v1alpha2", "v1alpha1"]);
    }
}
