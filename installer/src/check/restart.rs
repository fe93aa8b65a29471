//! How pods that were made before their namespace joined the mesh are made anew: it depends on who makes them.

use std::collections::BTreeMap;

use k8s_openapi::{api::core::v1::Pod, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::ResourceExt;

use super::some;

/// How a pod is made anew.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Remedy {
    /// Its controller rolls it out again: `deployment/web`.
    Rollout(String),
    /// Its controller makes another once it is gone: `replicaset/web`.
    Delete(String),
    /// A Job's pod ends by itself, and is not made again.
    Job(String),
    /// Nobody makes another.
    Bare,
}

/// What to do about these pods of a namespace, each in a clause.
pub(super) fn advice(namespace: &str, pods: &[&Pod]) -> String {
    let mut remedies: BTreeMap<Remedy, Vec<String>> = BTreeMap::new();
    for pod in pods {
        remedies.entry(remedy(pod)).or_default().push(pod.name_any());
    }
    let mut rollouts = Vec::new();
    let mut clauses = Vec::new();
    for (remedy, names) in remedies {
        let names = some(&names);
        match remedy {
            Remedy::Rollout(owner) => rollouts.push(owner),
            Remedy::Delete(owner) => clauses.push(format!("delete {names}, and {owner} makes others")),
            Remedy::Job(owner) => {
                clauses.push(format!("{names} of {owner} may end as they are; a new Job's pods join"))
            }
            Remedy::Bare => clauses.push(format!("{names} have no controller: delete them and create them again")),
        }
    }
    if !rollouts.is_empty() {
        clauses.insert(0, format!("kubectl -n {namespace} rollout restart {}", some_of(&rollouts)));
    }
    clauses.join("; ")
}

/// Where what a pod says of itself was written: `deployment/web`, or the pod.
pub(super) fn maker(pod: &Pod) -> String {
    match remedy(pod) {
        Remedy::Rollout(owner) | Remedy::Delete(owner) | Remedy::Job(owner) => owner,
        Remedy::Bare => format!("pod/{}", pod.name_any()),
    }
}

fn remedy(pod: &Pod) -> Remedy {
    let Some(owner) = pod.owner_references().iter().find(|owner| owner.controller == Some(true)) else {
        return Remedy::Bare;
    };
    let named = |owner: &OwnerReference| format!("{}/{}", owner.kind.to_ascii_lowercase(), owner.name);
    match owner.kind.as_str() {
        "StatefulSet" | "DaemonSet" => Remedy::Rollout(named(owner)),
        "ReplicaSet" => deployment(pod, owner).map_or_else(|| Remedy::Delete(named(owner)), Remedy::Rollout),
        "Job" => Remedy::Job(named(owner)),
        _ => Remedy::Delete(named(owner)),
    }
}

/// A Deployment's ReplicaSets are called `<deployment>-<hash>`, and their pods carry the hash.
fn deployment(pod: &Pod, owner: &OwnerReference) -> Option<String> {
    let hash = pod.labels().get("pod-template-hash")?;
    let name = owner.name.strip_suffix(hash.as_str())?.strip_suffix('-')?;
    Some(format!("deployment/{name}"))
}

/// As many as a command may have: the rest comes with the next check.
fn some_of(owners: &[String]) -> String {
    const MOST: usize = 10;
    let shown = owners[..owners.len().min(MOST)].join(" ");
    if owners.len() > MOST { format!("{shown} (and {} more)", owners.len() - MOST) } else { shown }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(name: &str, kind: &str, owner: &str, hash: Option<&str>) -> Pod {
        let owner = json!([{"apiVersion": "x/v1", "kind": kind, "name": owner, "uid": "u", "controller": true}]);
        let owners = if kind.is_empty() { json!([]) } else { owner };
        let labels = hash.map(|hash| json!({"pod-template-hash": hash}));
        serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": owners, "labels": labels}}))
            .unwrap()
    }

    #[test]
    fn who_makes_a_pod_decides_how_it_is_made_anew() {
        let pods = [
            pod("web-7d9f-a", "ReplicaSet", "web-7d9f", Some("7d9f")),
            pod("web-7d9f-b", "ReplicaSet", "web-7d9f", Some("7d9f")),
            pod("db-0", "StatefulSet", "db", None),
            pod("old-x", "ReplicaSet", "old", None),
            pod("task-x", "Job", "task", None),
            pod("alone", "", "", None),
        ];
        let pods: Vec<&Pod> = pods.iter().collect();
        let expected = "kubectl -n shop rollout restart deployment/web statefulset/db; delete old-x, and replicaset/old makes \
                        others; task-x of job/task may end as they are; a new Job's pods join; alone have no controller: \
                        delete them and create them again";
        assert_eq!(advice("shop", &pods), expected);
        assert_eq!(advice("shop", &pods[5..]), "alone have no controller: delete them and create them again");
    }
}
