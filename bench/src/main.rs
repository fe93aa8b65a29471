//! Measures the xDS server alone: a server process with made-up services, and load clients in this one.

mod server;
mod synthetic;

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use clap::Parser;
use server::Usage;
use smidge_bench::client::{Event, Load, scout};
use smidge_xds::TypeUrl;
use tokio::{sync::mpsc, time::timeout};

/// Longer than this nothing may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, Parser)]
struct Args {
    /// Load clients, each with its own connection.
    #[arg(long, default_value_t = 200)]
    clients: usize,
    /// Services; all clients see all of them.
    #[arg(long, default_value_t = 1000)]
    services: usize,
    /// Changes of each kind.
    #[arg(long, default_value_t = 11)]
    rounds: usize,
    /// Serve on this socket instead of measuring (used by the bench itself).
    #[arg(long)]
    serve: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    match &args.serve {
        Some(socket) => server::run(socket, args.services, args.clients),
        None => tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure(&args)),
    }
}

/// The measured process; killed when dropped.
struct Server {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Server {
    fn start(args: &Args, socket: &Path) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--serve")
            .arg(socket)
            .args(["--clients", &args.clients.to_string(), "--services", &args.services.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let answers = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut server = Self { child, answers };
        server.answer()?;
        Ok(server)
    }

    fn tell(&mut self, command: &str) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut().context("no standard input")?;
        Ok(writeln!(stdin, "{command}")?)
    }

    fn answer(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(line)
    }

    fn usage(&mut self) -> anyhow::Result<Usage> {
        self.tell("usage")?;
        Ok(serde_json::from_str(&self.answer()?)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn measure(args: &Args) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("xds.sock");
    let mut server = Server::start(args, &socket)?;
    let expected = scout(&socket, &format!("proxy-{}.bench", args.clients)).await?;
    let empty = server.usage()?;
    println!("{} clients, {} services × 2 endpoints", args.clients, args.services);
    println!("{:<24} {:>10} {:>12} {:>12} {:>12}", "", "last, ms", "CPU, s", "RSS, MiB", "KiB/client");
    let (events, mut told) = mpsc::unbounded_channel();
    let load = Load::new(expected, events);
    let began = Instant::now();
    for n in 0..args.clients {
        load.spawn(&socket, format!("proxy-{n}.bench"));
    }
    let (last, _) = arrivals(&mut told, args.clients).await?;
    let served = server.usage()?;
    let bytes = load.bytes.swap(0, Relaxed);
    row("cold start", args.clients, last - began, served.cpu - empty.cpu, served.rss, bytes);
    for (kind, type_url, suffix) in [("route", TypeUrl::Route, ""), ("endpoints", TypeUrl::Endpoints, "/http")] {
        let mut took = Vec::new();
        let before = server.usage()?;
        for round in 0..args.rounds {
            let n = round * 7 % args.services;
            load.await_resource(type_url, &format!("{}{suffix}", synthetic::name(n)));
            let began = Instant::now();
            server.tell(&format!("{kind} {n} {}", round + 1))?;
            let (last, versions) = arrivals(&mut told, args.clients).await?;
            anyhow::ensure!(versions == 1, "{versions} versions arrived");
            took.push(last - began);
        }
        // The last acknowledgements are still under way.
        tokio::time::sleep(Duration::from_millis(200)).await;
        let after = server.usage()?;
        took.sort();
        let per_round = args.rounds as u64;
        let cpu = (after.cpu - before.cpu) / args.rounds as f64;
        row(
            &format!("{kind} change, median"),
            args.clients,
            took[took.len() / 2],
            cpu,
            after.rss,
            load.bytes.swap(0, Relaxed) / per_round,
        );
    }
    println!("{}", serde_json::to_string(&server.usage()?.counters)?);
    Ok(())
}

/// Waits for one event of every client; when the last came, and how many versions were seen.
async fn arrivals(told: &mut mpsc::UnboundedReceiver<Event>, clients: usize) -> anyhow::Result<(Instant, usize)> {
    let mut last = Instant::now();
    let mut versions = std::collections::BTreeSet::new();
    for _ in 0..clients {
        match timeout(PATIENCE, told.recv()).await.context("clients are missing")?.context("no clients")? {
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

fn row(what: &str, clients: usize, last: Duration, cpu: f64, rss: u64, bytes: u64) {
    let (ms, mib) = (last.as_secs_f64() * 1e3, rss as f64 / f64::from(1 << 20));
    let kib = bytes as f64 / 1024.0 / clients as f64;
    println!("{what:<24} {ms:>10.1} {cpu:>12.3} {mib:>12.1} {kib:>12.2}");
}
