//! The Secret `smidge-root`: how it is written, and how a user asks for a new root.

use k8s_openapi::{ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;

use crate::identity::{
    Unusable,
    roots::{Phase, Roots},
};

/// What it is called.
pub const ROOT_SECRET: &str = "smidge-root";

/// The annotation by which a rotation is asked for: each new value is a new wish.
const REQUEST: &str = "smidge.dev/rotate-root";

/// A rotation cannot be asked for, or followed.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// The API server says no.
    #[error(
        "Secret {ROOT_SECRET} in namespace {namespace}: is this the control plane's namespace, and may you patch it there?"
    )]
    Api {
        /// Where.
        namespace: String,
        /// Why.
        source: kube::Error,
    },
    /// What it holds is of no use.
    #[error("Secret {ROOT_SECRET} holds no usable root: see the operator's log")]
    Unusable(#[source] Unusable),
}

/// Asks the leader for a new root. The answer names the rotation, which is the one under way where there is one.
///
/// # Errors
/// When the Secret cannot be read or written.
pub async fn request_rotation(client: Client, namespace: &str) -> Result<String, RotationError> {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let failed = |source| RotationError::Api { namespace: namespace.to_owned(), source };
    let secret = secrets.get(ROOT_SECRET).await.map_err(failed)?;
    let roots = read(&secret)?;
    let asked = request(&secret).filter(|request| roots.request() != Some(request));
    let under_way = roots.request().filter(|_| roots.phase() != Phase::Settled);
    if let Some(request) = under_way.or(asked) {
        return Ok(request.to_owned());
    }
    let request = jiff::Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {(REQUEST): request}}});
    let patched = secrets.patch(ROOT_SECRET, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.map(|_| request).map_err(failed)
}

/// How far the rotation of that name is; `None`: it has not begun.
///
/// # Errors
/// When the Secret cannot be read.
pub async fn rotation(client: Client, namespace: &str, request: &str) -> Result<Option<Phase>, RotationError> {
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let failed = |source| RotationError::Api { namespace: namespace.to_owned(), source };
    let secret = secrets.get(ROOT_SECRET).await.map_err(failed)?;
    let roots = read(&secret)?;
    Ok((roots.request() == Some(request)).then(|| roots.phase()))
}

fn read(secret: &Secret) -> Result<Roots, RotationError> {
    let entries = secret.data.iter().flatten().map(|(name, value)| (name.clone(), value.0.clone())).collect();
    Roots::read(&entries).map_err(RotationError::Unusable)
}

/// What is asked for.
pub(super) fn request(secret: &Secret) -> Option<&str> {
    secret.metadata.annotations.as_ref()?.get(REQUEST).map(String::as_str)
}

/// Makes it; fails when there is one.
pub(super) async fn create(client: &Client, namespace: &str, roots: &Roots) -> Result<(), kube::Error> {
    let labels = [("app.kubernetes.io/managed-by".to_owned(), "smidge".to_owned())];
    let metadata =
        ObjectMeta { name: Some(ROOT_SECRET.to_owned()), labels: Some(labels.into()), ..ObjectMeta::default() };
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    secrets.create(&PostParams::default(), &secret(metadata, roots)).await.map(drop)
}

/// Writes it in place of the one that was seen; fails when that has changed meanwhile.
pub(super) async fn replace(client: &Client, seen: &Secret, roots: &Roots) -> Result<(), kube::Error> {
    let namespace = seen.metadata.namespace.as_deref().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    secrets.replace(ROOT_SECRET, &PostParams::default(), &secret(seen.metadata.clone(), roots)).await.map(drop)
}

fn secret(metadata: ObjectMeta, roots: &Roots) -> Secret {
    let data = roots.to_entries().into_iter().map(|(name, value)| (name, ByteString(value))).collect();
    Secret { metadata, data: Some(data), ..Secret::default() }
}
