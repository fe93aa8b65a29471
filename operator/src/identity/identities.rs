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
    known: Mutex<HashMap<ProxyId, Known>>,
    /// Told when a proxy is given a certificate.
    signed: Notify,
}

#[derive(Debug)]
struct Known {
    identity: watch::Sender<Identity>,
    /// Whose certificate it was given last, as far as this process knows.
    signer: Option<SignerId>,
    /// Whether nobody has asked since it was given that by this process.
    is_news: bool,
}

impl Identities {
    /// Says who a proxy is. Its stream, if it has one, is told when that is somebody else than before.
    pub fn set(&self, proxy: ProxyId, identity: Identity) {
        let mut proxies = self.lock();
        match proxies.get(&proxy) {
            Some(known) => {
                known.identity.send_if_modified(|now| {
                    *now != identity && {
                        *now = identity;
                        true
                    }
                });
            }
            None => {
                proxies.insert(proxy, Known { identity: watch::Sender::new(identity), signer: None, is_news: false });
            }
        }
    }

    /// Forgets a proxy: nothing is issued for it any more.
    pub fn remove(&self, proxy: &ProxyId) {
        self.lock().remove(proxy);
    }

    /// Who a proxy is, and each change of it; `None`: it is not known.
    pub fn watch(&self, proxy: &ProxyId) -> Option<watch::Receiver<Identity>> {
        self.lock().get(proxy).map(|known| known.identity.subscribe())
    }

    /// Whether any known proxy is in this namespace.
    pub fn are_in(&self, namespace: &str) -> bool {
        self.lock().values().any(|known| &*known.identity.borrow().namespace == namespace)
    }

    /// Notes that this process gives a proxy a certificate by this root.
    pub(super) fn note_signer(&self, proxy: &ProxyId, signer: &SignerId) {
        if let Some(known) = self.lock().get_mut(proxy) {
            (known.signer, known.is_news) = (Some(signer.clone()), true);
            self.0.signed.notify_one();
        }
    }

    /// Notes that another process has given a proxy a certificate by this root.
    pub(crate) fn hear_signer(&self, proxy: &ProxyId, signer: SignerId) {
        if let Some(known) = self.lock().get_mut(proxy) {
            (known.signer, known.is_news) = (Some(signer), false);
        }
    }

    /// By which root the certificate is that a proxy was given last.
    pub(crate) fn signer_of(&self, proxy: &ProxyId) -> Option<SignerId> {
        self.lock().get(proxy)?.signer.clone()
    }

    /// The proxies that this process has given a certificate since the last call, once there is one.
    pub(crate) async fn signed(&self) -> BTreeSet<ProxyId> {
        loop {
            let signed = self.take_signed();
            if !signed.is_empty() {
                return signed;
            }
            self.0.signed.notified().await;
        }
    }

    fn take_signed(&self) -> BTreeSet<ProxyId> {
        let mut known = self.lock();
        let news = known.iter_mut().filter_map(|(proxy, known)| std::mem::take(&mut known.is_news).then_some(proxy));
        news.cloned().collect()
    }

    /// How many proxies of which that is known were given their last certificate by another root.
    pub fn signed_by_others(&self, signer: &SignerId) -> usize {
        let is_other = |known: &&Known| known.signer.as_ref().is_some_and(|by| by != signer);
        self.lock().values().filter(is_other).count()
    }

    // Held for a look-up only; a thread that panicked meanwhile has left the map whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<ProxyId, Known>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
