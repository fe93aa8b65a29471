//! What is still to be told to the leader: names only, so that a slow leader is told what is so when it listens, and what
//! waits for it is bounded by what there is.

use std::{collections::BTreeSet, mem};

use smidge_xds::{Epoch, ProxyId, Version};

use crate::{Acknowledgements, Mark, Subject, Told};

/// How many proxies, and how many objects, are told at a time.
const PORTION: usize = 512;

/// What the leader has not been told.
#[derive(Debug, Default)]
pub struct Telling {
    proxies: BTreeSet<ProxyId>,
    subjects: BTreeSet<Subject>,
    through: Option<Epoch>,
    /// The leader believes that these are served here,
    served: BTreeSet<ProxyId>,
    /// and of these it has been told so since it was last asked.
    arrived: BTreeSet<ProxyId>,
}

impl Telling {
    /// To a leader that has been told nothing.
    pub fn everything(of: &Acknowledgements, subjects: impl IntoIterator<Item = Subject>) -> Self {
        let (proxies, subjects) = (of.served().cloned().collect(), subjects.into_iter().collect());
        Self { proxies, subjects, ..Self::default() }
    }

    /// How far these proxies have got may be something else now.
    pub fn touch(&mut self, proxies: impl IntoIterator<Item = ProxyId>) {
        self.proxies.extend(proxies);
    }

    /// What these do may be something else now.
    pub fn change(&mut self, subjects: impl IntoIterator<Item = Subject>) {
        self.subjects.extend(subjects);
    }

    /// Whether there is anything to tell.
    pub fn is_due(&self, of: &Acknowledgements) -> bool {
        self.through != Some(of.through()) || !self.proxies.is_empty() || !self.subjects.is_empty()
    }

    /// The next portion. `effect`: in which publication what it does last changed, and what that is.
    pub fn next(&mut self, of: &Acknowledgements, effect: impl Fn(&Subject) -> Option<(Epoch, Version)>) -> Told {
        let proxies = portion(&mut self.proxies).map(|id| (of.mark(&id), id)).map(|(mark, id)| (id, mark)).collect();
        let proxies = self.worth_telling(proxies);
        let effects = portion(&mut self.subjects).map(|subject| (effect(&subject), subject));
        let effects = effects.map(|(effect, subject)| (subject, effect)).collect();
        let is_all = self.proxies.is_empty() && self.subjects.is_empty();
        // Before: a proxy that is not told of yet would seem to have it all.
        let through = is_all.then_some(of.through());
        self.through = through.or(self.through);
        Told { through, proxies, effects }
    }

    /// Of whom is not served here only that it was.
    fn worth_telling(&mut self, mut proxies: Vec<(ProxyId, Option<Mark>)>) -> Vec<(ProxyId, Option<Mark>)> {
        proxies.retain(|(id, mark)| {
            let is_here = mark.as_ref().is_some_and(|mark| mark.is_here);
            if !is_here {
                return self.served.remove(id);
            }
            if self.served.insert(id.clone()) {
                self.arrived.insert(id.clone());
            }
            true
        });
        proxies
    }

    /// The proxies of which the leader was told since the last call that they are served here, which it had not known.
    pub fn take_arrived(&mut self) -> BTreeSet<ProxyId> {
        mem::take(&mut self.arrived)
    }
}

fn portion<T: Ord>(of: &mut BTreeSet<T>) -> impl Iterator<Item = T> {
    std::iter::from_fn(|| of.pop_first()).take(PORTION)
}
