//! One document of a file: read into the facts about one object.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::{
        core::v1::{Container, Namespace, Pod, PodSpec, Service},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use smidge_crds::{HTTPRouteGroup, MeshConfig, TCPRoute, TrafficSplit, TrafficTarget, UDPRoute};

use super::pod::ReadPod;
use crate::{Digest, Fact, facts::SIDECAR};

/// A label or annotation that keeps a pod out of the mesh.
const INJECT: &str = "smidge.dev/inject";

/// The text of one document, and where it begins in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Document<'a> {
    /// The line of its first character, from 1.
    pub line: usize,
    /// The text.
    pub text: &'a str,
}

/// An object that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The facts about it; a pod's as if it had a sidecar.
    pub fact: Fact,
    /// Whether it is a pod that gets a sidecar when its namespace is meshed.
    pub is_injectable: bool,
}

/// A document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// In the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// Whether it is no YAML at all, as while somebody is still typing.
    pub is_malformed: bool,
}

/// The documents of a file. In YAML nothing but a document's end begins a line with `---`.
pub fn split(text: &str) -> Vec<Document<'_>> {
    let (mut documents, mut start, mut offset, mut line) = (Vec::new(), (0, 1), 0, 1);
    for row in text.split_inclusive('\n') {
        let next = offset + row.len();
        if row.trim_end() == "---" || row.starts_with("--- ") {
            documents.push(Document { line: start.1, text: &text[start.0..offset] });
            start = (offset + row.find('\n').map_or(row.len(), |end| end + 1), line + 1);
        }
        (offset, line) = (next, line + 1);
    }
    documents.push(Document { line: start.1, text: text.get(start.0..).unwrap_or_default() });
    documents.retain(|document| !is_blank(document.text));
    documents
}

fn is_blank(text: &str) -> bool {
    text.lines().map(str::trim_start).all(|line| line.is_empty() || line.starts_with('#'))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
}

/// Objects have metadata, by which the API server would see to their names.
trait Named {
    fn metadata(&mut self) -> &mut ObjectMeta;
}

macro_rules! named {
    ($($kind:ty)*) => {
        $(impl Named for $kind {
            fn metadata(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        })*
    };
}

named! { Namespace Service Pod EndpointSlice TrafficSplit TrafficTarget HTTPRouteGroup TCPRoute UDPRoute MeshConfig }

impl Document<'_> {
    /// The object in it; `None`: of a kind that is none of ours.
    ///
    /// # Errors
    /// When it is no YAML, or no such object.
    pub fn read(&self) -> Result<Option<Object>, Unreadable> {
        let head: Head = self.parse(true)?;
        let group = head.api_version.split_once('/').map_or("", |(group, _)| group);
        match (group, head.kind.as_str()) {
            ("", "Namespace") => self.plain(self.parse::<Namespace>(false)?),
            ("", "Service") => self.plain(self.parse::<Service>(false)?),
            ("", "Pod") => Ok(Some(pod(self.named(self.parse::<ReadPod>(false)?.into())?))),
            ("discovery.k8s.io", "EndpointSlice") => self.plain(self.parse::<EndpointSlice>(false)?),
            ("split.smi-spec.io", "TrafficSplit") => self.plain(self.custom::<TrafficSplit>("v1alpha4", &head)?),
            ("access.smi-spec.io", "TrafficTarget") => self.plain(self.custom::<TrafficTarget>("v1alpha3", &head)?),
            ("specs.smi-spec.io", "HTTPRouteGroup") => self.plain(self.custom::<HTTPRouteGroup>("v1alpha4", &head)?),
            ("specs.smi-spec.io", "TCPRoute") => self.plain(self.custom::<TCPRoute>("v1alpha4", &head)?),
            ("specs.smi-spec.io", "UDPRoute") => self.plain(self.custom::<UDPRoute>("v1alpha4", &head)?),
            ("smidge.dev", "MeshConfig") => self.plain(self.custom::<MeshConfig>("v1alpha1", &head)?),
            (_, "") => Err(self.unfit(0, "there is no kind: every document needs apiVersion, kind and metadata.name")),
            _ => Ok(None),
        }
    }

    fn plain<K: Digest + Named>(&self, object: K) -> Result<Option<Object>, Unreadable> {
        Ok(Some(Object { fact: self.named(object)?.digest(), is_injectable: false }))
    }

    /// An object with a name, and a namespace, as the API server would see to.
    fn named<K: Named>(&self, mut object: K) -> Result<K, Unreadable> {
        let meta = object.metadata();
        if meta.name.as_deref().unwrap_or_default().is_empty() {
            return Err(self.unfit(0, "metadata.name is missing: every object needs one"));
        }
        // Digesting drops it again where a kind has none.
        meta.namespace.get_or_insert_with(|| "default".to_owned());
        Ok(object)
    }

    /// An object of any version, as the version that is stored.
    fn custom<K: DeserializeOwned>(&self, stored: &str, head: &Head) -> Result<K, Unreadable> {
        let group = head.api_version.split('/').next().unwrap_or_default();
        let to = format!("{group}/{stored}");
        if head.api_version == to {
            return self.parse(false);
        }
        let converted = smidge_crds::convert(self.parse::<Value>(false)?, &to);
        serde_json::from_value(converted).map_err(|error| self.unfit(0, &format!("{}: {error}", head.api_version)))
    }

    fn parse<K: DeserializeOwned>(&self, is_first: bool) -> Result<K, Unreadable> {
        serde_yaml::from_str_with_options(self.text, options()).map_err(|error| {
            let error = error.without_snippet();
            let line = error.location().map_or(0, |location| usize::try_from(location.line()).unwrap_or(1) - 1);
            let mut unreadable = self.unfit(line, &error.to_string());
            // The head asks for next to nothing: what fails there is no YAML.
            unreadable.is_malformed = is_first;
            unreadable
        })
    }

    fn unfit(&self, line: usize, message: &str) -> Unreadable {
        Unreadable { line: self.line + line, message: message.to_owned(), is_malformed: false }
    }
}

/// As Kubernetes reads YAML: `no` and `010` are what they look like.
fn options() -> serde_yaml::Options {
    serde_yaml::options! { strict_booleans: true, with_snippet: false }
}

/// A pod as injection would leave it.
fn pod(mut pod: Pod) -> Object {
    let authored = pod.digest();
    let says_no = |map: &Option<BTreeMap<String, String>>| {
        map.as_ref().and_then(|map| map.get(INJECT)).is_some_and(|value| value == "disabled")
    };
    let stays_out = says_no(&pod.metadata.labels) || says_no(&pod.metadata.annotations);
    let has_sidecar = matches!(&authored, Fact::Pod(facts) if facts.meshed);
    if stays_out || has_sidecar {
        return Object { fact: authored, is_injectable: false };
    }
    let spec = pod.spec.get_or_insert_with(PodSpec::default);
    spec.containers.push(Container { name: SIDECAR.to_owned(), ..Container::default() });
    Object { fact: pod.digest(), is_injectable: true }
}

impl Object {
    /// Its facts in a namespace that is meshed or not: there a pod is as its author wrote it.
    pub(super) fn placed(&self, is_meshed: bool) -> Fact {
        match &self.fact {
            Fact::Pod(facts) if self.is_injectable && !is_meshed => {
                let mut facts = Arc::clone(facts);
                Arc::make_mut(&mut facts).meshed = false;
                Fact::Pod(facts)
            }
            fact => fact.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_split_at_its_document_marks() {
        let text = "# head\na: 1\n---\n# only a comment\n--- # next\nb: |\n  --- not a mark\n---\n";
        let documents: Vec<_> = split(text).iter().map(|document| (document.line, document.text)).collect();
        assert_eq!(documents, [(1, "# head\na: 1\n"), (6, "b: |\n  --- not a mark\n")]);
    }

    fn problem(text: &str) -> Unreadable {
        Document { line: 10, text }.read().unwrap_err()
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let backends = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  ports: 7\n";
        let wrong = problem(backends);
        assert_eq!((wrong.line, wrong.is_malformed), (14, false), "{wrong:?}");
        assert!(problem("apiVersion: v1\nkind: [\n").is_malformed);
        assert!(problem("metadata: {name: a}\n").message.contains("no kind"));
    }

    #[test]
    fn a_kind_that_is_none_of_ours_is_passed_over() {
        let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\n";
        assert!(Document { line: 1, text }.read().unwrap().is_none());
    }
}
