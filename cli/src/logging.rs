//! Logs go to standard error, so that standard output can be piped. `RUST_LOG` chooses what is said.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// They say again, at every try, what our own watches say once.
const REPETITIVE: &str = "kube_client=off,kube_runtime=off";

/// Starts logging. `default` is said when `RUST_LOG` is not set.
pub(crate) fn start(json: bool, default: &str) {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(format!("{default},{REPETITIVE}")));
    let registry = tracing_subscriber::registry().with(filter);
    match json {
        true => registry.with(tracing_subscriber::fmt::layer().json().with_writer(stderr)).init(),
        false => {
            let ansi = stderr().is_terminal();
            registry.with(tracing_subscriber::fmt::layer().with_ansi(ansi).with_writer(stderr)).init();
        }
    }
}
