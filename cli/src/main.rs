//! The `smidge` command: arguments in, an exit code out; each subcommand is a module.
//!
//! Exit codes: 0 all is well; 1 the manifests hold errors (`lint`), or the command failed; 2 the arguments are wrong.

mod args;
mod crds;
mod lint;
mod logging;
mod operator;
mod run;
mod screen;
mod signals;
mod status_file;
mod translate;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    args::Args::parse().run().unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
