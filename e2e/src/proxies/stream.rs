//! One delta ADS stream over HTTP/2: where it goes, what is sent on it and what comes.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use envoy_types::pb::{
    envoy::{config::core::v3::Node, service::discovery::v3::DeltaDiscoveryRequest},
    google::rpc::Status,
};
use h2::{RecvStream, SendStream, client::ResponseFuture};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use smidge_xds::TypeUrl;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use super::wire::{self, Response};

const WINDOW_BYTES: u32 = 16 << 20;
const PATH: &str = "http://xds/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

/// Where proxies come in.
#[derive(Clone, Debug)]
pub enum Door {
    /// The operator's Unix socket.
    Socket(PathBuf),
    /// Its port, by TLS.
    Tls {
        /// Where.
        address: SocketAddr,
        /// As whom it has to prove itself.
        name: String,
        /// What is trusted.
        config: Arc<ClientConfig>,
    },
}

impl Door {
    /// The port of an operator that proves itself as `name` by these roots (PEM).
    pub fn tls(address: SocketAddr, name: &str, roots: &str) -> Result<Self> {
        let mut trusted = RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(roots.as_bytes()) {
            trusted.add(root?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = versions.with_root_certificates(trusted).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self::Tls { address, name: name.to_owned(), config: Arc::new(config) })
    }

    async fn connect(&self) -> Result<Box<dyn Transport>> {
        Ok(match self {
            Self::Socket(path) => Box::new(UnixStream::connect(path).await.context("cannot connect to the server")?),
            Self::Tls { address, name, config } => {
                let stream = TcpStream::connect(address).await.context("cannot connect to the server")?;
                let name = ServerName::try_from(name.clone())?;
                Box::new(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?)
            }
        })
    }
}

/// The sending side of a stream.
#[derive(Debug)]
pub struct Stream {
    requests: SendStream<Bytes>,
    /// Said in the first request only.
    node: Option<String>,
}

impl Stream {
    /// Opens one for the proxy `node`, by its pod's token if it has one. Nothing is sent before the first request.
    pub async fn open(door: &Door, node: &str, token: Option<&str>) -> Result<(Self, Responses)> {
        Self::open_with(door, node, token, WINDOW_BYTES).await
    }

    /// The same, with room for so many bytes that nobody has taken yet.
    pub async fn open_with(door: &Door, node: &str, token: Option<&str>, window: u32) -> Result<(Self, Responses)> {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(window.max(WINDOW_LEAST));
        let (mut client, connection) = builder.handshake::<_, Bytes>(door.connect().await?).await?;
        tokio::spawn(connection);
        let mut request = http::Request::post(PATH).header("content-type", "application/grpc").header("te", "trailers");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let (head, requests) = client.send_request(request.body(())?, false)?;
        // The server answers the head only after the first message, so nobody waits for it here.
        let responses =
            Responses { head: Some(head), body: None, received: BytesMut::new(), bytes: 0, _client: client };
        Ok((Self { requests, node: Some(node.to_owned()) }, responses))
    }

    /// Subscribes to these names, or, of a type that has it, with none of them to everything.
    pub fn subscribe(&mut self, type_url: TypeUrl, names: impl IntoIterator<Item = String>) -> Result<()> {
        let resource_names_subscribe = names.into_iter().collect();
        let type_url = type_url.as_str().into();
        self.send(DeltaDiscoveryRequest { type_url, resource_names_subscribe, ..Default::default() })
    }

    /// ACK.
    pub fn acknowledge(&mut self, response: &Response) -> Result<()> {
        self.answer(response, None)
    }

    /// NACK, in these words.
    pub fn reject(&mut self, response: &Response, words: &str) -> Result<()> {
        self.answer(response, Some(Status { code: 13, message: words.to_owned(), ..Default::default() }))
    }

    /// Waits until the server takes more requests.
    pub async fn room(&mut self) -> Result<()> {
        self.requests.reserve_capacity(ROOM);
        while self.requests.capacity() < ROOM {
            let more = std::future::poll_fn(|cx| self.requests.poll_capacity(cx)).await;
            more.context("the server ended the stream")??;
        }
        Ok(())
    }

    fn answer(&mut self, response: &Response, error_detail: Option<Status>) -> Result<()> {
        let (type_url, response_nonce) = (response.type_url.clone(), response.nonce.clone());
        self.send(DeltaDiscoveryRequest { type_url, response_nonce, error_detail, ..Default::default() })
    }

    fn send(&mut self, request: DeltaDiscoveryRequest) -> Result<()> {
        let node = self.node.take().map(|id| Node { id, ..Default::default() });
        Ok(self.requests.send_data(wire::framed(&DeltaDiscoveryRequest { node, ..request }), false)?)
    }
}

/// Room for a few requests, in bytes.
const ROOM: usize = 1024;

/// The least window of a connection that HTTP/2 knows.
const WINDOW_LEAST: u32 = 65_535;

/// What comes on a stream.
#[derive(Debug)]
pub struct Responses {
    head: Option<ResponseFuture>,
    body: Option<RecvStream>,
    received: BytesMut,
    bytes: u64,
    /// The connection ends with its last handle.
    _client: h2::client::SendRequest<Bytes>,
}

impl Responses {
    /// The next response; an error when the server has ended the stream.
    pub async fn next(&mut self) -> Result<Response> {
        wire::response(self.message().await?).context("not a response")
    }

    /// Bytes that have come since the last call.
    pub fn take_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    async fn message(&mut self) -> Result<Bytes> {
        self.until_accepted().await?;
        let body = self.body.as_mut().context("the stream has failed before")?;
        loop {
            if let Some(message) = wire::take_message(&mut self.received) {
                return Ok(message);
            }
            let data = body.data().await.context("the server ended the stream")??;
            body.flow_control().release_capacity(data.len())?;
            self.bytes += data.len() as u64;
            self.received.extend_from_slice(&data);
        }
    }

    /// Takes nothing, until the server has enough of that.
    pub async fn until_ended(&mut self) -> Result<()> {
        let body = self.body.as_mut().context("the stream has failed before")?;
        // What has come is never given back as room for more.
        while let Some(data) = body.data().await {
            data?;
        }
        bail!("the server ended the stream")
    }

    /// Waits until the server has taken the stream, or refused it.
    pub async fn until_accepted(&mut self) -> Result<()> {
        let Some(head) = &mut self.head else { return Ok(()) };
        let response = head.await?;
        self.head = None;
        if let Some(status) = response.headers().get("grpc-message") {
            bail!("refused: {status:?}");
        }
        self.body = Some(response.into_body());
        Ok(())
    }
}
