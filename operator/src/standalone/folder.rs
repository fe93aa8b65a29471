//! A folder of manifests: its files are read again whenever something in it stirs.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};

use super::{Input, Manifests, Problem};
use crate::message::{Message, Source};

/// An editor truncates, writes and renames: the folder is read once it has been quiet for so long …
const QUIET: Duration = Duration::from_millis(30);

/// … or after so many stirs, when it never is.
const STIRS: usize = 50;

/// The files of one moment, by path.
pub(super) type Texts = BTreeMap<PathBuf, String>;

/// The name that stands for standard input.
const STDIN: &str = "-";

/// The manifests cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder is not to be read.
    #[error("cannot read {path}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder cannot be watched.
    #[error("cannot watch {path} for changes")]
    Watch {
        /// Which.
        path: PathBuf,
        /// Why.
        source: notify::Error,
    },
}

/// The input, opened.
pub(super) struct Files {
    first: Texts,
    followed: Option<Followed>,
}

struct Followed {
    path: PathBuf,
    stirs: mpsc::Receiver<()>,
    _watcher: RecommendedWatcher,
}

impl Files {
    /// Begins to watch, then reads, so that nothing is missed in between.
    pub(super) fn open(input: &Input) -> Result<Self, Error> {
        match input {
            Input::Text(text) => Ok(Self { first: Texts::from([(STDIN.into(), text.clone())]), followed: None }),
            Input::Folder(path) => {
                let followed = Followed::start(path)?;
                Ok(Self { first: read_files(path)?, followed: Some(followed) })
            }
        }
    }
}

impl Followed {
    fn start(path: &Path) -> Result<Self, Error> {
        fs::metadata(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        let failed = |source| Error::Watch { path: path.to_owned(), source };
        let (stir, stirs) = mpsc::channel(1);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // A full channel has a stir in it already; reading files must not stir.
            if event.map_or(true, |event| !event.kind.is_access()) {
                let _ = stir.try_send(());
            }
        })
        .map_err(failed)?;
        watcher.watch(watched(path), RecursiveMode::Recursive).map_err(failed)?;
        Ok(Self { path: path.to_owned(), stirs, _watcher: watcher })
    }

    /// Waits until something has stirred and it is quiet again; `None`: it is not watched any more.
    async fn change(&mut self) -> Option<()> {
        self.stirs.recv().await?;
        for _ in 0..STIRS {
            if timeout(QUIET, self.stirs.recv()).await.is_err() {
                break;
            }
        }
        Some(())
    }
}

/// An editor replaces a file by another of its name: for a single file its folder has to be watched.
fn watched(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if path.is_file() && parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) if path.is_file() => parent,
        _ => path,
    }
}

/// Tells the loop what the files say, and again after each change, until nobody listens any more.
pub(super) async fn follow(files: Files, to: mpsc::Sender<Message>, problems: watch::Sender<Arc<[Problem]>>) {
    let mut manifests = Manifests::default();
    let mut messages = manifests.take_in(files.first);
    messages.push(Message::Listed(Source::Manifests));
    let mut followed = files.followed;
    loop {
        problems.send_replace(manifests.problems().into());
        for message in messages {
            if to.send(message).await.is_err() {
                return;
            }
        }
        let Some(folder) = &mut followed else { return };
        messages = loop {
            if folder.change().await.is_none() {
                return;
            }
            match read_files(&folder.path) {
                Ok(texts) => break manifests.take_in(texts),
                // Caught between two steps of whoever changes it, or taken away: what was there stays in force.
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "keeping what was read before"),
            }
        };
    }
}

/// Reads a file, or the manifests of a folder and its subfolders: `*.yaml`, `*.yml`, `*.json`, no hidden ones.
///
/// # Errors
/// When one of them cannot be read.
pub(super) fn read_files(path: &Path) -> Result<Texts, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Read { path, source }
    };
    let mut texts = Texts::new();
    if !path.is_dir() {
        texts.insert(path.to_owned(), fs::read_to_string(path).map_err(failed(path))?);
        return Ok(texts);
    }
    for entry in fs::read_dir(path).map_err(failed(path))? {
        let entry = entry.map_err(failed(path))?.path();
        match fs::metadata(&entry) {
            _ if is_hidden(&entry) => {}
            Ok(metadata) if metadata.is_dir() => texts.append(&mut read_files(&entry)?),
            Ok(_) if is_manifest(&entry) => {
                texts.insert(entry.clone(), fs::read_to_string(&entry).map_err(failed(&entry))?);
            }
            // Gone between two looks, or none of ours.
            _ => {}
        }
    }
    Ok(texts)
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_replaced_by_another_of_its_name_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "one").unwrap();
        let mut followed = Followed::start(&file).unwrap();
        fs::write(folder.path().join("a.yaml.new"), "two").unwrap();
        fs::rename(folder.path().join("a.yaml.new"), &file).unwrap();
        followed.change().await.unwrap();
        assert_eq!(read_files(&file).unwrap(), Texts::from([(file, "two".to_owned())]));
    }

    #[test]
    fn manifests_of_subfolders_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        for name in ["a.yaml", "b.json", "sub/c.yml", ".hidden.yaml", "notes.txt", "d.yaml~"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let texts: Vec<_> = read_files(folder.path()).unwrap().into_values().collect();
        assert_eq!(texts, ["a.yaml", "b.json", "sub/c.yml"]);
    }
}
