//! `smidge translate`: what a proxy would get, from manifests alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, bail};
use serde_json::Value;
use smidge_compiler::{Event, compile};
use smidge_engine::Engine;
use smidge_mesh::{Mesh, PodName};
use smidge_operator::identity::{Authority, Issuer, LIFETIME, Root};
use smidge_xds::{Change, LayerChange, ProxyId, Resource, Update, WorkloadId};

use crate::{
    args::{Form, Translate},
    lint,
};

pub(crate) fn run(args: &Translate) -> anyhow::Result<ExitCode> {
    let manifests = lint::read(&args.files)?;
    for problem in manifests.problems() {
        eprintln!("warning: {problem}");
    }
    let pod =
        PodName::parse(&args.proxy).with_context(|| format!("--proxy {}: write <pod>.<namespace>", args.proxy))?;
    let mut engine = Engine::default();
    let trust_bundle = Authority::with(Root::generate(LIFETIME)?).trust_bundle();
    let step = engine.apply(manifests.events().into_iter().chain([Event::TrustBundle(trust_bundle)]));
    let placed = step.placements.iter().find(|(proxy, _)| proxy.as_str() == args.proxy);
    let Some((_, Some(placement))) = placed else { bail!("{}", unknown(&step.placements, &args.proxy)) };
    let text = match args.output {
        Form::Mesh => serde_yaml::to_string(&seen_by(compile(engine.snapshot()), &pod))?,
        Form::Yaml => serde_yaml::to_string(&printed(&step.update, placement.workload)?)?,
        Form::Json => serde_json::to_string_pretty(&printed(&step.update, placement.workload)?)?,
    };
    writeln!(std::io::stdout().lock(), "{}", text.trim_end())?;
    Ok(ExitCode::SUCCESS)
}

fn unknown<T>(placements: &[(ProxyId, T)], proxy: &str) -> String {
    let known: BTreeSet<&str> = placements.iter().map(|(proxy, _)| proxy.as_str()).collect();
    let known = known.into_iter().collect::<Vec<_>>().join(", ");
    format!(
        "{proxy} is no pod of the mesh in these manifests (there are: {}); \
         a pod is in the mesh when its namespace has the label smidge.dev/inject: enabled",
        if known.is_empty() { "none" } else { &known }
    )
}

/// The resources of the shared layer and of a workload's, by type and name.
fn printed(update: &Update, workload: WorkloadId) -> anyhow::Result<BTreeMap<String, BTreeMap<String, Value>>> {
    let own = update.workloads.iter().filter(|(id, _)| *id == workload).flat_map(|(_, change)| match change {
        LayerChange::Resources(changes) => changes.as_slice(),
        LayerChange::Gone => &[],
    });
    let mut printed: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for resource in update.shared.iter().chain(own).filter_map(set) {
        let value = smidge_printer::print(resource).with_context(|| format!("cannot print {}", resource.name))?;
        printed.entry(resource.type_url.to_string()).or_default().insert(resource.name.to_string(), value);
    }
    Ok(printed)
}

fn set(change: &Change) -> Option<&Arc<Resource>> {
    match change {
        Change::Set(resource) => Some(resource),
        Change::Remove(..) => None,
    }
}

/// The mesh without the inbound sides of other workloads.
fn seen_by(mut mesh: Mesh, pod: &PodName) -> Mesh {
    mesh.workloads.retain(|name, _| name == pod);
    let own = mesh.workloads.get(pod).cloned();
    mesh.inbound.retain(|key, _| Some(key) == own.as_ref());
    mesh
}
