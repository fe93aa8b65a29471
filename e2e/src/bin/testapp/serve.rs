//! The server: a listener per protocol, on every address of both families.

use std::{future::Future, net::Ipv6Addr, sync::Arc};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use crate::{Ports, http};

/// Serves until the process is killed. Prints `ready` once every port is open.
pub(crate) async fn serve(ports: Ports) -> anyhow::Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    let name = ports.name;
    for port in ports.http {
        if let Some(listener) = open(port).await? {
            let name = name.clone();
            tasks.spawn(accept(listener, move |stream| serve_http(name.clone(), stream)));
        }
    }
    if let Some(listener) = open(ports.https).await? {
        let (name, tls) = (name.clone(), tls()?);
        tasks.spawn(accept(listener, move |stream| serve_https(name.clone(), tls.clone(), stream)));
    }
    if let Some(listener) = open(ports.tcp).await? {
        let name = name.clone();
        tasks.spawn(accept(listener, move |stream| echo(format!("{name}:"), stream)));
    }
    if let Some(listener) = open(ports.banner).await? {
        tasks.spawn(accept(listener, move |stream| speak_first(format!("220 {name} ready\r\n"), stream)));
    }
    println!("ready");
    tasks.join_all().await;
    Ok(())
}

async fn open(port: u16) -> std::io::Result<Option<TcpListener>> {
    match port {
        0 => Ok(None),
        // A socket on `::` serves IPv4 too.
        port => TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await.map(Some),
    }
}

async fn accept<F: Future<Output = ()> + Send + 'static>(listener: TcpListener, serve: impl Fn(TcpStream) -> F) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream));
    }
}

fn tls() -> anyhow::Result<TlsAcceptor> {
    let own = rcgen::generate_simple_self_signed(["app".to_owned()])?;
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let config = config.with_safe_default_protocol_versions()?.with_no_client_auth();
    Ok(Arc::new(config.with_single_cert(vec![own.cert.der().clone()], key)?).into())
}

async fn serve_https(name: String, tls: TlsAcceptor, stream: TcpStream) {
    if let Ok(stream) = tls.accept(stream).await {
        serve_http(name, stream).await;
    }
}

async fn serve_http(name: String, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(move |request| http::answer(name.clone(), request));
    // A broken connection is the client's to notice.
    let _ = Builder::new(TokioExecutor::new()).serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

async fn echo(prefix: String, mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        let answer = [prefix.as_bytes(), &buffer[..read]].concat();
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

async fn speak_first(banner: String, mut stream: TcpStream) {
    if stream.write_all(banner.as_bytes()).await.is_ok() {
        echo(String::new(), stream).await;
    }
}
