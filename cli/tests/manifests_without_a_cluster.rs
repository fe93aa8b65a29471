//! The built binary over small folders: `lint`, `translate`, `run`, `crds`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod command;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use command::{MESH, folder, lint, smidge};

const SPLIT: &str = "\
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata:
  name: web
  namespace: shop
spec:
  service: web
  backends:
  - service: web
    weight: 1
  - service: nosuch
    weight: 1
";

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    // More than a pipe holds.
    let mut crds = Command::new(env!("CARGO_BIN_EXE_smidge"));
    let mut crds = crds.arg("crds").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(crds.stdout.take());
    let ended = crds.wait_with_output().unwrap();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn a_misspelt_field_is_an_error_with_its_line() {
    let (code, said) = lint(
        &[
            ("mesh.yaml", MESH),
            ("split.yaml", &SPLIT.replace("- service: web\n    weight", "- service: web\n    wieght")),
        ],
        &[],
    );
    assert_eq!(code, Some(1));
    let expected = "split.yaml:10: error: spec.backends[0].wieght: there is no such field; there are: service, weight";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn lint_is_content_with_a_good_folder() {
    assert_eq!(lint(&[("mesh.yaml", MESH)], &[]), (Some(0), String::new()));
}

#[test]
fn lint_points_at_file_line_and_field() {
    let (code, text) = lint(&[("mesh.yaml", MESH), ("split.yaml", SPLIT)], &[]);
    assert!(text.contains("/split.yaml:11: "), "{text}");
    assert!(text.contains("TrafficSplit/shop/web spec.backends[1].service: "), "{text}");
    assert_eq!(code, Some(i32::from(text.contains(": error "))), "{text}");
}

#[test]
fn lint_fails_on_a_document_that_cannot_be_read_and_reads_the_others() {
    let wrong = "apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: shop}\nspec:\n  ports: 7\n---\n";
    let (code, text) = lint(&[("mesh.yaml", MESH), ("wrong.yaml", &format!("{wrong}{SPLIT}"))], &["-o", "json"]);
    let findings: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &findings[0]["path"], &findings[0]["line"]), (Some(1), &"/wrong.yaml".into(), &5.into()));
    assert_eq!((&findings[1]["field"], &findings[1]["line"]), (&"spec.backends[1].service".into(), &17.into()));
}

#[test]
fn lint_takes_deployments_for_the_pods_that_they_make() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/bookstore");
    let files = ["namespace.yaml", "services.yaml", "access.yaml", "split.yaml", "cluster/deployments.yaml"];
    let paths: Vec<String> = files.iter().map(|file| folder.join(file).to_string_lossy().into_owned()).collect();
    let lint = |paths: &[String]| {
        let flags: Vec<&str> = paths.iter().flat_map(|path| ["-f", path.as_str()]).collect();
        String::from_utf8(smidge(&[&["lint"], &flags[..]].concat()).stdout).unwrap()
    };
    assert_eq!(lint(&paths), "");
    let other = paths.len() - 1;
    let unseen = lint(&paths[..other]);
    assert!(
        unseen.lines().count() == 3 && unseen.lines().all(|line| line.contains(": info TrafficTarget/")),
        "{unseen}"
    );
    assert!(!unseen.contains("no pod runs as") && unseen.contains("is not looked at"), "{unseen}");
}

#[test]
fn lint_misses_the_pods_of_a_target_where_it_sees_others() {
    let target = "\
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: web, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: wbe, namespace: shop}
  rules: [{kind: TCPRoute, name: all}]
  sources: [{kind: ServiceAccount, name: default, namespace: shop}]
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {name: all, namespace: shop}, spec: {matches: {ports: [80]}}}
";
    let missed = "/target.yaml:5: info SMI0209 TrafficTarget/shop/web spec.destination: no pod runs as wbe.shop\n";
    assert_eq!(lint(&[("mesh.yaml", MESH), ("target.yaml", target)], &[]), (Some(0), missed.to_owned()));
    let elsewhere = MESH.replace("namespace: shop, labels: {app", "namespace: other, labels: {app");
    let (code, unseen) = lint(&[("mesh.yaml", &elsewhere), ("target.yaml", target)], &[]);
    let expected = "/target.yaml:5: info TrafficTarget/shop/web spec.destination: the files hold no pod, ";
    assert!(code == Some(0) && unseen.starts_with(expected) && unseen.lines().count() == 1, "{unseen}");
    let json = lint(&[("mesh.yaml", &elsewhere), ("target.yaml", target)], &["-o", "json"]);
    assert_eq!(json, (Some(0), "[]\n".to_owned()));
}

/// As `kubectl get -o yaml` writes them, each in its first version.
const LIST: &str = "\
apiVersion: v1
kind: List
items:
- apiVersion: split.smi-spec.io/v1alpha1
  kind: TrafficSplit
  metadata: {name: web, namespace: shop}
  spec:
    service: web
    backends:
    - {service: web, weight: 500m}
    - {service: nosuch, weight: 500m}
- apiVersion: specs.smi-spec.io/v1alpha1
  kind: HTTPRouteGroup
  metadata: {name: all, namespace: shop}
  matches: [{name: all, pathRegex: /, methods: [GET]}]
- apiVersion: access.smi-spec.io/v1alpha1
  kind: TrafficTarget
  metadata: {name: all, namespace: shop}
  destination: {kind: ServiceAccount, name: default, namespace: shop}
  specs: [{kind: HTTPRouteGroup, name: all, matches: [all]}]
  sources:
  - {kind: Group, name: default, namespace: shop}
- apiVersion: split.smi-spec.io/v1alpha4
  kind: TraficSplit
  metadata: {name: web}
";

#[test]
fn lint_points_into_lists_of_old_versions() {
    let (code, text) = lint(&[("mesh.yaml", MESH), ("list.yaml", LIST)], &[]);
    for said in [
        "/list.yaml:11: error SMI0110 TrafficSplit/shop/web spec.backends[1].service: ",
        "/list.yaml:22: error SMI0203 TrafficTarget/shop/all spec.sources[0]",
        "/list.yaml:23: error: split.smi-spec.io has no kind TraficSplit: write TrafficSplit",
    ] {
        assert!(text.contains(said), "{said} is not in\n{text}");
    }
    assert_eq!(code, Some(1));
}

#[test]
fn lint_says_of_which_files_it_has_read_nothing() {
    let other = ("other.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n");
    let said = "/other.yaml: info: no object in it is of a kind that Smidge reads\n";
    assert_eq!(lint(&[("mesh.yaml", MESH), other], &[]), (Some(0), said.to_owned()));
    assert_eq!(lint(&[("mesh.yaml", MESH), other], &["-o", "json"]), (Some(0), "[]\n".to_owned()));
}

#[test]
fn wrong_arguments_have_an_exit_code_of_their_own() {
    assert_eq!(smidge(&["lint"]).status.code(), Some(2));
    assert_eq!(smidge(&["lint", "-f", "/no/such/folder"]).status.code(), Some(1));
}

#[test]
fn translate_prints_what_a_proxy_gets() {
    let folder = folder(&[("mesh.yaml", MESH)]);
    let path = folder.path().to_str().unwrap();
    let print = |form| smidge(&["translate", "-f", path, "--proxy", "web-0.shop", "-o", form]);
    let json: serde_json::Value = serde_json::from_slice(&print("json").stdout).unwrap();
    assert_eq!(json["Cluster"]["shop/web/80/http"]["name"], "shop/web/80/http", "{json:#}");
    assert!(json["Listener"]["inbound"].is_object(), "{json:#}");
    assert!(String::from_utf8_lossy(&print("mesh").stdout).contains("web.shop"));
    let unknown = smidge(&["translate", "-f", path, "--proxy", "other.shop"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("there are: web-0.shop"));
}

#[test]
fn crds_are_printed_for_kubectl() {
    let text = String::from_utf8(smidge(&["crds"]).stdout).unwrap();
    assert_eq!(text.matches("\nkind: CustomResourceDefinition").count(), smidge_crds::all().len());
}

/// `smidge run`, killed when the test ends.
struct Running {
    child: Child,
    status: PathBuf,
}

impl Running {
    fn start(input: &Path, scratch: &Path) -> Self {
        let status = scratch.join("status.json");
        let mut command = Command::new(env!("CARGO_BIN_EXE_smidge"));
        command.arg("run").arg(input).arg("--xds-socket").arg(scratch.join("xds.sock"));
        let child = command.arg("--status").arg(&status).arg("--for").arg("60s").stdout(Stdio::null()).spawn().unwrap();
        Self { child, status }
    }

    /// Waits until the statuses are as they should be.
    fn wait_for(&self, what: &str, fits: impl Fn(&serde_json::Value) -> bool) {
        let start = Instant::now();
        let mut last = serde_json::Value::Null;
        while start.elapsed() < Duration::from_secs(20) {
            if let Ok(text) = fs::read_to_string(&self.status) {
                last = serde_json::from_str(&text).unwrap();
                if fits(&last) {
                    return;
                }
            }
            sleep(Duration::from_millis(20));
        }
        panic!("{what} did not come: {last:#}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn condition<'a>(statuses: &'a serde_json::Value, type_: &str) -> &'a str {
    let conditions = statuses[0]["status"]["conditions"].as_array();
    let found = conditions.into_iter().flatten().find(|condition| condition["type"] == type_);
    found.map_or("-", |condition| condition["status"].as_str().unwrap())
}

#[test]
fn run_follows_the_folder_and_keeps_the_status_file() {
    let (folder, scratch) = (folder(&[("mesh.yaml", MESH), ("split.yaml", SPLIT)]), tempfile::tempdir().unwrap());
    let running = Running::start(folder.path(), scratch.path());
    running.wait_for("a missing backend", |statuses| condition(statuses, "ResolvedRefs") == "False");
    let (new, split) = (folder.path().join(".split.new"), folder.path().join("split.yaml"));
    fs::write(&new, SPLIT.replace("nosuch", "web2")).unwrap();
    fs::rename(&new, &split).unwrap();
    let says_web2 = |statuses: &serde_json::Value| statuses.to_string().contains("web2");
    running.wait_for("the replaced file", says_web2);
    fs::write(&split, "spec: [").unwrap();
    fs::write(folder.path().join("more.yaml"), SPLIT.replace("name: web\n", "name: aaa\n")).unwrap();
    running.wait_for("a second split beside the broken file's", |statuses| {
        statuses.as_array().is_some_and(|all| all.len() == 2) && says_web2(statuses)
    });
    fs::remove_file(&split).unwrap();
    running.wait_for("the deleted file", |statuses| statuses.as_array().is_some_and(|all| all.len() == 1));
}

#[test]
fn run_ends_by_itself_and_takes_its_socket_away() {
    let (folder, scratch) = (folder(&[("mesh.yaml", MESH)]), tempfile::tempdir().unwrap());
    let socket = scratch.path().join("xds.sock");
    let input = folder.path().to_str().unwrap();
    let output = smidge(&["run", input, "--xds-socket", socket.to_str().unwrap(), "--for", "1s"]);
    assert!(output.status.success(), "{output:?}");
    assert!(!socket.exists());
}

#[test]
fn run_reads_standard_input() {
    let scratch = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_smidge"));
    command.args(["run", "-", "--for", "2s", "--xds-socket"]).arg(scratch.path().join("xds.sock"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{MESH}---\n{SPLIT}").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert!(text.starts_with("TrafficSplit/shop/web Accepted=True ResolvedRefs=False "), "{text}");
}
