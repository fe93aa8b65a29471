//! `smidge crds`: the CustomResourceDefinitions, as one YAML stream.

use std::{io::Write, process::ExitCode};

pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for crd in smidge_crds::all() {
        writeln!(out, "---\n{}", smidge_crds::to_yaml(&crd)?.trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
