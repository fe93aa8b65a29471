//! The sandbox's folder, and the folders that owners who were killed have left.
//!
//! An owner holds a lock on a file in its folder; the kernel drops the lock with the owner, so a folder whose lock can
//! be taken is a leftover. Processes and interfaces are never left: they end with the holder.

use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::Error;

const PREFIX: &str = "smidge-sandbox.";
const LOCK: &str = "owner.lock";

/// A folder that is removed with its owner. Every user may enter it; only the owner writes.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes the folder `smidge-sandbox.<name>.<random>` in the temporary directory.
    pub fn new(name: &str) -> Result<Self, Error> {
        let prefix = format!("{PREFIX}{name}.");
        let path = tempfile::Builder::new()
            .prefix(&prefix)
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(Error::io("make the sandbox's folder"))?
            .keep();
        let lock = File::create(path.join(LOCK)).map_err(Error::io("make the sandbox's lock"))?;
        lock.lock().map_err(Error::io("lock the sandbox's folder"))?;
        // Only now may others see into it: a sweep that meets an unlocked folder would remove it.
        fs::set_permissions(&path, Permissions::from_mode(0o755)).map_err(Error::io("open the sandbox's folder"))?;
        Ok(Self { path, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Nothing can be done about a failure here; the next sandbox's sweep tries again.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of sandboxes whose owner is dead; returns how many there were.
///
/// Folders of living sandboxes, also of other users, stay.
pub fn remove_leftovers() -> usize {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return 0 };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX))
        .filter(|entry| is_abandoned(&entry.path()))
        .filter(|entry| fs::remove_dir_all(entry.path()).is_ok())
        .count()
}

/// True if the folder's lock exists and nobody holds it. A folder without a lock is one being made at this moment.
fn is_abandoned(folder: &Path) -> bool {
    // The lock is opened for reading and never created: looking must not change what is looked at.
    File::open(folder.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}
