//! The `smidge` command: arguments in, an exit code out; each subcommand is a module.
//!
//! Exit codes: 0 all is well; 1 the manifests hold errors (`lint`), or the command failed; 2 the arguments are wrong.

mod args;
mod authz;
mod bug_report;
mod cluster;
mod columns;
mod completion;
mod crds;
mod describe;
mod diff;
mod forward;
mod inject;
mod lint;
mod logging;
mod mode;
mod operator;
mod output;
mod paint;
mod pods;
mod proxy;
mod rotate;
mod run;
mod sarif;
mod screen;
mod seen;
mod signals;
mod status;
mod status_file;
mod translate;
mod upgrade;
mod version;

use std::{io, process::ExitCode};

fn main() -> ExitCode {
    let args = match args::Args::read(std::env::args_os()) {
        Ok(args) => args,
        Err(error) => error.exit(),
    };
    args.run().unwrap_or_else(|error| {
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

/// Whether the reader of the output, such as `head`, has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |cause: &(dyn std::error::Error + 'static)| cause.downcast_ref::<io::Error>().map(io::Error::kind);
    error.chain().any(|cause| kind(cause) == Some(io::ErrorKind::BrokenPipe))
}
