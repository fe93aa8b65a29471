//! What apps speak, through two sidecars of the real node, permitted and not.

use anyhow::{Result, ensure};
use smidge_e2e::{Node, eventually, holds};

use crate::shop::{SOON, Shop};

/// A database, where the server speaks last but nobody may guess, and two who want something of it.
const DATABASE: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: db, namespace: {namespace}}
spec:
  selector: {app: db}
  ports: [{name: postgresql, port: 5432}]
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: {namespace}, labels: {app: db}}
spec:
  serviceAccountName: db
  terminationGracePeriodSeconds: 2
  securityContext: {runAsUser: 999, runAsGroup: 999, fsGroup: 999}
  volumes: [{name: files, emptyDir: {}}]
  containers:
  - name: app
    image: "{image}"
    imagePullPolicy: IfNotPresent
    command: [sh, -ec, "initdb -D /files/db --auth=trust --no-sync && echo 'host all all all trust' >/files/db/pg_hba.conf &&
      echo 'local all all trust' >>/files/db/pg_hba.conf && exec postgres -D /files/db -k /tmp -c 'listen_addresses=*'"]
    volumeMounts: [{name: files, mountPath: /files}]
    readinessProbe: {tcpSocket: {port: 5432}, periodSeconds: 1}
"#;

const CLIENT: &str = r#"
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: {name}, namespace: {namespace}}
---
apiVersion: v1
kind: Pod
metadata: {name: {name}, namespace: {namespace}}
spec:
  serviceAccountName: {name}
  terminationGracePeriodSeconds: 1
  securityContext: {runAsUser: 999}
  containers:
  - {name: app, image: "{image}", imagePullPolicy: IfNotPresent, command: [sh, -c, "while read line; do :; done"], stdin: true}
"#;

#[tokio::test]
async fn a_database_answers_whom_a_tcp_route_permits() -> Result<()> {
    let shop = Shop::open("database").await?;
    shop.node.import("postgres").await?;
    let image = Node::image("postgres");
    let account = "\n---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: db, namespace: {namespace}}\n";
    let clients = ["buyer", "thief"].map(|name| CLIENT.replace("{name}", name)).concat();
    shop.apply(&(account.to_owned() + &clients + "---" + DATABASE).replace("{image}", &image)).await?;
    for pod in ["pod/db", "pod/buyer", "pod/thief"] {
        shop.node.api.wait(&shop.namespace, pod, "condition=Ready").await?;
    }
    let query = async |from: &str, text: &str| {
        let program = ["psql", "-h", "db", "-U", "postgres", "-Atc", text];
        shop.node.api.exec(&shop.namespace, from, "app", &program).await
    };
    let refused = query("buyer", "select 6 * 7").await;
    ensure!(refused.is_err(), "without a target: {refused:?}");
    shop.allow_tcp("buyer", "db", &[5432]).await?;
    eventually("answer of the database", SOON, async || {
        let answer = query("buyer", "select 6 * 7").await?;
        holds(answer == "42\n", || answer)
    })
    .await?;
    // More than fits into any buffer on the way.
    let long = query("buyer", "select repeat('x', 3000000)").await?;
    ensure!(long.len() == 3_000_001, "{} bytes", long.len());
    let refused = query("thief", "select 6 * 7").await;
    ensure!(refused.is_err(), "{refused:?}");
    Ok(())
}

/// The pods of `web` without an address of their own in between.
const HEADLESS: &str = r#"
apiVersion: v1
kind: Service
metadata: {name: web-pods, namespace: {namespace}}
spec:
  clusterIP: None
  selector: {app: web}
  ports: [{name: http, port: 8080}]
"#;

#[tokio::test]
async fn http_2_grpc_web_socket_tcp_headless_and_a_call_to_oneself_reach_the_app() -> Result<()> {
    let shop = Shop::open("protocols").await?;
    shop.deploy(&["web", "client"]).await?;
    shop.apply(HEADLESS).await?;
    let banner = ["tcp", "web:91", "--bytes", "3"];
    let refused = shop.run("client", &banner).await?;
    ensure!(refused["bytes"] == 0, "{refused}");
    for from in ["client", "web"] {
        shop.allow(from, "web").await?;
        shop.allow_tcp(from, "web", &[9000, 9100]).await?;
    }

    for from in ["client", "web"] {
        shop.answered(from, &["web:80", "/one"], 200).await?;
        shop.answered(from, &["web:80", "/two", "--http2"], 200).await?;
        let answer = shop.answered(from, &["web:93", "/books.Store/Buy", "--grpc"], 200).await?;
        ensure!(answer["grpc_status"] == "0", "{answer}");
        let answer = shop.answered(from, &["web-pods:8080", "/headless"], 200).await?;
        // A pod that calls its own address does not leave itself, nor meet a sidecar.
        let account = format!("spiffe://cluster.local/ns/{}/sa/client", shop.namespace);
        ensure!(answer.to_string().contains(&account) == (from == "client"), "{from}: {answer}");
        let answer = shop.run(from, &["web-socket", "web:80"]).await?;
        ensure!(answer["status"] == 101 && answer["echoed"] == "hello", "{answer}");
        let answer = shop.run(from, &["tcp", "web:90", "--send", "ping", "--bytes", "9"]).await?;
        ensure!(answer["received"].as_str().is_some_and(|text| text.ends_with(":ping")), "{answer}");
        let answer = shop.run(from, &banner).await?;
        ensure!(answer["received"].as_str().is_some_and(|text| text.starts_with("220 web-")), "{answer}");
    }
    Ok(())
}
