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
/// The annotation in which the leader says what a rotation waits for, a line each.
const WAITS: &str = "smidge.dev/rotation-waits-for";

/// A rotation cannot be asked for, or followed.
#[derive(Debug, thiserror::Error)]
pub enum RotationError {
    /// There is none.
    #[error(
        "there is no Secret {ROOT_SECRET} in namespace {namespace}: the control plane is not installed (smidge check; smidge \
         install), or is in another namespace (--namespace), or its first leader has not made a root yet"
    )]
    Absent {
        /// Where.
        namespace: String,
    },
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

/// How a rotation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotationStatus {
    /// How far it is.
    pub phase: Phase,
    /// Which was begun last, by the time at which it was asked for.
    pub begun: Option<String>,
    /// Which was asked for and is not begun.
    pub asked: Option<String>,
    /// What the step waits for, as the leader said last.
    pub waits: Vec<String>,
}

impl RotationStatus {
    /// The step in a few words, with what it waits for; `None`: no rotation is under way.
    pub fn under_way(&self) -> Option<String> {
        let step = match (self.phase, &self.asked) {
            (Phase::Introduced { since }, _) => {
                format!("it is being replaced: since {since:.0} the new root is trusted too, and the old one signs")
            }
            (Phase::Signing { since }, _) => {
                format!("it is being replaced: since {since:.0} the new root signs, and the old one is still trusted")
            }
            (Phase::Settled, Some(asked)) => {
                format!("a new one was asked for at {asked}, and the leader has not begun")
            }
            (Phase::Settled, None) => return None,
        };
        Some(if self.waits.is_empty() { step } else { format!("{step}; waits for {}", self.waits.join(", and for ")) })
    }
}

/// How a rotation stands.
///
/// # Errors
/// When the Secret cannot be read.
pub async fn rotation_status(client: Client, namespace: &str) -> Result<RotationStatus, RotationError> {
    let secret = find(&client, namespace).await?;
    let roots = read(&secret)?;
    let text = |name: &str| secret.metadata.annotations.as_ref().and_then(|all| all.get(name)).map(String::as_str);
    Ok(RotationStatus {
        phase: roots.phase(),
        begun: roots.request().map(ToOwned::to_owned),
        asked: request(&secret).filter(|request| roots.request() != Some(request)).map(ToOwned::to_owned),
        waits: text(WAITS).unwrap_or_default().lines().map(ToOwned::to_owned).collect(),
    })
}

/// A rotation that was asked for.
#[derive(Clone, Debug)]
pub struct Requested {
    /// Its name: when it was asked for first.
    pub request: String,
    /// Nobody had asked for it before.
    pub is_new: bool,
}

/// Asks the leader for a new root. The answer names the rotation, which is the one under way where there is one.
///
/// # Errors
/// When the Secret cannot be read or written.
pub async fn request_rotation(client: Client, namespace: &str) -> Result<Requested, RotationError> {
    let secret = find(&client, namespace).await?;
    let roots = read(&secret)?;
    let asked = request(&secret).filter(|request| roots.request() != Some(request));
    let under_way = roots.request().filter(|_| roots.phase() != Phase::Settled);
    if let Some(request) = under_way.or(asked) {
        return Ok(Requested { request: request.to_owned(), is_new: false });
    }
    let request = jiff::Timestamp::now().to_string();
    let patch = json!({"metadata": {"annotations": {(REQUEST): request}}});
    let secrets: Api<Secret> = Api::namespaced(client, namespace);
    let patched = secrets.patch(ROOT_SECRET, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.map(|_| Requested { request, is_new: true }).map_err(failed(namespace))
}

/// How far the rotation of that name is; `None`: it has not begun.
///
/// # Errors
/// When the Secret cannot be read.
pub async fn rotation(client: Client, namespace: &str, request: &str) -> Result<Option<Phase>, RotationError> {
    let roots = read(&find(&client, namespace).await?)?;
    Ok((roots.request() == Some(request)).then(|| roots.phase()))
}

async fn find(client: &Client, namespace: &str) -> Result<Secret, RotationError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = secrets.get_opt(ROOT_SECRET).await.map_err(failed(namespace))?;
    found.ok_or_else(|| RotationError::Absent { namespace: namespace.to_owned() })
}

fn failed(namespace: &str) -> impl FnOnce(kube::Error) -> RotationError {
    let namespace = namespace.to_owned();
    |source| RotationError::Api { namespace, source }
}

fn read(secret: &Secret) -> Result<Roots, RotationError> {
    let entries = secret.data.iter().flatten().map(|(name, value)| (name.clone(), value.0.clone())).collect();
    Roots::read(&entries).map_err(RotationError::Unusable)
}

/// The Secret as it should be to say what is waited for; `None`: it says so.
pub(super) fn saying(seen: &Secret, waits: &[String]) -> Option<Secret> {
    let said = seen.metadata.annotations.as_ref().and_then(|all| all.get(WAITS)).map_or("", String::as_str);
    let text = waits.join("\n");
    (said != text).then(|| {
        let mut secret = seen.clone();
        let annotations = secret.metadata.annotations.get_or_insert_default();
        match text.is_empty() {
            true => drop(annotations.remove(WAITS)),
            false => drop(annotations.insert(WAITS.to_owned(), text)),
        }
        secret
    })
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
    write(client, &secret(seen.metadata.clone(), roots)).await
}

/// Writes it; fails when it has changed since it was read.
pub(super) async fn write(client: &Client, secret: &Secret) -> Result<(), kube::Error> {
    let namespace = secret.metadata.namespace.as_deref().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    secrets.replace(ROOT_SECRET, &PostParams::default(), secret).await.map(drop)
}

fn secret(metadata: ObjectMeta, roots: &Roots) -> Secret {
    let data = roots.to_entries().into_iter().map(|(name, value)| (name, ByteString(value))).collect();
    Secret { metadata, data: Some(data), ..Secret::default() }
}
