//! TLS between replicas: either side shows a certificate with the replicas' name that one of the mesh's roots has signed. The
//! roots are read for each connection, since they are rotated.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore, ServerConfig,
    SignatureScheme,
    client::{ResolvesClientCert, danger::HandshakeSignatureValid, verify_server_name},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::{
        ParsedCertificate, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
    version::TLS13,
};

use super::Trust;
use crate::identity::{Authority, Issuer, Serving};

impl Trust {
    /// For who listens.
    pub(super) fn server(&self) -> Result<Arc<ServerConfig>, Error> {
        let provider = provider();
        let replicas =
            Replicas { authority: self.authority.clone(), name: self.server_name()?, provider: provider.clone() };
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
        let builder = builder.with_client_cert_verifier(Arc::new(replicas));
        Ok(Arc::new(builder.with_cert_resolver(Arc::new(self.shown.clone()))))
    }

    /// For who connects, now.
    pub(super) fn client(&self) -> Result<Arc<ClientConfig>, Error> {
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13])?;
        let builder = builder.with_root_certificates(roots(&self.authority)?);
        Ok(Arc::new(builder.with_client_cert_resolver(Arc::new(self.shown.clone()))))
    }

    /// What the other side has to be called.
    pub(super) fn server_name(&self) -> Result<ServerName<'static>, Error> {
        ServerName::try_from(self.name.clone()).map_err(|error| Error::Other(OtherError(Arc::new(error))))
    }
}

impl ResolvesClientCert for Serving {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.now()
    }

    fn has_certs(&self) -> bool {
        self.now().is_some()
    }
}

/// Lets replicas in, and nobody else: not the holders of other certificates by the mesh's roots.
struct Replicas {
    authority: Arc<Authority>,
    name: ServerName<'static>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "who proves to be {:?}", self.name)
    }
}

impl ClientCertVerifier for Replicas {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let roots = Arc::new(roots(&self.authority)?);
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, self.provider.clone()).build();
        let verifier = verifier.map_err(|error| Error::Other(OtherError(Arc::new(error))))?;
        let verified = verifier.verify_client_cert(certificate, intermediates, now)?;
        verify_server_name(&ParsedCertificate::try_from(certificate)?, &self.name)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn roots(authority: &Authority) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.trust_bundle().0.as_bytes()) {
        roots.add(certificate.map_err(|error| Error::Other(OtherError(Arc::new(error))))?)?;
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use futures::StreamExt;
    use rustls::pki_types::PrivateKeyDer;
    use smidge_mesh::{Identity, TrustBundle, TrustDomain};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::{
        identity::{Credential, LIFETIME, Root},
        tls,
    };

    /// A replica that greets whom it lets in.
    async fn listening(authority: &Arc<Authority>) -> SocketAddr {
        let trust = Trust::new(authority.clone(), "mesh");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = tls::incoming(listener, trust.server().unwrap());
        tokio::spawn(incoming.for_each_concurrent(None, async |connection| {
            let Ok(mut connection) = connection;
            let _ = connection.write_all(b"hello").await;
            let _ = connection.read_u8().await;
        }));
        address
    }

    async fn is_greeted(address: SocketAddr, client: Arc<ClientConfig>, name: ServerName<'static>) -> bool {
        let greeting = async {
            let stream = TcpStream::connect(address).await?;
            let mut stream = TlsConnector::from(client).connect(name, stream).await?;
            stream.read_exact(&mut [0; 5]).await
        };
        greeting.await.is_ok()
    }

    fn showing(authority: &Authority, credential: &Credential) -> Arc<ClientConfig> {
        let chain = CertificateDer::pem_slice_iter(credential.chain.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(credential.key.expose().as_bytes()).unwrap();
        let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]).unwrap();
        let builder = builder.with_root_certificates(roots(authority).unwrap());
        Arc::new(builder.with_client_auth_cert(chain, key).unwrap())
    }

    async fn shown(trust: &Trust) {
        while trust.shown.now().is_none() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_replica_is_let_in_and_no_other_holder_of_a_certificate_of_the_mesh() {
        let root = Root::generate(LIFETIME).unwrap();
        let identity =
            Identity { trust_domain: TrustDomain::default(), namespace: "shop".into(), service_account: "web".into() };
        let sidecar = root.issue(&identity).unwrap();
        let xds = root.issue_server(&["smidge-xds.mesh.svc".to_owned()]).unwrap();
        let elsewhere = root.issue_server(&["smidge-replica.other.svc".to_owned()]).unwrap();
        let stranger = Root::generate(LIFETIME).unwrap().issue_server(&["smidge-replica.mesh.svc".to_owned()]).unwrap();
        let authority = Arc::new(Authority::with(root));
        let (address, trust) = (listening(&authority).await, Trust::new(authority.clone(), "mesh"));
        let name = trust.server_name().unwrap();
        for (who, credential) in [("sidecar", sidecar), ("xds", xds), ("elsewhere", elsewhere), ("stranger", stranger)]
        {
            assert!(!is_greeted(address, showing(&authority, &credential), name.clone()).await, "{who}");
        }
        let nobody = ClientConfig::builder_with_provider(provider()).with_protocol_versions(&[&TLS13]).unwrap();
        let nobody = nobody.with_root_certificates(roots(&authority).unwrap()).with_no_client_auth();
        assert!(!is_greeted(address, Arc::new(nobody), name.clone()).await, "nobody");
        shown(&trust).await;
        assert!(is_greeted(address, trust.client().unwrap(), name).await);
    }

    #[tokio::test]
    async fn replicas_reach_each_other_while_the_root_is_replaced() {
        let (old, new) = (Root::generate(LIFETIME).unwrap(), Root::generate(LIFETIME).unwrap());
        let both = TrustBundle(format!("{}{}", old.certificate(), new.certificate()).into());
        let (first, second) = (Arc::new(Authority::default()), Arc::new(Authority::default()));
        first.follow(old, both.clone());
        second.follow(new, both);
        let (address, trust) = (listening(&first).await, Trust::new(second, "mesh"));
        shown(&trust).await;
        assert!(is_greeted(address, trust.client().unwrap(), trust.server_name().unwrap()).await);
    }
}
