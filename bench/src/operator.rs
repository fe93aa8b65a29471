//! The measured process: the `smidge` beside this program, as `smidge operator`; what it has used and counted.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use smidge_e2e::{ApiServer, Daemon, eventually, proxies::Door};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};

/// The kernel counts process times in hundredths of a second on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// An operator that runs; it ends when dropped.
#[derive(Debug)]
pub struct Operator {
    daemon: Daemon,
    metrics: SocketAddr,
    /// Where it serves proxies.
    pub socket: PathBuf,
    /// When it was started.
    pub started: Instant,
}

/// What it has used and counted so far.
#[derive(Clone, Debug)]
pub struct Usage {
    /// User and system time, in seconds.
    pub cpu: f64,
    /// Resident memory now, in bytes.
    pub rss: u64,
    /// Its metrics, by name.
    pub counters: BTreeMap<String, u64>,
}

impl Operator {
    /// Starts it; returns as soon as it accepts connections.
    ///
    /// # Errors
    /// When it ends instead.
    pub async fn start(api: &ApiServer, folder: &Path) -> Result<Self> {
        let socket = folder.join("xds.sock");
        let metrics = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?;
        let mut command = Command::new(std::env::current_exe()?.with_file_name("smidge"));
        command.arg("operator").arg("--xds-socket").arg(&socket).arg("--state").arg(folder.join("state"));
        command.args(["--metrics", &metrics.to_string()]);
        command.env("KUBECONFIG", api.kubeconfig()).env("RUST_LOG", "warn");
        let started = Instant::now();
        let mut daemon = Daemon::start("smidge operator", &command, &folder.join("operator.log"))?;
        eventually("operator that listens", Duration::from_secs(30), async || {
            UnixStream::connect(&socket).await.map(drop).with_context(|| socket.display().to_string())
        })
        .await
        .or_else(|error| daemon.check().and(Err(error)))?;
        Ok(Self { daemon, metrics, socket, started })
    }

    /// Ends it and waits until it has.
    ///
    /// # Errors
    /// When it does not end well.
    pub fn stop(mut self) -> Result<()> {
        let status = self.daemon.stop()?;
        ensure!(status.success(), "the operator ended with {status}:\n{}", self.daemon.log_end());
        Ok(())
    }

    /// Where its proxies come in.
    pub fn door(&self) -> Door {
        Door::Socket(self.socket.clone())
    }

    /// What it has used and counted.
    ///
    /// # Errors
    /// When it does not run any more.
    pub async fn usage(&self) -> Result<Usage> {
        let process = PathBuf::from(format!("/proc/{}", self.daemon.pid()));
        let stat = std::fs::read_to_string(process.join("stat"))?;
        let after_name = stat.rsplit(')').next().context("/proc/…/stat")?;
        let field = |n: usize| after_name.split_whitespace().nth(n).and_then(|f| f.parse::<f64>().ok());
        let ticks = field(11).zip(field(12)).map(|(user, system)| user + system).context("/proc/…/stat")?;
        let status = std::fs::read_to_string(process.join("status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("/proc/…/status")?;
        let kib: u64 = rss.trim().trim_end_matches(" kB").parse()?;
        Ok(Usage { cpu: ticks / TICKS_PER_SECOND, rss: kib << 10, counters: self.counters().await? })
    }

    async fn counters(&self) -> Result<BTreeMap<String, u64>> {
        let mut stream = TcpStream::connect(self.metrics).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let rows = answer.lines().filter_map(|line| line.split_once(' '));
        Ok(rows.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect())
    }
}

impl Usage {
    /// A counter's growth since an earlier look.
    pub fn since(&self, before: &Self, counter: &str) -> u64 {
        let value = |usage: &Self| usage.counters.get(counter).copied().unwrap_or_default();
        value(self) - value(before)
    }
}
