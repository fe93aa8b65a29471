//! Fields that a version lacks, as annotations: `conversion.smidge.dev/<field>: <hash>:<JSON>`.
//!
//! The hash is of the fields that the value belongs to (its basis). An author who changes these in a version that
//! does not know the carried field no longer means it, so it is dropped. The hash is no proof of who wrote the
//! annotation: every reader checks the value as if the author had written it, which he may have.

use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64;

const PREFIX: &str = "conversion.smidge.dev/";

/// The API server admits so many bytes of annotations, names included, the author's own among them; beyond this a field is not
/// carried, rather than failing every LIST.
const ROOM: usize = 256 * 1024;

/// The annotations of an object that is on its way.
pub(super) struct Carried {
    annotations: Map<String, Value>,
    /// Whether the object had none when it came, or none but ours.
    had_others: bool,
}

impl Carried {
    pub(super) fn take_from(object: &mut Map<String, Value>) -> Self {
        let metadata = object.get_mut("metadata").and_then(Value::as_object_mut);
        let annotations = match metadata.and_then(|metadata| metadata.get_mut("annotations")) {
            Some(Value::Object(annotations)) => std::mem::take(annotations),
            _ => Map::new(),
        };
        let had_others = annotations.keys().any(|name| !name.starts_with(PREFIX));
        Self { annotations, had_others }
    }

    /// The carried field, if it still belongs to its basis. It is not carried any longer.
    pub(super) fn take(&mut self, field: &str, basis: &Value) -> Option<Value> {
        let annotation = self.annotations.remove(&name(field))?;
        read(annotation.as_str()?, basis)
    }

    pub(super) fn put(&mut self, field: &str, basis: &Value, value: &Value) {
        let (name, annotation) = (name(field), format!("{}:{value}", hash(basis)));
        if self.taken() + name.len() + annotation.len() <= ROOM {
            self.annotations.insert(name, annotation.into());
        }
    }

    /// How many bytes the annotations have already.
    fn taken(&self) -> usize {
        self.annotations.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum()
    }

    /// Drops what nobody took.
    pub(super) fn clear(&mut self) {
        self.annotations.retain(|name, _| !name.starts_with(PREFIX));
    }

    pub(super) fn put_into(self, object: &mut Map<String, Value>) {
        let Some(metadata) = object.entry("metadata").or_insert_with(|| Map::new().into()).as_object_mut() else {
            return;
        };
        if self.had_others || !self.annotations.is_empty() {
            metadata.insert("annotations".to_owned(), self.annotations.into());
        } else if metadata.get("annotations").is_some_and(Value::is_object) {
            metadata.remove("annotations");
        }
    }
}

/// The name of the annotation that carries a field.
pub(super) fn name(field: &str) -> String {
    format!("{PREFIX}{field}")
}

/// The value in an annotation, if the annotation's hash is its basis'.
pub(super) fn read(annotation: &str, basis: &Value) -> Option<Value> {
    let (found, value) = annotation.split_once(':')?;
    if found == hash(basis) { serde_json::from_str(value).ok() } else { None }
}

/// Equal for equal JSON, whatever the order of members; a member that is null counts as absent.
pub(super) fn hash(value: &Value) -> String {
    format!("{:016x}", xxh3_64(sorted(value).as_bytes()))
}

fn sorted(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|(_, member)| !member.is_null()).collect();
            members.sort_by_key(|(name, _)| *name);
            let members: Vec<_> = members.iter().map(|(name, member)| format!("{name:?}:{}", sorted(member))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(sorted).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}
