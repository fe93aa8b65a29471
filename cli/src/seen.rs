//! What there is to be asked about: a cluster, read with the asker's rights, or manifests; in goes where to look, out comes the
//! compiler's snapshot, digested as the control plane would.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use anyhow::Context;
use kube::Client;
use smidge_compiler::{Event, ObjectRef, Snapshot};
use smidge_crds::Status;
use smidge_operator::{ListError, Listing, Scope, cluster::connect, list};

use crate::lint;

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The facts, without the roots' certificates.
    pub(crate) snapshot: Snapshot,
    /// The statuses that the operator has written; none in manifests.
    pub(crate) statuses: BTreeMap<ObjectRef, Arc<Status>>,
    /// What the answer may lack, a sentence each.
    pub(crate) remarks: Vec<String>,
}

impl Seen {
    /// Reads manifests.
    pub(crate) fn of_files(files: &[PathBuf]) -> anyhow::Result<Self> {
        let manifests = lint::read(files)?;
        let mut seen = Self::default();
        for event in manifests.events() {
            seen.snapshot.apply(event);
        }
        seen.remarks = manifests.problems().iter().map(ToString::to_string).collect();
        Ok(seen)
    }

    /// Reads a cluster.
    ///
    /// # Errors
    /// When a right is missing, or the API server does not answer.
    pub(crate) async fn of_cluster(client: &Client, scope: &Scope) -> Result<Self, ListError> {
        Ok(Self::of(list(client, scope).await?))
    }

    fn of(listing: Listing) -> Self {
        let mut seen = Self { statuses: listing.statuses.into_iter().collect(), ..Self::default() };
        for fact in listing.facts {
            seen.snapshot.apply(Event::Apply(fact));
        }
        let absent = |object| format!("{object} is not of the form of our CRD and counts as absent (`smidge crds`)");
        seen.remarks = listing.unreadable.into_iter().map(absent).collect();
        seen
    }

    /// Reads the manifests, if there are any, else the cluster that kubectl would use.
    pub(crate) fn look(files: &[PathBuf], scope: &Scope) -> anyhow::Result<Self> {
        if !files.is_empty() {
            return Self::of_files(files);
        }
        runtime()?.block_on(async {
            let (client, address) = connect().await?;
            let seen = Self::of_cluster(&client, scope).await;
            seen.map_err(explained).with_context(|| format!("cannot look at the cluster {address}"))
        })
    }

    /// Reads everything; where the asker may not, the namespaces alone, with a remark.
    pub(crate) fn look_around(files: &[PathBuf], namespace: Option<&str>) -> anyhow::Result<(Self, String)> {
        if !files.is_empty() {
            return Ok((Self::of_files(files)?, namespace.unwrap_or("default").to_owned()));
        }
        runtime()?.block_on(async {
            let (client, address) = connect().await?;
            let namespace = namespace.unwrap_or(client.default_namespace()).to_owned();
            let seen = match Self::of_cluster(&client, &Scope::Everything).await {
                Err(ListError::Forbidden { is_namespaced: true, resource, verb, .. }) => {
                    let only = Scope::Namespaces(BTreeSet::from([namespace.clone()]));
                    Self::of_cluster(&client, &only).await.map(|seen| {
                        let what = format!("you may not {verb} {resource} in all namespaces");
                        seen.remarked(format!("{what}: nothing is said of other namespaces than {namespace}"))
                    })
                }
                all => all,
            };
            let seen = seen.map_err(explained).with_context(|| format!("cannot look at the cluster {address}"))?;
            Ok((seen, namespace))
        })
    }

    fn remarked(mut self, remark: String) -> Self {
        self.remarks.push(remark);
        self
    }
}

/// With what helps.
fn explained(error: ListError) -> anyhow::Error {
    let help = match &error {
        ListError::Forbidden { is_namespaced: true, namespace: None, .. } => {
            "ask for that right, or limit the question with -n to a namespace that you may read"
        }
        ListError::Forbidden { is_namespaced: true, .. } => "ask for that right in the namespace",
        ListError::Forbidden { is_namespaced: false, .. } => {
            "ask for that right by a ClusterRole: the object belongs to no namespace, so -n does not help"
        }
        ListError::Failed { .. } => return error.into(),
    };
    anyhow::anyhow!("{error}: {help}")
}

/// One thread is enough to ask.
pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
