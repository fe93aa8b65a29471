//! Which proxy is who, and by which root its certificate is. The loop and the streams write it, the streams read it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use smidge_mesh::Identity;
use smidge_xds::ProxyId;
use tokio::sync::watch;

use super::SignerId;

/// The identity of each known proxy. A clone is another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct Identities(Arc<Mutex<HashMap<ProxyId, Known>>>);

#[derive(Debug)]
struct Known {
    identity: watch::Sender<Identity>,
    /// Whose certificate it was given last by this process.
    signer: Option<SignerId>,
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
                proxies.insert(proxy, Known { identity: watch::Sender::new(identity), signer: None });
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

    /// Notes that a proxy is given a certificate by this root.
    pub(super) fn note_signer(&self, proxy: &ProxyId, signer: &SignerId) {
        if let Some(known) = self.lock().get_mut(proxy) {
            known.signer = Some(signer.clone());
        }
    }

    /// How many proxies that this process has given a certificate were given the last one by another root.
    pub fn signed_by_others(&self, signer: &SignerId) -> usize {
        let is_other = |known: &&Known| known.signer.as_ref().is_some_and(|by| by != signer);
        self.lock().values().filter(is_other).count()
    }

    // Held for a look-up only; a thread that panicked meanwhile has left the map whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<ProxyId, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
