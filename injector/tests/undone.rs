//! An injection into a file can be undone: what comes out is what went in, whatever else was edited meanwhile.

#![allow(clippy::unwrap_used)] // Test code outside of test functions.

mod cases;

use cases::{case, cases};
use serde_json::{Value, json};
use smidge_injector::{UNDO, UndoError, Verdict, patch_undoably, undo};

/// The case's pod, injected so that it can be undone.
fn injected(case: &cases::Case) -> Option<Value> {
    let mut pod = case.pod.clone();
    match case.inject().verdict {
        Verdict::Patched(patch) => patch_undoably(&mut pod, &patch).unwrap(),
        Verdict::Unchanged | Verdict::Refused(_) => return None,
    }
    Some(pod)
}

#[test]
fn what_is_injected_and_undone_is_as_it_was() {
    let mut tried = 0;
    for case in cases() {
        let Some(mut pod) = injected(&case) else { continue };
        assert_eq!(case.with(pod.clone()).inject().verdict, Verdict::Unchanged, "{}", case.name());
        assert_eq!(undo(&mut pod).ok(), Some(true), "{}", case.name());
        assert_eq!(pod, case.pod, "{}", case.name());
        assert_eq!(undo(&mut pod).ok(), Some(false), "{}: there is nothing more to undo", case.name());
        tried += 1;
    }
    assert!(tried > 15, "{tried}");
}

#[test]
fn what_others_have_added_since_stays() {
    let case = case("http_probes");
    let mut pod = injected(&case).unwrap();
    let mut expected = case.pod.clone();
    for of in [&mut pod, &mut expected] {
        of["metadata"]["annotations"]["team"] = "web".into();
        of["spec"]["nodeName"] = "n".into();
    }
    let last = pod["spec"]["initContainers"].as_array_mut().unwrap();
    last.push(json!({"name": "migrate"}));
    expected["spec"]["initContainers"] = json!([{"name": "migrate"}]);
    undo(&mut pod).unwrap();
    assert_eq!(pod, expected);
}

#[test]
fn what_was_edited_is_not_undone_by_halves() {
    let mut pod = injected(&case("http_probes")).unwrap();
    pod["spec"]["initContainers"].as_array_mut().unwrap().remove(0);
    let before = pod.clone();
    assert!(matches!(undo(&mut pod), Err(UndoError::Edited(_))));
    assert_eq!(pod, before);
    pod["metadata"]["annotations"].as_object_mut().unwrap().remove(UNDO);
    assert!(matches!(undo(&mut pod), Err(UndoError::Unknown)));
}
