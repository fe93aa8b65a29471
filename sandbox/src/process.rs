//! A program that runs in a pod, its log, and the signals it is sent.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::process::Child;

use crate::{
    Error,
    family::{self, Guard},
    holder::spawn_error,
};

/// What a program that ran to its end left.
#[derive(Debug, Clone)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: String,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Output {
    /// Runs the command, which `nsenter` leads into namespaces, to its end.
    pub(crate) async fn of(name: &str, mut command: tokio::process::Command) -> Result<Self, Error> {
        let pipe = Stdio::piped;
        let child = command.stdin(Stdio::null()).stdout(pipe()).stderr(pipe()).spawn().map_err(spawn_error(name))?;
        let nsenter = child.id();
        let mut ended = std::pin::pin!(child.wait_with_output());
        // Declared after what it guards, and so dropped before.
        let mut guard = Guard(nsenter);
        let output = ended.as_mut().await.map_err(Error::io(format!("run {name}")))?;
        guard.0 = None;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self { status: output.status, stdout: text(&output.stdout), stderr: text(&output.stderr) })
    }
}

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    /// `nsenter`, which waits for the program: the program itself is its only child.
    nsenter: Child,
    log: PathBuf,
}

impl Process {
    /// Starts the command with its output appended to the file `log`.
    pub(crate) fn start(name: String, mut command: tokio::process::Command, log: PathBuf) -> Result<Self, Error> {
        let file = fs::File::options().create(true).append(true).open(&log).map_err(Error::io("open a log"))?;
        let second = file.try_clone().map_err(Error::io("open a log"))?;
        command.stdin(Stdio::null()).stdout(file).stderr(second);
        let nsenter = command.spawn().map_err(spawn_error(&name))?;
        Ok(Self { name, nsenter, log })
    }

    /// The program's name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file that holds what the program wrote, to both streams.
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// All that the program has written until now.
    pub fn log(&self) -> String {
        // Logs are shown to people: a byte that is no UTF-8 must not hide the rest.
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Stops the program where it is; it keeps its connections and reads nothing.
    pub fn pause(&self) -> Result<(), Error> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets a paused program go on.
    pub fn resume(&self) -> Result<(), Error> {
        self.signal(Signal::SIGCONT)
    }

    /// Asks the program to end, and waits until it has.
    pub async fn terminate(&mut self) -> Result<ExitStatus, Error> {
        self.signal(Signal::SIGTERM)?;
        self.wait().await
    }

    /// Ends the program at once, as `kill -9` does, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<(), Error> {
        if self.is_running() {
            self.signal(Signal::SIGKILL)?;
        }
        self.wait().await.map(|_| ())
    }

    /// Waits until the program has ended.
    pub async fn wait(&mut self) -> Result<ExitStatus, Error> {
        self.nsenter.wait().await.map_err(Error::io(format!("wait for {}", self.name)))
    }

    /// True while the program runs or is paused.
    pub fn is_running(&mut self) -> bool {
        matches!(self.nsenter.try_wait(), Ok(None))
    }

    /// Sends a signal to the program itself.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        let pid = self.pid()?;
        kill(pid, signal).map_err(|errno| Error::io(format!("send {signal} to {}", self.name))(errno.into()))
    }

    /// The program's pid as the owner sees it.
    pub fn pid(&self) -> Result<Pid, Error> {
        let what = || format!("find the process of {}", self.name);
        let gone = || Error::io(what())(io::ErrorKind::NotFound.into());
        let nsenter = self.nsenter.id().ok_or_else(gone)?;
        family::program_of(nsenter).map_err(Error::io(what()))?.ok_or_else(gone)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(nsenter) = self.nsenter.id() {
            family::end(nsenter);
        }
    }
}
