//! A program that runs beside a test and never outlives it: killed when dropped, and by the kernel when the test's process ends
//! in whatever way. In goes a command line, out goes a handle to stop, pause and end it; what it prints is in a log file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};

use anyhow::{Context, Result, anyhow};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A running program.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts `command`, with its output appended to `log`.
    pub fn start(name: &str, command: &Command, log: &Path) -> Result<Daemon> {
        let output = File::options().create(true).append(true).open(log).with_context(|| log.display().to_string())?;
        let mut bound = bound_to_us(command);
        bound.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = spawn(bound).with_context(|| format!("cannot start {name}"))?;
        Ok(Daemon { name: name.to_owned(), child, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().try_into()?);
        kill(pid, signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// An error with the end of its log when it has ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(anyhow!("{} ended with {status}; its log ends so:\n{}", self.name, self.log_end())),
        }
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (`SIGTERM`) and waits until it has.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        self.wait()
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait()?)
    }

    /// The last lines that it printed.
    pub fn log_end(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Nothing can be done about an error here: either it has ended already, or the kernel will end it with us.
        let _ = self.kill();
    }
}

/// The same command under `setpriv`, so that the kernel kills it when its parent ends; in a group of its own, so that a
/// Ctrl-C reaches the test first and the test's end reaches it.
fn bound_to_us(command: &Command) -> Command {
    use std::os::unix::process::CommandExt;
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(name, value),
            None => bound.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bound.current_dir(folder);
    }
    bound.process_group(0);
    bound
}

type Order = (Command, Sender<std::io::Result<Child>>);

/// The kernel's "parent" is the thread that spawned, and the threads of tests end: so one thread that never ends spawns all.
static KEEPER: LazyLock<Sender<Order>> = LazyLock::new(|| {
    let (orders, inbox) = channel::<Order>();
    std::thread::spawn(move || {
        for (mut command, reply) in inbox {
            let _ = reply.send(command.spawn());
        }
    });
    orders
});

fn spawn(command: Command) -> Result<Child> {
    let (reply, answer) = channel();
    KEEPER.send((command, reply)).map_err(|_| anyhow!("the keeper thread has ended"))?;
    Ok(answer.recv()??)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(script: &str, log: &Path) -> Daemon {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Daemon::start("sh", &command, log).unwrap()
    }

    #[test]
    fn it_outlives_the_thread_that_asked_for_it_but_not_its_handle() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut daemon = std::thread::spawn(move || start("exec cat /dev/zero > /dev/null", &log)).join().unwrap();
        daemon.check().unwrap();
        let pid = daemon.pid();
        drop(daemon);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn an_early_end_is_told_with_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut daemon = start("echo no such port >&2; exit 3", &folder.path().join("log"));
        daemon.child.wait().unwrap();
        let error = daemon.check().unwrap_err().to_string();
        assert_eq!(error, "sh ended with exit status: 3; its log ends so:\nno such port");
    }
}
