//! What is made of the arguments' own description: `smidge completion`, and the manual pages.

use std::{fs, path::Path, process::ExitCode};

use anyhow::Context;
use clap_complete::Shell;

use crate::args::command;

/// Prints what a shell has to know to complete the arguments.
pub(crate) fn run(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "smidge", &mut script);
    std::io::Write::write_all(&mut std::io::stdout().lock(), &script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a manual page for each command into a folder.
pub(crate) fn man(folder: &Path) -> anyhow::Result<ExitCode> {
    let pages = fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command(), folder));
    pages.with_context(|| format!("cannot write manual pages into {}", folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
