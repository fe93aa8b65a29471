//! The mesh's roots: which of them signs, which are trusted, and how a rotation from one to the next goes on. Pure: what is
//! known of the proxies and the time are arguments.
//!
//! ```text
//! Settled ─rotate─→ Introduced: old signs, both trusted ─all know it─→ Signing: new signs, both trusted ─nobody needs the old─→ Settled
//! ```

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smidge_mesh::TrustBundle;

use super::{PrivateKey, Root, SignerId, Unusable};

/// The entry that says what the others are.
const STATE: &str = "state.json";

/// A root as it is kept.
#[derive(Clone, Debug)]
pub struct Kept {
    id: SignerId,
    certificate: String,
    key: Arc<PrivateKey>,
}

impl Kept {
    /// To be kept.
    pub fn of(root: &Root) -> Self {
        Self { id: root.id().clone(), certificate: root.certificate().to_owned(), key: Arc::new(root.key()) }
    }
}

/// All roots, the oldest first.
#[derive(Clone, Debug)]
pub struct Roots {
    kept: Vec<Kept>,
    signer: SignerId,
    phase: Phase,
    /// Which wish was fulfilled last.
    request: Option<String>,
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.state() == other.state()
    }
}

/// How far a rotation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "phase", rename_all = "lowercase")]
pub enum Phase {
    /// There is none.
    Settled,
    /// The new root is trusted, the old one signs.
    Introduced {
        /// Since when.
        since: Timestamp,
    },
    /// The new root signs, the old one is trusted.
    Signing {
        /// Since when.
        since: Timestamp,
    },
}

/// What is known of those who have to follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Every proxy has acknowledged the present trust bundle.
    pub trust_acknowledged: bool,
    /// Every meshed namespace has it in its ConfigMap.
    pub maps_written: bool,
    /// Every proxy has a certificate by the root that signs.
    pub all_signed: bool,
}

/// How long things take.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long after a ConfigMap is written all pods may have it in their volumes: the kubelet's sync period, and what it
    /// waits for changes.
    pub propagation: Duration,
    /// How long what was signed is good. After it, nobody has anything that the old root has signed.
    pub lifetime: Duration,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct State {
    roots: Vec<SignerId>,
    signer: SignerId,
    #[serde(flatten)]
    phase: Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<String>,
}

impl Roots {
    /// A first root.
    pub fn first(root: Kept) -> Self {
        Self { signer: root.id.clone(), kept: vec![root], phase: Phase::Settled, request: None }
    }

    /// How far a rotation is.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Which rotation was asked for last.
    pub fn request(&self) -> Option<&str> {
        self.request.as_deref()
    }

    /// All that are trusted.
    pub fn trust_bundle(&self) -> TrustBundle {
        TrustBundle(self.kept.iter().map(|kept| kept.certificate.as_str()).collect::<String>().into())
    }

    /// The one that signs, for this long.
    ///
    /// # Errors
    /// When it is of no use.
    pub fn signer(&self, lifetime: Duration) -> Result<Root, Unusable> {
        let kept = self.kept.iter().find(|kept| kept.id == self.signer).ok_or("no root signs")?;
        Root::read(&kept.certificate, &kept.key, lifetime)
    }

    /// Begins a rotation to a new root, by this wish; `None`: one is under way.
    pub fn rotate(&self, new: Kept, request: &str, now: Timestamp) -> Option<Self> {
        (self.phase == Phase::Settled).then(|| {
            let kept = self.kept.iter().cloned().chain([new]).collect();
            let phase = Phase::Introduced { since: now };
            Self { kept, signer: self.signer.clone(), phase, request: Some(request.to_owned()) }
        })
    }

    /// The next step of a rotation, once it harms nobody. A proxy that does not answer is waited for until what it has is
    /// worth nothing any more.
    pub fn advance(&self, progress: Progress, times: Times, now: Timestamp) -> Option<Self> {
        let passed = |since: Timestamp| Duration::try_from(now.duration_since(since)).unwrap_or_default();
        match self.phase {
            Phase::Introduced { since } => {
                let reached = progress.trust_acknowledged || passed(since) >= times.lifetime;
                let ready = progress.maps_written && reached && passed(since) >= times.propagation;
                let newest = self.kept.last()?.id.clone();
                ready.then(|| Self { signer: newest, phase: Phase::Signing { since: now }, ..self.clone() })
            }
            Phase::Signing { since } => {
                let replaced = progress.all_signed && progress.trust_acknowledged && passed(since) >= times.propagation;
                (replaced || passed(since) >= times.lifetime).then(|| self.retired())
            }
            Phase::Settled => None,
        }
    }

    /// Without those that do not sign.
    fn retired(&self) -> Self {
        let kept = self.kept.iter().filter(|kept| kept.id == self.signer).cloned().collect();
        Self { kept, phase: Phase::Settled, ..self.clone() }
    }

    /// What stands in the Secret.
    pub fn to_entries(&self) -> BTreeMap<String, Vec<u8>> {
        let state = serde_json::to_vec_pretty(&self.state()).unwrap_or_default();
        let of = |kept: &Kept| {
            let (certificate, key) = (kept.certificate.clone(), kept.key.expose().to_owned());
            [(format!("{}.crt", kept.id), certificate.into_bytes()), (format!("{}.key", kept.id), key.into_bytes())]
        };
        self.kept.iter().flat_map(of).chain([(STATE.to_owned(), state)]).collect()
    }

    /// Reads what stands in the Secret.
    ///
    /// # Errors
    /// When an entry is missing, or is not what it should be. What it holds is not told.
    pub fn read(entries: &BTreeMap<String, Vec<u8>>) -> Result<Self, Unusable> {
        let text = |name: &str| -> Result<&str, Unusable> {
            let entry = entries.get(name).ok_or_else(|| format!("{name} is missing"))?;
            std::str::from_utf8(entry).map_err(|_| format!("{name} is no text").into())
        };
        let state: State = serde_json::from_str(text(STATE)?).map_err(|error| format!("{STATE}: {error}"))?;
        let kept = |id: &SignerId| -> Result<Kept, Unusable> {
            let certificate = text(&format!("{id}.crt"))?.to_owned();
            let key = Arc::new(PrivateKey::new(text(&format!("{id}.key"))?.to_owned()));
            let root = Root::read(&certificate, &key, Duration::ZERO).map_err(|error| format!("{id}: {error}"))?;
            let is_named = root.id() == id;
            is_named
                .then_some(Kept { id: id.clone(), certificate, key })
                .ok_or_else(|| format!("{id}: another root").into())
        };
        let kept = state.roots.iter().map(kept).collect::<Result<Vec<_>, _>>()?;
        if !kept.iter().any(|kept| kept.id == state.signer) {
            return Err(format!("{STATE}: the signer is none of the roots").into());
        }
        Ok(Self { kept, signer: state.signer, phase: state.phase, request: state.request })
    }

    fn state(&self) -> State {
        let roots = self.kept.iter().map(|kept| kept.id.clone()).collect();
        State { roots, signer: self.signer.clone(), phase: self.phase, request: self.request.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::LIFETIME;

    const TIMES: Times = Times { propagation: Duration::from_secs(120), lifetime: LIFETIME };
    const ALL: Progress = Progress { trust_acknowledged: true, maps_written: true, all_signed: true };

    fn kept() -> Kept {
        Kept::of(&Root::generate(LIFETIME).unwrap())
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds as i64).unwrap()
    }

    fn introduced() -> (Roots, SignerId, SignerId) {
        let (old, new) = (kept(), kept());
        let (first, second) = (old.id.clone(), new.id.clone());
        (Roots::first(old).rotate(new, "now", at(0)).unwrap(), first, second)
    }

    #[test]
    fn a_rotation_introduces_then_signs_then_retires() {
        let (roots, old, new) = introduced();
        assert_eq!((&roots.signer, roots.kept.len()), (&old, 2));
        assert!(roots.rotate(kept(), "again", at(1)).is_none(), "one is under way");
        let signing = roots.advance(ALL, TIMES, at(120)).unwrap();
        assert_eq!((&signing.signer, signing.kept.len()), (&new, 2));
        let settled = signing.advance(ALL, TIMES, at(240)).unwrap();
        assert_eq!((settled.phase, settled.state().roots, settled.request()), (Phase::Settled, vec![new], Some("now")));
        assert_eq!(settled.advance(ALL, TIMES, at(9999)), None);
    }

    #[test]
    fn nothing_goes_on_before_it_harms_nobody() {
        let (introduced, ..) = introduced();
        let signing = introduced.advance(ALL, TIMES, at(120)).unwrap();
        let day = LIFETIME.as_secs();
        let without = |change: fn(&mut Progress)| {
            let mut progress = ALL;
            change(&mut progress);
            progress
        };
        let cases = [
            (&introduced, ALL, 119, false),
            (&introduced, without(|p| p.trust_acknowledged = false), day - 1, false),
            (&introduced, without(|p| p.trust_acknowledged = false), day, true),
            (&introduced, without(|p| p.maps_written = false), 10 * day, false),
            (&introduced, without(|p| p.all_signed = false), 120, true),
            (&signing, ALL, 120 + 119, false),
            (&signing, without(|p| p.all_signed = false), 120 + day - 1, false),
            (&signing, without(|p| p.trust_acknowledged = false), 120 + day - 1, false),
            (&signing, Progress::default(), 120 + day, true),
        ];
        for (roots, progress, seconds, goes_on) in cases {
            let next = roots.advance(progress, TIMES, at(seconds));
            assert_eq!(next.is_some(), goes_on, "{:?} {progress:?} after {seconds} s", roots.phase);
        }
    }

    #[test]
    fn what_is_kept_is_read_again_in_every_phase() {
        let (introduced, ..) = introduced();
        let signing = introduced.advance(ALL, TIMES, at(120)).unwrap();
        let settled = signing.advance(ALL, TIMES, at(240)).unwrap();
        for roots in [introduced, signing, settled, Roots::first(kept())] {
            let read = Roots::read(&roots.to_entries()).unwrap();
            assert_eq!((&read, read.trust_bundle()), (&roots, roots.trust_bundle()));
            assert_eq!(read.signer(LIFETIME).unwrap().id(), &roots.signer);
        }
    }

    #[test]
    fn what_is_broken_is_told_without_its_content() {
        let (roots, ..) = introduced();
        let entries = roots.to_entries();
        for name in entries.keys() {
            for broken in [None, Some(b"sesame".to_vec()), Some(vec![0xff])] {
                let mut entries = entries.clone();
                entries.remove(name);
                entries.extend(broken.map(|broken| (name.clone(), broken)));
                let told = Roots::read(&entries).unwrap_err().to_string();
                assert!(!told.contains("sesame") && !told.is_empty(), "{told}");
            }
        }
        let (ours, theirs) = (Roots::first(kept()), Roots::first(kept()));
        let mut mixed = ours.to_entries();
        let foreign = theirs.to_entries().into_iter().find(|(name, _)| name.ends_with(".key")).unwrap().1;
        mixed.insert(format!("{}.key", ours.signer), foreign);
        assert!(Roots::read(&mixed).is_err(), "a key of another root");
    }
}
