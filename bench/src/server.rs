//! The measured process: hub and server alone, steered by lines on standard input.
//!
//! `route <n> <weight>`, `endpoints <n> <generation>`: publishes that change. `usage`: prints one line of JSON.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::Context;
use serde::{Deserialize, Serialize};
use smidge_xds::{Change, Epoch, Resource, Update};
use smidge_xds_server::{Hub, Limits, NoResolver, NodeId, serve};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;

use crate::synthetic;

/// What the process has used so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// User and system time, in seconds.
    pub(crate) cpu: f64,
    /// Resident memory now, in bytes.
    pub(crate) rss: u64,
    pub(crate) counters: BTreeMap<String, u64>,
}

/// Serves until standard input ends.
pub(crate) fn run(socket: &Path, services: usize, clients: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _inside = runtime.enter();
    let hub = Hub::new(Limits::default(), Arc::new(NoResolver));
    let mut epoch = Epoch(1);
    hub.publish(Update { epoch, ..synthetic::everything(services, clients) });
    let incoming = UnixListenerStream::new(UnixListener::bind(socket)?);
    let shutdown = CancellationToken::new();
    let server = tokio::spawn(serve(hub.clone(), Arc::new(NodeId), incoming, shutdown.clone()));
    println!("ready");
    for line in std::io::stdin().lines() {
        let line = line?;
        if line == "usage" {
            println!("{}", serde_json::to_string(&usage(&hub)?)?);
            continue;
        }
        epoch = epoch.next();
        let shared = vec![Change::Set(Arc::new(changed(&line)?))];
        hub.publish(Update { epoch, shared, ..Update::default() });
    }
    shutdown.cancel();
    Ok(runtime.block_on(server)??)
}

fn changed(line: &str) -> anyhow::Result<Resource> {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["route", n, weight] => Ok(synthetic::route(n.parse()?, weight.parse()?)),
        ["endpoints", n, generation] => Ok(synthetic::endpoints(n.parse()?, "http", generation.parse()?)),
        _ => anyhow::bail!("unknown command {line:?}"),
    }
}

fn usage(hub: &Hub) -> anyhow::Result<Usage> {
    /// What the kernel counts process times in; 100 on every Linux.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().context("/proc/self/stat")?;
    let field = |n: usize| after_name.split_whitespace().nth(n).and_then(|f| f.parse::<f64>().ok());
    let ticks = field(11).zip(field(12)).map(|(user, system)| user + system).context("/proc/self/stat")?;
    let status = std::fs::read_to_string("/proc/self/status")?;
    let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc/self/status")?;
    let kib: u64 = rss.trim().trim_end_matches(" kB").parse()?;
    let counters = hub.counters().read().into_iter().map(|(name, _, value)| (name.to_owned(), value)).collect();
    Ok(Usage { cpu: ticks / TICKS_PER_SECOND, rss: kib << 10, counters })
}
