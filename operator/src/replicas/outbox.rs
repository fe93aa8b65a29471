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
        Self { to, telling: Telling::everything(of, subjects), signed: BTreeSet::new() }
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
        let told = self.telling.next(of, effect);
        let mut signed = std::mem::take(&mut self.signed);
        // They may have been given theirs before anybody listened.
        signed.extend(self.telling.take_arrived());
        let signers = signed.into_iter().filter_map(|proxy| Some((proxy.clone(), identities.signer_of(&proxy)?)));
        Account { signers: signers.collect(), told }
    }
}

#[cfg(test)]
mod tests {
    use smidge_engine::Placement;
    use smidge_mesh::{Identity, TrustDomain};
    use smidge_report::Standing;
    use smidge_xds::WorkloadId;

    use super::*;

    #[tokio::test]
    async fn a_certificate_that_was_given_before_there_was_a_leader_is_told_with_the_proxy() {
        let (mut of, identities, proxy) =
            (Acknowledgements::default(), Identities::default(), ProxyId::from("web.shop"));
        let (namespace, service_account) = ("shop".into(), "web".into());
        identities.set(proxy.clone(), Identity { trust_domain: TrustDomain::default(), namespace, service_account });
        identities.hear_signer(&proxy, "root".into());
        let placement = Placement { workload: WorkloadId(0), key: Version::of(b"key"), ready: true, since: Epoch(0) };
        of.place(&proxy, Some(placement));
        let (to, _leader) = mpsc::channel(1);
        let mut outbox = Outbox::new(to, &of, []);
        assert_eq!(outbox.next(&of, &identities, |_| None).signers, []);
        of.report(Epoch(1), [(proxy.clone(), Some(Standing::default()))]);
        outbox.touch(of.take_changed());
        assert_eq!(outbox.next(&of, &identities, |_| None).signers, [(proxy.clone(), "root".into())]);
        outbox.touch([proxy].into());
        assert_eq!(outbox.next(&of, &identities, |_| None).signers, [], "once");
    }
}
