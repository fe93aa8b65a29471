//! Which proxy is who. The loop writes it, the streams read it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use smidge_mesh::Identity;
use smidge_xds::ProxyId;
use tokio::sync::watch;

/// The identity of each known proxy. A clone is another handle to the same.
#[derive(Clone, Debug, Default)]
pub struct Identities(Arc<Mutex<HashMap<ProxyId, watch::Sender<Identity>>>>);

impl Identities {
    /// Says who a proxy is. Its stream, if it has one, is told when that is somebody else than before.
    pub fn set(&self, proxy: ProxyId, identity: Identity) {
        let mut proxies = self.lock();
        match proxies.get(&proxy) {
            Some(known) => {
                known.send_if_modified(|now| {
                    *now != identity && {
                        *now = identity;
                        true
                    }
                });
            }
            None => {
                proxies.insert(proxy, watch::Sender::new(identity));
            }
        }
    }

    /// Forgets a proxy: nothing is issued for it any more.
    pub fn remove(&self, proxy: &ProxyId) {
        self.lock().remove(proxy);
    }

    /// Who a proxy is, and each change of it; `None`: it is not known.
    pub fn watch(&self, proxy: &ProxyId) -> Option<watch::Receiver<Identity>> {
        self.lock().get(proxy).map(watch::Sender::subscribe)
    }

    // Held for a look-up only; a thread that panicked meanwhile has left the map whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<ProxyId, watch::Sender<Identity>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
