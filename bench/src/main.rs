//! Measures the whole way of a change: a real API server, the operator, and delta ADS clients on its Unix socket. Prints a table.
//! `smidge-bench sidecar` measures the way of a request instead.

use std::{
    collections::BTreeSet,
    ops::Range,
    path::Path,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use clap::{Parser, Subcommand};
use smidge_bench::{
    cluster::{Change, Cluster, NAMESPACE, client_pod, server_pod},
    operator::{Operator, Usage},
    sidecar,
};
use smidge_e2e::{
    ApiServer, eventually, holds,
    proxies::{Event, Load, scout},
};
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, timeout},
};

/// Longer than this nothing may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the operator is watched doing nothing.
const IDLE: Duration = Duration::from_secs(10);
/// The pace of the row "10 a second".
const PACE: Duration = Duration::from_millis(100);

#[derive(Clone, Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    mode: Option<Mode>,
    /// Load clients, each with its own connection
    #[arg(long, default_value_t = 200)]
    clients: usize,
    /// Services with 2 endpoints each; all clients see all of them
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(20..))]
    services: u32,
    /// Changes of each kind
    #[arg(long, default_value_t = 21)]
    rounds: usize,
}

#[derive(Clone, Debug, Subcommand)]
enum Mode {
    /// Measure what the sidecars add to requests, and their memory
    Sidecar(sidecar::Args),
}

/// Load clients and what they tell.
struct Clients {
    load: Arc<Load>,
    told: mpsc::UnboundedReceiver<Event>,
    count: usize,
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.mode.is_some() {
        smidge_sandbox::become_root()?;
    }
    measure(args)
}

#[tokio::main(flavor = "current_thread")]
async fn measure(args: Args) -> Result<()> {
    match &args.mode {
        Some(Mode::Sidecar(args)) => sidecar::run(args).await,
        None => changes(args).await,
    }
}

async fn changes(args: Args) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("smidge-bench-").tempdir()?;
    let api = ApiServer::start().await?;
    api.install_crds().await?;
    eprintln!("filling the API server: {} services, {} pods of clients …", args.services, args.clients);
    let cluster = Cluster::fill(api.client().await?, args.services as usize, args.clients).await?;
    println!("{} clients, {} services × 2 endpoints", args.clients, args.services);
    println!("{:<34} {:>9} {:>9} {:>9} {:>11}", "", "last, ms", "CPU, s", "RSS, MiB", "KiB/client");
    everybody(&args, &api, &cluster, folder.path()).await?;
    bystanders(&args, &api, &cluster, folder.path()).await
}

/// All clients want all of the mesh: a cold start, idleness, and changes that reach everybody.
async fn everybody(args: &Args, api: &ApiServer, cluster: &Cluster, folder: &Path) -> Result<()> {
    let first = Operator::start(api, folder).await?;
    let mut clients = Clients::new(&first, &client_pod(0)).await?;
    first.stop()?;
    let operator = Operator::start(api, folder).await?;
    let (last, _) = clients.connect(&operator, 0..args.clients).await?;
    let served = operator.usage().await?;
    row("cold start", last - operator.started, served.cpu, Some(&served), clients.take_bytes());
    tokio::time::sleep(IDLE).await;
    let idle = operator.usage().await?;
    row("idle, a second", Duration::ZERO, (idle.cpu - served.cpu) / IDLE.as_secs_f64(), Some(&idle), 0.0);
    let mut counted = Vec::new();
    let (few, more) = (0..args.rounds, args.rounds..4 * args.rounds);
    for series in [
        Series { what: "route change", change: Change::Route, rounds: few.clone(), pace: None },
        Series { what: "endpoint change", change: Change::Endpoint, rounds: few, pace: None },
        Series { what: "endpoints, 10 a second", change: Change::Endpoint, rounds: more, pace: Some(PACE) },
    ] {
        counted.push((series.what, clients.watch(&operator, cluster, series).await?));
    }
    table_of_counters(&counted);
    operator.stop()
}

/// One client is concerned by the changes, the others are not: with a few and with many of them.
async fn bystanders(args: &Args, api: &ApiServer, cluster: &Cluster, folder: &Path) -> Result<()> {
    let operator = Operator::start(api, folder).await?;
    let mut others = Clients::new(&operator, &client_pod(0)).await?;
    let mut concerned = Clients::new(&operator, &server_pod(0, 0)).await?;
    concerned.spawn(&operator, server_pod(0, 0));
    concerned.arrivals().await?;
    let few = args.clients.div_ceil(20);
    // An even number of changes ends where it began.
    let rounds = 0..args.rounds & !1;
    let mut counted = Vec::new();
    for newcomers in [0..few, few..args.clients] {
        let what = format!("access, {} bystanders", newcomers.end);
        others.connect(&operator, newcomers).await?;
        let series = Series { what: &what, change: Change::Access, rounds: rounds.clone(), pace: None };
        let usage = concerned.watch(&operator, cluster, series).await?;
        counted.push((what, usage));
    }
    let counted: Vec<_> = counted.iter().map(|(what, usage)| (what.as_str(), usage.clone())).collect();
    table_of_counters(&counted);
    operator.stop()
}

/// Changes to make, and how they are called in the table.
struct Series<'a> {
    what: &'a str,
    change: Change,
    rounds: Range<usize>,
    /// `None`: as soon as the last client has the one before.
    pace: Option<Duration>,
}

/// What the operator had counted before and after some changes, and how many they were.
#[derive(Clone)]
struct Counted {
    before: Usage,
    after: Usage,
    rounds: usize,
}

impl Clients {
    /// Clients that expect what the pod of that name is served; none is connected yet.
    async fn new(operator: &Operator, pod: &str) -> Result<Self> {
        let expected = scout(&operator.door(), &format!("{pod}.{NAMESPACE}"), None).await?;
        let (events, told) = mpsc::unbounded_channel();
        Ok(Self { load: Load::new(expected, events), told, count: 0 })
    }

    fn spawn(&mut self, operator: &Operator, pod: String) {
        self.count += 1;
        self.load.spawn(&operator.door(), format!("{pod}.{NAMESPACE}"), None);
    }

    /// Connects more clients and waits until they have everything.
    async fn connect(&mut self, operator: &Operator, numbers: Range<usize>) -> Result<(Instant, usize)> {
        let expected = numbers.len();
        numbers.for_each(|n| self.spawn(operator, client_pod(n)));
        arrivals(&mut self.told, expected).await
    }

    async fn arrivals(&mut self) -> Result<(Instant, usize)> {
        arrivals(&mut self.told, self.count).await
    }

    /// Makes changes, one after the other or at a pace, and prints how long the last client waited for each.
    async fn watch(&mut self, operator: &Operator, cluster: &Cluster, series: Series<'_>) -> Result<Counted> {
        let Series { what, change, rounds, pace } = series;
        self.take_bytes();
        let before = operator.usage().await?;
        let mut ticks = interval(pace.unwrap_or(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut took = Vec::new();
        for round in rounds {
            ticks.tick().await;
            let (type_url, name) = cluster.awaited(change, round);
            self.load.await_resource(type_url, &name);
            let answered = cluster.make(change, round).await?;
            let (last, versions) = self.arrivals().await?;
            ensure!(versions == 1, "{versions} versions of {name} arrived");
            took.push(last.saturating_duration_since(answered));
        }
        self.settle(operator).await?;
        let after = operator.usage().await?;
        took.sort();
        let counted = Counted { rounds: took.len(), before, after };
        let cpu = (counted.after.cpu - counted.before.cpu) / took.len() as f64;
        let kib = self.take_bytes() / took.len() as f64;
        row(&format!("{what}, median"), took[took.len() / 2], cpu, Some(&counted.after), kib);
        row("  99 %", took[(took.len() - 1) * 99 / 100], f64::NAN, None, f64::NAN);
        Ok(counted)
    }

    /// Waits until everything that was sent is acknowledged.
    async fn settle(&self, operator: &Operator) -> Result<()> {
        eventually("acknowledged responses", PATIENCE, async || {
            let counters = operator.usage().await?.counters;
            let [acks, responses] = ["acks", "responses"].map(|name| counters[&format!("smidge_xds_{name}_total")]);
            holds(acks >= responses, || format!("{acks} of {responses} responses are acknowledged"))
        })
        .await
    }

    /// KiB of responses to each client since the last call.
    fn take_bytes(&self) -> f64 {
        self.load.bytes.swap(0, Relaxed) as f64 / 1024.0 / self.count as f64
    }
}

/// Waits for one event of every client; when the last came, and how many versions were seen.
async fn arrivals(told: &mut mpsc::UnboundedReceiver<Event>, clients: usize) -> Result<(Instant, usize)> {
    let mut last = Instant::now();
    let mut versions = BTreeSet::new();
    for seen in 0..clients {
        let event = timeout(PATIENCE, told.recv()).await;
        match event
            .with_context(|| format!("{} of {clients} clients are missing", clients - seen))?
            .context("no clients")?
        {
            Event::Served(at) => last = at,
            Event::Arrived(at, version) => {
                last = at;
                versions.insert(version);
            }
            Event::Failed(why) => bail!("a client failed: {why}"),
        }
    }
    Ok((last, versions.len()))
}

fn row(what: &str, last: Duration, cpu: f64, usage: Option<&Usage>, kib: f64) {
    let ms = last.as_secs_f64() * 1e3;
    let mib = usage.map_or(f64::NAN, |usage| usage.rss as f64 / f64::from(1 << 20));
    let cell = |value: f64, digits: usize| if value.is_nan() { String::new() } else { format!("{value:.digits$}") };
    println!("{what:<34} {ms:>9.1} {:>9} {:>9} {:>11}", cell(cpu, 3), cell(mib, 1), cell(kib, 2));
}

/// What one change costs, in counters.
fn table_of_counters(columns: &[(&str, Counted)]) {
    const COUNTERS: [&str; 9] = [
        "smidge_events_total",
        "smidge_compiled_total",
        "smidge_translated_total",
        "smidge_changed_resources_total",
        "smidge_publications_total",
        "smidge_xds_marks_total",
        "smidge_xds_wakes_total",
        "smidge_xds_responses_total",
        "smidge_xds_resources_total",
    ];
    print!("\n{:<34}", "a change makes");
    columns.iter().for_each(|(what, _)| print!(" {what:>24}"));
    println!();
    for counter in COUNTERS {
        print!("{counter:<34}");
        for (_, counted) in columns {
            print!(" {:>24.2}", counted.after.since(&counted.before, counter) as f64 / counted.rounds as f64);
        }
        println!();
    }
    println!();
}
