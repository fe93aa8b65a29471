//! Who gets nothing: proxies that are not who they say, callers in plaintext, callers with another's papers; and what a listener
//! on the wire sees.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use smidge_e2e::{
    Node, eventually, holds,
    node::{Capture, Namespace},
    secure::{CONTROL_PLANE, token},
};

use crate::shop::{SOON, Shop, deploy, run};

/// Envoy waits up to 30 s between two tries.
const NEXT_TRY: Duration = Duration::from_secs(60);

/// All addresses of the pod of an app, as tcpdump filters them.
async fn hosts(node: &Node, namespace: &Namespace, app: &str) -> Result<Vec<String>> {
    let select = ["-l", &format!("app={app}"), "-ojsonpath={.items[0].status.podIPs[*].ip}"];
    let ips = node.api.kubectl(&[&["get", "pods", "-n", namespace], &select[..]].concat()).await?;
    Ok(ips.split(' ').map(|ip| format!("host {ip}")).collect())
}

#[tokio::test]
async fn a_listener_on_the_wire_reads_nothing_of_meshed_pods() -> Result<()> {
    let shop = Shop::open("wire").await?;
    if !shop.node.is_own() {
        return Ok(());
    }
    let plain = shop.node.namespace("wire-plain", &[]).await?;
    tokio::try_join!(shop.deploy(&["web", "client"]), deploy(shop.node, &plain, &["web", "client"]))?;
    shop.allow("client", "web").await?;
    shop.answered("client", &["web:80", "/warm"], 200).await?;

    let filter = [hosts(shop.node, &shop.namespace, "web").await?, hosts(shop.node, &plain, "web").await?].concat();
    let capture = Capture::start(shop.node, &filter.join(" or ")).await?;
    let marked = ["call", "web:80", "/marked-path", "-H", "cookie: marked-header"];
    let server = run(shop.node, &plain, "client", &marked).await?;
    ensure!(server["status"] == 200, "{server}");
    // Without a sidecar all of it is read: the capture would see what there is to see.
    eventually("plaintext of pods outside", SOON, async || {
        let seen = capture.text();
        let all = ["GET /marked-path", "marked-header", "x-server: web-"].map(|text| seen.contains(text));
        holds(all == [true; 3], || format!("{all:?} of {seen}"))
    })
    .await?;

    let secret = marked.map(|word| word.replace("marked", "secret"));
    let secret: Vec<&str> = secret.iter().map(String::as_str).collect();
    let answer = run(shop.node, &shop.namespace, "client", &secret).await?;
    // The app says back what it was sent: both ways are looked at.
    ensure!(answer["status"] == 200 && answer.to_string().contains("secret-header"), "{answer}");
    // A second one outside ends the capture: what came before it has been seen.
    run(shop.node, &plain, "client", &["call", "web:80", "/the-end"]).await?;
    let ended = async || holds(capture.text().contains("GET /the-end"), || "no end".to_owned());
    eventually("the end", SOON, ended).await?;
    let seen = capture.finish().await?;
    let ports = hosts(shop.node, &shop.namespace, "web").await?;
    let mut ports = ports.iter().map(|host| host.replace("host ", "") + ".8080");
    ensure!(ports.any(|port| seen.contains(&port)), "no packet of the meshed pods: {seen}");
    for text in ["secret-path", "secret-header"] {
        ensure!(!seen.contains(text), "{text} was seen on the wire");
    }
    Ok(())
}

#[tokio::test]
async fn callers_are_judged_by_their_certificate_alone() -> Result<()> {
    let shop = Shop::open("papers").await?;
    let outside = shop.node.namespace("outside", &[]).await?;
    tokio::try_join!(shop.deploy(&["web", "client", "thief"]), deploy(shop.node, &outside, &["open", "stranger"]))?;
    shop.allow("client", "web").await?;
    let spiffe = |name: &str| format!("spiffe://cluster.local/ns/{}/sa/{name}", shop.namespace);
    let claim = |name: &str| format!("x-forwarded-client-cert: By={};URI={}", spiffe("web"), spiffe(name));

    let answer = shop.answered("client", &["web:80", "/", "-H", &claim("thief")], 200).await?;
    let said: Value = serde_json::from_str(answer["body"].as_str().context("no body")?)?;
    let header = said["headers"]["x-forwarded-client-cert"].as_str().with_context(|| said.to_string())?;
    ensure!(header.contains(&spiffe("client")) && !header.contains("thief"), "{header}");

    let answer = shop.run("thief", &["call", "web:80", "/", "-H", &claim("client")]).await?;
    ensure!(answer["status"] == 403, "{answer}");

    let plaintext = async |address: &str| {
        let request = format!("GET / HTTP/1.1\r\nhost: web\r\n{}\r\n\r\n", claim("client"));
        run(shop.node, &outside, "stranger", &["tcp", address, "--send", &request, "--bytes", "12"]).await
    };
    let answer = plaintext("open:80").await?;
    ensure!(answer["received"].as_str().is_some_and(|text| text.starts_with("HTTP/1.1 200")), "{answer}");
    let pod = hosts(shop.node, &shop.namespace, "web").await?;
    let past_the_service = pod[0].replace("host ", "") + ":8080";
    for address in [format!("web.{}:80", shop.namespace), past_the_service] {
        let answer = plaintext(&address).await?;
        ensure!(answer["bytes"] == 0 && answer["closed"] == true, "{address}: {answer}");
    }
    Ok(())
}

/// All containers of a pod share loopback: what an app could change there of its Envoy, it could undo its pod's policy by.
#[tokio::test]
async fn an_app_can_read_its_envoys_state_and_change_nothing() -> Result<()> {
    let shop = Shop::open("admin").await?;
    shop.deploy(&["web", "client"]).await?;
    shop.allow("client", "web").await?;
    shop.answered("client", &["web:80"], 200).await?;
    for (method, path, status) in [
        ("POST", "/quitquitquit", 404),
        ("POST", "/drain_listeners", 404),
        ("POST", "/stats", 404),
        ("GET", "/quitquitquit", 404),
        ("GET", "/stats", 200),
        ("GET", "/config_dump", 200),
    ] {
        let address = "127.0.0.1:15000";
        let answer = shop.run("client", &["call", address, path, "--method", method]).await?;
        ensure!(answer["status"] == status, "{method} {path}: {answer}");
    }
    shop.answered("client", &["web:80"], 200).await.map(drop)
}

/// A pod outside the mesh with the sidecar of a meshed one, but a token and a node id that the test chooses.
struct Impostor<'a> {
    shop: &'a Shop,
    name: &'a str,
}

impl<'a> Impostor<'a> {
    /// It waits for its token.
    async fn create(shop: &'a Shop, name: &'a str, node_id: &str) -> Result<Self> {
        let select = ["-l", "app=web", "-ojsonpath={.items[0].spec.initContainers[?(@.name==\"smidge-proxy\")]}"];
        let proxy = shop.node.api.kubectl(&[&["get", "pods", "-n", &shop.namespace], &select[..]].concat()).await?;
        let mut proxy: Value = serde_json::from_str(&proxy)?;
        let arguments = proxy["args"].as_array_mut().context("no arguments")?;
        let place = arguments.iter().position(|argument| argument == "--service-node").context("no node id")?;
        arguments[place + 1] = json!(node_id);
        let mounts = proxy["volumeMounts"].as_array_mut().context("no volume")?;
        mounts.retain(|mount| mount["name"].as_str().is_some_and(|name| name.starts_with("smidge")));
        let sources = json!([{"secret": {"name": name}}, {"configMap": {"name": "smidge-trust"}}]);
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": &*shop.namespace, "labels": {"smidge.dev/inject": "disabled"}},
            "spec": {
                "serviceAccountName": "web",
                "terminationGracePeriodSeconds": 1,
                "initContainers": [proxy],
                "containers": [{"name": "app", "image": Node::image("testapp"), "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "3600"]}],
                "volumes": [
                    {"name": "smidge", "projected": {"sources": sources}},
                    {"name": "smidge-admin", "emptyDir": {"medium": "Memory"}},
                ],
            },
        });
        shop.apply(&pod.to_string()).await?;
        Ok(Self { shop, name })
    }

    async fn take(&self, token: &str) -> Result<()> {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": self.name, "namespace": &*self.shop.namespace},
            "stringData": {"token": token},
        });
        self.shop.apply(&secret.to_string()).await
    }

    /// A replica of the operator tells that it has refused this node for this reason, and the sidecar has not started.
    async fn is_refused(&self, node_id: &str, reason: &str) -> Result<()> {
        eventually(&format!("refusal of {} for {reason}", self.name), NEXT_TRY, async || {
            let select = ["-l", "app.kubernetes.io/name=smidge-operator", "--tail=-1"];
            let log = self.shop.node.api.kubectl(&[&["logs", "-n", CONTROL_PLANE], &select[..]].concat()).await?;
            let told = log.lines().any(|line| line.contains(reason) && line.contains(node_id));
            holds(told, || log.lines().filter(|line| line.contains("refused")).collect::<Vec<_>>().join("\n"))
        })
        .await?;
        let started =
            self.shop.field(&format!("pod/{}", self.name), "{.status.initContainerStatuses[0].started}").await?;
        ensure!(started != "true", "the sidecar of {} got its configuration", self.name);
        Ok(())
    }
}

#[tokio::test]
async fn a_proxy_without_its_own_living_token_gets_no_configuration() -> Result<()> {
    let shop = Shop::open("forged").await?;
    shop.deploy(&["web"]).await?;
    let (api, namespace) = (&shop.node.api, &shop.namespace);
    let own = |name: &str| format!("{name}.{namespace}");
    let token_of = async |pod: &str, audience: &str| token(api, namespace, pod, "web", audience).await;

    // With its own token the same pod is served: what is refused below is so for its token.
    let honest = Impostor::create(&shop, "honest", &own("honest")).await?;
    honest.take(&token_of("honest", "smidge-xds").await?).await?;
    api.wait(namespace, "pod/honest", "condition=Ready").await?;

    let victim = shop.field("pods", "{.items[?(@.metadata.labels.app==\"web\")].metadata.name}").await?;
    let forger = Impostor::create(&shop, "forger", &own(&victim)).await?;
    forger.take(&token_of("forger", "smidge-xds").await?).await?;
    forger.is_refused(&own(&victim), "other_node").await?;

    let astray = Impostor::create(&shop, "astray", &own("astray")).await?;
    astray.take(&token_of("astray", "https://kubernetes.default.svc.cluster.local").await?).await?;
    astray.is_refused(&own("astray"), "wrong_audience").await?;

    let kept = token_of("honest", "smidge-xds").await?;
    api.kubectl(&["delete", "pod", "-n", namespace, "honest", "--grace-period=1"]).await?;
    let ghost = Impostor::create(&shop, "ghost", &own("honest")).await?;
    ghost.take(&kept).await?;
    ghost.is_refused(&own("honest"), "not_vouched_for").await
}
