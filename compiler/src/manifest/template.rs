//! What makes pods: Deployments and the like, read as the pod that their template describes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Deserialize;

use super::pod::{ReadPod, ReadSpec};

/// The kinds that make pods, and the groups that they are in.
const KINDS: [(&str, &str); 6] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("apps/v1", "ReplicaSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
];

/// Whether objects of the kind make pods.
pub(super) fn makes_pods(api_version: &str, kind: &str) -> bool {
    KINDS.contains(&(api_version, kind))
}

/// Any of the kinds, as far as it is read.
#[derive(Deserialize)]
pub(super) struct Workload {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    template: Option<Template>,
    job_template: Option<JobTemplate>,
}

#[derive(Deserialize)]
struct JobTemplate {
    #[serde(default)]
    spec: JobSpec,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JobSpec {
    template: Option<Template>,
}

#[derive(Deserialize)]
struct Template {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: ReadSpec,
}

impl Workload {
    pub(super) fn metadata(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    /// One of its pods, called `deployment/<name>`, as no other pod may be, and where it stands. `None`: there is no
    /// template, as in a patch; or another object has made it, which speaks for it.
    pub(super) fn into_pod(self, kind: &str) -> Option<(ReadPod, &'static str)> {
        let is_made = self.metadata.owner_references.iter().flatten().any(is_controller);
        let own = self.spec.template.map(|template| (template, "spec.template"));
        let scheduled = || Some((self.spec.job_template?.spec.template?, "spec.jobTemplate.spec.template"));
        let (template, place) = own.or_else(scheduled).filter(|_| !is_made)?;
        let name = format!("{}/{}", kind.to_ascii_lowercase(), self.metadata.name.unwrap_or_default());
        let metadata = ObjectMeta { name: Some(name), namespace: self.metadata.namespace, ..template.metadata };
        Some((ReadPod::new(metadata, template.spec), place))
    }
}

fn is_controller(owner: &OwnerReference) -> bool {
    owner.controller == Some(true)
}
