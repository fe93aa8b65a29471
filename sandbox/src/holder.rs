//! The process that holds a sandbox's namespaces, and the way into them.

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::Error;

/// Runs as pid 1 of the sandbox: makes the bridge, says so, then waits for the owner's end of the pipe to close.
/// `forward_delay` and `mcast_snooping` would hold back the first packets and neighbour discovery.
const PID_ONE: &str = "set -e
ip link set lo up
ip link add br0 type bridge forward_delay 0 mcast_snooping 0
ip link set br0 up
echo ready
exec cat";

/// The namespaces of one sandbox; they end when this is dropped or the process that owns it dies.
#[derive(Debug)]
pub(crate) struct Holder {
    unshare: Child,
}

impl Holder {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut unshare = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--ipc", "--uts", "--kill-child", "--mount-proc", "--", "sh", "-c"])
            .arg(PID_ONE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            // Ctrl-C is for the owner, who may want to look at the sandbox before it ends.
            .process_group(0)
            .spawn()
            .map_err(spawn_error("unshare"))?;
        let mut line = String::new();
        if let Some(stdout) = unshare.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(Error::io("read from the sandbox's holder"))?;
        }
        let holder = Self { unshare };
        match line.trim() {
            "ready" => Ok(holder),
            _ => {
                Err(Error::Failed { program: "unshare".into(), stderr: "the sandbox's namespaces were refused".into() })
            }
        }
    }

    /// `/proc/<pid>` of the process that is in the mount and network namespaces.
    fn proc(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.unshare.id()))
    }

    /// A path inside the sandbox, seen from outside: bind mounts are visible only so.
    pub(crate) fn outside(&self, inner: &Path) -> PathBuf {
        let mut path = self.proc().join("root").into_os_string();
        path.push(inner);
        path.into()
    }

    /// Arguments of `nsenter` that lead into the sandbox, with the bridge's network.
    pub(crate) fn enter(&self) -> Vec<OsString> {
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
        // `--kill-child` makes pid 1 die with `unshare`, and everything with pid 1.
        let _ = self.unshare.kill();
        let _ = self.unshare.wait();
    }
}

/// Says which program could not be started.
pub(crate) fn spawn_error(program: &str) -> impl FnOnce(std::io::Error) -> Error {
    let program = program.to_string();
    move |source| Error::Spawn { program, source }
}
