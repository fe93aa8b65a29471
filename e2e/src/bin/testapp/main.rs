//! The app that the tests run inside pods: a server of several protocols, and the clients that call it.
//!
//! It knows nothing of the mesh. Every client prints one JSON value on standard output when it ends; those that go on
//! until told otherwise end at SIGTERM.

mod client;
mod hold;
mod http;
mod load;
mod serve;
mod stream;

use std::{collections::BTreeMap, time::Duration};

use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves on every port given, until killed.
    Serve(Ports),
    /// Sends one request and prints its answer.
    Call(Request),
    /// Sends requests at a constant rate and prints the counts.
    Load(Load),
    /// Asks for an upgrade to WebSocket and has a text echoed.
    WebSocket(Request),
    /// Opens a connection, sends a text, and prints all that comes back until it is closed or the time is over.
    Tcp(Tcp),
    /// Keeps one connection or stream open and has a line echoed again and again.
    Hold(Hold),
}

/// What to serve; a port of 0 is not served.
#[derive(Args)]
pub(crate) struct Ports {
    /// How the server names itself in its answers.
    #[arg(long)]
    name: String,
    /// HTTP/1.1, HTTP/2 with prior knowledge, gRPC and WebSocket, on any number of ports: echoes what it got as JSON, and
    /// prints the paths below `/told/` that it is asked for.
    #[arg(long)]
    http: Vec<u16>,
    /// The same by TLS, with a certificate that nobody has signed.
    #[arg(long, default_value_t = 0)]
    https: u16,
    /// TCP where the client speaks first: answers `<name>:` and what it got.
    #[arg(long, default_value_t = 0)]
    tcp: u16,
    /// TCP where the server speaks first.
    #[arg(long, default_value_t = 0)]
    banner: u16,
}

/// Where a request goes, and what it says.
#[derive(Args, Clone)]
pub(crate) struct Request {
    /// Where to connect to: an address or name, and a port.
    address: String,
    /// The path exactly as it goes on the wire.
    #[arg(default_value = "/")]
    path: String,
    /// The Host header.
    #[arg(long, default_value = "app")]
    host: String,
    #[arg(long, default_value = "GET")]
    method: String,
    /// More headers, as `name: value`.
    #[arg(short = 'H', long = "header", value_parser = header)]
    headers: Vec<(String, String)>,
    /// HTTP/2 with prior knowledge.
    #[arg(long)]
    http2: bool,
    /// A gRPC call (implies HTTP/2).
    #[arg(long)]
    grpc: bool,
}

#[derive(Args)]
pub(crate) struct Load {
    #[command(flatten)]
    request: Request,
    /// Requests per second.
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// Connections that share them.
    #[arg(long, default_value_t = 4)]
    connections: u32,
    /// Ends by itself once at least so many requests have ended; else at SIGTERM.
    #[arg(long)]
    requests: Option<u64>,
}

#[derive(Args)]
pub(crate) struct Tcp {
    address: String,
    /// What to send; nothing: only listens.
    #[arg(long, default_value = "")]
    send: String,
    /// How long to wait for the end of the answer, in milliseconds.
    #[arg(long, default_value_t = 2000)]
    wait_ms: u64,
    /// Ends the wait once so many bytes are here.
    #[arg(long)]
    bytes: Option<usize>,
}

#[derive(Args)]
pub(crate) struct Hold {
    /// Plain TCP unless `--grpc` (one stream of messages) or `--web-socket` is given.
    #[command(flatten)]
    request: Request,
    /// Over a connection upgraded to WebSocket.
    #[arg(long)]
    web_socket: bool,
    /// Milliseconds between two lines.
    #[arg(long, default_value_t = 50)]
    every_ms: u64,
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is written `name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// How often something came, by what it was.
pub(crate) type Counts = BTreeMap<String, u64>;

/// How long any one request may take before it counts as failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Serve(ports) => serve::serve(ports).await,
        Command::Call(request) => print(&client::call(&request).await?),
        Command::Load(load) => load::run(load).await,
        Command::WebSocket(request) => print(&client::web_socket(&request).await?),
        Command::Tcp(tcp) => print(&stream::exchange(&tcp).await?),
        Command::Hold(hold) => print(&hold::hold(&hold).await?),
    }
}

/// Comes back at SIGTERM.
pub(crate) async fn asked_to_end() {
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut signal) => drop(signal.recv().await),
        // Without the signal there is nothing to wait for.
        Err(_) => std::future::pending().await,
    }
}

pub(crate) fn print(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(())
}
