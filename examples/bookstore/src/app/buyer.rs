//! A customer: looks at how many books were sold, buys one, and again.

use std::time::Duration;

use anyhow::Result;
use hyper::{Method, Uri};
use tokio::time::{MissedTickBehavior, interval};

use crate::caller::Caller;

/// Buys one book each `every`; goes on whatever the store answers.
pub(crate) async fn buy_for_ever(store: &Uri, every: Duration) -> Result<()> {
    let store = Caller::new(store.clone());
    let mut ticks = interval(every);
    // A customer who was kept waiting does not make up for it: the rate shown is what the store can do.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        store.call(Method::GET, "/books-bought").await?;
        store.call(Method::GET, "/buy-a-book/new").await?;
    }
}
