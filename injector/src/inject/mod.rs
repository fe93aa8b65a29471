//! Injection: a Pod as its author wrote it in, the patch that puts it into the mesh out.

mod decision;
mod edits;
mod judgement;
mod sidecar;
mod spelling;
mod wishes;

use std::collections::{BTreeMap, BTreeSet};

use json_patch::Patch;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use serde_json::{Value, json};

use self::{
    decision::{Decision, decide},
    edits::{Edits, says},
    wishes::{Wishes, wishes},
};
pub use self::{
    decision::{asks_to_join, is_exempt},
    spelling::{Misspelt, misspelt},
};
use crate::{
    METRICS_PATH, METRICS_PORT, PROBE_PORT, PROXY, READY_PORT, REDIRECT, Resources, Settings,
    bootstrap::sidecar_bootstrap,
    probe::{Found, Probe, Remembered, Target, grpc_ports, is_ours, probes},
};

/// The annotation that keeps what the authors of rewritten probes wrote.
const PROBES: &str = "smidge.dev/probes";
/// Linux takes no argument of 128 KiB or more; what the kubelet writes into it needs room, too.
const LONGEST_BOOTSTRAP: usize = 120 << 10;

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
    let unchanged = |warnings| Outcome { verdict: Verdict::Unchanged, warnings };
    let Some(spec) = &pod.spec else { return unchanged(Vec::new()) };
    match decide(settings, namespace, pod, spec) {
        Decision::Leave => unchanged(Vec::new()),
        Decision::LeaveSaying(what) => unchanged(vec![what]),
        Decision::Inject(remark) => {
            let mut joined = join(settings, namespace, pod, spec);
            joined
                .warnings
                .extend(remark.into_iter().chain(misspelt(&pod.metadata).into_iter().map(|told| told.message)));
            joined
        }
    }
}

/// Why a meshed pod must not get the containers that it is to have now: ephemeral ones come after injection, and nothing can
/// be patched then.
pub fn bypass(settings: &Settings, pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref().filter(|_| !settings.allow_bypass)?;
    let meshed = spec.init_containers.iter().flatten().any(|container| container.name == PROXY);
    if meshed { judgement::bypasses_as_debugger(spec) } else { None }
}

fn join(settings: &Settings, namespace: Namespace<'_>, pod: &Pod, spec: &PodSpec) -> Outcome {
    let made = Sidecar::make(settings, pod, spec);
    let (verdict, ports) = match &made {
        Err(why) => (Verdict::Refused(why.clone()), Vec::new()),
        Ok(sidecar) => (sidecar.verdict(settings, pod, spec), sidecar.ports().into_iter().collect()),
    };
    Outcome { verdict, warnings: judgement::warnings(namespace, spec, &ports) }
}

/// What a pod's sidecar is made of.
struct Sidecar {
    wishes: Wishes,
    found: Vec<Found>,
    grpc: BTreeMap<u16, u16>,
    bootstrap: String,
}

impl Sidecar {
    fn make(settings: &Settings, pod: &Pod, spec: &PodSpec) -> Result<Self, String> {
        let bypass = if settings.allow_bypass { None } else { judgement::bypasses(spec) };
        if let Some(why) = bypass.or_else(|| judgement::volume_taken(spec)) {
            return Err(why);
        }
        let nothing = BTreeMap::new();
        let annotations = pod.metadata.annotations.as_ref().unwrap_or(&nothing);
        // A pod with resources of its own shares them out: a container's limits must not exceed them.
        let shared = Resources { cpu_request: None, cpu_limit: None, memory_request: None, memory_limit: None };
        let defaults = if spec.resources.is_some() { shared } else { settings.resources.clone() };
        let wishes = wishes(settings, defaults, annotations)?;
        let found = probes(spec, &remembered(pod));
        let probes: Vec<Probe> = found.iter().map(|found| found.probe.clone()).collect();
        let bootstrap = sidecar_bootstrap(settings, &probes);
        if bootstrap.len() > LONGEST_BOOTSTRAP {
            return Err(format!("the pod has {} probes, more than fit into Envoy's argument: use fewer", probes.len()));
        }
        Ok(Self { wishes, grpc: grpc_ports(&probes), found, bootstrap })
    }

    /// Where Envoy listens for Prometheus and the kubelet, past the redirect.
    fn ports(&self) -> BTreeSet<u16> {
        let asked = self.found.iter().any(|found| !matches!(found.probe.target, Target::Grpc { .. }));
        let probes = asked.then_some(PROBE_PORT);
        [METRICS_PORT, READY_PORT].into_iter().chain(probes).chain(self.grpc.values().copied()).collect()
    }

    fn verdict(&self, settings: &Settings, pod: &Pod, spec: &PodSpec) -> Verdict {
        let mut edits = Edits::default();
        annotate(&mut edits, pod, &self.annotations(pod));
        self.rewrite_probes(&mut edits);
        sleep_before_stop(&mut edits, settings.pre_stop_seconds, spec);
        add_volumes(&mut edits, settings, spec);
        self.add_containers(&mut edits, settings, spec);
        if edits.is_empty() { Verdict::Unchanged } else { Verdict::Patched(edits.into_patch()) }
    }

    /// Those that the pod lacks.
    fn annotations(&self, pod: &Pod) -> Vec<(&'static str, String)> {
        let present = || pod.metadata.annotations.iter().flatten();
        let scrape = [
            ("prometheus.io/scrape", "true".to_owned()),
            ("prometheus.io/port", METRICS_PORT.to_string()),
            ("prometheus.io/path", METRICS_PATH.to_owned()),
        ];
        // Who has said how to scrape the pod is not contradicted: half of each would be neither.
        let silent = !present().any(|(key, _)| key.starts_with("prometheus.io/"));
        let originals: Remembered =
            self.found.iter().map(|found| (found.probe.key(), found.original.clone())).collect();
        let changed = !originals.is_empty() && originals != remembered(pod);
        let probes = changed.then(|| (PROBES, json!(originals).to_string()));
        probes.into_iter().chain(scrape.into_iter().filter(|_| silent)).collect()
    }

    fn rewrite_probes(&self, edits: &mut Edits) {
        for found in &self.found {
            replace_call(edits, found, &json!(found.rewritten(&self.grpc)));
        }
    }

    /// Ours come first: the app's own init containers have the network that the app will have.
    fn add_containers(&self, edits: &mut Edits, settings: &Settings, spec: &PodSpec) {
        let mut redirect = self.wishes.redirect.clone();
        redirect.exclude_inbound_ports.extend(self.ports());
        let redirect = sidecar::redirect(settings, &redirect, spec);
        let proxy = sidecar::proxy(settings, &self.wishes, spec, &self.bootstrap);
        let Some(present) = &spec.init_containers else {
            return edits.add(&["spec", "initContainers"], json!([redirect, proxy]));
        };
        let place = |name: &str| present.iter().position(|container| container.name == name);
        match (place(REDIRECT), place(PROXY)) {
            (Some(r), Some(p)) => {
                mend(edits, r, &present[r], &redirect);
                mend(edits, p, &present[p], &proxy);
            }
            (Some(r), None) => {
                mend(edits, r, &present[r], &redirect);
                insert(edits, r + 1, proxy);
            }
            (None, Some(p)) => {
                mend(edits, p, &present[p], &proxy);
                insert(edits, p, redirect);
            }
            (None, None) => {
                insert(edits, 0, redirect);
                insert(edits, 1, proxy);
            }
        }
    }
}

/// What an earlier invocation has kept; what is no such thing counts as nothing.
fn remembered(pod: &Pod) -> Remembered {
    let kept = pod.metadata.annotations.as_ref().and_then(|annotations| annotations.get(PROBES));
    kept.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

fn annotate(edits: &mut Edits, pod: &Pod, annotations: &[(&str, String)]) {
    if annotations.is_empty() {
        return;
    }
    if pod.metadata.annotations.is_none() {
        edits.add(&["metadata", "annotations"], json!({}));
    }
    for (key, value) in annotations {
        edits.add(&["metadata", "annotations", key], value.as_str().into());
    }
}

fn replace_call(edits: &mut Edits, found: &Found, wanted: &Value) {
    let current = json!(found.current);
    let fields = |of: &Value| -> BTreeMap<String, Value> { serde_json::from_value(of.clone()).unwrap_or_default() };
    let at = |field: String| [found.place.as_slice(), &[field]].concat();
    for (field, _) in fields(&current).into_iter().filter(|(field, _)| wanted.get(field).is_none()) {
        edits.remove(&at(field));
    }
    for (field, value) in fields(wanted) {
        if !current.get(&field).is_some_and(|present| says(present, &value)) {
            edits.add(&at(field), value);
        }
    }
}

/// While its endpoints are withdrawn, an app goes on serving: the sleep comes before its SIGTERM, within the grace period.
fn sleep_before_stop(edits: &mut Edits, seconds: u16, spec: &PodSpec) {
    let grace = spec.termination_grace_period_seconds.unwrap_or(30);
    // A pod without grace is to be gone at once.
    if seconds == 0 || grace <= 0 {
        return;
    }
    let sleep = json!({"sleep": {"seconds": seconds}});
    let lacks = |container: &Container| {
        let lifecycle = container.lifecycle.as_ref();
        !is_ours(container) && lifecycle.is_none_or(|lifecycle| lifecycle.pre_stop.is_none())
    };
    let lacking: Vec<_> = spec.containers.iter().enumerate().filter(|(_, container)| lacks(container)).collect();
    for (index, container) in &lacking {
        let index = index.to_string();
        if container.lifecycle.is_none() {
            edits.add(&["spec", "containers", &index, "lifecycle"], json!({"preStop": sleep}));
        } else {
            edits.add(&["spec", "containers", &index, "lifecycle", "preStop"], sleep.clone());
        }
    }
    if !lacking.is_empty() && grace <= i64::from(seconds) {
        let longer = grace + i64::from(seconds);
        edits.add(&["spec", "terminationGracePeriodSeconds"], longer.into());
    }
}

/// One that is there stays as it is, also where new pods would have the roots from elsewhere now.
fn add_volumes(edits: &mut Edits, settings: &Settings, spec: &PodSpec) {
    let ours = sidecar::volumes(settings);
    let Some(present) = &spec.volumes else { return edits.add(&["spec", "volumes"], json!(ours)) };
    for volume in ours.into_iter().filter(|ours| !present.iter().any(|there| ours["name"] == there.name.as_str())) {
        edits.add(&["spec", "volumes", "-"], volume);
    }
}

fn insert(edits: &mut Edits, index: usize, container: Value) {
    edits.add(&["spec", "initContainers", &index.to_string()], container);
}

/// Puts right what a container of ours stands or falls with. The rest may have been changed with reason: an image's
/// name by a mirror, resources by a quota.
fn mend(edits: &mut Edits, index: usize, present: &Container, wanted: &Value) {
    let present = json!(present);
    for field in ["command", "args", "restartPolicy", "securityContext"] {
        let (there, wanted) = (present.get(field), wanted.get(field));
        if let Some(wanted) = wanted
            && !there.is_some_and(|there| says(there, wanted))
        {
            edits.add(&["spec", "initContainers", &index.to_string(), field], wanted.clone());
        }
    }
}
