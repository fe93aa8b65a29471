//! What our own servers show: a certificate by the mesh's root, renewed by itself and replaced with the root.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use tokio::{sync::watch, time::timeout};

use super::{Authority, Credential, Issuer};
use crate::webhook::ServerCredential;

/// How long to wait after a certificate could not be made.
const RETRY: Duration = Duration::from_secs(1);

/// The certificate of a server, as it is now. A clone shows the same.
#[derive(Clone, Debug)]
pub struct Serving {
    certified: watch::Receiver<Option<Arc<CertifiedKey>>>,
    credential: watch::Receiver<Option<Arc<ServerCredential>>>,
}

/// Who is told of a new certificate.
struct Shown {
    certified: watch::Sender<Option<Arc<CertifiedKey>>>,
    credential: watch::Sender<Option<Arc<ServerCredential>>>,
}

impl Serving {
    /// The certificate for these DNS names; the task that keeps it runs until nobody looks at it any more.
    pub fn keep(authority: Arc<Authority>, names: Vec<String>) -> Self {
        let (certified, credential) = (watch::Sender::new(None), watch::Sender::new(None));
        let serving = Self { certified: certified.subscribe(), credential: credential.subscribe() };
        tokio::spawn(keep(authority, names, Shown { certified, credential }));
        serving
    }

    /// The same in PEM, and each change of it.
    pub fn credential(&self) -> watch::Receiver<Option<Arc<ServerCredential>>> {
        self.credential.clone()
    }

    /// The certificate and its key; `None`: there is none yet.
    pub fn now(&self) -> Option<Arc<CertifiedKey>> {
        self.certified.borrow().clone()
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.now()
    }
}

async fn keep(authority: Arc<Authority>, names: Vec<String>, shown: Shown) {
    let mut signer = authority.signer();
    loop {
        signer.mark_unchanged();
        let left = match issue(&authority, &names).await {
            Ok((key, credential)) => {
                let due = credential.renewal(SystemTime::now());
                shown.tell(key, credential);
                tracing::debug!(?names, "our server has a new certificate");
                due.duration_since(SystemTime::now()).unwrap_or_default()
            }
            Err(error) => {
                tracing::error!(
                    ?names,
                    error = &*error as &dyn std::error::Error,
                    "no certificate for our server; trying again"
                );
                RETRY
            }
        };
        tokio::select! {
            () = shown.certified.closed() => return,
            // In time, or earlier, when another root signs.
            _ = timeout(left, signer.changed()) => {}
        }
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

impl Shown {
    fn tell(&self, key: CertifiedKey, credential: Credential) {
        self.certified.send_replace(Some(Arc::new(key)));
        self.credential.send_replace(Some(Arc::new(ServerCredential { chain: credential.chain, key: credential.key })));
    }
}

async fn issue(authority: &Authority, names: &[String]) -> Result<(CertifiedKey, Credential), Failed> {
    let credential = authority.issue_server(names).await?;
    Ok((certified(&credential)?, credential))
}

fn certified(credential: &Credential) -> Result<CertifiedKey, Failed> {
    let chain = CertificateDer::pem_slice_iter(credential.chain.as_bytes()).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(credential.key.expose().as_bytes())?;
    Ok(CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider())?)
}

#[cfg(test)]
mod tests {
    use smidge_mesh::TrustBundle;

    use super::*;
    use crate::identity::{LIFETIME, Root};

    async fn next(serving: &mut Serving) -> Arc<CertifiedKey> {
        serving.certified.changed().await.unwrap();
        serving.now().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_servers_certificate_is_renewed_in_time_and_replaced_with_the_root() {
        let authority = Arc::new(Authority::default());
        let mut serving = Serving::keep(Arc::clone(&authority), vec!["smidge-xds.mesh.svc".to_owned()]);
        assert!(serving.now().is_none(), "there is no root yet");
        let follow = |root: Root| {
            let bundle = TrustBundle(root.certificate().into());
            authority.follow(root, bundle);
        };
        follow(Root::generate(LIFETIME).unwrap());
        let first = next(&mut serving).await;
        let start = tokio::time::Instant::now();
        let second = next(&mut serving).await;
        assert_ne!(first.cert, second.cert);
        let share = start.elapsed().as_secs_f64() / LIFETIME.as_secs_f64();
        assert!((0.6..0.7).contains(&share), "after {share}");
        let start = tokio::time::Instant::now();
        follow(Root::generate(LIFETIME).unwrap());
        next(&mut serving).await;
        assert!(start.elapsed() < Duration::from_secs(1), "another root signs");
    }
}
