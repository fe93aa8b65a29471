//! `smidge run`: the control plane without a cluster.

use std::{io::Read, path::Path, process::ExitCode, time::Duration};

use anyhow::Context;
use smidge_operator::standalone::{Config, Input, Standalone};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{args::Run, logging, screen::Screen, signals, status_file::StatusFile};

pub(crate) fn run(args: &Run) -> anyhow::Result<ExitCode> {
    logging::start(args.log_json, "warn");
    let config = Config { plane: args.plane(), input: input(&args.input)? };
    let file = args.status.clone().map(StatusFile::new);
    tokio::runtime::Runtime::new()?.block_on(async {
        let shutdown = signals::shutdown()?;
        if let Some(duration) = args.duration {
            end_after(duration, shutdown.clone());
        }
        let standalone = Standalone::start(config, &shutdown).await?;
        show(&standalone, file, &shutdown).await?;
        standalone.stopped().await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn input(path: &Path) -> anyhow::Result<Input> {
    if path != Path::new("-") {
        return Ok(Input::Folder(path.to_owned()));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read manifests from standard input")?;
    Ok(Input::Text(text))
}

fn end_after(duration: Duration, shutdown: CancellationToken) {
    tokio::spawn(async move {
        tokio::time::sleep(duration).await;
        shutdown.cancel();
    });
}

/// Shows each change of the statuses and of what is wrong with the files, until the shutdown.
async fn show(standalone: &Standalone, file: Option<StatusFile>, shutdown: &CancellationToken) -> anyhow::Result<()> {
    let (mut statuses, mut problems) = (standalone.statuses(), standalone.problems());
    let mut screen = Screen::new();
    while !shutdown.is_cancelled() {
        let (now, wrong) = (statuses.borrow_and_update().clone(), problems.borrow_and_update().clone());
        screen.show(&now, &wrong)?;
        if let Some(file) = &file {
            file.write(&now)?;
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = change(&mut statuses) => {}
            () = change(&mut problems) => {}
        }
    }
    Ok(())
}

/// The next change. What cannot change any more, as the problems of standard input, never does.
async fn change<T>(told: &mut watch::Receiver<T>) {
    if told.changed().await.is_err() {
        std::future::pending().await
    }
}
