//! TLS for our own servers: connections come in by TCP, handshakes go on beside each other, what is done comes out. One
//! that is slow or hostile costs a place for a bounded time, and when there are too many the oldest makes room.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io::{self, IoSlice},
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::stream::{Stream, unfold};
use rustls::{ServerConfig, server::ResolvesServerCert, version::TLS13};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How many may be under way.
const HANDSHAKES: usize = 1024;
/// How long nothing is accepted after a connection could not be.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// TLS 1.3 by ring, with the certificate that the resolver shows when a client comes.
///
/// # Errors
/// When the provider cannot do TLS 1.3.
pub fn server_config(
    shown: Arc<dyn ResolvesServerCert>,
    protocols: &[&str],
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
    let mut config = builder.with_no_client_auth().with_cert_resolver(shown);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Ok(Arc::new(config))
}

/// The connections whose handshakes are done, for ever.
pub fn incoming(
    listener: TcpListener,
    config: Arc<ServerConfig>,
) -> impl Stream<Item = Result<Connection, Infallible>> {
    let door = Door { listener, acceptor: config.into(), under_way: JoinSet::new(), oldest: VecDeque::new() };
    unfold(door, async |mut door| Some((Ok(door.next().await), door)))
}

struct Door {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    under_way: JoinSet<Option<Connection>>,
    oldest: VecDeque<AbortHandle>,
}

impl Door {
    async fn next(&mut self) -> Connection {
        loop {
            tokio::select! {
                Some(done) = self.under_way.join_next(), if !self.under_way.is_empty() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => self.begin(stream, from),
                    Err(error) => {
                        tracing::warn!(%error, "a connection was not accepted; see the limit of open files (ulimit -n)");
                        // Most likely no file is left to open, and the next try would fail at once.
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, from: SocketAddr) {
        while self.oldest.front().is_some_and(AbortHandle::is_finished) {
            self.oldest.pop_front();
        }
        if self.under_way.len() >= HANDSHAKES
            && let Some(oldest) = self.oldest.pop_front()
        {
            oldest.abort();
        }
        self.oldest.push_back(self.under_way.spawn(shake(self.acceptor.clone(), stream, from)));
    }
}

async fn shake(acceptor: TlsAcceptor, stream: TcpStream, from: SocketAddr) -> Option<Connection> {
    // Small messages go to and fro; without it they would wait for each other.
    let _ = stream.set_nodelay(true);
    match timeout(HANDSHAKE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(Connection { stream }),
        Ok(Err(error)) => {
            tracing::debug!(%from, %error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%from, "a TLS handshake took too long");
            None
        }
    }
}

/// A connection whose handshake is done.
pub struct Connection {
    stream: TlsStream<TcpStream>,
}

impl Connected for Connection {
    type ConnectInfo = Option<SocketAddr>;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.stream.get_ref().0.peer_addr().ok()
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, pem::PemObject},
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::identity::{Authority, LIFETIME, Root, Serving};

    const NAME: &str = "smidge-xds.mesh.svc";

    /// A server that greets, and how a client reaches it.
    async fn server() -> (SocketAddr, TlsConnector) {
        let root = Root::generate(LIFETIME).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(root.certificate().as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let client = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let mut client = client.with_root_certificates(roots).with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Serving::keep(Arc::new(Authority::with(root)), vec![NAME.to_owned()]);
        let incoming = incoming(listener, server_config(Arc::new(serving), &["h2"]).unwrap());
        tokio::spawn(incoming.for_each_concurrent(None, async |connection| {
            let Ok(mut connection) = connection;
            let _ = connection.write_all(b"hello").await;
            let _ = connection.read_u8().await;
        }));
        (address, Arc::new(client).into())
    }

    async fn greeting(address: SocketAddr, connector: &TlsConnector) -> io::Result<String> {
        let stream = TcpStream::connect(address).await?;
        let mut stream = connector.connect(NAME.try_into().unwrap(), stream).await?;
        let mut greeting = [0; 5];
        stream.read_exact(&mut greeting).await?;
        Ok(String::from_utf8_lossy(&greeting).into_owned())
    }

    #[tokio::test]
    async fn clients_that_never_shake_hands_hold_up_nobody() {
        let (address, connector) = server().await;
        let mut silent = Vec::new();
        for _ in 0..HANDSHAKES + 50 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut garbage = TcpStream::connect(address).await.unwrap();
        garbage.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(greeting(address, &connector).await.unwrap(), "hello");
        let mut oldest = silent.swap_remove(0);
        assert!(matches!(oldest.read(&mut [0; 1]).await, Ok(0) | Err(_)), "the oldest has made room");
    }
}
