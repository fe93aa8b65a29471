//! What is told to the loop: a closed set, drained by one task.

use std::sync::Arc;

use smidge_compiler::{Event, Kind, ObjectRef};
use smidge_crds::Status;
use smidge_report::Replica;
use tokio::sync::mpsc;

use crate::{
    proxies::Proxies,
    replicas::{Account, Word},
};

/// One thing that the loop has to know.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// Something happened to an object.
    Event(Event),
    /// The status that an object has where it is kept.
    Observed(ObjectRef, Observed),
    /// One more source has told everything that it has.
    Listed(Source),
    /// The API server does not know a kind, or knows it again.
    Missing(Kind, bool),
    /// Whether this replica leads: only the leader writes.
    Leading(bool),
    /// Another replica tells what its proxies acknowledge.
    Replica(Replica, Word),
    /// The leader listens to this one.
    Leader(mpsc::Sender<Account>),
    /// A write of a status came to its end.
    Written(ObjectRef, Outcome),
    /// Somebody asks for the proxies of this replica.
    Asked(mpsc::Sender<Proxies>),
}

/// Where objects come from: nothing is published before each has told all of it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// The watch of one kind.
    Watch(Kind),
    /// A folder, or standard input.
    Manifests,
    /// The Secret with the mesh's roots.
    Root,
}

impl Source {
    /// What it is called in answers to people.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Watch(kind) => kind.as_str(),
            Self::Manifests => "manifests",
            Self::Root => "Secret smidge-root",
        }
    }
}

/// An object's status where it is kept.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Observed {
    /// The status.
    pub(crate) status: Arc<Status>,
    /// Which object of that name: a new one of the same name has another.
    pub(crate) uid: Option<Arc<str>>,
}

/// How a write of a status ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// This is the status now.
    Done(Arc<Status>),
    /// The object is not there any more, or is another one: its watch will tell.
    Obsolete,
    /// It has to be tried again.
    Failed,
}
