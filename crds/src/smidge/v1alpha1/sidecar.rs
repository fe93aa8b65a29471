//! What pods are given when they join the mesh: images, resources, times.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// What a pod is given when it joins the mesh. Pods that are there keep what they have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Sidecar {
    /// The image of Envoy, 1.40 or newer; absent: the one that the control plane was installed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = schema::IMAGE))]
    pub image: Option<String>,
    /// The image whose `nft` writes the redirect rules, in an init container; absent: the one that the control plane was
    /// installed with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = schema::IMAGE))]
    pub redirect_image: Option<String>,
    /// The sidecar's CPU and memory. Annotations of a pod (`smidge.dev/proxy-cpu-request`, …) override them.
    pub resources: Resources,
    /// How much Envoy logs. The annotation `smidge.dev/proxy-log-level` overrides it.
    pub log_level: LogLevel,
    /// How long, in seconds, app containers without a preStop hook of their own sleep before they are stopped, so that
    /// callers have heard of it; 0: not at all.
    #[schemars(schema_with = "schema::seconds")]
    pub pre_stop_seconds: u16,
    /// Where pods have the mesh's roots from. `clustertrustbundle` is for clusters where the API server and every kubelet have
    /// the feature gates ClusterTrustBundle and ClusterTrustBundleProjection: on another node no new pod would start. Where the
    /// API server has no such bundle, the ConfigMap is taken.
    pub trust_from: TrustFrom,
}

impl Default for Sidecar {
    fn default() -> Self {
        Self {
            image: None,
            redirect_image: None,
            resources: Resources::default(),
            log_level: LogLevel::default(),
            pre_stop_seconds: 5,
            trust_from: TrustFrom::default(),
        }
    }
}

/// Where pods have the mesh's roots from. No third choice finds it out by itself: a kubelet's gates cannot be seen from the
/// API server, and its node's pods would hang.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TrustFrom {
    /// The ConfigMap `smidge-trust` of their namespace.
    #[default]
    ConfigMap,
    /// The ClusterTrustBundle `smidge-trust`.
    ClusterTrustBundle,
}

/// CPU and memory, as in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Resources {
    /// What is set aside for it.
    pub requests: Amounts,
    /// What it may use at most. Envoy has as many threads as the CPU limit, rounded up; 2 without one.
    pub limits: Amounts,
}

impl Default for Resources {
    fn default() -> Self {
        let amounts =
            |cpu: Option<&str>, memory: &str| Amounts { cpu: cpu.map(str::to_owned), memory: Some(memory.to_owned()) };
        Self { requests: amounts(Some("50m"), "96Mi"), limits: amounts(None, "512Mi") }
    }
}

/// An amount of CPU and of memory, as Kubernetes quantities.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Amounts {
    /// Such as `100m` or `2`; absent: none is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_amount")]
    pub cpu: Option<String>,
    /// Such as `128Mi`; absent: none is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::optional_amount")]
    pub memory: Option<String>,
}

/// How much Envoy logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What a developer of Envoy wants to see.
    Debug,
    /// What happens.
    Info,
    /// What should not happen.
    #[default]
    Warning,
    /// What went wrong.
    Error,
    /// What made it end.
    Critical,
    /// Nothing.
    Off,
}

impl LogLevel {
    /// The level as Envoy's `--log-level` takes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Off => "off",
        }
    }
}
