//! Container images without a registry: from programs and files of this machine to a one-layer archive in the cache that
//! `ctr images import` (or `docker load`, `kind load image-archive`) takes.
//!
//! An archive's file name ends in a digest of what it was made from (paths, lengths, times of change), so it is made anew when
//! a program was built anew, and found again otherwise.

mod archive;
mod libraries;
mod recipes;

pub use recipes::EVERY;
pub(crate) use recipes::USUAL;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use ring::digest::{SHA256, digest};
use smidge_sandbox::cache_folder;

/// Archives that no run has made or used for so long are removed.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// What an image shall hold.
#[derive(Clone, Debug)]
pub struct Image {
    name: &'static str,
    entries: Vec<Entry>,
    entrypoint: Vec<String>,
    /// The name that manifests for users give it.
    alias: Option<&'static str>,
}

/// One entry of the layer.
#[derive(Clone, Debug)]
struct Entry {
    /// Relative to the root.
    target: PathBuf,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    /// A file as it is, links followed.
    File(PathBuf),
    Text(String),
    Link(PathBuf),
    Folder {
        mode: u32,
    },
}

impl Image {
    /// An image with what every program expects: users, `/tmp`, places to mount on.
    fn new(name: &'static str) -> Self {
        let mut image = Self { name, entries: Vec::new(), entrypoint: Vec::new(), alias: None };
        for folder in ["etc", "proc", "sys", "dev", "run", "var", "usr", "usr/bin"] {
            image.add(folder, Content::Folder { mode: 0o755 });
        }
        image.add("tmp", Content::Folder { mode: 0o1777 });
        for (link, target) in [("bin", "usr/bin"), ("sbin", "usr/bin"), ("usr/sbin", "bin"), ("var/run", "/run")] {
            image.add(link, Content::Link(target.into()));
        }
        image
            .text("etc/passwd", "root:x:0:0::/:/bin/sh\nproxy:x:1337:1337::/:\nnobody:x:65534:65534::/:\n")
            .text("etc/group", "root:x:0:\nproxy:x:1337:\nnogroup:x:65534:\n")
    }

    /// A program in `/usr/bin`, with the libraries that it loads.
    fn program(mut self, name: &str, path: &Path) -> Result<Self> {
        self = self.libraries_of(path)?;
        self.add(Path::new("usr/bin").join(name), Content::File(path.to_owned()));
        Ok(self)
    }

    fn libraries_of(mut self, path: &Path) -> Result<Self> {
        for library in libraries::of(path)? {
            self.add(library.strip_prefix("/")?, Content::File(library.clone()));
        }
        Ok(self)
    }

    fn text(mut self, target: &str, text: &str) -> Self {
        self.add(target, Content::Text(text.to_owned()));
        self
    }

    /// All files below a folder of this machine, at the same place, but those whose name `leave_out` picks.
    fn tree(mut self, folder: &Path, leave_out: &dyn Fn(&str) -> bool) -> Result<Self> {
        for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if leave_out(&name) {
                continue;
            } else if path.is_dir() {
                self = self.tree(&path, leave_out)?;
            } else if path.is_file() {
                self.add(path.strip_prefix("/")?, Content::File(path.clone()));
            }
        }
        Ok(self)
    }

    fn entrypoint(mut self, program: &str) -> Self {
        self.entrypoint = vec![program.to_owned()];
        self
    }

    fn alias(mut self, name: &'static str) -> Self {
        self.alias = Some(name);
        self
    }

    fn add(&mut self, target: impl Into<PathBuf>, content: Content) {
        let target = target.into();
        if !self.entries.iter().any(|entry| entry.target == target) {
            self.entries.push(Entry { target, content });
        }
    }

    /// Its name in a cluster: `localhost/<name>:e2e`, or below the prefix `$SMIDGE_IMAGES`.
    pub fn reference(name: &str) -> String {
        let prefix = std::env::var("SMIDGE_IMAGES").ok().filter(|prefix| !prefix.is_empty());
        format!("{}/{name}:e2e", prefix.as_deref().unwrap_or("localhost"))
    }

    /// The archive; made if the cache does not have it.
    ///
    /// # Errors
    /// When a file that belongs into it cannot be read, or the cache not be written.
    pub fn archive(&self) -> Result<PathBuf> {
        let folder = cache_folder().join("images");
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}-{}.tar", self.name, self.key()?));
        match fs::File::options().append(true).open(&path) {
            // The time says when it was last of use.
            Ok(file) => file.set_modified(SystemTime::now())?,
            Err(_) => {
                let draft = tempfile::NamedTempFile::new_in(&folder)?;
                archive::write(self, draft.path())?;
                draft.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
                draft.persist(&path)?;
                remove_stale(&folder);
            }
        }
        Ok(path)
    }

    /// What it is made from, as 16 digits.
    fn key(&self) -> Result<String> {
        let mut text = format!("{} {:?} {:?}", Self::reference(self.name), self.entrypoint, self.alias);
        for entry in &self.entries {
            text += &format!("{:?}", entry);
            if let Content::File(path) = &entry.content {
                let file = fs::metadata(path).with_context(|| path.display().to_string())?;
                text += &format!("{} {:?}", file.len(), file.modified()?);
            }
        }
        Ok(hex(digest(&SHA256, text.as_bytes()).as_ref())[..16].to_owned())
    }
}

fn remove_stale(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|file| file.modified()).map(|time| time.elapsed().unwrap_or_default());
        if age.is_ok_and(|age| age > STALE) {
            // Whoever comes next tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_makes_another_image() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("app");
        fs::write(&file, "one").unwrap();
        let image = || {
            let mut image = Image::new("app");
            image.add("app", Content::File(file.clone()));
            image.key().unwrap()
        };
        let first = image();
        assert_eq!(first, image());
        fs::write(&file, "two!").unwrap();
        assert_ne!(first, image());
    }
}
