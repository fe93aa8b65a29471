//! Objects → API server, by server-side apply, and the wait until they work.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::{
    api::apps::v1::Deployment, apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
    core::GroupVersionKind,
    discovery::{ApiCapabilities, ApiResource, Scope, pinned_kind},
};
use tokio::time::{Instant, sleep};

use crate::{Error, NAMESPACE, OPERATOR, check::ca_bundle, manifests::is_of_kind, migrate::migrate, refused};

/// Who owns the fields that an installation sets.
const FIELD_MANAGER: &str = "smidge-install";

/// Between two looks at something that offers no watch worth opening.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// What an installation tells while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// An object is as it should be: `<kind> <name>`.
    Applied(String),
    /// This is waited for.
    Waiting(String),
    /// The control plane works.
    Available(String),
    /// Objects from before are stored in the newest version.
    Migrated(String),
}

/// Applies all objects, one after the other, and, with `patience`, waits until the control plane is available; then objects that are
/// stored in an older version, which it alone can read, are stored anew.
///
/// # Errors
/// When the API server refuses an object, or it is not available in that time, or an object cannot be stored anew. What was applied stays; the next run
/// goes on from there.
pub async fn install(
    client: &Client,
    objects: &[DynamicObject],
    patience: Option<Duration>,
    mut tell: impl FnMut(Progress),
) -> Result<(), Error> {
    let mut kinds = Kinds::new(client.clone());
    for object in objects {
        let api = kinds.api(object).await?;
        let name = object.name_any();
        let shown = shown(object);
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&name, &parameters, &Patch::Apply(object)).await.map_err(refused(format!("cannot apply {shown}")))?;
        tell(Progress::Applied(shown));
        if is_of_kind(object, "CustomResourceDefinition") {
            established(client, &name).await?;
        }
    }
    let Some(patience) = patience else { return Ok(()) };
    tell(Progress::Waiting(format!("until deployment {OPERATOR} in {NAMESPACE} is available")));
    available(client, patience).await?;
    tell(Progress::Available(format!("deployment {OPERATOR} in {NAMESPACE} is available")));
    trusting(client).await?;
    migrate(client, &mut tell).await
}

/// `<kind> <name>`.
pub(crate) fn shown(object: &DynamicObject) -> String {
    let kind = object.types.as_ref().map_or("object", |types| types.kind.as_str());
    format!("{kind} {}", object.name_any())
}

/// The API server's paths of kinds: each is asked for once.
pub(crate) struct Kinds {
    client: Client,
    known: BTreeMap<(String, String), (ApiResource, ApiCapabilities)>,
}

impl Kinds {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, known: BTreeMap::new() }
    }

    /// Where objects like this one live.
    pub(crate) async fn api(&mut self, object: &DynamicObject) -> Result<Api<DynamicObject>, Error> {
        let types = object.types.clone().unwrap_or_default();
        let key = (types.api_version.clone(), types.kind.clone());
        if !self.known.contains_key(&key) {
            let what = format!("the API server does not know {} {}", types.api_version, types.kind);
            let kind = GroupVersionKind::try_from(&types)
                .map_err(|error| Error::Manifest { file: "(kind)", source: error.into() })?;
            let found = pinned_kind(&self.client, &kind).await.map_err(refused(what))?;
            self.known.insert(key.clone(), found);
        }
        let (resource, capabilities) = &self.known[&key];
        Ok(match (&capabilities.scope, object.metadata.namespace.as_deref()) {
            (Scope::Namespaced, Some(namespace)) => Api::namespaced_with(self.client.clone(), namespace, resource),
            _ => Api::all_with(self.client.clone(), resource),
        })
    }
}

/// Waits until the API server knows whom to trust with conversions.
async fn trusting(client: &Client) -> Result<(), Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in smidge_crds::converted() {
        let name = crd.name_any();
        let what = format!("CustomResourceDefinition {name} has no caBundle, which the leader writes,");
        eventually(&what, Duration::from_secs(60), async || {
            let crd = api.get(&name).await.map_err(refused(format!("cannot read CustomResourceDefinition {name}")))?;
            Ok(ca_bundle(&crd).is_some())
        })
        .await?;
    }
    Ok(())
}

async fn established(client: &Client, name: &str) -> Result<(), Error> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let what = format!("CustomResourceDefinition {name} is not established");
    eventually(&what, Duration::from_secs(30), async || {
        let crd = api.get(name).await.map_err(refused(format!("cannot read CustomResourceDefinition {name}")))?;
        let conditions = crd.status.and_then(|status| status.conditions).unwrap_or_default();
        Ok(conditions.iter().any(|condition| condition.type_ == "Established" && condition.status == "True"))
    })
    .await
}

async fn available(client: &Client, patience: Duration) -> Result<(), Error> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let what = format!("deployment {OPERATOR} is not available");
    eventually(&what, patience, async || {
        let deployment = api.get(OPERATOR).await.map_err(refused(format!("cannot read deployment {OPERATOR}")))?;
        Ok(is_rolled_out(&deployment))
    })
    .await
}

/// Whether every replica is of the newest generation, and available.
pub(crate) fn is_rolled_out(deployment: &Deployment) -> bool {
    let Some(status) = &deployment.status else { return false };
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    status.observed_generation >= deployment.metadata.generation
        && status.updated_replicas.unwrap_or(0) >= wanted
        && status.available_replicas.unwrap_or(0) >= wanted
        && status.replicas.unwrap_or(0) == wanted
}

async fn eventually(what: &str, patience: Duration, holds: impl AsyncFn() -> Result<bool, Error>) -> Result<(), Error> {
    let deadline = Instant::now() + patience;
    while !holds().await? {
        if Instant::now() >= deadline {
            return Err(Error::Late { what: what.to_owned(), seconds: patience.as_secs() });
        }
        sleep(LOOK_AGAIN).await;
    }
    Ok(())
}
