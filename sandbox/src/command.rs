//! A program to be run inside the sandbox, and the command line that puts it there.

use std::{ffi::OsString, path::Path};

/// The user that apps run as unless told otherwise: an ordinary one, without capabilities.
pub const APP_UID: u32 = 65534;
/// Root inside the sandbox, for `tcpdump`, `nft` and the like.
pub const ROOT_UID: u32 = 0;

/// A program with its arguments, environment and user. Its environment holds nothing but `PATH` and what is set here.
#[derive(Debug, Clone)]
pub struct Command {
    program: OsString,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    uid: u32,
}

impl Command {
    /// A program by name (searched in `PATH`) or path, run as [`APP_UID`].
    ///
    /// A path must be one that this user may reach: see [`crate::Sandbox::program`].
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), args: Vec::new(), env: Vec::new(), uid: APP_UID }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs as this user. Everyone but root loses all capabilities.
    #[must_use]
    pub fn uid(mut self, uid: u32) -> Self {
        self.uid = uid;
        self
    }

    /// The name to show and to call the log by.
    pub(crate) fn name(&self) -> String {
        let path = Path::new(&self.program);
        path.file_name().unwrap_or(&self.program).to_string_lossy().into_owned()
    }

    /// The command that runs this one after `enter` has moved into the namespaces.
    pub(crate) fn inside(&self, enter: Vec<OsString>) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("nsenter");
        command.args(enter).arg("--").args(self.privileges()).arg(&self.program);
        command.args(&self.args).env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.envs(self.env.iter().map(|(name, value)| (name, value))).kill_on_drop(true).process_group(0);
        command
    }

    /// The command line before the program that gives up what this user shall not have.
    fn privileges(&self) -> Vec<String> {
        if self.uid == ROOT_UID {
            return Vec::new();
        }
        let user = [format!("--reuid={}", self.uid), format!("--regid={}", self.uid)];
        let caps = ["--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--"];
        let rest = ["--clear-groups"].into_iter().chain(caps).map(String::from);
        ["setpriv".to_string()].into_iter().chain(user).chain(rest).collect()
    }
}
