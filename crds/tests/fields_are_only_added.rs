//! What the CRDs of the version before had, these have too, in the same version and of the same type, and nothing that could be
//! left out must be there now: objects that were written then are good now, and clients of then still read them.
//!
//! `UPDATE=1` writes the list of this version: only once it has got its tag.

#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

use std::{collections::BTreeMap, env, fmt::Write, fs, path::Path};

use serde_json::Value;

const LIST: &str = "tests/fields_of_the_version_before.txt";

/// `<CRD> <version> <path>` → its type, with a `!` where it must be there.
type Fields = BTreeMap<String, String>;

fn fields_now() -> Fields {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/crds");
    let mut fields = Fields::new();
    for file in fs::read_dir(folder).unwrap() {
        let crd: Value = serde_yaml::from_str(&fs::read_to_string(file.unwrap().path()).unwrap()).unwrap();
        let name = crd["metadata"]["name"].as_str().unwrap();
        for version in crd["spec"]["versions"].as_array().unwrap() {
            let place = format!("{name} {}", version["name"].as_str().unwrap());
            walk(&format!("{place} "), &version["schema"]["openAPIV3Schema"], &mut fields);
        }
    }
    fields
}

fn walk(place: &str, schema: &Value, fields: &mut Fields) {
    let required = |name: &str| schema["required"].as_array().into_iter().flatten().any(|required| required == name);
    for (name, of) in schema["properties"].as_object().into_iter().flatten() {
        let kind = of["type"].as_str().unwrap_or("any");
        let path = format!("{place}.{name}");
        fields.insert(path.clone(), format!("{kind}{}", if required(name) { "!" } else { "" }));
        walk(&path, of, fields);
        walk(&format!("{path}[]"), &of["items"], fields);
        walk(&format!("{path}{{}}"), &of["additionalProperties"], fields);
    }
}

fn list(fields: &Fields) -> String {
    fields.iter().fold(String::new(), |mut text, (path, kind)| {
        writeln!(text, "{path}: {kind}").unwrap();
        text
    })
}

fn read(text: &str) -> Fields {
    text.lines().filter_map(|line| line.split_once(": ")).map(|(path, kind)| (path.into(), kind.into())).collect()
}

/// What an object of then, or a client of then, would stumble over.
fn breaks(before: &Fields, now: &Fields) -> Vec<String> {
    let gone = before.iter().filter_map(|(path, then)| match now.get(path) {
        None => Some(format!("{path} is gone")),
        Some(kind) if kind.trim_end_matches('!') != then.trim_end_matches('!') => {
            Some(format!("{path} was {then} and is {kind}"))
        }
        Some(kind) if kind.ends_with('!') && !then.ends_with('!') => Some(format!("{path} must be there now")),
        Some(_) => None,
    });
    let is_new_version = |path: &str| !before.keys().any(|other| version(other) == version(path));
    let demanded = now.iter().filter(|(path, kind)| {
        kind.ends_with('!') && !before.contains_key(*path) && !is_new_version(path) && parent_was(path, before)
    });
    gone.chain(demanded.map(|(path, _)| format!("{path} is new and must be there"))).collect()
}

fn version(path: &str) -> &str {
    path.rsplit_once(' ').map_or(path, |(version, _)| version)
}

/// A field that is new with all that it is in may be demanded there.
fn parent_was(path: &str, before: &Fields) -> bool {
    let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
    let parent = parent.trim_end_matches("[]").trim_end_matches("{}");
    parent.ends_with(' ') || before.contains_key(parent)
}

#[test]
fn objects_and_clients_of_the_version_before_are_good() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(LIST);
    let now = fields_now();
    if env::var_os("UPDATE").is_some() {
        fs::write(&file, list(&now)).unwrap();
    }
    let before = read(&fs::read_to_string(&file).unwrap());
    assert!(before.len() > 100, "{} fields", before.len());
    let broken = breaks(&before, &now);
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn what_is_gone_changed_or_demanded_is_told() {
    let before = read("a v1 .spec: object!\na v1 .spec.x: string\na v1 .spec.y: integer\na v1 .spec.z: string!\n");
    let same = |text: &str| breaks(&before, &read(&format!("a v1 .spec: object!\n{text}")));
    assert!(
        same("a v1 .spec.x: string\na v1 .spec.y: integer\na v1 .spec.z: string\na v1 .spec.new: string\n").is_empty()
    );
    let told = same("a v1 .spec.x: string!\na v1 .spec.y: string\na v1 .spec.new: string!\n");
    let expected = [
        "a v1 .spec.x must be there now",
        "a v1 .spec.y was integer and is string",
        "a v1 .spec.z is gone",
        "a v1 .spec.new is new and must be there",
    ];
    assert_eq!(told, expected);
    let later = "a v1 .spec.x: string\na v1 .spec.y: integer\na v1 .spec.z: string\na v1 .spec.new: object\na v1 .spec.new.it: string!\n";
    assert!(same(later).is_empty(), "{:?}", same(later));
    assert!(same(&format!("{}a v2 .spec: object!\n", &later)).is_empty());
}
