//! `smidge rotate root`: asks for a new root and shows how the rotation goes on. The leader does it; this one may go away.

use std::{process::ExitCode, time::Duration};

use smidge_operator::{
    cluster::connect,
    custody::{Requested, RotationStatus, request_rotation, rotation, rotation_status},
    identity::roots::Phase,
};

use crate::{
    args::{RotateRoot, RotateStatus},
    seen::runtime,
};

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
    runtime()?.block_on(async {
        let (client, _) = connect().await?;
        let Requested { request, is_new } = request_rotation(client.clone(), &args.namespace).await?;
        if !is_new {
            println!("! the rotation asked for at {request} is still under way: no other begins before it is done");
        }
        if args.no_wait {
            let asked = if is_new { format!("✓ {}; ", STEPS[0].0) } else { String::new() };
            println!("{asked}`smidge rotate status` shows how it goes on");
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

pub(crate) fn status(args: &RotateStatus) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let (client, _) = connect().await?;
        print!("{}", shown(&rotation_status(client, &args.namespace).await?));
        Ok(ExitCode::SUCCESS)
    })
}

fn shown(status: &RotationStatus) -> String {
    let waits: String = status.waits.iter().map(|what| format!("… waiting for {what}\n")).collect();
    let begun = status.begun.as_deref().unwrap_or("(no time)");
    let step = |done: &str, since| format!("rotation asked for at {begun}\n✓ since {since:.0}: {done}\n{waits}");
    match (status.phase, &status.asked, &status.begun) {
        (Phase::Introduced { since }, ..) => step(STEPS[1].0, since),
        (Phase::Signing { since }, ..) => step(STEPS[2].0, since),
        (Phase::Settled, Some(asked), _) => format!("rotation asked for at {asked}\n… waiting for the leader\n"),
        (Phase::Settled, None, Some(begun)) => {
            format!("no rotation is under way; the one asked for at {begun} is done\n")
        }
        (Phase::Settled, None, None) => "no rotation is under way, and there has been none\n".to_owned(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_the_step_and_what_it_waits_for() {
        let since = "2027-01-15T08:00:00Z".parse().unwrap();
        let status = |phase, begun: Option<&str>, asked: Option<&str>, waits: &[&str]| {
            let owned = |text: Option<&str>| text.map(str::to_owned);
            let waits = waits.iter().map(|text| (*text).to_owned()).collect();
            shown(&RotationStatus { phase, begun: owned(begun), asked: owned(asked), waits })
        };
        let expected = "rotation asked for at T\n✓ since 2027-01-15T08:00:00Z: the new root signs; the old one is still \
                        trusted\n… waiting for 2 proxies\n… waiting for the kubelets\n";
        let signing = Phase::Signing { since };
        assert_eq!(status(signing, Some("T"), None, &["2 proxies", "the kubelets"]), expected);
        assert!(status(Phase::Settled, None, Some("T"), &[]).contains("waiting for the leader"));
        assert!(status(Phase::Settled, Some("T"), None, &[]).contains("the one asked for at T is done"));
        assert!(status(Phase::Settled, None, None, &[]).contains("there has been none"));
    }
}
