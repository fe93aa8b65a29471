//! A JSON patch in the making.

use json_patch::{AddOperation, Patch, PatchOperation, RemoveOperation, jsonptr::PointerBuf};
use serde_json::Value;

/// Operations in the order in which they apply.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<PatchOperation>);

impl Edits {
    /// Sets a field, inserts into a list, or appends to it (`-`).
    pub(super) fn add<S: AsRef<str>>(&mut self, path: &[S], value: Value) {
        self.0.push(PatchOperation::Add(AddOperation { path: pointer(path), value }));
    }

    /// Takes a field away that is there.
    pub(super) fn remove<S: AsRef<str>>(&mut self, path: &[S]) {
        self.0.push(PatchOperation::Remove(RemoveOperation { path: pointer(path) }));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_patch(self) -> Patch {
        Patch(self.0)
    }
}

fn pointer<S: AsRef<str>>(path: &[S]) -> PointerBuf {
    PointerBuf::from_tokens(path.iter().map(AsRef::as_ref))
}

/// Does `present` say all that `wanted` says? The API server fills in defaults, and other webhooks add what they need.
pub(super) fn says(present: &Value, wanted: &Value) -> bool {
    match (present, wanted) {
        (Value::Object(present), Value::Object(wanted)) => {
            wanted.iter().all(|(key, value)| present.get(key).is_some_and(|there| says(there, value)))
        }
        _ => present == wanted,
    }
}
