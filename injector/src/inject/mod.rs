//! Injection: a Pod as its author wrote it in, the patch that puts it into the mesh out.

use std::collections::BTreeMap;

use json_patch::Patch;
use k8s_openapi::api::core::v1::Pod;

use crate::Settings;

/// The namespace that a pod is created in.
#[derive(Clone, Copy, Debug)]
pub struct Namespace<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// What becomes of a pod.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Whether it is created, and how.
    pub verdict: Verdict,
    /// What its author should know: short sentences, none of which keeps the pod from being created.
    pub warnings: Vec<String>,
}

/// Whether a pod is created, and how.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// As it is: it stays outside the mesh, or has everything already.
    Unchanged,
    /// With this patch, which is not empty.
    Patched(Patch),
    /// Not; this is why, and what to do.
    Refused(String),
}

/// Decides, and makes the patch. What `inject` has patched it leaves unchanged; what another webhook has changed
/// since, it completes.
pub fn inject(settings: &Settings, namespace: Namespace<'_>, pod: &Pod) -> Outcome {
    let _ = (settings, namespace, pod);
    Outcome { verdict: Verdict::Unchanged, warnings: Vec::new() }
}
