//! Every folder of `testdata/inject`: `pod.yaml` goes in, `out.yaml` is what is said and patched. Of our own containers it
//! shows what differs from those of a plain pod (`deployment` shows all). `UPDATE=1` rewrites what differs.

#![allow(clippy::unwrap_used)] // Test code outside of test functions.

mod cases;

use std::{env, fs};

use cases::{Case, bootstrap, cases, plain};
use serde_json::{Map, Value, json};
use smidge_injector::{PROXY, REDIRECT, Verdict};

#[test]
fn every_pod_becomes_what_its_file_says() {
    let differing: Vec<String> = cases().iter().filter_map(|case| check(case).err()).collect();
    assert!(differing.is_empty(), "{}\nrun: UPDATE=1 cargo test --workspace --test goldens", differing.join("\n"));
}

#[test]
fn every_case_opens_with_a_sentence() {
    for case in cases() {
        let text = fs::read_to_string(case.folder.join("pod.yaml")).unwrap();
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("# ") && first.ends_with('.'), "{}: {first}", case.name());
    }
}

#[test]
fn what_is_injected_is_left_alone() {
    for case in cases() {
        let Some(pod) = case.injected() else { continue };
        assert_eq!(case.with(pod).inject().verdict, Verdict::Unchanged, "{}", case.name());
    }
}

fn check(case: &Case) -> Result<(), String> {
    let path = case.folder.join("out.yaml");
    let actual = serde_yaml::to_string(&shown(case)).unwrap();
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if actual == expected {
        return Ok(());
    }
    if env::var_os("UPDATE").is_some() {
        fs::write(path, actual).unwrap();
        return Ok(());
    }
    Err(format!("--- {}: it is now\n{actual}", case.name()))
}

fn shown(case: &Case) -> Value {
    let outcome = case.inject();
    let mut shown = Map::new();
    if !outcome.warnings.is_empty() {
        shown.insert("warnings".into(), outcome.warnings.into());
    }
    match outcome.verdict {
        Verdict::Unchanged => {}
        Verdict::Refused(why) => drop(shown.insert("refused".into(), why.into())),
        Verdict::Patched(patch) => {
            let operations: Vec<Value> = serde_json::from_value(json!(patch)).unwrap();
            let all = case.name() == "deployment";
            let operations = operations.into_iter().map(|operation| readable(operation, all)).collect();
            shown.insert("patch".into(), Value::Array(operations));
        }
    }
    shown.into()
}

/// An operation with the containers that it adds in a readable form.
fn readable(mut operation: Value, all: bool) -> Value {
    let plain = plain().injected().unwrap();
    let Some(value) = operation.get_mut("value") else { return operation };
    let config = |value: &Value| value.get(0).is_some_and(|first| first == "--config-yaml");
    *value = match value.take() {
        args if config(&args) => json!({"bootstrap": difference(&args[1], &plain, all)}),
        Value::Array(list) => list.into_iter().map(|item| ours(item, &plain, all)).collect(),
        other => ours(other, &plain, all),
    };
    operation
}

fn ours(container: Value, plain: &Value, all: bool) -> Value {
    let name = container["name"].clone();
    if ![PROXY, REDIRECT].contains(&name.as_str().unwrap_or_default()) {
        return container;
    }
    let usual = plain["spec"]["initContainers"].as_array().unwrap().iter().find(|usual| usual["name"] == name);
    let mut shown = Map::from_iter([("name".to_owned(), name.clone())]);
    for (key, value) in container.as_object().unwrap() {
        if all || usual.unwrap().get(key) != Some(value) {
            shown.insert(key.clone(), value.clone());
        }
    }
    if let (true, Some(args)) = (name == PROXY, shown.get("args").cloned()) {
        shown.insert("args".into(), args.as_array().unwrap()[2..].into());
        shown.insert("bootstrap".into(), difference(&args[1], plain, all));
    }
    shown.into()
}

/// The listeners and clusters of a bootstrap that a plain pod's lacks.
fn difference(text: &Value, plain: &Value, all: bool) -> Value {
    let parse = |text: &str| -> Value { serde_json::from_str(text).unwrap() };
    let (own, usual) = (parse(text.as_str().unwrap()), parse(&bootstrap(plain).unwrap()));
    if all {
        return own;
    }
    let more = |list: &str| -> Vec<Value> {
        let usual = usual["static_resources"][list].as_array().unwrap();
        own["static_resources"][list].as_array().unwrap().iter().filter(|item| !usual.contains(item)).cloned().collect()
    };
    json!({"listeners": more("listeners"), "clusters": more("clusters")})
}
