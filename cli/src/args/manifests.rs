//! What can be asked of manifests alone: `smidge translate`, `smidge lint`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};

#[derive(Debug, ClapArgs)]
pub(crate) struct Translate {
    /// File or folder of manifests, or - for standard input; may be given several times
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// The proxy: <pod>.<namespace>
    #[arg(long, value_name = "POD.NAMESPACE")]
    pub(crate) proxy: String,
    /// What to print
    #[arg(short, long, value_enum, default_value = "yaml")]
    pub(crate) output: Form,
}

/// How resources are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Form {
    /// Envoy's resources as YAML
    Yaml,
    /// Envoy's resources as JSON
    Json,
    /// The mesh from which they are made
    Mesh,
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Exit codes: 0 there is no error (there may be warnings); 1 there are errors; 2 the arguments are wrong."
)]
pub(crate) struct Lint {
    /// File or folder of manifests, or - for standard input; may be given several times
    #[arg(short, long = "file", required = true, value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Findings,
}

/// How findings are printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Findings {
    /// A line each: file:line, code, object, field, message
    Text,
    /// A list
    Json,
    /// SARIF 2.1.0, for code review tools: a rule for each code, with what to do
    Sarif,
}
