//! Manifests as text: YAML documents in, facts out, as a cluster would have them.
//!
//! Used where there is no API server: in folders, for lint, and by tests. What a cluster's controllers and the
//! injection would add is added here: sidecars for the pods of meshed namespaces, EndpointSlices for Services that
//! select pods. No file is read and nothing is remembered.

mod document;
mod endpoints;
mod known;
mod object;
mod places;
mod pod;
mod schema;
mod template;

use std::{collections::BTreeMap, sync::Arc};

pub use document::{Document, Entry, Unreadable, split};
use endpoints::endpoint_slices;
pub use object::{Authored, Object};
pub use places::Places;

use crate::{Event, Fact, Kind, ObjectRef, Snapshot};

/// The facts about a set of objects, with what Kubernetes and injection would add. The first of several objects of
/// one name counts.
pub fn complete<'a>(objects: impl IntoIterator<Item = &'a Object>) -> BTreeMap<ObjectRef, Fact> {
    let mut first: BTreeMap<ObjectRef, &Object> = BTreeMap::new();
    for object in objects {
        first.entry(object.fact.object()).or_insert(object);
    }
    let is_meshed = |namespace: &Arc<str>| {
        let namespace = first.get(&ObjectRef::new(Kind::Namespace, "", namespace.clone()));
        matches!(namespace.map(|object| &object.fact), Some(Fact::Namespace(facts)) if facts.meshed)
    };
    let fact = |(name, object): (&ObjectRef, &&Object)| (name.clone(), object.placed(is_meshed(&name.namespace)));
    let mut facts: BTreeMap<ObjectRef, Fact> = first.iter().map(fact).collect();
    let slices = endpoint_slices(facts.values());
    facts.extend(slices.into_iter().map(|slice| (slice.object(), slice)));
    facts
}

/// The facts of one text, and its documents that cannot be read. Kinds that are none of ours are passed over.
pub fn read(text: &str) -> (BTreeMap<ObjectRef, Fact>, Vec<Unreadable>) {
    let (mut objects, mut unreadable) = (Vec::new(), Vec::new());
    for entry in split(text).iter().flat_map(Document::read) {
        match entry.read {
            Ok(object) => objects.extend(object),
            Err(error) => unreadable.push(error),
        }
    }
    (complete(&objects), unreadable)
}

/// The snapshot that holds these facts and nothing else.
pub fn snapshot(facts: impl IntoIterator<Item = Fact>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    for fact in facts {
        snapshot.apply(Event::Apply(fact));
    }
    snapshot
}
