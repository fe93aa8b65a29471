//! A stock Envoy that loads resources from files: the judge of everything that is translated.
//!
//! Resources in, `Ok` or Envoy's own words out. Listeners and clusters stand in the bootstrap, all else comes from a
//! file each, where `ads` would bring it. Envoy runs in a network namespace of its own, with its admin on a Unix socket.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};
use smidge_injector::{Bootstrap, bootstrap};
use smidge_sandbox::Tool;
use smidge_xds::{Resource, TypeUrl};

/// Loads resources, and the certificate that they need, into a real Envoy.
pub(crate) fn load(resources: &[Resource]) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    write(folder.path(), resources, &workload());
    let mut envoy = Running(start(folder.path()));
    let listeners = resources.iter().filter(|resource| resource.type_url == TypeUrl::Listener).count();
    let verdict = judge(&mut envoy.0, folder.path(), listeners);
    verdict.map_err(|why| format!("{why}\n{}", fs::read_to_string(folder.path().join("log")).unwrap_or_default()))
}

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(folder: &Path) -> Child {
    let envoy = Tool::Envoy.path().unwrap_or_else(|error| panic!("{error}"));
    let log = fs::File::create(folder.join("log")).unwrap();
    // Root may make a network namespace; others may with a user namespace around it.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--user", "--map-root-user", "--net"])
        .arg(envoy)
        .args(["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c"])
        .arg(folder.join("bootstrap.json"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("setpriv and unshare are in util-linux")
}

/// Waits until Envoy is live, then asks what it has refused.
fn judge(envoy: &mut Child, folder: &Path, listeners: usize) -> Result<(), String> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while admin(folder, "/ready").is_none_or(|answer| !answer.contains("LIVE")) {
        if let Some(status) = envoy.try_wait().map_err(|error| error.to_string())? {
            return Err(format!("Envoy refused the bootstrap: {status}"));
        }
        if Instant::now() > deadline {
            return Err(format!("not live: {}", admin(folder, "/init_dump").unwrap_or_default()));
        }
        thread::sleep(Duration::from_millis(10));
    }
    let refusals = admin(folder, "/stats?usedonly&filter=rejected|fetch_timeout|config_fail").unwrap_or_default();
    if refusals.lines().any(|line| line.contains(": ") && line.contains('.')) {
        return Err(refusals);
    }
    let stats = admin(folder, "/stats?filter=total_listeners_active").unwrap_or_default();
    let active = format!("listener_manager.total_listeners_active: {listeners}");
    if stats.lines().any(|line| line == active) { Ok(()) } else { Err(format!("not {active}")) }
}

fn admin(folder: &Path, path: &str) -> Option<String> {
    let mut stream = UnixStream::connect(folder.join("admin")).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The bootstrap and a file for each resource that is not in it.
pub(crate) fn write(folder: &Path, resources: &[Resource], workload: &Resource) {
    let mut fixed = BTreeMap::<&str, Vec<Value>>::new();
    for resource in resources.iter().chain([workload]) {
        let body = from_files(smidge_printer::print(resource).unwrap(), folder);
        match resource.type_url {
            TypeUrl::Cluster => fixed.entry("clusters").or_default().push(untyped(body)),
            TypeUrl::Listener => fixed.entry("listeners").or_default().push(untyped(body)),
            _ => {
                let response = json!({"version_info": "1", "resources": [body]});
                fs::write(file(folder, resource.type_url, resource.name.as_str()), response.to_string()).unwrap();
            }
        }
    }
    let of = Bootstrap {
        node: "pod.namespace".to_owned(),
        cluster: "account.namespace".to_owned(),
        xds_socket: folder.join("xds"),
        admin_port: 0,
    };
    let mut bootstrap: Map<String, Value> = serde_json::from_str(&bootstrap(&of)).unwrap();
    bootstrap.remove("dynamic_resources");
    bootstrap["static_resources"] = json!(fixed);
    bootstrap["admin"] = json!({"address": {"pipe": {"path": folder.join("admin")}}});
    fs::write(folder.join("bootstrap.json"), json!(bootstrap).to_string()).unwrap();
}

fn untyped(mut body: Value) -> Value {
    body.as_object_mut().unwrap().remove("@type");
    body
}

fn file(folder: &Path, type_url: TypeUrl, name: &str) -> PathBuf {
    folder.join(format!("{type_url}-{}.json", name.replace('/', "~")))
}

/// The same message, with the file of the named resource in place of each `ads`.
fn from_files(body: Value, folder: &Path) -> Value {
    match body {
        Value::Array(items) => items.into_iter().map(|item| from_files(item, folder)).collect(),
        Value::Object(mut fields) => {
            for (config, named_by, type_url) in [
                ("sdsConfig", "name", TypeUrl::Secret),
                ("edsConfig", "serviceName", TypeUrl::Endpoints),
                ("configSource", "routeConfigName", TypeUrl::Route),
            ] {
                if fields.contains_key(config) && fields.contains_key(named_by) {
                    let name = fields[named_by].as_str().unwrap().to_owned();
                    fields[config] = source(&file(folder, type_url, &name));
                }
            }
            if fields.contains_key("configDiscovery") {
                let name = fields["name"].as_str().unwrap().to_owned();
                fields["configDiscovery"]["configSource"] = source(&file(folder, TypeUrl::Extension, &name));
            }
            fields.into_iter().map(|(name, value)| (name, from_files(value, folder))).collect()
        }
        other => other,
    }
}

fn source(path: &Path) -> Value {
    json!({"pathConfigSource": {"path": path}, "resourceApiVersion": "V3"})
}

/// The proxy's own certificate, as the per-stream resolver would make it.
pub(crate) fn workload() -> Resource {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
    smidge_translator::workload_certificate(&certificate.pem(), &key.serialize_pem())
}

/// A root's certificate, in PEM.
pub(crate) fn trust_bundle() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&key).unwrap().pem()
}
