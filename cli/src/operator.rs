//! `smidge operator`: the control plane of a cluster.

use std::process::ExitCode;

use smidge_operator::cluster::{self, Config};

use crate::{args::Operator, logging, signals};

pub(crate) fn run(args: &Operator) -> anyhow::Result<ExitCode> {
    logging::start(args.log_json, "info");
    let config = Config { plane: args.plane(), metrics: args.metrics };
    tokio::runtime::Runtime::new()?.block_on(async {
        cluster::run(config, signals::shutdown()?).await?;
        Ok(ExitCode::SUCCESS)
    })
}
