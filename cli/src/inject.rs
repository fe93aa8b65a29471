//! `smidge inject` and `uninject`: sidecars into manifests and out of them again. Files in, the same objects on standard output;
//! the judge and the patch are the webhook's own.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use smidge_compiler::Snapshot;
use smidge_injector::{INJECT, Namespace, Outcome, Settings, Verdict, inject, patch_undoably, undo};

use crate::{
    args::reads::{Inject, Uninject},
    columns::plain,
    lint,
};

/// Kinds that make pods, and where the pod's template stands in them. A Pod is its own.
const TEMPLATES: [(&str, &str); 9] = [
    ("Pod", ""),
    ("PodTemplate", "/template"),
    ("Deployment", "/spec/template"),
    ("ReplicaSet", "/spec/template"),
    ("ReplicationController", "/spec/template"),
    ("StatefulSet", "/spec/template"),
    ("DaemonSet", "/spec/template"),
    ("Job", "/spec/template"),
    ("CronJob", "/spec/jobTemplate/spec/template"),
];

pub(crate) fn run(args: &Inject) -> anyhow::Result<ExitCode> {
    let mut documents = read(&args.files)?;
    let namespaces = Namespaces::of(&documents, &args.namespace);
    let settings = settings(args)?;
    let mut is_refused = false;
    for_each(&mut documents, |name, object, pod| {
        let namespace = object["namespace"].as_str().unwrap_or(&args.namespace);
        let labels = namespaces.labels(namespace);
        let outcome = judged(&settings, Namespace { name: namespace, labels: &labels }, pod)
            .with_context(|| format!("{name} cannot be read as a pod"))?;
        outcome.warnings.iter().for_each(|warning| eprintln!("warning: {name}: {}", plain(warning)));
        match outcome.verdict {
            Verdict::Unchanged => {}
            Verdict::Patched(patch) => patch_undoably(pod, &patch).with_context(|| name.clone())?,
            Verdict::Refused(why) => {
                is_refused = true;
                eprintln!("error: {name}: the mesh refuses the pod: {}", plain(&why));
            }
        }
        Ok(())
    })?;
    // What goes on to kubectl is all or nothing.
    if is_refused {
        return Ok(ExitCode::FAILURE);
    }
    print(&documents)?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn take_out(args: &Uninject) -> anyhow::Result<ExitCode> {
    let mut documents = read(&args.files)?;
    let mut remains = false;
    for_each(&mut documents, |name, _, pod| {
        if let Err(error) = undo(pod) {
            remains = true;
            eprintln!("error: {name}: {:#}", anyhow::Error::from(error));
        }
        Ok(())
    })?;
    print(&documents)?;
    Ok(if remains { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// As the control plane has it by default, with the images that are asked for, and the MeshConfig of the files.
fn settings(args: &Inject) -> anyhow::Result<Settings> {
    let mut snapshot = Snapshot::default();
    // What was read from standard input is not there a second time: a MeshConfig in it does not count.
    let files: Vec<PathBuf> = args.files.iter().filter(|path| path.as_path() != Path::new("-")).cloned().collect();
    for event in lint::read(&files)?.events() {
        snapshot.apply(event);
    }
    let mut installed = Settings::default();
    for (image, asked) in
        [(&mut installed.proxy_image, &args.proxy_image), (&mut installed.redirect_image, &args.redirect_image)]
    {
        if let Some(asked) = asked {
            image.clone_from(asked);
        }
    }
    let config = snapshot.config();
    Ok(installed.chosen(&config.sidecar, config.permit_proxy_bypass, false))
}

/// The namespaces among the files. Of others it is assumed that they are in the mesh: why else would one inject?
struct Namespaces(BTreeMap<String, BTreeMap<String, String>>);

impl Namespaces {
    fn of(documents: &[Value], default: &str) -> Self {
        let named = documents.iter().filter(|document| document["kind"] == "Namespace").map(|document| {
            let metadata = &document["metadata"];
            let labels: BTreeMap<String, Value> =
                serde_json::from_value(metadata["labels"].clone()).unwrap_or_default();
            let labels = labels.into_iter().filter_map(|(key, value)| Some((key, value.as_str()?.to_owned())));
            (metadata["name"].as_str().unwrap_or(default).to_owned(), labels.collect())
        });
        Self(named.collect())
    }

    fn labels(&self, name: &str) -> BTreeMap<String, String> {
        let assumed = || BTreeMap::from([(INJECT.to_owned(), "enabled".to_owned())]);
        self.0.get(name).cloned().unwrap_or_else(assumed)
    }
}

fn judged(settings: &Settings, namespace: Namespace<'_>, pod: &Value) -> anyhow::Result<Outcome> {
    let mut pod = pod.clone();
    if pod["metadata"].is_null() {
        pod["metadata"] = serde_json::json!({});
    }
    // By text, as admissions are read: for each way of reading it the type is compiled anew, which takes long.
    let pod: Pod = serde_json::from_slice(pod.to_string().as_bytes())?;
    Ok(inject(settings, namespace, &pod))
}

/// Visits each pod and each pod's template with the name and metadata of what it stands in.
fn for_each(
    documents: &mut [Value],
    mut visit: impl FnMut(String, &Value, &mut Value) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    for document in documents {
        let is_list =
            document["items"].is_array() && document["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        let objects = match is_list {
            true => document["items"].as_array_mut().map(Vec::as_mut_slice).unwrap_or_default(),
            false => std::slice::from_mut(document),
        };
        for object in objects {
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            let Some((_, place)) = TEMPLATES.iter().find(|(of, _)| *of == kind) else { continue };
            let metadata = object["metadata"].clone();
            let name = format!("{kind} {}", plain(metadata["name"].as_str().unwrap_or("(without a name)")));
            if let Some(pod) = object.pointer_mut(place) {
                anyhow::ensure!(pod.is_object(), "{name}: what stands where a pod is described is no object");
                visit(name, &metadata, pod)?;
            }
        }
    }
    Ok(())
}

/// The documents of all files, in their order; of a folder those of its own files.
fn read(paths: &[PathBuf]) -> anyhow::Result<Vec<Value>> {
    let mut documents = Vec::new();
    for path in paths {
        for file in files(path)? {
            let text = text(&file)?;
            let of: Vec<Value> =
                serde_yaml::from_multiple(&text).with_context(|| format!("{} is no YAML", file.display()))?;
            documents.extend(of.into_iter().filter(|document| !document.is_null()));
        }
    }
    Ok(documents)
}

fn files(path: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    if !path.is_dir() {
        return Ok(BTreeSet::from([path.to_owned()]));
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {}", path.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<BTreeSet<PathBuf>>>()?;
    let is_manifest =
        |path: &PathBuf| path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|it| end == *it));
    let found: BTreeSet<PathBuf> = paths.into_iter().filter(is_manifest).collect();
    if found.is_empty() {
        bail!("there are no manifests in {}: their files end in .yaml, .yml or .json", path.display());
    }
    Ok(found)
}

fn text(path: &Path) -> anyhow::Result<String> {
    if path != Path::new("-") {
        return std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read manifests from standard input")?;
    Ok(text)
}

fn print(documents: &[Value]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for document in documents {
        writeln!(out, "---\n{}", serde_yaml::to_string(document)?.trim_end())?;
    }
    Ok(())
}
