//! `manifests/crds/` holds what the types say, and nothing else.

use std::{collections::BTreeMap, fs, path::Path};

#[test]
fn manifests_crds_holds_what_the_types_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/crds");
    let expected: BTreeMap<_, _> = smidge_crds::all()
        .iter()
        .map(|crd| (smidge_crds::file_name(crd), smidge_crds::to_yaml(crd).unwrap()))
        .collect();
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(&folder).unwrap();
        for (name, yaml) in &expected {
            fs::write(folder.join(name), yaml).unwrap();
        }
    }
    let found: BTreeMap<_, _> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap()))
        .filter(|(name, _)| name != "kustomization.yaml")
        .collect();
    let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected), "files in manifests/crds");
    for (name, yaml) in expected {
        assert!(found[&name] == yaml, "{name} is stale; write it anew with `make crds`");
    }
}
