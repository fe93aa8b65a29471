//! What is to be described: `kind/name` as kubectl takes it, or a pod's name; and whether there is such a thing.

use std::{collections::BTreeSet, fmt};

use anyhow::bail;
use smidge_compiler::{Kind, ObjectRef, Snapshot};
use smidge_mesh::ServiceAccountName;

use crate::authz::{pods, shown, targets};

/// What was asked for: no namespace yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `None`: a service account.
    kind: Option<Kind>,
    name: String,
}

/// What is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// An object that the mesh reads.
    Object(ObjectRef),
    /// A service account, of which the mesh reads what names it.
    Account(ServiceAccountName),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Object(object) => object.fmt(f),
            Self::Account(account) => write!(f, "ServiceAccount/{}", shown(account)),
        }
    }
}

/// Kinds by the names that kubectl takes for them; `None`: a service account.
const NAMES: [(Option<Kind>, &[&str]); 9] = [
    (Some(Kind::Pod), &["pod", "pods", "po"]),
    (None, &["serviceaccount", "serviceaccounts", "sa"]),
    (Some(Kind::Service), &["service", "services", "svc"]),
    (Some(Kind::TrafficSplit), &["trafficsplit", "trafficsplits", "ts"]),
    (Some(Kind::TrafficTarget), &["traffictarget", "traffictargets", "tt"]),
    (Some(Kind::HttpRouteGroup), &["httproutegroup", "httproutegroups", "htr"]),
    (Some(Kind::TcpRoute), &["tcproute", "tcproutes", "tr"]),
    (Some(Kind::UdpRoute), &["udproute", "udproutes", "ur"]),
    (Some(Kind::IngressBackend), &["ingressbackend", "ingressbackends"]),
];

impl Asked {
    /// Reads `kind/name`, or a pod's name.
    ///
    /// # Errors
    /// When there is no such kind.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once('/').unwrap_or(("pod", text));
        // As `trafficsplits.split.smi-spec.io/web`, which kubectl prints.
        let plain = kind.split('.').next().unwrap_or_default().to_ascii_lowercase();
        let known = NAMES.iter().find(|(_, names)| names.contains(&plain.as_str()));
        match known {
            Some((kind, _)) if !name.is_empty() && !name.contains('/') => {
                Ok(Self { kind: *kind, name: name.to_owned() })
            }
            Some(_) => Err("write KIND/NAME, and the namespace with -n".to_owned()),
            None => {
                let kinds: Vec<&str> = NAMES.iter().map(|(_, names)| names[0]).collect();
                Err(format!("there is no kind {kind:?}; there are: {}", kinds.join(", ")))
            }
        }
    }

    fn subject(&self, namespace: &str) -> Subject {
        match self.kind {
            Some(kind) => Subject::Object(ObjectRef::new(kind, namespace, self.name.as_str())),
            None => Subject::Account(ServiceAccountName::new(namespace, self.name.as_str())),
        }
    }

    /// The thing in a namespace; where it may be elsewhere too, in the only other one that has it.
    pub(super) fn find(&self, snapshot: &Snapshot, namespace: &str, may_be_elsewhere: bool) -> anyhow::Result<Subject> {
        let here = self.subject(namespace);
        if is_there(snapshot, &here) {
            return Ok(here);
        }
        let all: BTreeSet<&str> = snapshot.objects().map(|object| &*object.namespace).collect();
        let mut others = all.iter().map(|other| self.subject(other)).filter(|other| is_there(snapshot, other));
        match (others.next(), others.next()) {
            (Some(only), None) if may_be_elsewhere => Ok(only),
            (None, _) => bail!("there is no {here}{}", self.others(snapshot, namespace)),
            (Some(other), _) => bail!("there is no {here}, but {other}: give its namespace with -n"),
        }
    }

    /// What there is of the kind.
    fn others(&self, snapshot: &Snapshot, namespace: &str) -> String {
        const MOST: usize = 10;
        let of_kind =
            snapshot.objects().filter(|object| Some(object.kind) == self.kind && &*object.namespace == namespace);
        let accounts = snapshot.pods().filter(|pod| self.kind.is_none() && &*pod.origin.namespace == namespace);
        let names: BTreeSet<&str> =
            of_kind.map(|object| &*object.name).chain(accounts.map(|pod| &*pod.service_account)).collect();
        let first: Vec<&str> = names.iter().copied().take(MOST).collect();
        match names.len() {
            0 => format!(" (nor any other in namespace {namespace})"),
            count if count > MOST => format!("; there are: {}, …", first.join(", ")),
            _ => format!("; there are: {}", first.join(", ")),
        }
    }
}

fn is_there(snapshot: &Snapshot, subject: &Subject) -> bool {
    match subject {
        Subject::Object(object) => snapshot.fact(object).is_some(),
        Subject::Account(account) => {
            let is_named = |target: &smidge_compiler::facts::TargetFacts| {
                target.destination.as_ref() == Some(account) || target.sources.contains(account)
            };
            pods(snapshot, account).next().is_some() || targets(snapshot).any(is_named)
        }
    }
}
