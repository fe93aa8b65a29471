//! Pods of every kind in the mesh under `deny`: those that end, those that have names of their own, those that are probed.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{Node, eventually, holds};

use crate::shop::{SOON, Shop};

/// A Job whose one container calls `web`, as the account `client`, and a CronJob of such.
const JOBS: &str = r#"
apiVersion: batch/v1
kind: Job
metadata: {name: once, namespace: {namespace}}
spec: {job}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: yearly, namespace: {namespace}}
spec: {schedule: "0 0 1 1 *", jobTemplate: {spec: {job}}}
"#;

fn jobs() -> String {
    let call = json!({
        "name": "app", "image": Node::image("testapp"), "imagePullPolicy": "IfNotPresent",
        "command": ["testapp", "call", "web:80"],
    });
    let pod = json!({"serviceAccountName": "client", "restartPolicy": "Never", "containers": [call]});
    let job = json!({"backoffLimit": 0, "template": {"spec": pod}});
    JOBS.replace("{job}", &job.to_string())
}

#[tokio::test]
async fn jobs_call_the_mesh_and_end() -> Result<()> {
    let shop = Shop::open("jobs").await?;
    shop.deploy(&["web", "client"]).await?;
    shop.allow("client", "web").await?;
    shop.answered("client", &["web:80"], 200).await?;
    shop.apply(&jobs()).await?;
    let api = &shop.node.api;
    api.kubectl(&["create", "job", "-n", &shop.namespace, "now", "--from=cronjob/yearly"]).await?;
    for job in ["job/once", "job/now"] {
        api.wait(&shop.namespace, job, "condition=Complete").await?;
        let said = api.kubectl(&["logs", "-n", &shop.namespace, job, "-c", "app"]).await?;
        let answer: Value = serde_json::from_str(&said).context(said)?;
        ensure!(answer["status"] == 200, "{job}: {answer}");
        let account = format!("spiffe://cluster.local/ns/{}/sa/client", shop.namespace);
        ensure!(answer.to_string().contains(&account), "{job}: {answer}");
    }
    Ok(())
}

/// Peers that find each other by name, before they are ready, too.
const PEERS: &str = r#"
apiVersion: v1
kind: ServiceAccount
metadata: {name: db, namespace: {namespace}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: {namespace}}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {app: db}
  ports:
  - {name: http, port: 8080}
  - {name: tcp-echo, port: 9000}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, namespace: {namespace}}
spec:
  serviceName: db
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      serviceAccountName: db
      terminationGracePeriodSeconds: 5
      containers:
      - name: app
        image: "{image}"
        imagePullPolicy: IfNotPresent
        command: [testapp, serve, --name, $(POD), --http, "8080", --tcp, "9000"]
        env: [{name: POD, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
"#;

#[tokio::test]
async fn peers_of_a_stateful_set_find_each_other_by_name() -> Result<()> {
    let shop = Shop::open("peers").await?;
    shop.apply(&PEERS.replace("{image}", &Node::image("testapp"))).await?;
    shop.node.api.wait(&shop.namespace, "statefulset/db", "jsonpath={.status.readyReplicas}=2").await?;
    shop.answered("pod/db-1", &["db-0.db:8080"], 403).await?;
    shop.allow("db", "db").await?;
    shop.allow_tcp("db", "db", &[9000]).await?;
    for (from, to) in [("db-1", "db-0"), ("db-0", "db-1"), ("db-0", "db-0")] {
        let from = format!("pod/{from}");
        let answer = shop.answered(&from, &[&format!("{to}.db:8080")], 200).await?;
        ensure!(answer["body"].as_str().is_some_and(|body| body.contains(&format!("\"server\":\"{to}\""))), "{answer}");
        let (address, echo) = (format!("{to}.db:9000"), format!("{to}:ping"));
        let answer = shop.run(&from, &["tcp", &address, "--send", "ping", "--bytes", "9"]).await?;
        ensure!(answer["received"] == echo, "{from}: {answer}");
    }
    // By the name of the set: any of them.
    shop.answered("pod/db-0", &["db:8080"], 200).await.map(drop)
}

/// A container for each kind of probe. PID 1 is a shell, so that the app can die and its container live on.
const PROBED: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: probed, namespace: {namespace}, labels: {app: probed}}
spec:
  serviceAccountName: client
  terminationGracePeriodSeconds: 3
  initContainers:
  - {name: early, image: "{image}", imagePullPolicy: IfNotPresent, command: [testapp, call, "web:80", /early]}
  containers:
"#;

fn probed() -> String {
    let get = |port| format!("httpGet: {{path: /, port: {port}}}");
    let kinds = [
        ("http", "--http 8001", get(8001), format!("startupProbe: {{{}, periodSeconds: 1}}", get(8001))),
        (
            "tcp",
            "--tcp 8002",
            "tcpSocket: {port: 8002}".to_owned(),
            "startupProbe: {tcpSocket: {port: 8002}, periodSeconds: 1}".to_owned(),
        ),
        (
            "https",
            "--https 8006",
            "httpGet: {path: /, port: 8006, scheme: HTTPS}".to_owned(),
            "startupProbe: {httpGet: {path: /, port: 8006, scheme: HTTPS}, periodSeconds: 1}".to_owned(),
        ),
        (
            "grpc",
            "--http 8003",
            "grpc: {port: 8003}".to_owned(),
            "startupProbe: {grpc: {port: 8003}, periodSeconds: 1}".to_owned(),
        ),
        ("exec", "--http 8004", "exec: {command: [curl, -sf, 'http://127.0.0.1:8004/']}".to_owned(), String::new()),
        (
            "alive",
            "--http 8005",
            get(8005),
            "livenessProbe: {tcpSocket: {port: 8005}, periodSeconds: 1, failureThreshold: 2}".to_owned(),
        ),
    ];
    let containers = kinds.map(|(name, port, ready, more)| {
        format!(
            "  - name: {name}\n    image: \"{{image}}\"\n    imagePullPolicy: IfNotPresent\n    \
             securityContext: {{readOnlyRootFilesystem: true}}\n    \
             command: [sh, -c, 'testapp serve --name {name} {port}; sleep 3600']\n    \
             readinessProbe: {{{ready}, periodSeconds: 1, failureThreshold: 2}}\n    {more}\n"
        )
    });
    (PROBED.to_owned() + &containers.concat()).replace("{image}", &Node::image("testapp"))
}

#[tokio::test]
async fn probes_of_every_kind_tell_the_truth_under_deny() -> Result<()> {
    let shop = Shop::open("probed").await?;
    shop.deploy(&["web", "client"]).await?;
    shop.allow("client", "web").await?;
    shop.apply(&probed()).await?;
    let api = &shop.node.api;
    api.wait(&shop.namespace, "pod/probed", "condition=Ready").await?;
    let early = api.logs(&shop.namespace, "probed", "early").await?;
    ensure!(early.contains("\"server\":\"web-") || early.contains("\"status\":403"), "no network: {early}");
    // The probes' way in is the kubelet's alone.
    let address = format!("{}:8001", shop.field("pod/probed", "{.status.podIP}").await?);
    let answer = shop.run("client", &["tcp", &address, "--send", "GET / HTTP/1.0\r\n\r\n"]).await?;
    ensure!(answer["bytes"] == 0, "{answer}");

    let status = async |name: &str, field: &str| {
        shop.field("pod/probed", &format!("{{.status.containerStatuses[?(@.name==\"{name}\")].{field}}}")).await
    };
    for name in ["http", "https", "tcp", "grpc", "exec"] {
        api.exec(&shop.namespace, "probed", name, &["sh", "-c", "kill -9 -1"]).await?;
        eventually(&format!("unready {name}"), SOON, async || {
            let ready = status(name, "ready").await?;
            holds(ready == "false", || ready)
        })
        .await?;
        let restarts = status(name, "restartCount").await?;
        ensure!(restarts == "0", "{name} was restarted: it is not its probe that made it unready");
    }
    ensure!(status("alive", "ready").await? == "true", "its app lives");
    api.exec(&shop.namespace, "probed", "alive", &["sh", "-c", "kill -9 -1"]).await?;
    eventually("restarted app", SOON * 2, async || {
        let (restarts, ready) = (status("alive", "restartCount").await?, status("alive", "ready").await?);
        holds(restarts != "0" && ready == "true", || format!("{restarts} restarts, ready: {ready}"))
    })
    .await
}

/// A container whose hooks the app beside it serves: the kubelet starts them in this order.
const HOOKED: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: hooked, namespace: {namespace}, labels: {app: hooked}}
spec:
  terminationGracePeriodSeconds: 8
  containers:
  - {name: app, image: "{image}", imagePullPolicy: IfNotPresent, command: [testapp, serve, --name, hooked, --http, "8080"]}
  - name: hooked
    image: "{image}"
    imagePullPolicy: IfNotPresent
    command: [testapp, serve, --name, beside, --http, "8081"]
    lifecycle:
      postStart: {httpGet: {path: /told/started, port: 8080}}
      preStop: {httpGet: {path: /told/stops, port: 8080}}
"#;

#[tokio::test]
async fn lifecycle_hooks_reach_the_app_under_deny() -> Result<()> {
    let shop = Shop::open("hooked").await?;
    shop.deploy(&["client"]).await?;
    shop.apply(&HOOKED.replace("{image}", &Node::image("testapp"))).await?;
    let (api, namespace) = (&shop.node.api, &shop.namespace);
    api.wait(namespace, "pod/hooked", "condition=Ready").await?;
    let address = format!("{}:8080", shop.field("pod/hooked", "{.status.podIP}").await?);
    let answer = shop.run("client", &["tcp", &address, "--send", "GET /told/by-another HTTP/1.0\r\n\r\n"]).await?;
    ensure!(answer["bytes"] == 0, "{answer}");
    let told = api.logs(namespace, "hooked", "app").await?;
    ensure!(told.contains("GET /told/started"), "{told}");
    ensure!(!told.contains("GET /told/stops"), "{told}");

    // Its log is read to the end of the app, which the sidecar outlives.
    let follow = ["logs", "-f", "-n", namespace, "hooked", "-c", "app"];
    let delete = ["delete", "pod", "-n", namespace, "hooked", "--wait=false"];
    let (told, _) = tokio::try_join!(api.kubectl(&follow), api.kubectl(&delete))?;
    ensure!(told.contains("GET /told/stops"), "{told}");
    ensure!(!told.contains("by-another"), "a stranger's call came through: {told}");
    Ok(())
}
