//! Which proxy is who, and by which root its certificate is. The loop and the streams write it, the streams
//! and a rotation of roots read it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use smidge_mesh::Identity;
use smidge_xds::ProxyId;
use tokio::sync::{Notify, watch};

use super::SignerId;

/// The identity of each known proxy. A clone is another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct Identities(Arc<Proxies>);

#[derive(Debug, Default)]
struct Proxies {
    all: Mutex<All>,
    /// Told when a proxy is given a certificate.
    signed: Notify,
}

#[derive(Debug, Default)]
struct All {
    known: HashMap<ProxyId, Known>,
    /// Whom this process has given a certificate since it was last asked.
    news: BTreeSet<ProxyId>,
    /// Whose certificates proxies have that are not known yet, as other processes say.
    early: HashMap<ProxyId, SignerId>,
}

/// How many proxies that are not known yet are remembered: more than a mesh has.
const EARLY: usize = 100_000;

#[derive(Debug)]
struct Known {
    identity: watch::Sender<Identity>,
    /// Whose certificate it was given last, as far as this process knows.
    signer: Option<SignerId>,
}

impl Identities {
    /// Says who a proxy is. Its stream, if it has one, is told when that is somebody else than before.
    pub fn set(&self, proxy: ProxyId, identity: Identity) {
        let mut all = self.lock();
        match all.known.get(&proxy) {
            Some(known) => {
                known.identity.send_if_modified(|now| {
                    *now != identity && {
                        *now = identity;
                        true
                    }
                });
            }
            None => {
                let signer = all.early.remove(&proxy);
                all.known.insert(proxy, Known { identity: watch::Sender::new(identity), signer });
            }
        }
    }

    /// Forgets a proxy: nothing is issued for it any more.
    pub fn remove(&self, proxy: &ProxyId) {
        let mut all = self.lock();
        all.known.remove(proxy);
        all.early.remove(proxy);
    }

    /// Who a proxy is, and each change of it; `None`: it is not known.
    pub fn watch(&self, proxy: &ProxyId) -> Option<watch::Receiver<Identity>> {
        self.lock().known.get(proxy).map(|known| known.identity.subscribe())
    }

    /// Whether any known proxy is in this namespace.
    pub fn are_in(&self, namespace: &str) -> bool {
        self.lock().known.values().any(|known| &*known.identity.borrow().namespace == namespace)
    }

    /// Notes that this process gives a proxy a certificate by this root.
    pub(super) fn note_signer(&self, proxy: &ProxyId, signer: &SignerId) {
        let mut all = self.lock();
        if let Some(known) = all.known.get_mut(proxy) {
            known.signer = Some(signer.clone());
            all.news.insert(proxy.clone());
            self.0.signed.notify_one();
        }
    }

    /// Notes that another process has given a proxy a certificate by this root. It is told once, and this one may have listed
    /// no pods yet.
    pub(crate) fn hear_signer(&self, proxy: &ProxyId, signer: SignerId) {
        let mut all = self.lock();
        if let Some(known) = all.known.get_mut(proxy) {
            known.signer = Some(signer);
        } else if all.early.len() < EARLY {
            all.early.insert(proxy.clone(), signer);
        }
    }

    /// By which root the certificate is that a proxy was given last.
    pub(crate) fn signer_of(&self, proxy: &ProxyId) -> Option<SignerId> {
        self.lock().known.get(proxy)?.signer.clone()
    }

    /// The proxies that this process has given a certificate since the last call, once there is one.
    pub(crate) async fn signed(&self) -> BTreeSet<ProxyId> {
        loop {
            let signed = std::mem::take(&mut self.lock().news);
            if !signed.is_empty() {
                return signed;
            }
            self.0.signed.notified().await;
        }
    }

    /// How many proxies of which that is known were given their last certificate by another root.
    pub fn signed_by_others(&self, signer: &SignerId) -> usize {
        let is_other = |known: &&Known| known.signer.as_ref().is_some_and(|by| by != signer);
        self.lock().known.values().filter(is_other).count()
    }

    // Held for a look-up only; a thread that panicked meanwhile has left the maps whole.
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use smidge_mesh::TrustDomain;

    use super::*;

    #[test]
    fn what_others_say_of_a_proxy_that_is_not_known_yet_counts_once_it_is() {
        let (identities, proxy) = (Identities::default(), ProxyId::from("web.shop"));
        identities.hear_signer(&proxy, "old".into());
        assert_eq!(identities.signed_by_others(&"new".into()), 0);
        let (namespace, service_account) = ("shop".into(), "web".into());
        identities.set(proxy.clone(), Identity { trust_domain: TrustDomain::default(), namespace, service_account });
        assert_eq!(identities.signed_by_others(&"new".into()), 1);
        identities.note_signer(&proxy, &"new".into());
        assert_eq!(identities.signed_by_others(&"new".into()), 0);
    }
}
