//! `smidge operator`: the control plane of a cluster.

use std::process::ExitCode;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use smidge_operator::cluster::{self, Config};

use crate::{args::Operator, logging, signals};

pub(crate) fn run(args: &Operator) -> anyhow::Result<ExitCode> {
    logging::start(args.log_json, "info");
    raise_open_files();
    let config = Config { plane: args.plane(), secure: args.secure(), metrics: args.metrics };
    tokio::runtime::Runtime::new()?.block_on(async {
        cluster::run(config, signals::shutdown()?).await?;
        Ok(ExitCode::SUCCESS)
    })
}

/// Every proxy is an open file, and the usual soft limit of 1,024 is for programs that call `select`; this one does not.
fn raise_open_files() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is: it bounds how many proxies can connect");
    }
}
