//! Measures what two sidecars with mTLS add to a request: ours, served by `smidge run` with the bookstore's manifests, beside
//! the floor (a hand-written pair of Envoys that does mTLS and nothing else) and no proxy at all. No cluster is needed.
//!
//! All ways are open at once and take turns, so that what else the machine does meets each of them. Prints a table.

mod app;
mod floor;
mod load;
mod table;
mod usage;
mod ways;

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;

use crate::sidecar::{
    table::{Measured, print},
    ways::Ways,
};

/// What is measured.
#[derive(Clone, Debug, Parser)]
pub struct Args {
    /// How often each way has its turn at each rate
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds of a turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Requests a second
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1000], value_parser = clap::value_parser!(u32).range(1..))]
    rates: Vec<u32>,
    /// Connections of the client's app
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
}

/// Runs it; takes about rounds × seconds × 3 for each rate.
///
/// # Errors
/// When something cannot be started, or a request is not answered with 200.
pub async fn run(args: &Args) -> Result<()> {
    let mut ways = Ways::open(args.connections).await?;
    let at_rest = ways.memory()?;
    let turn = Duration::from_secs(args.seconds);
    for &rate in &args.rates {
        eprintln!("{rate} requests a second, {} rounds …", args.rounds);
        // Connections between the sidecars are made, caches are filled.
        for way in &mut ways.all {
            way.load(rate, turn.min(Duration::from_secs(2)))?;
        }
        print(rate, &rounds(args.rounds, rate, turn, &mut ways)?);
    }
    usage::print(&at_rest, &ways.memory()?);
    Ok(())
}

/// Every way has its turn in each round, in turned order in every second one.
fn rounds(rounds: u32, rate: u32, turn: Duration, ways: &mut Ways) -> Result<Vec<Measured>> {
    let mut measured: Vec<_> = ways.all.iter().map(|way| Measured::new(way.name)).collect();
    for round in 0..rounds {
        let mut order: Vec<_> = ways.all.iter_mut().zip(&mut measured).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for (way, measured) in order {
            measured.turns.push(way.load(rate, turn).with_context(|| way.name)?);
        }
    }
    Ok(measured)
}
