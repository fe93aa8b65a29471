//! What holds for a whole namespace or mesh.

use std::{collections::BTreeSet, hash::Hash, sync::Arc};

use k8s_openapi::api::core::v1::Namespace;
use smidge_crds::{
    MeshConfig, MeshConfigSpec,
    smidge::{
        INJECT, MODE, MTLS,
        v1alpha1::{DefaultProtocol, Mode as CrdMode, Mtls as CrdMtls, NAME, Sidecar},
    },
};
use smidge_mesh::{Mode, Mtls, Protocol, Telemetry, TrustDomain};

use super::{Digest, Fact, Origin, Problem, shown};
use crate::codes;

/// The label by which the API server refuses pods.
const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";
/// The levels of Pod Security that do not permit NET_ADMIN, which the redirect needs.
const REFUSING: [&str; 2] = ["baseline", "restricted"];

/// The facts about a Namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Which.
    pub origin: Origin,
    /// Whether its Services are in the mesh.
    pub meshed: bool,
    /// Its own mode; `None`: the mesh's.
    pub mode: Option<Mode>,
    /// Whether its pods accept connections without mTLS; `None`: as the mesh says.
    pub mtls: Option<Mtls>,
    /// What is unfit in it.
    pub problems: Vec<Problem>,
}

impl Digest for Namespace {
    fn digest(&self) -> Fact {
        let origin = Origin { namespace: "".into(), ..Origin::of(&self.metadata) };
        let label = |key| self.metadata.labels.as_ref().and_then(|labels| labels.get(key)).map(String::as_str);
        let mut problems = Vec::new();
        let mode = label(MODE).and_then(|text| said(text, mode_named(text), unknown_mode, &mut problems));
        let mtls = label(MTLS).and_then(|text| said(text, mtls_named(text), unknown_mtls, &mut problems));
        let meshed = label(INJECT) == Some("enabled");
        problems.extend(label(POD_SECURITY).filter(|level| meshed && REFUSING.contains(level)).map(refused));
        Fact::Namespace(Arc::new(NamespaceFacts { origin, meshed, mode, mtls, problems }))
    }
}

/// What a label says; a word that is none is a problem, and says nothing.
fn said<T>(text: &str, known: Option<T>, unknown: fn(&str) -> Problem, problems: &mut Vec<Problem>) -> Option<T> {
    if known.is_none() {
        problems.push(unknown(text));
    }
    known
}

fn refused(level: &str) -> Problem {
    let message = format!(
        "level {level} refuses NET_ADMIN of the init container that redirects traffic, and with it every new pod: only \
         privileged permits it"
    );
    Problem::new(codes::POD_SECURITY, format!("metadata.labels[{POD_SECURITY}]"), message)
}

fn unknown_mtls(text: &str) -> Problem {
    let message = format!("label {MTLS} is {}, not strict or permissive: what the mesh says holds", shown(text));
    Problem::new(codes::UNKNOWN_MTLS, format!("metadata.labels[{MTLS}]"), message)
}

fn mtls_named(text: &str) -> Option<Mtls> {
    match text {
        "strict" => Some(Mtls::Strict),
        "permissive" => Some(Mtls::Permissive),
        _ => None,
    }
}

fn unknown_mode(text: &str) -> Problem {
    let message = format!("label {MODE} is {}, not deny, audit or allow: the mesh's own mode holds", shown(text));
    Problem::new(codes::UNKNOWN_MODE, format!("metadata.labels[{MODE}]"), message)
}

fn mode_named(text: &str) -> Option<Mode> {
    match text {
        "deny" => Some(Mode::Deny),
        "audit" => Some(Mode::Audit),
        "allow" => Some(Mode::Allow),
        _ => None,
    }
}

/// The facts about the MeshConfig; `default()`: what holds without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshConfigFacts {
    /// Which.
    pub origin: Origin,
    /// What namespaces do that have no mode of their own.
    pub mode: Mode,
    /// Whether pods accept connections without mTLS; `None`: as their mode has it.
    pub mtls: Option<Mtls>,
    /// Who vouches for identities.
    pub trust_domain: TrustDomain,
    /// Ports that are never looked into, unless the Service says what they speak.
    pub opaque_ports: BTreeSet<u16>,
    /// What all other ports speak that say nothing.
    pub unsaid: Protocol,
    /// What sidecars log.
    pub telemetry: Telemetry,
    /// What pods are given when they join. Nothing that proxies are told depends on it.
    pub sidecar: Sidecar,
    /// Whether pods may have containers that could go round the mesh.
    pub permit_proxy_bypass: bool,
    /// What is unfit in it.
    pub problems: Vec<Problem>,
}

impl MeshConfigFacts {
    /// What proxies are told by it.
    pub fn said(&self) -> impl Hash {
        let Self { mode, mtls, trust_domain, opaque_ports, unsaid, telemetry, .. } = self.clone();
        (mode, mtls, trust_domain, opaque_ports, unsaid, telemetry)
    }
}

impl Default for MeshConfigFacts {
    fn default() -> Self {
        let origin = Origin { created: None, namespace: "".into(), name: "default".into(), generation: None };
        config(&MeshConfigSpec::default(), origin)
    }
}

impl Digest for MeshConfig {
    fn digest(&self) -> Fact {
        let origin = Origin { namespace: "".into(), ..Origin::with_status(&self.metadata) };
        Fact::MeshConfig(Arc::new(config(&self.spec, origin)))
    }
}

fn config(spec: &MeshConfigSpec, origin: Origin) -> MeshConfigFacts {
    let mut problems = Vec::new();
    if &*origin.name != NAME {
        let message = format!("{} is not the mesh's: its name is {NAME}", shown(&origin.name));
        problems.push(Problem::new(codes::NOT_DEFAULT, "metadata.name", message));
    }
    let trust_domain = TrustDomain::parse(&spec.trust_domain).unwrap_or_else(|error| {
        problems.push(Problem::new(codes::BAD_TRUST_DOMAIN, "spec.trustDomain", error.to_string()));
        TrustDomain::default()
    });
    MeshConfigFacts {
        origin,
        mode: match spec.mode {
            CrdMode::Deny => Mode::Deny,
            CrdMode::Audit => Mode::Audit,
            CrdMode::Allow => Mode::Allow,
        },
        mtls: spec.mtls.map(|mtls| match mtls {
            CrdMtls::Strict => Mtls::Strict,
            CrdMtls::Permissive => Mtls::Permissive,
        }),
        trust_domain,
        opaque_ports: spec.opaque_ports.iter().copied().collect(),
        unsaid: match spec.default_protocol {
            DefaultProtocol::Detect => Protocol::Detect,
            DefaultProtocol::Tcp => Protocol::Tcp,
        },
        telemetry: Telemetry { access_log: spec.access_log },
        sidecar: spec.sidecar.clone(),
        permit_proxy_bypass: spec.permit_proxy_bypass,
        problems,
    }
}
