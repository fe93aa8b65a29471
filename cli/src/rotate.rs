//! `smidge rotate root`: asks for a new root and shows how the rotation goes on. The leader does it; this one may go away.

use std::{process::ExitCode, time::Duration};

use smidge_operator::{
    cluster::connect,
    custody::{request_rotation, rotation},
    identity::roots::Phase,
};

use crate::args::RotateRoot;

/// How often it looks how far the rotation is.
const LOOK: Duration = Duration::from_millis(500);

/// What has been done, and what is waited for then.
const STEPS: [(&str, &str); 4] = [
    ("asked for a new root", "for the leader"),
    ("introduced: the new root is trusted too, the old one signs", "until every proxy and every pod's volume has it"),
    ("the new root signs; the old one is still trusted", "until nobody has a certificate by the old one"),
    ("retired: the old root is not trusted any more", ""),
];

pub(crate) fn root(args: &RotateRoot) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (client, _) = connect().await?;
        let request = request_rotation(client.clone(), &args.namespace).await?;
        if args.no_wait {
            println!("✓ {}; the same command without --no-wait shows how it goes on", STEPS[0].0);
            return Ok(ExitCode::SUCCESS);
        }
        let mut shown = show(0..1);
        while shown < STEPS.len() {
            tokio::time::sleep(LOOK).await;
            let reached = reached(rotation(client.clone(), &args.namespace, &request).await?);
            shown = show(shown..reached.max(shown));
        }
        Ok(ExitCode::SUCCESS)
    })
}

/// How many of the steps are done.
fn reached(phase: Option<Phase>) -> usize {
    match phase {
        None => 1,
        Some(Phase::Introduced { .. }) => 2,
        Some(Phase::Signing { .. }) => 3,
        Some(Phase::Settled) => 4,
    }
}

fn show(steps: std::ops::Range<usize>) -> usize {
    let end = steps.end;
    let news = &STEPS[steps];
    news.iter().for_each(|(done, _)| println!("✓ {done}"));
    if let Some((_, next)) = news.last().filter(|(_, next)| !next.is_empty()) {
        println!("… waiting {next}");
    }
    end
}
