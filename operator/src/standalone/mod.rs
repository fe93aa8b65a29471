//! Without a cluster: objects come from a folder of manifests or from standard input, statuses stay here.
//!
//! ```text
//! folder ─notify→ read files ─→ Manifests ─Message→ the same loop as on a cluster ─Order→ Board ─→ watch::Receiver
//! ```

mod board;
mod folder;
mod manifests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use smidge_report::Limits;
use tokio::{sync::watch, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    identity::Shared,
    message::Source,
    plane::{Door, Plane, PlaneConfig, PlaneError},
};

pub use board::Statuses;
pub use folder::Error as FolderError;
pub use manifests::{Located, Manifests, Problem, whole_pod};

/// A person watches: statuses may change often.
const LIMITS: Limits = Limits {
    spacing: Duration::from_millis(50),
    counts_spacing: Duration::from_millis(200),
    pace: Duration::from_millis(1),
    burst: 1000,
};

/// What a control plane without a cluster needs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The socket and the state.
    pub plane: PlaneConfig,
    /// Where the objects come from.
    pub input: Input,
}

/// Where objects come from.
#[derive(Clone, Debug)]
pub enum Input {
    /// A folder, with its subfolders, or a single file; watched.
    Folder(PathBuf),
    /// Manifests that never change.
    Text(String),
}

/// The control plane cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its own part does not start.
    #[error(transparent)]
    Plane(#[from] PlaneError),
    /// The folder cannot be read or watched.
    #[error(transparent)]
    Folder(#[from] FolderError),
}

/// A control plane that runs without a cluster.
pub struct Standalone {
    plane: Plane,
    statuses: watch::Receiver<Statuses>,
    problems: watch::Receiver<Arc<[Problem]>>,
    // Ends with the handle.
    _tasks: JoinSet<()>,
}

impl Standalone {
    /// Starts it. It runs until `shutdown`; then [`stopped`](Self::stopped) returns.
    ///
    /// # Errors
    /// When the socket, the state folder or the folder of manifests is not to be had.
    pub async fn start(config: Config, shutdown: &CancellationToken) -> Result<Self, Error> {
        let (problems, told) = watch::channel(Arc::from([]));
        let files = folder::Files::open(&config.input)?;
        let shared = Shared::with(config.plane.authority()?);
        let door = Door::Socket(config.plane.socket);
        let (plane, orders) = Plane::start(door, shared, [Source::Manifests], LIMITS, shutdown)?;
        let (board, statuses) = board::Board::new(plane.messages.clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(board.keep(orders));
        tasks.spawn(folder::follow(files, plane.messages.clone(), problems));
        Ok(Self { plane, statuses, problems: told, _tasks: tasks })
    }

    /// The status of each object, and each change of them.
    pub fn statuses(&self) -> watch::Receiver<Statuses> {
        self.statuses.clone()
    }

    /// What is wrong with the files, and each change of that.
    pub fn problems(&self) -> watch::Receiver<Arc<[Problem]>> {
        self.problems.clone()
    }

    /// Waits, after the shutdown was asked for, until all is ended.
    ///
    /// # Errors
    /// When a part of it broke down.
    pub async fn stopped(self) -> Result<(), Error> {
        Ok(self.plane.stopped().await?)
    }
}
