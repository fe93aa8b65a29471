//! `smidge install`, `uninstall` and `check`: the way onto a cluster, off it, and whether it works.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use smidge_installer::{
    Options, Progress, Removal, Removing,
    check::{Verdict, check, left_behind},
    install, objects, remove,
};
use smidge_operator::cluster::connect;

use crate::{
    args::{Install, Uninstall},
    seen::runtime,
};

pub(crate) fn install_it(args: &Install, options: &Options) -> anyhow::Result<ExitCode> {
    let objects = objects(options)?;
    if args.dry_run {
        let mut out = std::io::stdout().lock();
        for object in &objects {
            writeln!(out, "---\n{}", serde_yaml::to_string(object)?.trim_end())?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let patience = (!args.no_wait).then_some(args.timeout);
    runtime()?.block_on(async {
        let (client, _) = connect().await?;
        install(&client, &objects, patience, |progress| match progress {
            Progress::Applied(what) | Progress::Available(what) | Progress::Migrated(what) => println!("✓ {what}"),
            Progress::Waiting(what) => println!("… waiting {what}"),
        })
        .await?;
        println!(
            "next: kubectl label namespace <name> smidge.dev/inject=enabled; smidge check says whether all is well"
        );
        Ok(ExitCode::SUCCESS)
    })
}

pub(crate) fn uninstall(args: &Uninstall) -> anyhow::Result<ExitCode> {
    let objects = objects(&Options::default())?;
    runtime()?.block_on(async {
        let (client, _) = connect().await?;
        let how = Removing { with_crds: args.crds, patience: args.timeout };
        remove(&client, &objects, how, |removal| match removal {
            Removal::Deleted(what) => println!("✓ deleted {what}"),
            Removal::Terminating(what) => println!("… waiting until {what} is gone (Terminating)"),
            Removal::Absent(what) => println!("✓ not there {what}"),
            Removal::Kept(what) => println!("• kept {what} (and its objects; --crds deletes them)"),
        })
        .await?;
        for sidecars in left_behind(&client).await.context("cannot look for pods that have sidecars")? {
            println!("{sidecars}");
        }
        Ok(ExitCode::SUCCESS)
    })
}

pub(crate) fn check_it() -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let (client, address) = connect().await?;
        let findings = check(&client).await.with_context(|| format!("the API server {address} does not answer"))?;
        let mut out = std::io::stdout().lock();
        for finding in &findings {
            writeln!(out, "{finding}")?;
        }
        let is_bad = findings.iter().any(|finding| matches!(finding.verdict, Verdict::Bad(_)));
        Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}
