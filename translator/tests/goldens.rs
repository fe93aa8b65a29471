//! Every case `testdata/<rule>/<case>/in.yaml`, compiled and translated: a stock Envoy loads all of it, and `xds.yaml`,
//! where there is one, holds the resources that its first line names (`# Route:shop/web/80 Endpoints:shop/web/80/tcp`).
//! `UPDATE=1 cargo test --workspace --test goldens` rewrites what differs.

#![allow(clippy::unwrap_used)] // Test code outside of test functions.

mod envoy;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    sync::Mutex,
    thread,
};

use smidge_compiler::{Event, compile, manifest};
use smidge_mesh::{Base, Mesh, Telemetry, TrustBundle, TrustDomain};
use smidge_translator::{translate_base, translate_endpoints, translate_inbound, translate_peers, translate_service};
use smidge_xds::Resource;

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    let entries = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let rules = entries(&root).into_iter().filter(|path| path.is_dir());
    let mut cases: Vec<_> = rules.flat_map(|rule| entries(&rule)).collect();
    cases.retain(|case| case.join("in.yaml").exists());
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn mesh(case: &Path, bundle: &TrustBundle) -> Mesh {
    let (facts, _) = manifest::read(&fs::read_to_string(case.join("in.yaml")).unwrap());
    let mut snapshot = manifest::snapshot(facts.into_values());
    snapshot.apply(Event::TrustBundle(bundle.clone()));
    compile(&snapshot)
}

/// The layer that all proxies share. Where several Services claim an address, the first one has it.
fn shared(mesh: &Mesh, bundle: &TrustBundle) -> Vec<Resource> {
    let trust_domain =
        mesh.inbound.keys().next().map_or_else(TrustDomain::default, |key| key.identity.trust_domain.clone());
    let telemetry = Telemetry::default();
    let base = translate_base(&Base { trust_domain, trust_bundle: bundle.clone(), telemetry });
    let services = mesh.services.values().flat_map(translate_service);
    let endpoints = mesh.endpoints.values().flat_map(translate_endpoints);
    let peers = mesh.peers.values().flat_map(translate_peers);
    let mut seen = BTreeSet::new();
    let all = base.into_iter().chain(services).chain(endpoints).chain(peers);
    all.filter(|resource| seen.insert((resource.type_url, resource.name.clone()))).collect()
}

/// What each kind of workload of a case gets; without workloads, what any proxy gets.
fn proxies(case: &Path, bundle: &TrustBundle) -> Vec<Vec<Resource>> {
    let mesh = mesh(case, bundle);
    let shared = shared(&mesh, bundle);
    let of = |inbound| [shared.clone(), translate_inbound(inbound)].concat();
    if mesh.inbound.is_empty() { vec![shared] } else { mesh.inbound.values().map(of).collect() }
}

#[test]
fn envoy_loads_every_case() {
    let bundle = TrustBundle(envoy::trust_bundle().into());
    let mut seen = BTreeSet::new();
    let mut is_new = |resources: &Vec<Resource>| {
        seen.insert(
            resources.iter().map(|resource| format!("{} {}", resource.name, resource.version)).collect::<Vec<_>>(),
        )
    };
    let mut queue = Vec::new();
    for case in cases() {
        let new = proxies(&case, &bundle).into_iter().filter(|resources| is_new(resources));
        queue.extend(new.map(|resources| (case.clone(), resources)));
    }
    let queue = Mutex::new(queue);
    let load = || {
        let mut refused = Vec::new();
        while let Some((case, resources)) = { queue.lock().unwrap().pop() } {
            refused.extend(envoy::load(&resources).err().map(|why| format!("{}: {why}", case.display())));
        }
        refused
    };
    let refused = thread::scope(|scope| {
        let loaders: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        loaders.into_iter().flat_map(|loader| loader.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
fn every_case_translates_into_what_its_file_says() {
    let with_golden = cases().into_iter().map(|case| case.join("xds.yaml")).filter(|golden| golden.exists());
    let differing: Vec<_> = with_golden.filter_map(|golden| check(&golden).err()).collect();
    let update = "run: UPDATE=1 cargo test --workspace --test goldens";
    assert!(differing.is_empty(), "{}\n{update}", differing.join("\n"));
}

fn check(golden: &Path) -> Result<(), String> {
    let expected = fs::read_to_string(golden).unwrap();
    let header = expected.lines().next().unwrap_or_default();
    let wanted = header.strip_prefix("# ").ok_or_else(|| format!("{}: no list of resources", golden.display()))?;
    let proxies = proxies(golden.parent().unwrap(), &TrustBundle("PEM".into()));
    let named: BTreeMap<String, &Resource> = proxies
        .iter()
        .flatten()
        .map(|resource| (format!("{}:{}", resource.type_url, resource.name), resource))
        .collect();
    let mut shown = BTreeMap::new();
    for name in wanted.split_whitespace() {
        let resource =
            named.get(name).ok_or_else(|| format!("{}: no {name} among {:?}", golden.display(), named.keys()))?;
        let mut body = smidge_printer::print(resource).unwrap();
        body.as_object_mut().unwrap().remove("@type");
        shown.insert(name, body);
    }
    compare(golden, &expected, &format!("{header}\n{}", serde_yaml::to_string(&shown).unwrap()))
}

fn compare(golden: &Path, expected: &str, actual: &str) -> Result<(), String> {
    if expected == actual {
        return Ok(());
    }
    if env::var_os("UPDATE").is_some() {
        return fs::write(golden, actual).map_err(|error| error.to_string());
    }
    Err(format!("{} differs:\n--- expected\n{expected}--- actual\n{actual}", golden.display()))
}
