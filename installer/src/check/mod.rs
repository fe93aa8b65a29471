//! Is the cluster fit for the mesh, and does the mesh on it work? Each answer is one line, and a wrong one says what to do.
//!
//! ```text
//! cluster: version, rights, foreign CRDs ──┐
//! control: Deployment, leader, root … ─────┤
//! bundle: where the roots come from ───────┼→ Vec<Finding>
//! members: namespaces, trust, pods ────────┤
//! objects: what their statuses say ────────┘
//! ```

mod bundle;
mod cluster;
mod control;
mod members;
mod objects;
mod restart;

use std::fmt;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, Client};

pub(crate) use self::control::ca_bundle;
use crate::{NAMESPACE, OPERATOR};

/// What was looked at, and how it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at, in a few words.
    pub what: String,
    /// How it is.
    pub verdict: Verdict,
}

/// How something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Good,
    /// It works, but not as one would expect: why, and what to do.
    Doubtful(String),
    /// It does not work: why, and what to do.
    Bad(String),
}

impl Finding {
    fn good(what: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Good }
    }

    fn doubtful(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Doubtful(why.into()) }
    }

    fn bad(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), verdict: Verdict::Bad(why.into()) }
    }

    /// Good if so, else bad for this reason.
    fn if_so(holds: bool, what: impl Into<String>, why: impl FnOnce() -> String) -> Self {
        if holds { Self::good(what) } else { Self::bad(what, why()) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verdict {
            Verdict::Good => write!(f, "✓ {}", self.what),
            Verdict::Doubtful(why) => write!(f, "! {}: {why}", self.what),
            Verdict::Bad(why) => write!(f, "✗ {}: {why}", self.what),
        }
    }
}

/// Looks at everything. What is about the control plane is left out where it is not installed.
///
/// # Errors
/// When the API server does not answer at all; what only a part of the questions needs is a finding.
pub async fn check(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let version = client.apiserver_version().await?;
    let mut findings = vec![cluster::version(&version)];
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    match deployments.get_opt(OPERATOR).await {
        Ok(Some(deployment)) => {
            findings.push(control::deployment(&deployment));
            findings.extend(
                gathered(vec![
                    ("the leader", Box::pin(control::leader(client))),
                    ("the kinds", Box::pin(control::kinds(client))),
                    ("the webhook", Box::pin(control::webhook(client))),
                    ("the validator", Box::pin(control::validator(client))),
                    ("the conversions", Box::pin(control::conversions(client))),
                    ("the versions that are stored", Box::pin(control::unmigrated(client))),
                    ("the rotation of the root", Box::pin(control::rotation(client))),
                    ("the ClusterTrustBundle", Box::pin(bundle::bundle(client))),
                    ("the namespaces of the mesh", Box::pin(members::namespaces(client))),
                    ("the objects of SMI", Box::pin(objects::objects(client))),
                ])
                .await,
            );
        }
        Ok(None) => {
            findings.push(Finding::good("not installed: `smidge install`"));
            findings.extend(
                gathered(vec![
                    ("what is left of an installation", Box::pin(left_behind(client))),
                    ("the right to install", Box::pin(cluster::rights(client))),
                    ("kinds of SMI that are there already", Box::pin(cluster::foreign_kinds(client))),
                ])
                .await,
            );
        }
        Err(error) => findings.push(unreadable("the control plane's deployment", &error)),
    }
    Ok(findings)
}

/// What an installation that was removed has left: pods with sidecars, and objects with statuses.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn left_behind(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let (sidecars, statuses) = futures::try_join!(members::sidecars(client), objects::statuses(client))?;
    Ok(sidecars.into_iter().chain(statuses).collect())
}

type Question<'a> = (&'static str, futures::future::BoxFuture<'a, Result<Vec<Finding>, kube::Error>>);

/// All answers, in the order of the questions.
async fn gathered(questions: Vec<Question<'_>>) -> Vec<Finding> {
    let answer = async |(what, question): Question<'_>| match question.await {
        Ok(findings) => findings,
        Err(error) => vec![unreadable(what, &error)],
    };
    join_all(questions.into_iter().map(answer)).await.concat()
}

fn unreadable(what: &str, error: &kube::Error) -> Finding {
    Finding::bad(what, format!("cannot be looked at: {error}"))
}

/// How many names a line holds.
const SHOWN: usize = 3;

fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}
