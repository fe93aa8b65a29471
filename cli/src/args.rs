//! What can be asked of `smidge`: one variant per command; what each takes is in a module by theme.

mod ask;
mod install;
mod manifests;
#[cfg(test)]
mod page;
mod plane;
pub(crate) mod reads;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    authz, bug_report, cluster, completion, crds, describe, diff, inject, lint, mode, operator, proxy, rotate, run,
    status, translate, upgrade, version,
};
pub(crate) use ask::{Authz, Describe, Shape};
pub(crate) use install::{Install, Rotate, RotateRoot, RotateStatus, Uninstall, Version};
pub(crate) use manifests::{Findings, Form, Lint, Translate};
pub(crate) use plane::{Operator, Run};

/// A service mesh for the Service Mesh Interface on stock Envoy.
#[derive(Debug, Parser)]
#[command(name = "smidge", version)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 all is well; 1 the command failed; 2 the arguments are wrong.";

const DIFF_CODES: &str = "Exit codes: 0 the proxy is in step; 1 something is missing, extra or different, or the command \
                          failed; 2 the arguments are wrong.";

/// Under this name kubectl runs it, as `kubectl smidge`.
const PLUGIN: &str = "kubectl-smidge";

/// All commands; each says what its exit codes mean.
pub(crate) fn command() -> clap::Command {
    explained(Args::command())
}

fn explained(command: clap::Command) -> clap::Command {
    let command = command.mut_subcommands(explained);
    if command.get_after_help().is_some() { command } else { command.after_help(EXIT_CODES) }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control plane of a cluster (KUBECONFIG, or the pod's service account)
    Operator(Operator),
    /// Run the control plane without a cluster, over a folder of manifests
    Run(Run),
    /// Print what a proxy gets
    Translate(Translate),
    /// Look for mistakes in manifests; exit code 1 when there are errors
    Lint(Lint),
    /// Say whether one service account may call another, and what decides it
    ///
    /// Judged by what Envoy is given: from the cluster that kubectl would use, or from manifests alone. With --method, --path or
    /// --header a request is judged, without them whatever may be called for.
    Authz(Authz),
    /// Say what SMI says about an object: who may call it, what is split, what is wrong with it
    Describe(Describe),
    /// Install the control plane on the cluster that kubectl would use
    Install(Install),
    /// Install this version over the one that is there
    ///
    /// Images of the control plane that came from a registry of your own come from there again, with this version's tag; an Envoy of
    /// your own stays, and so does the number of replicas. Running pods keep their sidecars. Fails where nothing is installed.
    Upgrade(Install),
    /// Remove the control plane; CRDs and what users wrote stay
    Uninstall(Uninstall),
    /// Say whether the cluster is fit for the mesh, and whether the mesh on it works
    ///
    /// A line for each thing looked at: ✓ it is as it should be; ! it works, but not as one would expect, and why; ✗ it does not
    /// work, and what to do. Exit code 1 when there is a ✗.
    Check,
    /// Put the sidecar into the pods and workload templates of manifests; prints all of their objects
    ///
    /// For clusters where no webhook may change pods. It is the webhook's own patch, with the Namespaces and the MeshConfig among the
    /// files; a namespace that is not among them is taken to be in the mesh, and has to have its label smidge.dev/inject=enabled on
    /// the cluster. An annotation keeps how to undo it. Exit code 1 when the mesh refuses a pod.
    Inject(reads::Inject),
    /// Take out of manifests what smidge inject has put in; exit code 1 when that was edited since
    Uninject(reads::Uninject),
    /// Change what happens to calls that nothing allows: audit, deny or allow
    ///
    /// Prints the mode before and after, and what that means. From allow to deny one goes by audit: its counters say who would be
    /// refused.
    Mode(reads::Mode),
    /// Say how the control plane is and whether each proxy has what it should
    ///
    /// A line for each replica, and one for each proxy: synced; stale, which lacks the newest so far; rejected, which keeps the last
    /// good form of what it has rejected (Envoy's words are below the table); not connected, whose pod is Ready and whom no
    /// replica serves. BEHIND counts publications. Exit code 1 when one is rejected or not connected, or a replica does not answer.
    Status(reads::Status),
    /// Say what the Envoy of a pod has: clusters, routes, listeners, endpoints, secrets, its log
    ///
    /// Asked by a port-forward of the part of Envoy's admin interface that is for reading, so it takes the right to forward ports
    /// of the pod (pods/portforward).
    #[command(subcommand)]
    Proxy(reads::Proxy),
    /// Compare what the Envoy of a pod has with what the objects of the cluster say that it should have
    ///
    /// What it should have is compiled here, by the control plane's own engine, so it takes the right to list what the mesh consists
    /// of. A proxy's own certificate is not compared, nor is the health of endpoints. Exit code 1 when something is missing, extra or
    /// different.
    #[command(after_help = DIFF_CODES)]
    Diff(reads::Of),
    /// Gather what those who look for a fault ask for, in one archive
    ///
    /// Versions, findings of check, the control plane's objects and logs, SMI objects with their statuses, the state of all proxies,
    /// and of those that are not in order what they have and say. Secrets and ConfigMaps are not read; keys, tokens, certificates,
    /// values of environment variables and annotations of others are taken out.
    BugReport(reads::BugReport),
    /// Replace what the mesh trusts, while it runs
    #[command(subcommand)]
    Rotate(Rotate),
    /// Print the CustomResourceDefinitions, for kubectl apply -f -
    Crds,
    /// Print the version
    Version(Version),
    /// Print what a shell needs to complete the arguments
    ///
    /// For example, in ~/.bashrc: source <(smidge completion bash)
    Completion {
        /// Which shell
        shell: Shell,
    },
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man {
        /// Where to
        folder: PathBuf,
    },
}

impl Args {
    /// Reads the arguments; what is wrong with them is told in the words of whoever was called.
    pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.collect();
        let own = arguments.first().and_then(|path| Path::new(path).file_stem());
        let is_plugin = own.is_some_and(|name| name == PLUGIN);
        let command = command().bin_name(if is_plugin { "kubectl smidge" } else { "smidge" });
        Self::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    /// Does what was asked.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Operator(operator) => operator::run(&operator),
            Command::Run(run) => run::run(&run),
            Command::Translate(translate) => translate::run(&translate),
            Command::Lint(lint) => lint::run(&lint),
            Command::Authz(authz) => authz::run(&authz),
            Command::Describe(describe) => describe::run(&describe),
            Command::Install(install) => cluster::install_it(&install, &install.options()),
            Command::Upgrade(install) => upgrade::run(&install),
            Command::Uninstall(uninstall) => cluster::uninstall(&uninstall),
            Command::Check => cluster::check_it(),
            Command::Inject(args) => inject::run(&args),
            Command::Uninject(args) => inject::take_out(&args),
            Command::Mode(args) => mode::run(&args),
            Command::BugReport(args) => bug_report::run(&args),
            Command::Diff(args) => diff::run(&args),
            Command::Status(args) => status::run(&args),
            Command::Proxy(args) => proxy::run(&args),
            Command::Rotate(Rotate::Root(args)) => rotate::root(&args),
            Command::Rotate(Rotate::Status(args)) => rotate::status(&args),
            Command::Crds => crds::run(),
            Command::Version(version) => version::run(&version),
            Command::Completion { shell } => completion::run(shell),
            Command::Man { folder } => completion::man(&folder),
        }
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("write a whole number and s, m or h, such as 20s".to_owned()),
    };
    let number: u64 = number.parse().map_err(|error| format!("{error}"))?;
    number.checked_mul(seconds).map(Duration::from_secs).ok_or_else(|| "too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_fit_together() {
        command().debug_assert();
    }

    #[test]
    fn as_a_plugin_it_goes_by_kubectls_name() {
        let usage = |own: &str| {
            let arguments = [own, "describe", "--help"].map(OsString::from);
            Args::read(arguments.into_iter()).unwrap_err().to_string()
        };
        assert!(usage("/opt/kubectl-smidge").contains("Usage: kubectl smidge describe"));
        assert!(usage("./smidge").contains("Usage: smidge describe"));
    }

    #[test]
    fn every_command_says_what_its_exit_codes_mean() {
        let commands: Vec<_> =
            command().get_subcommands().map(|one| one.clone().render_long_help().to_string()).collect();
        assert!(commands.iter().all(|help| help.contains("Exit codes: 0 ")), "{commands:#?}");
    }

    #[test]
    fn a_duration_has_a_unit() {
        assert_eq!(parse_duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        for wrong in ["20", "s", "1d", "-1s", "99999999999999999999s", "18446744073709551615h"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }
}
