//! What can be asked about the mesh: `smidge authz`, `smidge describe`.

use std::path::PathBuf;

use clap::{Args as ClapArgs, ValueEnum};
use smidge_mesh::ServiceAccountName;

use crate::{
    authz::{Path, Question, Request, parse_header, parse_method},
    describe::Asked,
};

/// How an answer is printed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shape {
    /// Sentences
    Text,
    /// The same as JSON
    Json,
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Exit codes: 0 it is allowed, on one of the ports at least; 1 it is denied, or there is no answer; \
                        2 the arguments are wrong."
)]
pub(crate) struct Authz {
    /// Who calls: a service account, as NAMESPACE/NAME
    #[arg(value_parser = parse_account)]
    from: ServiceAccountName,
    /// Whose pods are called: a service account, as NAMESPACE/NAME
    #[arg(value_parser = parse_account)]
    to: ServiceAccountName,
    /// Method of the request [default: GET, where a path or a header is given]
    #[arg(long, value_parser = parse_method)]
    method: Option<String>,
    /// Path of the request, such as /orders/1 [default: /, where a method or a header is given]
    #[arg(long, value_parser = Path::parse)]
    path: Option<Path>,
    /// Header of the request; may be given several times
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// Port of the pods (not of a Service) [default: each port that Services name]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Judge by manifests, without a cluster: file, folder, or - for standard input; may be given several times
    #[arg(short, long = "file", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Shape,
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Exit codes: 0 it is described; 1 there is no such object, or no answer; 2 the arguments are wrong."
)]
pub(crate) struct Describe {
    /// What to describe: KIND/NAME, such as ts/checkout, tt/, htr/, tr/, ur/, ingressbackend/, svc/, sa/, pod/; without a kind a pod
    #[arg(value_name = "KIND/NAME", value_parser = Asked::parse)]
    pub(crate) object: Asked,
    /// Its namespace [default: that of the kubeconfig's context; of manifests the only one that has it]
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
    /// Look into manifests, without a cluster: file, folder, or - for standard input; may be given several times
    #[arg(short, long = "file", value_name = "PATH")]
    pub(crate) files: Vec<PathBuf>,
    /// How to print
    #[arg(short, long, value_enum, default_value = "text")]
    pub(crate) output: Shape,
}

impl Authz {
    pub(crate) fn question(&self) -> Question {
        let is_request = self.method.is_some() || self.path.is_some() || !self.headers.is_empty();
        let request = is_request.then(|| Request::new(self.method.as_deref(), self.path.as_ref(), &self.headers));
        Question { from: self.from.clone(), to: self.to.clone(), port: self.port, request }
    }
}

fn parse_account(text: &str) -> Result<ServiceAccountName, String> {
    let parts = text
        .split_once('/')
        .filter(|(namespace, name)| !namespace.is_empty() && !name.is_empty() && !name.contains('/'));
    let (namespace, name) = parts.ok_or(
        "write a service account as NAMESPACE/NAME, such as shop/web; `kubectl get pods -o custom-columns=\
         POD:metadata.name,ACCOUNT:spec.serviceAccountName` says which a pod has",
    )?;
    Ok(ServiceAccountName::new(namespace, name))
}
