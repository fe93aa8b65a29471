//! Real Envoys, real tokens, a real API server: who is let in by TLS and token, who is refused, and what ends a stream.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use smidge_e2e::{
    eventually, holds,
    secure::{CONTROL_PLANE, Secure, token, trust},
    world::{AppPod, PodOptions, SOON, World},
};

const WEB: PodOptions<'static> = PodOptions { app: "web", service_account: "web", meshed: true };

fn secure(world: &World) -> Result<&Secure> {
    world.secure.as_ref().context("the world is not secure")
}

/// How many streams were refused for a reason.
async fn refused(world: &World, reason: &str) -> Result<u64> {
    let metrics = world.metrics().await?;
    let row = format!("smidge_xds_refused_total{{reason=\"{reason}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&row));
    line.with_context(|| metrics.clone())?.parse().context("a number")
}

async fn until_refused(world: &World, reason: &str, before: u64) -> Result<()> {
    eventually(reason, SOON, async || {
        let now = refused(world, reason).await?;
        holds(now > before, || format!("{now} refused; {}", world.operator_log()))
    })
    .await
}

/// An Envoy with this token and node id is refused for this reason, and told in the log.
async fn check_refused(world: &World, pod: &mut AppPod, token: &str, reason: &str) -> Result<()> {
    let before = refused(world, reason).await?;
    secure(world)?.write(&pod.name, "token", token)?;
    pod.pod.restart_envoy().await?;
    until_refused(world, reason, before).await?;
    let told = format!("reason=\"{reason}\"");
    let log = world.operator_log();
    ensure!(log.contains(&told) && log.contains(&pod.name), "no word of {told} and {}: {log}", pod.name);
    ensure!(pod.pod.admin("GET", "/ready").await.is_err(), "{} became ready", pod.name);
    Ok(())
}

async fn identity(pod: &AppPod) -> Result<String> {
    pod.pod.admin("GET", "/certs").await.map_err(Into::into)
}

#[tokio::test]
async fn an_envoy_gets_its_certificate_by_its_own_token_and_by_no_other() -> Result<()> {
    let world = World::start_secure("proof", &[], &[]).await?;
    let (namespace, api) = (world.namespace.clone(), &world.api);
    let mut web = world.pod_with("web", WEB).await?;
    ensure!(identity(&web).await?.contains("spiffe://cluster.local/ns/proof/sa/web"), "its own identity");
    let other = world.unready_pod("other", PodOptions { service_account: "other", ..WEB }).await?;

    let foreign = token(api, &namespace, "other", "other", "smidge-xds").await?;
    check_refused(&world, &mut web, &foreign, "other_node").await?;
    let elsewhere = token(api, &namespace, "web", "web", "https://kubernetes.default.svc").await?;
    check_refused(&world, &mut web, &elsewhere, "wrong_audience").await?;
    let unbound = api.kubectl(&["create", "token", "web", "-n", &namespace, "--audience=smidge-xds"]).await?;
    check_refused(&world, &mut web, unbound.trim(), "not_of_a_pod").await?;
    let good = token(api, &namespace, "web", "web", "smidge-xds").await?;
    let (body, _) = good.rsplit_once('.').context("a JWT")?;
    check_refused(&world, &mut web, &format!("{body}.Zm9yZ2Vk"), "not_vouched_for").await?;
    check_refused(&world, &mut web, "sesame", "not_a_token").await?;

    // Its Envoy tries again by itself and reads the file anew: no restart.
    secure(&world)?.write("web", "token", &good)?;
    web.pod.wait_ready(SOON).await?;

    let mut other = other;
    other.pod.wait_ready(SOON).await?;
    let kept = token(api, &namespace, "other", "other", "smidge-xds").await?;
    api.kubectl(&["delete", "pod", "other", "-n", &namespace, "--grace-period=0", "--force"]).await?;
    eventually("end of the stream of a deleted pod", SOON, async || {
        let stats = other.pod.admin("GET", "/stats?filter=control_plane.connected_state").await?;
        holds(stats.contains("connected_state: 0"), || stats.clone())
    })
    .await?;
    check_refused(&world, &mut other, &kept, "not_vouched_for").await
}

#[tokio::test]
async fn the_next_stream_takes_the_rotated_token_and_an_absent_api_server_ends_none() -> Result<()> {
    let world = World::start_secure("rotated", &[("smidge.dev/mode", "allow")], &[]).await?;
    let (web, caller) = tokio::try_join!(world.pod("web"), world.pod("caller"))?;
    let ip = world.service("web", "web", &[&web]).await?[0];
    caller.call_until(200, ip, 80, &[]).await?;

    let connections = secure(&world)?.connections();
    // One that nobody has reviewed yet.
    let rotated = token(&world.api, &world.namespace, "web", "web", "smidge-xds").await?;
    secure(&world)?.write("web", "token", &rotated)?;
    world.api.stop().await?;
    eventually("trouble with the API server", SOON, async || {
        holds(world.operator_log().contains("no answer from the API server"), || world.operator_log())
    })
    .await?;
    caller.call_until(200, ip, 80, &[]).await?;
    let mut late = web;
    late.pod.restart_envoy().await?;
    eventually("a stream that waits", SOON, async || {
        holds(world.operator_log().contains("does not review tokens"), || world.operator_log())
    })
    .await?;
    world.api.resume().await?;
    late.pod.wait_ready(SOON).await?;
    ensure!(secure(&world)?.connections() > connections, "the late one has come by a new connection");

    world.stop_operator().await?;
    world.start_operator().await?;
    eventually("streams to the new operator", SOON, async || {
        let metrics = world.metrics().await?;
        holds(metrics.contains("smidge_xds_streams 2"), || world.operator_log())
    })
    .await
}

#[tokio::test]
async fn a_stream_ends_before_its_token_and_none_begins_after_it() -> Result<()> {
    let world = World::start_secure("short", &[], &[]).await?;
    let mut web = world.pod("web").await?;
    let long = token(&world.api, &world.namespace, "web", "web", "smidge-xds").await?;
    let expired = refused(&world, "expired").await?;
    let short = world.api.with_life(&long, Duration::from_secs(12))?;
    secure(&world)?.write("web", "token", &short)?;
    web.pod.restart_envoy().await?;
    web.pod.wait_ready(SOON).await.with_context(|| world.operator_log())?;

    // Nobody renews it: the stream is ended in time, its Envoy comes back by what is left of the token, then by nothing.
    until_refused(&world, "expired", expired).await?;
    let log = web.pod.envoy()?.log().replace("%20", " ");
    let [told, refused] = ["the token expires soon", "the token has expired"].map(|words| log.find(words));
    ensure!(told.is_some() && told < refused, "{log}");
    // What it has it keeps.
    ensure!(identity(&web).await?.contains("spiffe://cluster.local/ns/short/sa/web"), "its certificate is gone");
    secure(&world)?.write("web", "token", &long)?;
    eventually("a stream by the next token", SOON, async || {
        let stats = web.pod.admin("GET", "/stats?filter=control_plane.connected_state").await?;
        holds(stats.contains("connected_state: 1"), || stats.clone())
    })
    .await
}

/// A pod that was injected; no kubelet runs it.
const SIDECAR: &str = r#"
apiVersion: v1
kind: Pod
metadata: {name: left, namespace: kept}
spec: {automountServiceAccountToken: false, containers: [{name: smidge-proxy, image: envoy}]}
"#;

#[tokio::test]
async fn what_the_leader_keeps_is_put_right_again() -> Result<()> {
    let world = World::start_secure("kept", &[], &[]).await?;
    let api = &world.api;
    let trusted = eventually("trust", SOON, async || trust(api, "kept").await).await;
    let trusted = trusted.with_context(|| world.operator_log())?;
    let is_right = async || {
        let now = trust(api, "kept").await?;
        holds(now == trusted, || now.to_string())
    };
    let edit = r#"{"data": {"ca.crt": "mine"}}"#;
    api.kubectl(&["patch", "configmap", "smidge-trust", "-n", "kept", "--type=merge", "-p", edit]).await?;
    eventually("the edit undone", SOON, is_right).await?;
    api.kubectl(&["delete", "configmap", "smidge-trust", "-n", "kept"]).await?;
    eventually("the ConfigMap written again", SOON, is_right).await?;

    api.kubectl(&["delete", "secret", "smidge-root", "-n", CONTROL_PLANE]).await?;
    eventually("the Secret written back", SOON, async || {
        api.kubectl(&["get", "secret", "smidge-root", "-n", CONTROL_PLANE]).await
    })
    .await?;
    is_right().await?;

    let hook = include_str!("../../manifests/webhook.yaml");
    api.apply(hook).await?;
    let bundle = async || {
        let path = "-ojsonpath={.webhooks[0].clientConfig.caBundle}";
        api.kubectl(&["get", "mutatingwebhookconfiguration", "smidge-injector", path]).await
    };
    eventually("caBundle", SOON, async || holds(!bundle().await?.is_empty(), String::new)).await?;
    let right = bundle().await?;
    let spoil = r#"[{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]"#;
    api.kubectl(&["patch", "mutatingwebhookconfiguration", "smidge-injector", "--type=json", "-p", spoil]).await?;
    eventually("caBundle again", SOON, async || holds(bundle().await? == right, String::new)).await?;
    api.delete(hook).await?;

    api.apply(SIDECAR).await?;
    api.kubectl(&["label", "namespace", "kept", "smidge.dev/inject-"]).await?;
    api.kubectl(&["patch", "configmap", "smidge-trust", "-n", "kept", "--type=merge", "-p", edit]).await?;
    eventually("the edit undone, since a sidecar is left", SOON, is_right).await?;
    api.kubectl(&["delete", "pod", "-n", "kept", "left", "--force"]).await?;
    eventually("no ConfigMap", SOON, async || {
        holds(trust(api, "kept").await.is_err(), || "it is still there".to_owned())
    })
    .await
}
