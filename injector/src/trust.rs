//! What the ConfigMap [`TRUST_CONFIG_MAP`] holds besides the roots: the files by which Envoy reads the roots and its token again
//! when they change (SDS by file). They name the paths at which the sidecar has both.

use serde_json::{Value, json};

/// The ConfigMap in every meshed namespace.
pub const TRUST_CONFIG_MAP: &str = "smidge-trust";
/// The one with the roots alone, for the whole cluster, where it has such.
pub const CLUSTER_TRUST_BUNDLE: &str = "smidge-trust";
/// The ConfigMap's key with the roots' certificates, in PEM.
pub const TRUST_BUNDLE: &str = "ca.crt";
/// The sidecar's volume, with the ConfigMap's files and the token.
pub const VOLUME: &str = "smidge";
/// Where the volume is mounted.
pub const VOLUME_PATH: &str = "/var/run/smidge";
/// The token's file in the volume.
pub const TOKEN: &str = "token";
/// The audience of the token: only the xDS server takes it.
pub const TOKEN_AUDIENCE: &str = "smidge-xds";
/// How long a token is good, in seconds; the kubelet renews it at four fifths.
pub const TOKEN_SECONDS: i64 = 3600;

/// Where new pods have the roots from. Both are true always, so pods of both kinds live side by side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TrustFrom {
    /// [`TRUST_CONFIG_MAP`] of their namespace.
    #[default]
    ConfigMap,
    /// [`CLUSTER_TRUST_BUNDLE`], which the cluster must have, and every kubelet must know to project.
    ClusterTrustBundle,
}

pub(crate) const CA_FILE: &str = "sds-ca.json";
pub(crate) const TOKEN_FILE: &str = "sds-token.json";
pub(crate) const CA_SECRET: &str = "xds-ca";
pub(crate) const TOKEN_SECRET: &str = "xds-token";

/// The ConfigMap's keys and values besides [`TRUST_BUNDLE`]; the same in every namespace.
pub fn trust_files() -> [(&'static str, String); 2] {
    let watched = |file: &str| json!({"filename": path(file), "watched_directory": {"path": VOLUME_PATH}});
    let ca = json!({"name": CA_SECRET, "validation_context": {
        "trusted_ca": {"filename": path(TRUST_BUNDLE)}, "watched_directory": {"path": VOLUME_PATH},
    }});
    let token = json!({"name": TOKEN_SECRET, "generic_secret": {"secret": watched(TOKEN)}});
    [(CA_FILE, secret(ca)), (TOKEN_FILE, secret(token))]
}

fn secret(mut secret: Value) -> String {
    secret["@type"] = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret".into();
    json!({"resources": [secret]}).to_string()
}

/// Where the sidecar has a file of the volume.
pub(crate) fn path(file: &str) -> String {
    format!("{VOLUME_PATH}/{file}")
}
