//! The door: a raw object goes in, what is kept of it comes out.

use std::{marker::PhantomData, sync::Arc};

use kube::{Resource, ResourceExt, api::DynamicObject};
use smidge_compiler::{Digest, Event, Kind, ObjectRef};
use smidge_crds::Status;

use crate::message::{Message, Observed};

/// What is made of the objects of one kind.
pub(super) trait Door {
    /// The object as it is read from the API server.
    type Raw: ResourceExt;

    /// What to tell the loop about an object that is there.
    fn admit(object: &ObjectRef, raw: Self::Raw) -> Vec<Message>;
}

/// Objects of Kubernetes' own kinds: the API server vouches for their form.
pub(super) struct CoreObject<K>(PhantomData<K>);

impl<K: Resource<DynamicType = ()> + Digest> Door for CoreObject<K> {
    type Raw = K;

    fn admit(_: &ObjectRef, raw: K) -> Vec<Message> {
        vec![Message::Event(Event::Apply(raw.digest()))]
    }
}

/// Objects of custom kinds, whose CRD may be another than ours: each is read for itself.
pub(super) struct CustomObject<K>(PhantomData<K>);

impl<K: Digest + serde::de::DeserializeOwned> Door for CustomObject<K> {
    type Raw = DynamicObject;

    fn admit(object: &ObjectRef, raw: DynamicObject) -> Vec<Message> {
        let observed = observed(&raw);
        match read::<K>(raw) {
            Ok(read) => vec![Message::Observed(object.clone(), observed), Message::Event(Event::Apply(read.digest()))],
            Err(error) => {
                tracing::warn!(%object, %error, "this object cannot be read and counts as absent: compare it with the CRD of `smidge crds`");
                vec![Message::Event(Event::Delete(object.clone()))]
            }
        }
    }
}

/// Without its status: that is ours, and what stands there must not make the object unreadable.
fn read<K: serde::de::DeserializeOwned>(mut raw: DynamicObject) -> Result<K, serde_json::Error> {
    if let Some(fields) = raw.data.as_object_mut() {
        fields.remove("status");
    }
    serde_json::from_value(serde_json::to_value(raw)?)
}

/// A status that is not of our form counts as none, and is replaced.
fn observed(raw: &DynamicObject) -> Observed {
    let status = raw.data.get("status").and_then(|status| serde_json::from_value::<Status>(status.clone()).ok());
    Observed { status: Arc::new(status.unwrap_or_default()), uid: raw.uid().map(Into::into) }
}

/// The name of a raw object.
pub(super) fn reference(kind: Kind, raw: &impl ResourceExt) -> ObjectRef {
    ObjectRef::new(kind, raw.namespace().unwrap_or_default(), raw.name_any())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use smidge_crds::TrafficSplit;

    use super::*;

    fn split(spec: serde_json::Value, status: serde_json::Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "split.smi-spec.io/v1alpha4", "kind": "TrafficSplit",
            "metadata": {"name": "web", "namespace": "shop", "uid": "1"}, "spec": spec, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    fn admit(raw: DynamicObject) -> Vec<Message> {
        CustomObject::<TrafficSplit>::admit(&reference(Kind::TrafficSplit, &raw), raw)
    }

    #[test]
    fn an_unreadable_object_counts_as_absent_and_stops_nothing() {
        let spec = json!({"service": "web", "backends": [{"service": "a", "weight": 0.5}]});
        let messages = admit(split(spec, json!({})));
        assert!(
            matches!(&messages[..], [Message::Event(Event::Delete(object))] if &*object.name == "web"),
            "{messages:?}"
        );
    }

    #[test]
    fn a_foreign_status_counts_as_none() {
        let spec = json!({"service": "web", "backends": [{"service": "a", "weight": 1}]});
        let messages = admit(split(spec, json!({"conditions": "all well"})));
        let [Message::Observed(_, observed), Message::Event(Event::Apply(_))] = &messages[..] else {
            panic!("{messages:?}")
        };
        assert_eq!(*observed.status, Status::default());
        assert_eq!(observed.uid.as_deref(), Some("1"));
    }
}
