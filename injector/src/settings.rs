//! What the mesh's owner decides about injection; the operator fills it from MeshConfig and its own surroundings.

/// The control plane's namespace, unless it says otherwise of itself.
pub use smidge_crds::CONTROL_PLANE;
use smidge_crds::smidge::v1alpha1::{self, Sidecar};

use crate::{Resources, TrustFrom};

/// The image of Envoy that the control plane is installed with.
pub const PROXY_IMAGE: &str = "envoyproxy/envoy:distroless-v1.40.0";

/// How sidecars are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace that the control plane runs in: its pods are never injected, and its Service is where sidecars connect.
    pub control_plane: String,
    /// Stock Envoy.
    pub proxy_image: String,
    /// The image with nft.
    pub redirect_image: String,
    /// `imagePullPolicy` of both; `None`: Kubernetes' own default.
    pub image_pull_policy: Option<String>,
    /// What a sidecar gets where the pod's annotations say nothing.
    pub resources: Resources,
    /// Envoy's log level where the pod's annotations say nothing: one of [`LOG_LEVELS`](crate::LOG_LEVELS).
    pub log_level: String,
    /// How long an app without a preStop hook of its own goes on serving while its endpoints are withdrawn, in seconds; 0: not.
    pub pre_stop_seconds: u16,
    /// Whether app containers may have what lets them go round the mesh: the proxy's uid, NET_ADMIN, `privileged`.
    pub allow_bypass: bool,
    /// Where new pods have the mesh's roots from.
    pub trust_from: TrustFrom,
}

/// As without a MeshConfig.
impl Default for Settings {
    fn default() -> Self {
        let sidecar = Sidecar::default();
        Self {
            control_plane: CONTROL_PLANE.to_owned(),
            proxy_image: PROXY_IMAGE.to_owned(),
            redirect_image: concat!("smidge-redirect:", env!("CARGO_PKG_VERSION")).to_owned(),
            image_pull_policy: None,
            resources: Resources::from(&sidecar.resources),
            log_level: sidecar.log_level.as_str().to_owned(),
            pre_stop_seconds: sidecar.pre_stop_seconds,
            allow_bypass: false,
            trust_from: TrustFrom::ConfigMap,
        }
    }
}

impl Settings {
    /// These, as far as a MeshConfig does not say otherwise. `has_bundle`: whether there is a ClusterTrustBundle of the mesh.
    #[must_use]
    pub fn chosen(self, sidecar: &Sidecar, permit_proxy_bypass: bool, has_bundle: bool) -> Self {
        Self {
            proxy_image: sidecar.image.clone().unwrap_or(self.proxy_image),
            redirect_image: sidecar.redirect_image.clone().unwrap_or(self.redirect_image),
            resources: Resources::from(&sidecar.resources),
            log_level: sidecar.log_level.as_str().to_owned(),
            pre_stop_seconds: sidecar.pre_stop_seconds,
            allow_bypass: permit_proxy_bypass,
            trust_from: match sidecar.trust_from {
                // A pod would wait for a bundle that is not there.
                v1alpha1::TrustFrom::ClusterTrustBundle if has_bundle => TrustFrom::ClusterTrustBundle,
                v1alpha1::TrustFrom::ClusterTrustBundle | v1alpha1::TrustFrom::ConfigMap => TrustFrom::ConfigMap,
            },
            ..self
        }
    }

    /// The name of the xDS Service, which its certificate must have.
    pub fn xds_name(&self) -> String {
        format!("{XDS_SERVICE}.{}.svc", self.control_plane)
    }
}

/// The Service that sidecars connect to, in the control plane's namespace.
pub const XDS_SERVICE: &str = "smidge-xds";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_the_mesh_config_goes_before_that_of_the_installation() {
        let installed = || Settings { proxy_image: "installed".into(), ..Settings::default() };
        assert_eq!(installed().chosen(&Sidecar::default(), false, false).proxy_image, "installed");
        let sidecar = Sidecar { image: Some("chosen".into()), ..Sidecar::default() };
        assert_eq!(installed().chosen(&sidecar, false, false).proxy_image, "chosen");
    }

    #[test]
    fn only_a_bundle_that_is_there_and_wanted_is_projected() {
        let from = |trust_from, has_bundle| {
            let sidecar = Sidecar { trust_from, ..Sidecar::default() };
            Settings::default().chosen(&sidecar, false, has_bundle).trust_from
        };
        assert_eq!(from(v1alpha1::TrustFrom::ClusterTrustBundle, true), TrustFrom::ClusterTrustBundle);
        assert_eq!(from(v1alpha1::TrustFrom::ClusterTrustBundle, false), TrustFrom::ConfigMap);
        assert_eq!(from(v1alpha1::TrustFrom::default(), true), TrustFrom::ConfigMap);
    }
}
