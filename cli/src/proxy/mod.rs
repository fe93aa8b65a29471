//! `smidge proxy …`: what the Envoy of a pod has, asked of its admin interface's readable half, which a port-forward reaches.

pub(crate) mod dump;
mod secrets;
mod tables;

use std::{io::Write, process::ExitCode};

use anyhow::{Context, bail, ensure};
use futures::{AsyncBufReadExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client, api::LogParams};
use serde_json::Value;
use smidge_injector::{ADMIN_PORT, PROXY};
use smidge_operator::cluster::connect;
use smidge_xds::TypeUrl;

use crate::{
    args::reads::{Of, Proxy, ProxyLogs, ProxyPod, Shown},
    forward::{Port, ask},
    output::write,
    seen::runtime,
    status::is_meshed,
};
use dump::Dump;

/// The whole configuration, with endpoints.
const CONFIG_DUMP: &str = "/config_dump?include_eds";
/// The clusters' endpoints, as Envoy sees them now.
const CLUSTERS: &str = "/clusters?format=json";

pub(crate) fn run(args: &Proxy) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let (client, _) = connect().await?;
        match args {
            Proxy::Config(of) => config(&Envoy::of(&client, &of.pod).await?, of).await?,
            Proxy::Clusters(of) => clusters(&Envoy::of(&client, &of.pod).await?, of).await?,
            Proxy::Routes(of) => of_kind(&client, of, TypeUrl::Route, tables::routes).await?,
            Proxy::Listeners(of) => of_kind(&client, of, TypeUrl::Listener, tables::listeners).await?,
            Proxy::Endpoints(of) => endpoints(&Envoy::of(&client, &of.pod).await?, of).await?,
            Proxy::Secrets(of) => of_kind(&client, of, TypeUrl::Secret, |dump| secrets::table(dump, now())).await?,
            Proxy::Logs(logs) => print_logs(&client, logs).await?,
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// The sidecar of a pod.
pub(crate) struct Envoy<'a> {
    client: &'a Client,
    pub(crate) namespace: String,
    pub(crate) of: &'a ProxyPod,
}

impl<'a> Envoy<'a> {
    /// Looks first whether the pod has a sidecar: a port that nobody listens on would say less.
    pub(crate) async fn of(client: &'a Client, of: &'a ProxyPod) -> anyhow::Result<Self> {
        let namespace = of.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace);
        let pod = pods.get_opt(&of.pod).await.with_context(|| format!("cannot read pod {namespace}/{}", of.pod))?;
        let Some(pod) = pod else { bail!("there is no pod {} in namespace {namespace} (-n names another)", of.pod) };
        ensure!(
            is_meshed(&pod),
            "pod {namespace}/{} has no sidecar: it was created before its namespace had the label smidge.dev/inject=enabled, or \
             stays out of the mesh (smidge describe says why)",
            of.pod
        );
        Ok(Self { client, namespace, of })
    }

    /// GETs a path of the admin interface.
    async fn ask(&self, path: &str) -> anyhow::Result<Value> {
        let port = Port { namespace: &self.namespace, pod: &self.of.pod, port: ADMIN_PORT };
        let body = ask(self.client, port, path, self.of.timeout).await?;
        serde_json::from_slice(&body)
            .with_context(|| format!("{path} of {}/{} is no JSON", self.namespace, self.of.pod))
    }

    /// All that it is configured with. Private keys are not in it: Envoy keeps them to itself, and what it might not is removed.
    pub(crate) async fn dump(&self) -> anyhow::Result<Dump> {
        Ok(Dump::new(self.ask(CONFIG_DUMP).await?))
    }
}

fn print(text: &str) -> anyhow::Result<()> {
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

async fn config(envoy: &Envoy<'_>, of: &Of) -> anyhow::Result<()> {
    let dump = envoy.dump().await?;
    match of.output {
        Shown::Table => print(&tables::summary(&dump)),
        form => write(dump.value(), form),
    }
}

async fn of_kind(client: &Client, of: &Of, kind: TypeUrl, table: impl Fn(&Dump) -> String) -> anyhow::Result<()> {
    let dump = Envoy::of(client, &of.pod).await?.dump().await?;
    match of.output {
        Shown::Table => print(&table(&dump)),
        form => write(&dump.section(kind), form),
    }
}

async fn clusters(envoy: &Envoy<'_>, of: &Of) -> anyhow::Result<()> {
    let dump = envoy.dump().await?;
    match of.output {
        Shown::Table => print(&tables::clusters(&dump, &envoy.ask(CLUSTERS).await?)),
        form => write(&dump.section(TypeUrl::Cluster), form),
    }
}

async fn endpoints(envoy: &Envoy<'_>, of: &Of) -> anyhow::Result<()> {
    let clusters = envoy.ask(CLUSTERS).await?;
    match of.output {
        Shown::Table => print(&tables::endpoints(&clusters)),
        form => write(&clusters, form),
    }
}

/// The sidecar's log as it is: JSON lines of the access log among Envoy's own.
async fn print_logs(client: &Client, args: &ProxyLogs) -> anyhow::Result<()> {
    let envoy = Envoy::of(client, &args.pod).await?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), &envoy.namespace);
    let container = Some(PROXY.to_owned());
    let wanted = LogParams { container, follow: args.follow, tail_lines: args.tail, ..LogParams::default() };
    let log = pods.log_stream(&args.pod.pod, &wanted).await;
    let mut lines =
        log.with_context(|| format!("cannot read the log of {}/{}", envoy.namespace, args.pod.pod))?.lines();
    while let Some(line) = lines.try_next().await? {
        writeln!(std::io::stdout().lock(), "{line}")?;
    }
    Ok(())
}
