//! One sandbox: a folder, a set of namespaces, and the pods in it.

use std::{
    fmt::Write,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{
    Error, Pod, PodSpec, Tool,
    envoy::{self, tail},
    holder::Holder,
    leftovers::Folder,
    remove_leftovers, root,
};

/// `forward_delay` and `mcast_snooping` would hold back the first packets and neighbour discovery.
const BRIDGE: &str = "ip link set lo up
ip link add br0 type bridge forward_delay 0 mcast_snooping 0
ip link set br0 up";
/// How much of each log a failing test shows.
const LAST_LINES: usize = 20;

/// A machine of its own for pods. Dropping the last of it and its pods ends all that runs in it.
#[derive(Debug, Clone)]
pub struct Sandbox {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    // Order matters: the namespaces end before the folder that is mounted in them is removed.
    pub(crate) holder: Holder,
    pub(crate) folder: Folder,
    next: AtomicUsize,
    envoy: OnceLock<PathBuf>,
}

impl Sandbox {
    /// Makes the namespaces and the bridge. `name` shows in the folder's name only.
    ///
    /// # Errors
    /// [`Error::NotRoot`] without root, [`Error::Spawn`] if a program of the system is missing.
    pub fn new(name: &str) -> Result<Self, Error> {
        root::require()?;
        remove_leftovers();
        let folder = Folder::new(name)?;
        for sub in ["net", "log", "bin"] {
            fs::create_dir(folder.path().join(sub)).map_err(Error::io("make the sandbox's folders"))?;
        }
        let holder = Holder::new("sandbox", BRIDGE, "")?;
        let sandbox =
            Self { inner: Arc::new(Inner { holder, folder, next: AtomicUsize::new(1), envoy: OnceLock::new() }) };
        sandbox.set_hosts(&[])?;
        // No name server: an unknown name fails at once, where the host's servers would be waited for in vain.
        fs::write(sandbox.folder().join("resolv.conf"), "").map_err(Error::io("write the sandbox's resolv.conf"))?;
        for file in ["hosts", "resolv.conf"] {
            sandbox.bind(&sandbox.folder().join(file), &Path::new("/etc").join(file))?;
        }
        Ok(sandbox)
    }

    /// A folder that owner and pods see at the same path, and every user of the sandbox may enter:
    /// the place for the control plane's socket. It goes away with the sandbox.
    pub fn folder(&self) -> &Path {
        self.inner.folder.path()
    }

    /// Makes a pod, with its Envoy started if it has a sidecar. Does not wait until the Envoy is ready.
    ///
    /// # Errors
    /// When the network is refused, two pods have one name, or no Envoy is found.
    pub fn pod(&self, spec: PodSpec) -> Result<Pod, Error> {
        Pod::new(self.clone(), spec)
    }

    /// Sets the names that all pods can resolve (there is no DNS): `/etc/hosts` inside the sandbox.
    pub fn set_hosts(&self, hosts: &[(IpAddr, String)]) -> Result<(), Error> {
        let mut text = String::from("127.0.0.1 localhost\n::1 localhost\n");
        for (ip, names) in hosts {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{ip} {names}");
        }
        // Written in place: the file is mounted, a new one of the same name would not be seen.
        fs::write(self.folder().join("hosts"), text).map_err(Error::io("write the sandbox's hosts"))
    }

    /// Makes a program of the host reachable for every user of the sandbox, wherever it lies (a home folder
    /// is closed to others), and returns the path to start it by.
    pub fn program(&self, path: &Path) -> Result<PathBuf, Error> {
        let name = path.file_name().unwrap_or_default();
        let target = self.folder().join("bin").join(format!("{}-{}", self.next(), name.to_string_lossy()));
        fs::File::create(&target).map_err(Error::io("make a mount point"))?;
        self.bind(path, &target)?;
        Ok(target)
    }

    /// Lets the sandbox's Envoys connect to a control plane's Unix socket that root has made.
    pub fn open_socket(&self, socket: &Path) -> Result<(), Error> {
        envoy::open_socket(socket)
    }

    /// The path to start Envoy by.
    pub(crate) fn envoy(&self) -> Result<PathBuf, Error> {
        if let Some(path) = self.inner.envoy.get() {
            return Ok(path.clone());
        }
        let path = self.program(&Tool::Envoy.path()?)?;
        Ok(self.inner.envoy.get_or_init(|| path).clone())
    }

    /// Shows `source` at `target`, inside the sandbox only.
    fn bind(&self, source: &Path, target: &Path) -> Result<(), Error> {
        let (source, target) = (source.to_string_lossy(), target.to_string_lossy());
        let holder = &self.inner.holder;
        holder.run(holder.enter(), &["mount", "--bind", &source, &target], "")
    }

    /// A number that no other thing of this sandbox has.
    pub(crate) fn next(&self) -> usize {
        self.inner.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Drop for Inner {
    /// A test that fails takes the logs with it: their ends are shown while they are still there.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        for log in fs::read_dir(self.folder.path().join("log")).into_iter().flatten().flatten() {
            let text = fs::read(log.path()).unwrap_or_default();
            eprintln!("--- {}\n{}", log.file_name().display(), tail(&String::from_utf8_lossy(&text), LAST_LINES));
        }
    }
}
