//! What the loop has still to tell the leader: the names are kept, what is so is read when the leader listens.

use std::collections::BTreeSet;

use smidge_report::{Acknowledgements, Subject, Telling};
use smidge_xds::{Epoch, ProxyId, Version};
use tokio::sync::mpsc::{self, OwnedPermit};

use super::Account;
use crate::identity::Identities;

/// One stream to the leader.
pub(crate) struct Outbox {
    to: mpsc::Sender<Account>,
    telling: Telling,
    /// Proxies that were given a certificate.
    signed: BTreeSet<ProxyId>,
}

impl Outbox {
    /// To a leader that has been told nothing.
    pub(crate) fn new(
        to: mpsc::Sender<Account>,
        of: &Acknowledgements,
        subjects: impl IntoIterator<Item = Subject>,
    ) -> Self {
        Self { to, telling: Telling::everything(of, subjects), signed: of.served().cloned().collect() }
    }

    /// These do something else now.
    pub(crate) fn change(&mut self, subjects: impl IntoIterator<Item = Subject>) {
        self.telling.change(subjects);
    }

    /// These may have got further.
    pub(crate) fn touch(&mut self, proxies: BTreeSet<ProxyId>) {
        self.telling.touch(proxies);
    }

    /// These were given a certificate.
    pub(crate) fn sign(&mut self, proxies: BTreeSet<ProxyId>) {
        self.signed.extend(proxies);
    }

    /// When the leader listens and there is something to tell; `None`: the stream has ended.
    pub(crate) async fn room(&self, of: &Acknowledgements) -> Option<OwnedPermit<Account>> {
        if self.telling.is_due(of) || !self.signed.is_empty() {
            return self.to.clone().reserve_owned().await.ok();
        }
        self.to.closed().await;
        None
    }

    /// The next portion.
    pub(crate) fn next(
        &mut self,
        of: &Acknowledgements,
        identities: &Identities,
        effect: impl Fn(&Subject) -> Option<(Epoch, Version)>,
    ) -> Account {
        let signed = std::mem::take(&mut self.signed).into_iter();
        let signers = signed.filter_map(|proxy| Some((proxy.clone(), identities.signer_of(&proxy)?))).collect();
        Account { told: self.telling.next(of, effect), signers }
    }
}
