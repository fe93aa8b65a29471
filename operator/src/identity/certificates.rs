//! Each stream's own certificate: the resource `workload`.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use futures::{StreamExt, stream, stream::BoxStream};
use smidge_mesh::Identity;
use smidge_translator::workload_certificate;
use smidge_xds::{Name, ProxyId, Resource, TypeUrl};
use smidge_xds_server::Resolve;
use tokio::{sync::watch, time};

use super::{Credential, Identities, Issuer, SignerId};

/// The name of the secret with a proxy's own certificate and key.
const WORKLOAD: &str = "workload";

/// How long to wait after the issuer has failed.
const RETRY: Duration = Duration::from_secs(1);

/// Issues a certificate for each stream that asks, and renews it as long as the stream lives.
pub struct Certificates {
    issuer: Arc<dyn Issuer>,
    identities: Identities,
}

impl Certificates {
    /// Certificates by this issuer, for these proxies.
    pub fn new(issuer: Arc<dyn Issuer>, identities: Identities) -> Self {
        Self { issuer, identities }
    }
}

impl Resolve for Certificates {
    fn names(&self) -> Vec<(TypeUrl, Name)> {
        vec![(TypeUrl::Secret, WORKLOAD.into())]
    }

    fn resolve(&self, proxy: &ProxyId, _: TypeUrl, _: &Name) -> BoxStream<'static, Arc<Resource>> {
        let Some(identity) = self.identities.watch(proxy) else { return stream::empty().boxed() };
        let (issuer, signer, identities) = (Arc::clone(&self.issuer), self.issuer.signer(), self.identities.clone());
        let renewal = Renewal { issuer, signer, identities, proxy: proxy.clone(), identity, due: None };
        stream::unfold(renewal, Renewal::next).boxed()
    }
}

/// One stream's certificate and when it needs the next.
struct Renewal {
    issuer: Arc<dyn Issuer>,
    signer: watch::Receiver<SignerId>,
    identities: Identities,
    proxy: ProxyId,
    identity: watch::Receiver<Identity>,
    due: Option<SystemTime>,
}

impl Renewal {
    /// Waits until a certificate is due and makes it; `None` when the proxy is not known any more.
    async fn next(mut self) -> Option<(Arc<Resource>, Self)> {
        if let Some(due) = self.due {
            self.wait(due).await?;
        }
        let credential = self.issue().await?;
        self.due = Some(credential.renewal(SystemTime::now()));
        self.identities.note_signer(&self.proxy, &credential.signer);
        Some((Arc::new(workload_certificate(&credential.chain, credential.key.expose())), self))
    }

    async fn wait(&mut self, due: SystemTime) -> Option<()> {
        let left = due.duration_since(SystemTime::now()).unwrap_or_default();
        tokio::select! {
            changed = self.identity.changed() => changed.ok(),
            // What another root has signed is replaced at once.
            Ok(()) = self.signer.changed() => Some(()),
            () = time::sleep(left) => Some(()),
        }
    }

    async fn issue(&mut self) -> Option<Credential> {
        loop {
            let identity = self.identity.borrow_and_update().clone();
            self.signer.mark_unchanged();
            match self.issuer.issue(&identity).await {
                Ok(credential) => return Some(credential),
                Err(error) => tracing::error!(error = &error as &dyn std::error::Error, "no certificate; trying again"),
            }
            self.wait(SystemTime::now() + RETRY).await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{Authority, LIFETIME, Root};
    use smidge_mesh::TrustDomain;

    fn identity(account: &str) -> Identity {
        Identity { trust_domain: TrustDomain::default(), namespace: "shop".into(), service_account: account.into() }
    }

    fn certificates(identities: &Identities, lifetime: Duration) -> Certificates {
        Certificates::new(Arc::new(Authority::with(Root::generate(lifetime).unwrap())), identities.clone())
    }

    #[tokio::test]
    async fn a_proxy_whose_identity_changes_gets_a_new_certificate_at_once() {
        let (identities, proxy) = (Identities::default(), ProxyId::from("web-0.shop"));
        identities.set(proxy.clone(), identity("web"));
        let mut secrets = certificates(&identities, LIFETIME).resolve(&proxy, TypeUrl::Secret, &WORKLOAD.into());
        let first = secrets.next().await.unwrap();
        identities.set(proxy.clone(), identity("other"));
        let second = secrets.next().await.unwrap();
        assert_ne!(first.version, second.version);
        identities.remove(&proxy);
        assert_eq!(secrets.next().await, None, "a proxy that is gone is issued nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_old_root_has_signed_is_replaced_when_another_signs() {
        let (identities, proxy) = (Identities::default(), ProxyId::from("web-0.shop"));
        identities.set(proxy.clone(), identity("web"));
        let authority = Arc::new(Authority::with(Root::generate(LIFETIME).unwrap()));
        let certificates = Certificates::new(authority.clone(), identities.clone());
        let mut secrets = certificates.resolve(&proxy, TypeUrl::Secret, &WORKLOAD.into());
        secrets.next().await.unwrap();
        let new = Root::generate(LIFETIME).unwrap();
        let (id, start) = (new.id().clone(), time::Instant::now());
        assert!(identities.signed_by_others(&id) > 0);
        authority.follow(new, authority.trust_bundle());
        secrets.next().await.unwrap();
        assert!(identities.signed_by_others(&id) == 0 && start.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test]
    async fn a_proxy_that_nobody_knows_gets_no_certificate() {
        let certificates = certificates(&Identities::default(), LIFETIME);
        let mut secrets = certificates.resolve(&"web-0.shop".into(), TypeUrl::Secret, &WORKLOAD.into());
        assert_eq!(secrets.next().await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_is_renewed_after_two_thirds_of_its_life_however_short() {
        for lifetime in [LIFETIME, Duration::from_secs(60)] {
            let (identities, proxy) = (Identities::default(), ProxyId::from("web-0.shop"));
            identities.set(proxy.clone(), identity("web"));
            let mut secrets = certificates(&identities, lifetime).resolve(&proxy, TypeUrl::Secret, &WORKLOAD.into());
            let start = time::Instant::now();
            let first = secrets.next().await.unwrap();
            let second = secrets.next().await.unwrap();
            assert_ne!(first.version, second.version);
            let share = start.elapsed().as_secs_f64() / lifetime.as_secs_f64();
            assert!((0.6..0.7).contains(&share), "after {share} of {lifetime:?}");
        }
    }
}
