//! `nsenter` and the program that it has forked: how the owner finds the one by the other, and ends both.
//!
//! The program is in another process namespace: it does not die with `nsenter`, and once that is dead, nobody finds it.

use std::{fs, io};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How often a stopped `nsenter` is looked at: a signal arrives before the next system call ends.
const LOOKS: usize = 10_000;

/// The program that `nsenter` runs; none yet if it is about to fork.
///
/// # Errors
/// When that `nsenter` has ended.
pub fn program_of(nsenter: u32) -> io::Result<Option<Pid>> {
    let children = fs::read_to_string(format!("/proc/{nsenter}/task/{nsenter}/children"))?;
    Ok(children.split_whitespace().next().and_then(|pid| pid.parse().ok()).map(Pid::from_raw))
}

/// Ends the program, for an owner who is about to end `nsenter`. When it is gone already, so is the program.
pub(crate) fn end(nsenter: u32) {
    let parent = Pid::from_raw(nsenter.cast_signed());
    // Stopped first: it must not fork between the look for its child and its own end.
    if kill(parent, Signal::SIGSTOP).is_err() {
        return;
    }
    for _ in 0..LOOKS {
        if is_stopped(nsenter) {
            break;
        }
        std::thread::yield_now();
    }
    if let Ok(Some(program)) = program_of(nsenter) {
        let _ = kill(program, Signal::SIGKILL);
    }
    let _ = kill(parent, Signal::SIGKILL);
}

/// True as well for one that has ended.
fn is_stopped(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // The name before the state is in parentheses and may hold anything.
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with(['T', 't', 'Z', 'X']))
}

/// Ends the program when it is dropped, unless told that it has ended.
pub(crate) struct Guard(pub(crate) Option<u32>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(nsenter) = self.0 {
            end(nsenter);
        }
    }
}
