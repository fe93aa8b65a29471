//! The demo: the bookstore as pods on this machine, under a control plane that watches this example's folder.
//!
//! ```text
//!  *.yaml ──→ smidge run ──→ Envoys of the pods            apps ──→ their logs ──→ tally ──→ screen
//!     └─────────────────────→ policy: what is expected ─────────────────────────────┴─────→ verdict
//! ```
//!
//! Exit code 0: what was measured fits the policy as it stood; 1: it does not, or the demo could not run.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Parser;

mod manifests;
mod policy;
#[path = "../record.rs"]
mod record;
mod run;
mod screen;
mod tally;
mod verdict;
mod world;

#[derive(Parser)]
#[command(name = "bookstore-demo", about = "The bookstore under Smidge, on this machine, without a cluster")]
struct Args {
    /// The folder of manifests that the control plane watches.
    #[arg(default_value = "examples/bookstore")]
    folder: PathBuf,
    /// End by itself after this long (20s, 2m), with a summary and a verdict.
    #[arg(long = "for", value_parser = duration)]
    for_: Option<Duration>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    // Before there are threads and open files: this may start the program anew.
    smidge_sandbox::become_root()?;
    let runtime = tokio::runtime::Runtime::new()?;
    let fits = runtime.block_on(run::run(&args.folder, args.for_))?;
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `20s`, `500ms`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("'{text}' is no duration such as 20s"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(60 * number)),
        _ => Err(format!("'{text}' is no duration: end it in ms, s or m")),
    }
}
