//! The Unix socket that proxies connect to. Private keys travel there: who may open it is decided here.

use std::{
    fs, io,
    os::unix::{
        fs::{DirBuilderExt, PermissionsExt, chown},
        net::UnixStream,
    },
    path::{Path, PathBuf},
};

use tokio::net::UnixListener;

/// Where the socket is, and for whom.
#[derive(Clone, Debug)]
pub struct Socket {
    /// Its path; the folder is made, for its owner (and group) alone, when it is not there.
    pub path: PathBuf,
    /// The group that may connect; `None`: nobody but the owner.
    pub group: Option<u32>,
}

/// No socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody answers there.
    #[error("another control plane already serves {path}: end it, or give another path with --xds-socket")]
    InUse {
        /// Where.
        path: PathBuf,
    },
    /// It cannot be made.
    #[error("cannot serve proxies on {path}: with --xds-socket give a path in a folder that this user may write to")]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Socket {
    /// Opens the socket. It appears under its name only once its mode is right, in place of one that a dead process
    /// has left, so that proxies never see it missing or closed to them.
    pub(crate) fn bind(&self) -> Result<UnixListener, Error> {
        let path = self.path.clone();
        if UnixStream::connect(&path).is_ok() {
            return Err(Error::InUse { path });
        }
        self.open().map_err(|source| Error::Io { path, source })
    }

    fn open(&self) -> io::Result<UnixListener> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        if !folder.as_os_str().is_empty() && !folder.exists() {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(if self.group.is_some() { 0o750 } else { 0o700 })
                .create(folder)?;
            chown(folder, None, self.group)?;
        }
        let temporary = self.path.with_extension(format!("{}.new", std::process::id()));
        // From a process of the same id that died just here.
        let _ = fs::remove_file(&temporary);
        let listener = UnixListener::bind(&temporary)?;
        self.show(&temporary).inspect_err(|_| {
            // What is told is why it could not be shown.
            let _ = fs::remove_file(&temporary);
        })?;
        Ok(listener)
    }

    fn show(&self, temporary: &Path) -> io::Result<()> {
        fs::set_permissions(temporary, fs::Permissions::from_mode(0o600))?;
        if self.group.is_some() {
            chown(temporary, None, self.group)?;
            fs::set_permissions(temporary, fs::Permissions::from_mode(0o660))?;
        }
        fs::rename(temporary, &self.path)
    }

    /// Takes the name away, for who ends in good order.
    pub(crate) fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the socket was gone already");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_socket_is_open_to_its_owner_alone_and_replaces_a_dead_one() {
        let folder = tempfile::tempdir().unwrap();
        let socket = Socket { path: folder.path().join("run/xds.sock"), group: None };
        let listener = socket.bind().unwrap();
        assert_eq!((mode(&socket.path), mode(socket.path.parent().unwrap())), (0o600, 0o700));
        assert!(matches!(socket.bind(), Err(Error::InUse { .. })));
        drop(listener);
        socket.bind().unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_cannot_be_made_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir(&path).unwrap();
        assert!(matches!(Socket { path, group: None }.bind(), Err(Error::Io { .. })));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
