//! Questions to a pod by HTTP, through the API server's port-forward: so who may forward a port may ask, and no Service or
//! policy has to let anybody in. A path in, the answer's bytes out; bounded in time and size.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request,
    body::Bytes,
    client::conn::http1,
    header::{CONNECTION, HOST},
};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};

/// A configuration dump of the largest meshes has some 100 MB.
const LARGEST: usize = 512 << 20;

/// A port of a pod.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) pod: &'a str,
    pub(crate) port: u16,
}

/// GETs a path of what listens on a port of a pod, be it on loopback only.
pub(crate) async fn ask(client: &Client, of: Port<'_>, path: &str, patience: Duration) -> anyhow::Result<Bytes> {
    let Port { namespace, pod, port } = of;
    let answered = tokio::time::timeout(patience, answer(client, of, path)).await;
    let answered = answered.unwrap_or_else(|_| bail!("no answer within {} s", patience.as_secs()));
    answered.with_context(|| format!("cannot read {path} of port {port} of pod {namespace}/{pod}"))
}

async fn answer(client: &Client, of: Port<'_>, path: &str) -> anyhow::Result<Bytes> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), of.namespace);
    let mut forwarded = pods.portforward(of.pod, &[of.port]).await.context(
        "the API server does not forward the port (you need the right to get and create pods/portforward there)",
    )?;
    let stream = forwarded.take_stream(of.port).context("no stream for the port")?;
    let failed = forwarded.take_error(of.port).context("no errors for the port")?;
    tokio::select! {
        answer = get(TokioIo::new(stream), path) => answer,
        Some(failed) = failed => bail!("{}", failed.trim()),
    }
}

async fn get(
    stream: TokioIo<impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>,
    path: &str,
) -> anyhow::Result<Bytes> {
    let (mut sender, connection) = http1::handshake(stream).await?;
    let request =
        Request::get(path).header(HOST, "localhost").header(CONNECTION, "close").body(Empty::<Bytes>::new())?;
    let answered = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, LARGEST).collect().await.map_err(|error| anyhow::anyhow!("{error}"))?.to_bytes();
        ensure!(head.status.is_success(), "{}: {}", head.status, String::from_utf8_lossy(&body).trim());
        Ok(body)
    };
    let driven = async {
        // What ends it too early is the answer's error, too, and that is waited for.
        let _ = connection.await;
        std::future::pending().await
    };
    tokio::select! {
        answer = answered => answer,
        () = driven => bail!("the connection ended"),
    }
}
