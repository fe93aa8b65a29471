//! The cases of `testdata/inject`: a Pod, with its Namespace and what of the MeshConfig matters, and what injection makes of it.

#![allow(dead_code, clippy::unwrap_used)] // Test code outside of test functions; not every test needs all of it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use smidge_injector::{Namespace, Outcome, PROXY, Settings, TrustFrom, Verdict, inject};

/// A pod and where it is created.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) folder: PathBuf,
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) pod: Value,
    pub(crate) settings: Settings,
}

pub(crate) fn cases() -> Vec<Case> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/inject");
    let mut folders: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    folders.into_iter().map(|folder| Case::read(&folder)).collect()
}

pub(crate) fn case(name: &str) -> Case {
    Case::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/inject").join(name))
}

impl Case {
    fn read(folder: &Path) -> Self {
        let text = fs::read_to_string(folder.join("pod.yaml")).unwrap();
        let mut labels = BTreeMap::from([("smidge.dev/inject".to_owned(), "enabled".to_owned())]);
        let mut namespace = "shop".to_owned();
        let (mut pod, mut settings) = (Value::Null, Settings::default());
        for document in text.split("\n---\n") {
            let object: Value = serde_yaml::from_str(document).unwrap();
            if object["kind"] == "Namespace" {
                object["metadata"]["name"].as_str().unwrap().clone_into(&mut namespace);
                labels = serde_json::from_value(object["metadata"]["labels"].clone()).unwrap_or_default();
            } else if object["kind"] == "MeshConfig" {
                assert_eq!(object["spec"], json!({"sidecar": {"trustFrom": "clustertrustbundle"}}));
                settings.trust_from = TrustFrom::ClusterTrustBundle;
            } else {
                pod = object;
            }
        }
        Self { folder: folder.to_owned(), namespace, labels, pod, settings }
    }

    pub(crate) fn name(&self) -> String {
        self.folder.file_name().unwrap().to_string_lossy().into_owned()
    }

    pub(crate) fn inject(&self) -> Outcome {
        let pod: Pod =
            serde_json::from_value(self.pod.clone()).unwrap_or_else(|error| panic!("{}: {error}", self.name()));
        inject(&self.settings, Namespace { name: &self.namespace, labels: &self.labels }, &pod)
    }

    /// The pod as it is created; `None` if it is refused.
    pub(crate) fn injected(&self) -> Option<Value> {
        let mut pod = self.pod.clone();
        match self.inject().verdict {
            Verdict::Refused(_) => return None,
            Verdict::Unchanged => {}
            Verdict::Patched(patch) => json_patch::patch(&mut pod, &patch).unwrap(),
        }
        Some(pod)
    }

    /// The same case after its pod has been changed.
    pub(crate) fn with(&self, pod: Value) -> Self {
        Self { pod, ..self.clone() }
    }
}

/// A pod that says nothing beyond the least.
pub(crate) fn plain() -> Case {
    let pod = json!({"metadata": {}, "spec": {"containers": [{"name": "app"}]}});
    Case { pod, ..case("deployment") }
}

/// A pod's sidecar.
pub(crate) fn proxy(pod: &Value) -> Option<&Value> {
    pod["spec"]["initContainers"].as_array()?.iter().find(|container| container["name"] == PROXY)
}

/// The bootstrap of a pod's sidecar.
pub(crate) fn bootstrap(pod: &Value) -> Option<String> {
    Some(proxy(pod)?["args"][1].as_str()?.to_owned())
}
