//! Every folder `testdata/<rule>/<case>` with its `in.yaml` is compiled and diagnosed; `mesh.yaml` and `status.yaml`
//! hold what comes out. The first line of `in.yaml` names the rule; a line `# show: services endpoints` says which parts
//! of the mesh the case is about. `UPDATE=1 cargo test --workspace --test goldens` rewrites what differs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use serde::Serialize;
use smidge_compiler::{Diagnostic, ObjectRef, Reach, Severity, Snapshot, codes, compile, diagnose, manifest, reach};
use smidge_mesh::{Mesh, ServiceAccountName, ServiceName};

/// What is said of one object, and where it takes effect.
#[derive(Serialize)]
struct Status {
    object: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    says: Vec<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    services: BTreeSet<ServiceName>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    accounts: BTreeSet<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    everyone: bool,
}

#[test]
fn every_case_compiles_into_what_its_files_say() {
    let differing: Vec<String> = cases().iter().filter_map(|case| check(case).err()).collect();
    assert!(differing.is_empty(), "{}\nrun: UPDATE=1 cargo test --workspace --test goldens", differing.join("\n"));
}

#[test]
fn every_case_opens_with_the_rule_that_it_is_about() {
    for case in cases() {
        let text = fs::read_to_string(case.join("in.yaml")).unwrap();
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("# smi.md §") || first.starts_with("# issue "), "{}: {first}", case.display());
    }
}

#[test]
fn every_diagnostic_code_has_a_case() {
    let told: BTreeSet<_> = cases().iter().flat_map(|case| diagnostics(&snapshot(case))).map(|d| d.code.id).collect();
    let missing: Vec<_> = codes::CATALOGUE.iter().map(|code| code.id).filter(|id| !told.contains(id)).collect();
    assert!(missing.is_empty(), "codes without a case in testdata: {missing:?}");
}

/// What a digest says of an object it says whatever else there is; all else depends on other objects.
#[test]
fn refused_is_what_the_object_alone_decides() {
    let mut wrong = BTreeSet::new();
    for case in cases() {
        let snapshot = snapshot(&case);
        for told in diagnostics(&snapshot) {
            let alone = snapshot.fact(&told.object).is_some_and(|fact| {
                fact.problems().iter().any(|problem| problem.code == told.code) && fact.kind().has_status()
            });
            let is_refused = alone && told.code.severity == Severity::Error;
            if is_refused != codes::REFUSED.contains(&told.code) {
                wrong.insert(told.code.id);
            }
        }
    }
    assert!(wrong.is_empty(), "errors of the object alone are in codes::REFUSED, and nothing else: {wrong:?}");
}

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    let folders = |path: &Path| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir()).collect()
    };
    let mut cases: Vec<_> = folders(&root).iter().flat_map(|rule| folders(rule)).collect();
    cases.retain(|case| case.join("in.yaml").exists());
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn snapshot(case: &Path) -> Snapshot {
    let (facts, unreadable) = manifest::read(&fs::read_to_string(case.join("in.yaml")).unwrap());
    assert_eq!(unreadable, [], "{}", case.display());
    manifest::snapshot(facts.into_values())
}

fn diagnostics(snapshot: &Snapshot) -> Vec<Diagnostic> {
    snapshot.objects().flat_map(|object| diagnose(snapshot, object)).collect()
}

fn check(case: &Path) -> Result<(), String> {
    let text = fs::read_to_string(case.join("in.yaml")).unwrap();
    let snapshot = snapshot(case);
    let statuses: Vec<_> = snapshot.objects().filter_map(|object| status(&snapshot, object)).collect();
    let status = serde_yaml::to_string(&statuses).unwrap();
    compare(&case.join("status.yaml"), &status)?;
    compare(&case.join("mesh.yaml"), &shown(&text, &compile(&snapshot)))
}

fn status(snapshot: &Snapshot, object: &ObjectRef) -> Option<Status> {
    let says: Vec<_> = diagnose(snapshot, object).iter().map(sentence).collect();
    let Reach { services, accounts, everyone } = reach(snapshot, object);
    let accounts: BTreeSet<_> = accounts.iter().map(ServiceAccountName::to_string).collect();
    let is_worth_it = object.kind.has_status() || !says.is_empty();
    is_worth_it.then(|| Status { object: object.to_string(), says, services, accounts, everyone })
}

fn sentence(diagnostic: &Diagnostic) -> String {
    let Diagnostic { code, field, message, .. } = diagnostic;
    let condition = code.condition.map(|condition| format!(" {condition:?}=False")).unwrap_or_default();
    let severity = format!("{:?}", code.severity).to_lowercase();
    format!("{} {severity}{condition} {} {field}: {message}", code.id, code.reason).replace(" :", ":")
}

/// The parts of the mesh that a case is about: all of it if it does not say.
fn shown(text: &str, mesh: &Mesh) -> String {
    let parts = text.lines().find_map(|line| line.strip_prefix("# show:"));
    let wanted = |part: &str| parts.is_none_or(|parts| parts.split_whitespace().any(|wanted| wanted == part));
    let mut shown = String::new();
    let mut show = |part: &str, value: String| {
        if wanted(part) {
            shown += &value;
        }
    };
    show("services", yaml("services", &mesh.services.values().collect::<Vec<_>>()));
    show("endpoints", yaml("endpoints", &mesh.endpoints.values().collect::<Vec<_>>()));
    show("peers", yaml("peers", &mesh.peers.values().collect::<Vec<_>>()));
    show("inbound", yaml("inbound", &mesh.inbound.values().collect::<Vec<_>>()));
    show("workloads", yaml("workloads", &mesh.workloads));
    shown
}

fn yaml<T: Serialize>(part: &str, value: &T) -> String {
    serde_yaml::to_string(&std::collections::BTreeMap::from([(part, value)])).unwrap()
}

fn compare(path: &Path, actual: &str) -> Result<(), String> {
    let expected = fs::read_to_string(path).unwrap_or_default();
    if expected == actual {
        return Ok(());
    }
    if env::var_os("UPDATE").is_some() {
        return fs::write(path, actual).map_err(|error| error.to_string());
    }
    Err(format!("{} differs:\n--- expected\n{expected}--- actual\n{actual}", path.display()))
}
