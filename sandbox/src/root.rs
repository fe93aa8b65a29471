//! Being root: the machine's, or that of a user namespace, which is enough for all that a sandbox does.

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use nix::unistd::geteuid;

use crate::{Error, holder::spawn_error};

/// A user namespace in which the own user is root, and Envoy and apps are users of its subordinate ids.
const UNSHARE: [&str; 4] = ["--user", "--map-root-user", "--map-auto", "--"];

/// Goes on as root: at once where this is root already, else by running this program again, from its beginning, in a
/// user namespace. To be called before anything else is done.
///
/// # Errors
/// [`Error::NotRoot`] where the user may have no such namespace.
pub fn become_root() -> Result<(), Error> {
    if geteuid().is_root() {
        return Ok(());
    }
    let program = env::current_exe().map_err(Error::io("find this program"))?;
    let mut trial = Command::new("unshare");
    let trial = trial.args(UNSHARE).arg("true").stdin(Stdio::null()).output().map_err(spawn_error("unshare"))?;
    if !trial.status.success() {
        return Err(Error::NotRoot { why: String::from_utf8_lossy(&trial.stderr).trim().to_string() });
    }
    let source = Command::new("unshare").args(UNSHARE).arg(program).args(env::args_os().skip(1)).exec();
    Err(spawn_error("unshare")(source))
}

/// # Errors
/// [`Error::NotRoot`].
pub(crate) fn require() -> Result<(), Error> {
    if geteuid().is_root() { Ok(()) } else { Err(Error::NotRoot { why: "the user is another one".into() }) }
}
