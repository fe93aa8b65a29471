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

/// How long to wait after a certificate could not be made.
const RETRY: Duration = Duration::from_secs(1);

/// The certificate of a server, as it is now. A clone shows the same.
#[derive(Clone, Debug)]
pub struct Serving(watch::Receiver<Option<Arc<CertifiedKey>>>);

impl Serving {
    /// The certificate for these DNS names; the task that keeps it runs until nobody looks at it any more.
    pub fn keep(authority: Arc<Authority>, names: Vec<String>) -> Self {
        let (shown, serving) = watch::channel(None);
        tokio::spawn(keep(authority, names, shown));
        Self(serving)
    }

    /// The certificate and its key; `None`: there is none yet.
    pub fn now(&self) -> Option<Arc<CertifiedKey>> {
        self.0.borrow().clone()
    }
}

impl ResolvesServerCert for Serving {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.now()
    }
}

async fn keep(authority: Arc<Authority>, names: Vec<String>, shown: watch::Sender<Option<Arc<CertifiedKey>>>) {
    let mut signer = authority.signer();
    loop {
        signer.mark_unchanged();
        let left = match issue(&authority, &names).await {
            Ok((key, due)) => {
                shown.send_replace(Some(Arc::new(key)));
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
            () = shown.closed() => return,
            // In time, or earlier, when another root signs.
            _ = timeout(left, signer.changed()) => {}
        }
    }
}

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// The certificate, and when the next one is due.
async fn issue(authority: &Authority, names: &[String]) -> Result<(CertifiedKey, SystemTime), Failed> {
    let credential = authority.issue_server(names).await?;
    Ok((certified(&credential)?, credential.renewal(SystemTime::now())))
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
        serving.0.changed().await.unwrap();
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
