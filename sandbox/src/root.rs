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
    // First without the ids: where namespaces are forbidden, `unshare` would leave the process that sets the ids waiting.
    try_unshare(&["--user", "--"])?;
    try_unshare(&UNSHARE)?;
    let source = Command::new("unshare").args(UNSHARE).arg(program).args(env::args_os().skip(1)).exec();
    Err(spawn_error("unshare")(source))
}

fn try_unshare(args: &[&str]) -> Result<(), Error> {
    let mut command = Command::new("unshare");
    let trial = command.args(args).arg("true").stdin(Stdio::null()).output().map_err(spawn_error("unshare"))?;
    if trial.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&trial.stderr).trim().to_string();
    Err(Error::NotRoot { advice: advice(&why), why })
}

/// # Errors
/// [`Error::NotRoot`].
pub(crate) fn require() -> Result<(), Error> {
    if geteuid().is_root() {
        return Ok(());
    }
    Err(Error::NotRoot { why: "this is another user".into(), advice: "call become_root() first" })
}

/// What helps against what `unshare` says.
fn advice(why: &str) -> &'static str {
    if why.contains("failed to execute new") {
        "install newuidmap and newgidmap (Debian: apt-get install uidmap)"
    } else if why.contains("/etc/sub") {
        "give the user subordinate ids (usermod --add-subuids 100000-165535 --add-subgids 100000-165535 <user>)"
    } else {
        "allow user namespaces (sysctl: user.max_user_namespaces, kernel.unprivileged_userns_clone=1, \
         kernel.apparmor_restrict_unprivileged_userns=0)"
    }
}

#[cfg(test)]
mod tests {
    use super::advice;

    #[test]
    fn what_unshare_says_is_answered_by_what_to_do() {
        for (why, what) in [
            ("unshare: failed to execute newuidmap: No such file or directory", "uidmap"),
            ("unshare: no line matching user \"me\" in /etc/subuid: Success", "subordinate ids"),
            ("unshare: unshare failed: No space left on device", "user.max_user_namespaces"),
            ("unshare: unshare failed: Operation not permitted", "unprivileged_userns_clone"),
        ] {
            assert!(advice(why).contains(what), "{why}: {}", advice(why));
        }
    }
}
