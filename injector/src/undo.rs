//! The way back: a pod in a file gets its sidecar by a patch, and an annotation with what undoes it; the annotation, and whatever
//! is not as it was left, decide whether it can be undone.

use json_patch::{
    AddOperation, Patch, PatchError, PatchOperation, RemoveOperation, TestOperation, jsonptr::PointerBuf, patch,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The annotation that says how to undo an injection into a file.
pub const UNDO: &str = "smidge.dev/undo";

/// What undoes a patch.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Undo {
    /// First these, which test that what they take away is what was put there.
    edits: Patch,
    /// Then these are taken away, if they are empty.
    empty: Vec<PointerBuf>,
}

/// Why an injection cannot be made or undone.
#[derive(Debug, thiserror::Error)]
pub enum UndoError {
    /// The patch is none for this pod.
    #[error("the patch does not fit the pod; this is a bug: please report it")]
    Misfit(#[source] PatchError),
    /// It holds no word of how.
    #[error(
        "it has a sidecar, but no annotation {UNDO}: it was not put in by smidge inject, so take the file from before"
    )]
    Unknown,
    /// The annotation is not what was written there.
    #[error("its annotation {UNDO} is broken: take the file from before")]
    Broken(#[source] serde_json::Error),
    /// Somebody has edited what was put in.
    #[error("what smidge inject put in was edited since: take it out by hand, or the file from before")]
    Edited(#[source] PatchError),
}

/// Applies the patch of an injection to a pod or a pod's template, and keeps in it how to undo that.
///
/// # Errors
/// When the patch is none for this pod; then the pod is as it was.
pub fn patch_undoably(pod: &mut Value, by: &Patch) -> Result<(), UndoError> {
    let mut undo = Undo::default();
    let mut patched = pod.clone();
    for operation in annotated(pod).iter().chain(&by.0) {
        let before = patched.clone();
        patch(&mut patched, std::slice::from_ref(operation)).map_err(UndoError::Misfit)?;
        undo.prepend(operation, &before);
    }
    patched["metadata"]["annotations"][UNDO] = json!(undo).to_string().into();
    *pod = patched;
    Ok(())
}

/// Room for the annotation, and for those of the patch.
fn annotated(pod: &Value) -> Vec<PatchOperation> {
    let missing = ["/metadata", "/metadata/annotations"].into_iter().filter(|path| pod.pointer(path).is_none());
    missing.map(|path| add(PointerBuf::parse(path).unwrap_or_default(), json!({}))).collect()
}

/// Takes out what [`patch_undoably`] has put in; whether there was anything.
///
/// # Errors
/// When that cannot be done to the end; then the pod is as it was.
pub fn undo(pod: &mut Value) -> Result<bool, UndoError> {
    let Some(kept) = pod.pointer("/metadata/annotations").and_then(|annotations| annotations[UNDO].as_str()) else {
        return if has_sidecar(pod) { Err(UndoError::Unknown) } else { Ok(false) };
    };
    let Undo { edits, empty } = serde_json::from_str(kept).map_err(UndoError::Broken)?;
    let mut undone = pod.clone();
    if let Some(annotations) = undone["metadata"]["annotations"].as_object_mut() {
        annotations.remove(UNDO);
    }
    patch(&mut undone, &edits).map_err(UndoError::Edited)?;
    for path in &empty {
        if undone.pointer(path.as_str()).is_some_and(is_empty) {
            patch(&mut undone, &[remove(path.clone())]).map_err(UndoError::Edited)?;
        }
    }
    *pod = undone;
    Ok(true)
}

fn has_sidecar(pod: &Value) -> bool {
    let lists = ["containers", "initContainers"].map(|list| pod["spec"][list].as_array().into_iter().flatten());
    lists.into_iter().flatten().any(|container| container["name"] == crate::PROXY)
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty)
}

impl Undo {
    /// What undoes an operation on `before` goes before what undoes the earlier ones.
    fn prepend(&mut self, operation: &PatchOperation, before: &Value) {
        let edits = match operation {
            PatchOperation::Add(AddOperation { path, value }) => self.of_addition(path, value, before),
            PatchOperation::Remove(RemoveOperation { path }) => {
                before.pointer(path.as_str()).map(|old| add(path.clone(), old.clone())).into_iter().collect()
            }
            // Injection knows no others.
            _ => Vec::new(),
        };
        self.edits.0.splice(0..0, edits);
    }

    fn of_addition(&mut self, path: &PointerBuf, value: &Value, before: &Value) -> Vec<PatchOperation> {
        let list = path.parent().and_then(|parent| before.pointer(parent.as_str())?.as_array());
        if let Some(list) = list {
            let mut place = path.clone();
            if path.as_str().ends_with("/-") {
                place.pop_back();
                place.push_back(list.len().to_string());
            }
            return taken(&place, value);
        }
        match (before.pointer(path.as_str()), value) {
            (Some(old), new) if old == new => Vec::new(),
            (Some(old), _) => vec![test(path.clone(), value.clone()), add(path.clone(), old.clone())],
            // Others may have been put into it since.
            (None, Value::Array(items)) => {
                self.empty.insert(0, path.clone());
                let at = |index: usize| path.with_trailing_token(index.to_string());
                items.iter().enumerate().rev().flat_map(|(index, item)| taken(&at(index), item)).collect()
            }
            (None, value) if is_empty(value) => {
                self.empty.insert(0, path.clone());
                Vec::new()
            }
            (None, value) => taken(path, value),
        }
    }
}

/// What takes a value away again: what has a name is known by it.
fn taken(path: &PointerBuf, value: &Value) -> Vec<PatchOperation> {
    let known = match value.get("name") {
        Some(name) => test(path.with_trailing_token("name"), name.clone()),
        None => test(path.clone(), value.clone()),
    };
    vec![known, remove(path.clone())]
}

fn add(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Add(AddOperation { path, value })
}

fn remove(path: PointerBuf) -> PatchOperation {
    PatchOperation::Remove(RemoveOperation { path })
}

fn test(path: PointerBuf, value: Value) -> PatchOperation {
    PatchOperation::Test(TestOperation { path, value })
}
