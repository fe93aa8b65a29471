//! The process that holds a set of namespaces, and the way into them. In go two scripts: what pid 1 of the namespaces does
//! first, and what is done outside once everything in them has ended.

use std::{
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
};

use nix::sched::{CloneFlags, setns};

use crate::{Error, Output, family};

/// The owner's pipe is standard input all the way down to a `cat` in the namespaces: when it closes, in whatever way the
/// owner has ended, pid 1 ends, the kernel ends everything else in there, and `unshare` and this shell come to their ends.
/// Pid 1 stays a shell: it has to reap whom others have left.
const HOLD: &str = r#"unshare --mount --net --pid --ipc --uts --kill-child --mount-proc -- sh -c "set -e
$1
echo ready
cat
exit 0" "$0"
eval "$2""#;

/// Namespaces of their own (mount, network, process, IPC, host name); they end, and all that runs in them, when this is
/// dropped or the process that owns it dies.
#[derive(Debug)]
pub struct Holder {
    shell: Child,
    unshare: u32,
}

impl Holder {
    /// Makes the namespaces. `begin` is a shell script that runs first in them, `$0` being `argument`; `after` runs outside
    /// when everything in them has ended, also when the owner was killed.
    ///
    /// # Errors
    /// [`Error::Failed`] when the namespaces are refused or `begin` fails; it has said why on standard error.
    pub fn new(argument: &str, begin: &str, after: &str) -> Result<Self, Error> {
        let mut shell = Command::new("sh")
            .args(["-c", HOLD, argument, begin, after])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            // Ctrl-C is for the owner, who may want to look at the sandbox before it ends.
            .process_group(0)
            .spawn()
            .map_err(spawn_error("sh"))?;
        let mut line = String::new();
        if let Some(stdout) = shell.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(Error::io("read from the sandbox's holder"))?;
        }
        let unshare = family::program_of(shell.id()).map_err(Error::io("find the sandbox's holder"))?;
        match (line.trim(), unshare) {
            ("ready", Some(unshare)) => Ok(Self { shell, unshare: unshare.as_raw().cast_unsigned() }),
            _ => {
                Err(Error::Failed { program: "unshare".into(), stderr: "the sandbox's namespaces were refused".into() })
            }
        }
    }

    /// `/proc/<pid>` of the process that is in the mount and network namespaces.
    fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.unshare))
    }

    /// A path inside the sandbox, seen from outside: bind mounts are visible only so.
    pub fn outside(&self, inner: &Path) -> PathBuf {
        let mut path = self.proc().join("root").into_os_string();
        path.push(inner);
        path.into()
    }

    /// Arguments of `nsenter` that lead into the namespaces.
    pub fn enter(&self) -> Vec<OsString> {
        self.enter_with_net(&self.proc().join("ns/net"))
    }

    /// Arguments of `nsenter` that lead into the sandbox, with the network of this file.
    /// Nothing is remounted, unlike by `ip netns exec`.
    pub(crate) fn enter_with_net(&self, net: &Path) -> Vec<OsString> {
        let ns = self.proc().join("ns");
        [("--mount=", ns.join("mnt")), ("--pid=", ns.join("pid_for_children")), ("--net=", net.to_path_buf())]
            .map(|(flag, path)| {
                let mut arg = OsString::from(flag);
                arg.push(path);
                arg
            })
            .into()
    }

    /// The pid of the process that keeps the namespaces; everything in them ends with it.
    pub fn pid(&self) -> u32 {
        self.unshare
    }

    /// Runs a program in the namespaces to its end, whatever its exit status. Dropping the future kills it.
    ///
    /// # Errors
    /// [`Error::Spawn`] if it cannot be started.
    pub async fn output(&self, command: &crate::Command) -> Result<Output, Error> {
        Output::of(&command.name(), command.inside(self.enter())).await
    }

    /// Starts a program in the namespaces; its output is appended to the file `log`.
    ///
    /// # Errors
    /// [`Error::Spawn`] if it cannot be started.
    pub fn spawn(&self, command: &crate::Command, log: &Path) -> Result<crate::Process, Error> {
        crate::Process::start(command.name(), command.inside(self.enter()), log.to_owned())
    }

    /// Runs `open` on a thread that has the network of the namespaces: the sockets it makes belong there for good.
    ///
    /// # Errors
    /// What `open` says, or that the namespaces have ended.
    pub fn inside<T: Send>(&self, open: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        in_network(&self.proc().join("ns/net"), open)
    }

    /// The file of the network namespace, to be joined with `setns`.
    pub fn network(&self) -> io::Result<fs::File> {
        fs::File::open(self.proc().join("ns/net"))
    }

    /// Runs a program of the system as root in the sandbox, with `input` on its standard input.
    pub(crate) fn run(&self, enter: Vec<OsString>, program: &[&str], input: &str) -> Result<(), Error> {
        let mut child = Command::new("nsenter")
            .args(enter)
            .arg("--")
            .args(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(spawn_error("nsenter"))?;
        let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().map_err(Error::io(format!("wait for {}", program.join(" "))))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_string();
            return Err(Error::Failed { program: program.join(" "), stderr });
        }
        written.map_err(Error::io(format!("write to {}", program.join(" "))))
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // Waiting closes the pipe: pid 1 ends, everything with it, and the shell does what is left to do.
        let _ = self.shell.wait();
    }
}

/// Runs `open` on a thread that has the network of the file `net`.
pub(crate) fn in_network<T: Send>(net: &Path, open: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let net = fs::File::open(net)?;
    // A thread of its own, which ends: a thread of the runtime would stay in that network.
    thread::scope(|scope| {
        let opened = scope.spawn(move || {
            setns(net, CloneFlags::CLONE_NEWNET)?;
            open()
        });
        opened.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Says which program could not be started.
pub(crate) fn spawn_error(program: &str) -> impl FnOnce(std::io::Error) -> Error {
    let program = program.to_string();
    move |source| Error::Spawn { program, source }
}
