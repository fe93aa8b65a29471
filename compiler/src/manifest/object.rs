//! One object of a manifest: its text and kind in, the facts about it out.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::{
    api::{
        core::v1::{Container, Namespace, Pod, PodSpec, Service},
        discovery::v1::EndpointSlice,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use smidge_crds::{
    HTTPRouteGroup, IngressBackend, MeshConfig, TCPRoute, TrafficSplit, TrafficTarget, UDPRoute, smidge::INJECT,
};

use super::{
    document::{Document, Head, Unreadable},
    known::{Known, known},
    places::Places,
    pod::ReadPod,
    schema::{Rule, misfit, wrong_size, wrong_type},
    template::{Workload, makes_pods},
};
use crate::{Digest, Fact, Kind, facts::SIDECAR};

/// An object that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The facts about it; a pod's as if it had a sidecar.
    pub fact: Fact,
    /// Whether it is a pod that gets a sidecar when its namespace is meshed.
    pub is_injectable: bool,
    /// What its author wrote of a pod.
    pub authored: Option<Box<Authored>>,
}

/// A pod as it was written: the facts keep only what the mesh is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Authored {
    /// Where it stands in the object, such as `spec.template`; empty: it is the object.
    template: &'static str,
    /// Its metadata.
    pub metadata: ObjectMeta,
    /// Its `spec`, as far as the text is one.
    pub spec: Value,
}

impl Authored {
    fn new(text: &Document<'_>, metadata: ObjectMeta, template: &'static str) -> Result<Self, Unreadable> {
        let mut pod: Value = text.parse()?;
        for field in template.split('.').chain(["spec"]).filter(|field| !field.is_empty()) {
            pod = pod.get_mut(field).map(Value::take).unwrap_or_default();
        }
        Ok(Self { template, metadata, spec: pod })
    }

    /// Where in the object a field of the pod stands.
    pub fn place(&self, field: &str) -> String {
        if self.template.is_empty() { field.to_owned() } else { format!("{}.{field}", self.template) }
    }
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

impl Named for Workload {
    fn metadata(&mut self) -> &mut ObjectMeta {
        Self::metadata(self)
    }
}

named! { Namespace Service Pod EndpointSlice TrafficSplit TrafficTarget HTTPRouteGroup TCPRoute UDPRoute MeshConfig IngressBackend }

/// The object that a text holds; `None`: of a kind that Smidge does not read.
pub(super) fn read(text: &Document<'_>, head: &Head) -> Result<Option<Object>, Unreadable> {
    let unfit = |message: String| text.unfit(0, &message);
    if makes_pods(&head.api_version, &head.kind) {
        let workload = named(text, text.parse::<Workload>()?)?;
        return workload.into_pod(&head.kind).map(|(read, template)| pod(text, read.into(), template)).transpose();
    }
    let Some(known) = known(&head.api_version, &head.kind).map_err(unfit)? else { return Ok(None) };
    let object = match known.kind {
        Kind::Namespace => plain(text, text.parse::<Namespace>()?),
        Kind::Service => plain(text, text.parse::<Service>()?),
        Kind::EndpointSlice => plain(text, text.parse::<EndpointSlice>()?),
        Kind::Pod => named(text, text.parse::<ReadPod>()?.into()).and_then(|read| pod(text, read, "")),
        Kind::TrafficSplit => plain(text, stored::<TrafficSplit>(text, known, head)?),
        Kind::TrafficTarget => plain(text, stored::<TrafficTarget>(text, known, head)?),
        Kind::HttpRouteGroup => plain(text, stored::<HTTPRouteGroup>(text, known, head)?),
        Kind::TcpRoute => plain(text, stored::<TCPRoute>(text, known, head)?),
        Kind::UdpRoute => plain(text, stored::<UDPRoute>(text, known, head)?),
        Kind::IngressBackend => plain(text, stored::<IngressBackend>(text, known, head)?),
        Kind::MeshConfig => plain(text, stored::<MeshConfig>(text, known, head)?),
    };
    object.map(Some)
}

/// An object of any version, as the version that is stored.
fn stored<K: DeserializeOwned>(text: &Document<'_>, known: &Known, head: &Head) -> Result<K, Unreadable> {
    let object: Value = text.parse()?;
    check(text, &object, head, wrong_type)?;
    let to = known.api_version();
    if head.api_version == to {
        // A number that no field can hold is better told by its bounds than by the type it was read as.
        return text.parse().or_else(|error| check(text, &object, head, wrong_size).and(Err(error)));
    }
    let converted = smidge_crds::convert(object, &to);
    serde_json::from_value(converted).map_err(|error| text.unfit(0, &format!("{}: {error}", head.api_version)))
}

fn check(text: &Document<'_>, object: &Value, head: &Head, rule: Rule) -> Result<(), Unreadable> {
    let Some(misfit) = misfit(object, &head.api_version, &head.kind, rule) else { return Ok(()) };
    let line = Places::of(text.text).map_or(1, |places| places.line_of(&misfit.field)) - 1;
    Err(text.unfit(line, &format!("{}: {}", misfit.field, misfit.message)))
}

fn plain<K: Digest + Named>(text: &Document<'_>, object: K) -> Result<Object, Unreadable> {
    Ok(Object { fact: named(text, object)?.digest(), is_injectable: false, authored: None })
}

/// An object with a name, and a namespace, as the API server would see to.
fn named<K: Named>(text: &Document<'_>, mut object: K) -> Result<K, Unreadable> {
    let meta = object.metadata();
    if meta.name.as_deref().unwrap_or_default().is_empty() {
        return Err(text.unfit(0, "metadata.name is missing: every object needs one"));
    }
    // Digesting drops it again where a kind has none.
    meta.namespace.get_or_insert_with(|| "default".to_owned());
    Ok(object)
}

/// A pod as injection would leave it.
fn pod(text: &Document<'_>, mut pod: Pod, template: &'static str) -> Result<Object, Unreadable> {
    let plain = pod.digest();
    let says_no = |map: &Option<BTreeMap<String, String>>| {
        map.as_ref().and_then(|map| map.get(INJECT)).is_some_and(|value| value == "disabled")
    };
    let stays_out = says_no(&pod.metadata.labels) || says_no(&pod.metadata.annotations);
    let has_sidecar = matches!(&plain, Fact::Pod(facts) if facts.meshed);
    let authored = Some(Box::new(Authored::new(text, pod.metadata.clone(), template)?));
    if stays_out || has_sidecar {
        return Ok(Object { fact: plain, is_injectable: false, authored });
    }
    let spec = pod.spec.get_or_insert_with(PodSpec::default);
    spec.containers.push(Container { name: SIDECAR.to_owned(), ..Container::default() });
    Ok(Object { fact: pod.digest(), is_injectable: true, authored })
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
