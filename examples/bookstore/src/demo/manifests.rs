//! The folder's YAML as typed objects: as much of it as the demo itself has to know.

use std::{fs, net::IpAddr, path::Path};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::{Namespace, Pod, Service};
use serde_json::Value;
use smidge_crds::{TrafficSplit, TrafficTarget};

/// What the folder holds.
#[derive(Debug, Default)]
pub(crate) struct Manifests {
    pub(crate) namespaces: Vec<Namespace>,
    pub(crate) pods: Vec<Pod>,
    pub(crate) services: Vec<Service>,
    pub(crate) splits: Vec<TrafficSplit>,
    pub(crate) targets: Vec<TrafficTarget>,
}

impl Manifests {
    /// Reads every `.yaml` file of the folder. A file in the middle of an edit is an error.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let mut manifests = Self::default();
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read the folder {}", folder.display()))?;
        let mut files: Vec<_> = entries.collect::<Result<Vec<_>, _>>()?.iter().map(fs::DirEntry::path).collect();
        files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml" || ending == "yml"));
        files.sort();
        for file in files {
            manifests.add(&fs::read_to_string(&file)?).with_context(|| file.display().to_string())?;
        }
        Ok(manifests)
    }

    fn add(&mut self, yaml: &str) -> Result<()> {
        for object in serde_yaml::from_multiple::<Value>(yaml)? {
            match object["kind"].as_str() {
                Some("Namespace") => self.namespaces.push(serde_json::from_value(object)?),
                Some("Pod") => self.pods.push(serde_json::from_value(object)?),
                Some("Service") => self.services.push(serde_json::from_value(object)?),
                Some("TrafficSplit") => self.splits.push(serde_json::from_value(object)?),
                Some("TrafficTarget") => self.targets.push(serde_json::from_value(object)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// Each Service's address with all the names that it has inside its cluster.
    pub(crate) fn hosts(&self) -> Vec<(IpAddr, String)> {
        let host = |service: &Service| {
            let (name, namespace) = (service.metadata.name.as_ref()?, service.metadata.namespace.as_ref()?);
            let ip = service.spec.as_ref()?.cluster_ip.as_ref()?.parse().ok()?;
            let long = format!("{name}.{namespace}");
            Some((ip, format!("{name} {long} {long}.svc {long}.svc.cluster.local")))
        };
        self.services.iter().filter_map(host).collect()
    }
}
