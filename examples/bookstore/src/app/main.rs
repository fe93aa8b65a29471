//! The bookstore's apps, all in one binary: two kinds of customers, the store, and the warehouse behind it.
//!
//! Each app writes one line of JSON for each call that it makes (see `record.rs`). None knows that there is a mesh.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use clap::{Parser, Subcommand};
use hyper::Uri;
use tokio::signal::unix::{SignalKind, signal};

mod buyer;
mod caller;
#[path = "../record.rs"]
mod record;
mod store;
mod warehouse;

#[derive(Parser)]
#[command(name = "bookstore", about = "The apps of the bookstore example")]
struct Args {
    #[command(subcommand)]
    app: App,
}

#[derive(Subcommand)]
enum App {
    /// Buys books, again and again.
    Buyer(Customer),
    /// Does what the buyer does, under another service account.
    Thief(Customer),
    /// Sells books, and restocks them from the warehouse.
    Store {
        /// The name it answers by, in the header `identity`.
        #[arg(long)]
        name: String,
        /// Where to listen.
        #[arg(long, default_value = "[::]:14001")]
        listen: SocketAddr,
        /// The warehouse.
        #[arg(long, default_value = "http://bookwarehouse:14001")]
        warehouse: Uri,
    },
    /// Hands out books to stores.
    Warehouse {
        /// Where to listen.
        #[arg(long, default_value = "[::]:14001")]
        listen: SocketAddr,
    },
}

#[derive(clap::Args)]
struct Customer {
    /// The store.
    #[arg(long, default_value = "http://bookstore:14001")]
    store: Uri,
    /// How many books to buy in a second.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    per_second: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    // As the first process of a container this one is not ended by SIGTERM unless it listens to it.
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        result = run(Args::parse().app) => result,
        _ = terminate.recv() => Ok(()),
    }
}

async fn run(app: App) -> Result<()> {
    match app {
        App::Buyer(Customer { store, per_second }) | App::Thief(Customer { store, per_second }) => {
            buyer::buy_for_ever(&store, Duration::from_secs(1) / per_second).await
        }
        App::Store { name, listen, warehouse } => store::serve(name, listen, warehouse).await,
        App::Warehouse { listen } => warehouse::serve(listen).await,
    }
}
