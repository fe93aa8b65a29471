//! A constant rate of requests over a few connections, each answer counted.

use std::time::Duration;

use serde::Serialize;
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};

use crate::{Counts, Load, Request, asked_to_end, client::Connection, print};

/// What happened so far. Printed every 200 ms as one line, and once more at the end with `done`.
#[derive(Debug, Default, Serialize)]
struct Summary {
    sent: u64,
    /// Answers that were not 2xx, and requests that got none.
    failed: u64,
    by_server: Counts,
    by_status: Counts,
    /// A few of the failures, in words.
    failures: Vec<String>,
    done: bool,
}

impl Summary {
    fn count(&mut self, outcome: Outcome) {
        self.sent += 1;
        match outcome {
            Outcome::Answer { status, server } => {
                *self.by_status.entry(status.to_string()).or_default() += 1;
                *self.by_server.entry(server).or_default() += 1;
                if !(200..300).contains(&status) {
                    self.fail(format!("status {status}"));
                }
            }
            Outcome::Broken(why) => self.fail(why),
        }
    }

    fn fail(&mut self, why: String) {
        self.failed += 1;
        if self.failures.len() < 10 {
            self.failures.push(format!("request {}: {why}", self.sent));
        }
    }
}

enum Outcome {
    Answer { status: u16, server: String },
    Broken(String),
}

/// Sends requests until SIGTERM or until their number is reached.
pub(crate) async fn run(load: Load) -> anyhow::Result<()> {
    let (outcomes, mut received) = mpsc::channel(1024);
    let (stop, stopped) = watch::channel(false);
    for _ in 0..load.connections {
        let pace = Duration::from_secs(1) * load.connections / load.rate.max(1);
        tokio::spawn(one_connection(load.request.clone(), pace, outcomes.clone(), stopped.clone()));
    }
    drop(outcomes);
    let limit = load.requests;
    let mut ended = std::pin::pin!(asked_to_end());
    let mut summary = Summary::default();
    let mut report = interval(Duration::from_millis(200));
    loop {
        tokio::select! {
            outcome = received.recv() => match outcome {
                Some(outcome) => summary.count(outcome),
                None => break,
            },
            _ = report.tick() => print(&summary)?,
            () = &mut ended, if !*stop.borrow() => { stop.send_replace(true); }
        }
        if limit.is_some_and(|limit| summary.sent >= limit) {
            stop.send_replace(true);
        }
    }
    summary.done = true;
    print(&summary)
}

async fn one_connection(
    request: Request,
    pace: Duration,
    outcomes: mpsc::Sender<Outcome>,
    stopped: watch::Receiver<bool>,
) {
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut connection = None;
    while !*stopped.borrow() {
        ticks.tick().await;
        let outcome = send(&mut connection, &request).await;
        if outcomes.send(outcome).await.is_err() {
            return;
        }
    }
}

/// Sends on the connection that is open, or on a new one. A proxy may close a connection between two requests, and
/// says so: such a close is no failure.
async fn send(connection: &mut Option<Connection>, request: &Request) -> Outcome {
    let mut open = match connection.take() {
        Some(open) => open,
        None => match Connection::open(request).await {
            Ok(open) => open,
            Err(error) => return Outcome::Broken(format!("{error:#}")),
        },
    };
    match open.send(request).await {
        Ok(answer) => {
            let closing = answer.headers.get("connection").is_some_and(|c| c.eq_ignore_ascii_case("close"));
            if !closing {
                *connection = Some(open);
            }
            Outcome::Answer { status: answer.status, server: answer.server }
        }
        Err(error) => Outcome::Broken(format!("{error:#}")),
    }
}
