//! Who is connected, by address: nobody takes so many places that the API server finds none.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::Semaphore;

/// How many connections one address may have. The API server needs one: its requests share it (HTTP/2).
const CONNECTIONS: usize = 16;
/// How many addresses may be connected.
const ADDRESSES: usize = 1024;
/// How many bodies of one address may be read at the same time.
pub(super) const BODIES: u32 = 16;
/// How many large bodies may be read at the same time, whoever sends them.
const LARGE: usize = 2;

/// All that are connected.
#[derive(Clone, Debug)]
pub(super) struct Guests {
    all: Arc<Mutex<HashMap<IpAddr, Weak<Shared>>>>,
    large: Arc<Semaphore>,
}

impl Default for Guests {
    fn default() -> Self {
        Self { all: Arc::default(), large: Arc::new(Semaphore::new(LARGE)) }
    }
}

/// What the connections of one address share.
#[derive(Debug)]
struct Shared {
    address: IpAddr,
    bodies: Arc<Semaphore>,
    guests: Guests,
}

/// A connection's place.
#[derive(Debug)]
pub(super) struct Guest(Arc<Shared>);

impl Guests {
    /// A place, if there is one left for this address.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Arc<Guest>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(&address).and_then(Weak::upgrade);
        if known.is_none() && all.len() >= ADDRESSES {
            return None;
        }
        let shared = known.unwrap_or_else(|| {
            let bodies = Arc::new(Semaphore::new(BODIES as usize));
            Arc::new(Shared { address, bodies, guests: self.clone() })
        });
        // This one is not yet anybody's place.
        if Arc::strong_count(&shared) > CONNECTIONS {
            return None;
        }
        all.insert(address, Arc::downgrade(&shared));
        drop(all);
        Some(Arc::new(Guest(shared)))
    }
}

impl Guest {
    /// The right to have a body read; to be waited for.
    pub(super) fn bodies(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.bodies)
    }

    /// The right to have a large body read; to be waited for.
    pub(super) fn large(&self) -> Arc<Semaphore> {
        Arc::clone(&self.0.guests.large)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut all = self.guests.all.lock().unwrap_or_else(PoisonError::into_inner);
        // Another may have come in between, and has its place.
        if all.get(&self.address).is_some_and(|known| known.strong_count() == 0) {
            all.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_has_its_places_and_no_more() {
        let guests = Guests::default();
        let [hostile, api_server]: [IpAddr; 2] = ["10.0.0.1", "10.0.0.2"].map(|ip| ip.parse().unwrap());
        let mut many: Vec<_> = (0..CONNECTIONS).map(|_| guests.admit(hostile).unwrap()).collect();
        assert!(guests.admit(hostile).is_none());
        assert!(guests.admit(api_server).is_some());
        many.pop();
        assert!(guests.admit(hostile).is_some());
        drop(many);
        assert!(guests.all.lock().unwrap().is_empty());
    }
}
