//! The node that the other tests stand on does what a cluster does.

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{
    ApiServer, Load, Node, eventually, holds,
    node::{Capture, Namespace, app},
};

const AS_OWNER: &str = "SMIDGE_TEST_NODE_OWNER";

/// A namespace with the app `web` in it, serving.
async fn with_web(node: &Node) -> Result<Namespace> {
    let namespace = node.namespace("web", &[]).await?;
    node.api.apply(&app(&namespace, "web", 1)).await?;
    node.api.wait(&namespace, "deployment/web", "condition=Available").await?;
    Ok(namespace)
}

/// The name of the first pod of `web`.
async fn web(api: &ApiServer, namespace: &str) -> Result<String> {
    let name = "-ojsonpath={.items[0].metadata.name}";
    api.kubectl(&["get", "pods", "-n", namespace, "-l", "app=web", name]).await
}

async fn call(api: &ApiServer, namespace: &str, pod: &str, address: &str) -> Result<Value> {
    let answer = api.exec(namespace, pod, "app", &["testapp", "call", address]).await?;
    Ok(serde_json::from_str(&answer)?)
}

#[tokio::test]
async fn a_pod_reaches_its_own_service_by_name_and_by_addresses_of_both_families() -> Result<()> {
    let node = Node::shared().await?;
    let namespace = with_web(node).await?;
    let pod = web(&node.api, &namespace).await?;
    let ips = ["get", "service", "-n", &namespace, "web", "-ojsonpath={.spec.clusterIPs[*]}"];
    let ips = node.api.kubectl(&ips).await?;
    ensure!(!node.is_own() || ips.split(' ').count() == 2, "{ips}");
    let with_port = |ip: &str| if ip.contains(':') { format!("[{ip}]:80") } else { format!("{ip}:80") };
    let names = ["web:80".to_owned(), format!("web.{namespace}.svc.cluster.local:80")];
    // The Service's only pod is the caller: the way leads out of it and back (hairpin).
    for address in names.into_iter().chain(ips.split(' ').map(with_port)) {
        let answer = call(&node.api, &namespace, &pod, &address).await.context(address)?;
        assert_eq!(answer["server"], json!(pod), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn logs_and_port_forward_reach_a_pod() -> Result<()> {
    let node = Node::shared().await?;
    let namespace = with_web(node).await?;
    let pod = web(&node.api, &namespace).await?;
    assert!(node.api.logs(&namespace, &pod, "app").await?.contains("ready"));
    let forward = node.api.port_forward(&namespace, "service/web", 80).await?;
    let answer = tokio::process::Command::new("curl").args(["-s", &format!("http://{}/", forward.address)]).output();
    let answer: Value = serde_json::from_slice(&answer.await?.stdout)?;
    assert_eq!(answer["server"], json!(pod), "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_load_counts_every_request_and_a_failed_one_too() -> Result<()> {
    let node = Node::shared().await?;
    let namespace = with_web(node).await?;
    let load = Load::start(&node.api, &namespace, "load", "web", &["web:80", "--rate", "100"]).await?;
    load.wait_for_more(50).await?;
    let seen = load.stop().await?;
    seen.must_not_have_failed()?;
    ensure!(seen.by_status.keys().eq(["200"]) && seen.by_server.len() == 1, "{seen:?}");
    // Nobody listens there.
    let load = Load::start(&node.api, &namespace, "fail", "web", &["web:81", "--rate", "100"]).await;
    ensure!(load?.stop().await?.must_not_have_failed().is_err(), "a request without a server passed");
    Ok(())
}

#[tokio::test]
async fn a_capture_sees_what_pods_send() -> Result<()> {
    let node = Node::shared().await?;
    if !node.is_own() {
        return Ok(());
    }
    let namespace = with_web(node).await?;
    let capture = Capture::start(node, "tcp port 8080").await?;
    let load = Load::start(&node.api, &namespace, "load", "web", &["web:80", "/seen-on-the-wire"]).await?;
    load.wait_for_more(10).await?;
    let captured = capture.finish().await?;
    ensure!(captured.contains("GET /seen-on-the-wire"), "{captured}");
    Ok(())
}

#[tokio::test]
async fn a_job_ends() -> Result<()> {
    let node = Node::shared().await?;
    let namespace = node.namespace("job", &[]).await?;
    let image = Node::image("testapp");
    let job = format!(
        "{{apiVersion: batch/v1, kind: Job, metadata: {{name: once, namespace: {namespace}}}, spec: {{template: {{spec: {{\
         restartPolicy: Never, containers: [{{name: app, image: '{image}', command: [sh, -c, 'echo done']}}]}}}}}}}}"
    );
    node.api.apply(&job).await?;
    node.api.wait(&namespace, "job/once", "condition=Complete").await?;
    assert_eq!(node.api.kubectl(&["logs", "-n", &namespace, "job/once"]).await?, "done\n");
    Ok(())
}

/// PostgreSQL as Debian has it, on a volume of its own; ready when it answers.
fn postgres(namespace: &str) -> String {
    let image = Node::image("postgres");
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: db, namespace: {namespace}}}
spec:
  terminationGracePeriodSeconds: 2
  securityContext: {{runAsUser: 999, runAsGroup: 999, fsGroup: 999}}
  volumes: [{{name: files, emptyDir: {{}}}}]
  containers:
  - name: db
    image: "{image}"
    imagePullPolicy: IfNotPresent
    command: [sh, -ec, "initdb -D /files/db --auth=trust --no-sync && exec postgres -D /files/db -k /tmp"]
    volumeMounts: [{{name: files, mountPath: /files}}]
    readinessProbe: {{exec: {{command: [psql, -h, /tmp, -U, postgres, -c, "select 1"]}}, periodSeconds: 1}}
"#
    )
}

#[tokio::test]
async fn a_database_keeps_its_files_on_a_volume() -> Result<()> {
    let node = Node::shared().await?;
    node.import("postgres").await?;
    let namespace = node.namespace("db", &[]).await?;
    node.api.apply(&postgres(&namespace)).await?;
    node.api.wait(&namespace, "pod/db", "condition=Ready").await?;
    let query = ["psql", "-h", "127.0.0.1", "-U", "postgres", "-Atc", "select 6 * 7"];
    assert_eq!(node.api.exec(&namespace, "db", "db", &query).await?, "42\n");
    Ok(())
}

/// A pod as injection makes them: rules by an init container with NET_ADMIN alone, a native sidecar without any capability
/// on a read-only root, a token for an audience of its own.
fn sidecar_pod(namespace: &str) -> String {
    let [app, nft, envoy] = ["testapp", "smidge-redirect", "envoy"].map(Node::image);
    format!(
        r#"
apiVersion: v1
kind: Pod
metadata: {{name: pod, namespace: {namespace}}}
spec:
  terminationGracePeriodSeconds: 2
  volumes:
  - name: token
    projected: {{sources: [{{serviceAccountToken: {{path: token, audience: tests, expirationSeconds: 600}}}}]}}
  initContainers:
  - name: rules
    image: "{nft}"
    imagePullPolicy: IfNotPresent
    securityContext: {{capabilities: {{add: [NET_ADMIN], drop: [ALL]}}, runAsUser: 0}}
    args: ["add table inet tests; add chain inet tests out {{ type nat hook output priority -100; }};
      add rule inet tests out tcp dport 7 redirect to :9901"]
  - name: sidecar
    image: "{envoy}"
    imagePullPolicy: IfNotPresent
    restartPolicy: Always
    securityContext: {{runAsUser: 1337, runAsGroup: 1337, allowPrivilegeEscalation: false,
      capabilities: {{drop: [ALL]}}, readOnlyRootFilesystem: true, seccompProfile: {{type: RuntimeDefault}}}}
    command: [envoy, --disable-hot-restart, --concurrency, "1", --config-yaml,
      "admin: {{address: {{socket_address: {{address: 0.0.0.0, port_value: 9901}}}}}}"]
    startupProbe: {{httpGet: {{path: /ready, port: 9901}}, periodSeconds: 1}}
  containers:
  - name: app
    image: "{app}"
    imagePullPolicy: IfNotPresent
    command: [testapp, serve, --name, app, --http, "8080"]
    volumeMounts: [{{name: token, mountPath: /tokens}}]
"#
    )
}

#[tokio::test]
async fn a_pod_has_rules_a_native_sidecar_and_a_token_that_names_it() -> Result<()> {
    let node = Node::shared().await?;
    let namespace = node.namespace("sidecar", &[]).await?;
    node.api.apply(&sidecar_pod(&namespace)).await?;
    node.api.wait(&namespace, "pod/pod", "condition=Ready").await?;
    let ready = ["curl", "-s", "http://10.96.0.1:7/ready"];
    let redirected = node.api.exec(&namespace, "pod", "app", &ready).await?;
    assert_eq!(redirected.trim(), "LIVE");

    let token = node.api.exec(&namespace, "pod", "app", &["cat", "/tokens/token"]).await?;
    let uid = node.api.kubectl(&["get", "pod", "-n", &namespace, "pod", "-ojsonpath={.metadata.uid}"]).await?;
    let review = format!(
        "{{apiVersion: authentication.k8s.io/v1, kind: TokenReview, spec: {{token: {token}, audiences: [tests]}}}}"
    );
    let review: Value = serde_json::from_str(&node.api.create(&review).await?)?;
    let user = &review["status"]["user"];
    assert_eq!(user["username"], format!("system:serviceaccount:{namespace}:default"), "{review}");
    assert_eq!(user["extra"]["authentication.kubernetes.io/pod-name"], json!(["pod"]), "{review}");
    assert_eq!(user["extra"]["authentication.kubernetes.io/pod-uid"], json!([uid]), "{review}");
    Ok(())
}

/// Runs only as the child of the next test: breaks and mends a node of its own, says what is of it, and waits to be killed.
#[tokio::test]
async fn owner_that_waits_to_be_killed() -> Result<()> {
    if std::env::var_os(AS_OWNER).is_none() {
        return Ok(());
    }
    let node = Node::start().await?;
    containers_live_on_while_containerd_is_restarted(&node).await?;
    for trace in node.traces()? {
        println!("\ntrace {}", trace.display());
    }
    println!("all");
    std::future::pending().await
}

async fn containers_live_on_while_containerd_is_restarted(node: &Node) -> Result<()> {
    let namespace = with_web(node).await?;
    let load = Load::start(&node.api, &namespace, "client", "web", &["web:80"]).await?;
    node.restart_containerd().await?;
    load.wait_for_more(50).await?;
    // The kubelet has found it again when a new container runs.
    node.api.kubectl(&["scale", "-n", &namespace, "deployment/web", "--replicas=2"]).await?;
    node.api.wait(&namespace, "deployment/web", "jsonpath={.status.readyReplicas}=2").await?;
    load.stop().await?.must_not_have_failed()
}

#[tokio::test]
async fn two_nodes_run_at_once_and_one_whose_owner_is_killed_leaves_nothing() -> Result<()> {
    if !Node::shared().await?.is_own() {
        return Ok(());
    }
    let mut owner = Command::new(std::env::current_exe()?)
        .args(["the_node_is_a_real_cluster::owner_that_waits_to_be_killed", "--exact", "--nocapture"])
        .env(AS_OWNER, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let said = BufReader::new(owner.stdout.take().context("no output")?);
    let node = Node::shared().await?;
    let namespace = with_web(node).await?;
    let traces = tokio::task::spawn_blocking(|| traces(said)).await?;
    ensure!(traces.len() > 1 && traces.iter().all(|trace| trace.exists()), "{traces:?}");
    let pod = web(&node.api, &namespace).await?;
    call(&node.api, &namespace, &pod, "web:80").await?;
    let folder = traces.last().context("a folder")?;
    assert!(running(folder) > 5);
    owner.kill()?;
    owner.wait()?;
    eventually("end of all that the node was", Duration::from_secs(30), async || {
        let left: Vec<&PathBuf> = traces.iter().filter(|trace| trace.exists()).collect();
        holds(left.is_empty() && running(folder) == 0, || format!("{left:?}, {} processes", running(folder)))
    })
    .await
}

/// What the owner says that there is of its node, until it has said all.
fn traces(said: impl BufRead) -> Vec<PathBuf> {
    let lines = said.lines().map_while(Result::ok).take_while(|line| line != "all");
    lines.filter_map(|line| line.strip_prefix("trace ").map(PathBuf::from)).collect()
}

/// How many processes of the machine name the folder in their arguments.
fn running(folder: &Path) -> usize {
    let folder = folder.to_string_lossy();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = |path: PathBuf| std::fs::read(path.join("cmdline")).unwrap_or_default();
    processes.filter(|entry| String::from_utf8_lossy(&names(entry.path())).contains(&*folder)).count()
}
