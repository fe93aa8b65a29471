//! All facts at one moment.

use smidge_mesh::TrustBundle;

use crate::{Fact, ObjectRef};

/// What happened. A closed set: one task owns the snapshot and drains these.
#[derive(Clone, Debug)]
pub enum Event {
    /// An object is there, or has changed.
    Apply(Fact),
    /// An object is gone.
    Delete(ObjectRef),
    /// The roots that vouch for identities are these now.
    TrustBundle(TrustBundle),
}

/// What an event did to the snapshot: the facts about one object before and after.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object's facts. Never equal to each other.
    Object {
        /// Which.
        object: ObjectRef,
        /// Before; `None`: it is new.
        before: Option<Fact>,
        /// Now; `None`: it is gone.
        after: Option<Fact>,
    },
    /// The trust bundle.
    TrustBundle,
}

/// All facts at one moment. A clone is cheap: it shares what has not changed.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {}

impl Snapshot {
    /// Takes an event in; `None` when it changes nothing (the first cut-off).
    pub fn apply(&mut self, _event: Event) -> Option<Change> {
        None
    }
}
