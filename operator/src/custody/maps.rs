//! The ConfigMap `smidge-trust` of each meshed namespace: the roots that its pods trust, and how their Envoys read them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use smidge_injector::{TRUST_BUNDLE, TRUST_CONFIG_MAP, trust_files};
use smidge_mesh::TrustBundle;

use super::{FIELD_MANAGER, mirror::Mirrors};

/// What it is called.
pub(super) const NAME: &str = TRUST_CONFIG_MAP;

/// Whose it is: another's of the same name is left alone when its namespace leaves the mesh.
const OWNER: (&str, &str) = ("app.kubernetes.io/managed-by", "smidge");

/// What is to be done in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Write it.
    Write(String),
    /// The namespace has left the mesh, and its last sidecar is gone.
    Delete(String),
}

impl Act {
    pub(super) fn namespace(&self) -> &str {
        match self {
            Self::Write(namespace) | Self::Delete(namespace) => namespace,
        }
    }
}

/// All that is to be done, so that each namespace of the mesh has this bundle, and each that has left it as long as it
/// `has_sidecars`: without the ConfigMap the kubelet would not renew their tokens either, which lie in the same volume.
pub(super) fn acts(mirrors: &Mirrors, bundle: &TrustBundle, has_sidecars: impl Fn(&str) -> bool) -> Vec<Act> {
    let maps = mirrors.maps();
    let having = maps.iter().filter_map(|map| map.metadata.namespace.clone()).filter(|name| has_sidecars(name));
    compare(&mirrors.namespaces().chain(having).collect(), maps.iter().map(|map| &**map), &content(bundle))
}

fn compare<'a>(
    meshed: &BTreeSet<String>,
    maps: impl Iterator<Item = &'a ConfigMap>,
    content: &BTreeMap<String, String>,
) -> Vec<Act> {
    let maps: BTreeMap<&str, &ConfigMap> =
        maps.filter_map(|map| Some((map.metadata.namespace.as_deref()?, map))).collect();
    let holds = |map: &ConfigMap| {
        let has = |(key, value): (&String, &String)| map.data.iter().flatten().any(|(k, v)| k == key && v == value);
        is_ours(map) && content.iter().all(has)
    };
    let write = meshed.iter().filter(|namespace| !maps.get(namespace.as_str()).is_some_and(|map| holds(map)));
    let left = maps.iter().filter(|(namespace, map)| !meshed.contains(**namespace) && is_ours(map));
    let delete = left.map(|(namespace, _)| Act::Delete((*namespace).to_owned()));
    write.cloned().map(Act::Write).chain(delete).collect()
}

fn is_ours(map: &ConfigMap) -> bool {
    map.metadata.labels.iter().flatten().any(|(key, value)| (key.as_str(), value.as_str()) == OWNER)
}

fn content(bundle: &TrustBundle) -> BTreeMap<String, String> {
    let files = trust_files().into_iter().map(|(name, text)| (name.to_owned(), text));
    files.chain([(TRUST_BUNDLE.to_owned(), bundle.0.to_string())]).collect()
}

/// Does it.
pub(super) async fn carry_out(client: &Client, act: &Act, bundle: &TrustBundle) -> Result<(), kube::Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), act.namespace());
    match act {
        Act::Write(_) => {
            let map = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": NAME, "labels": {(OWNER.0): OWNER.1}}, "data": content(bundle),
            });
            maps.patch(NAME, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(map)).await.map(drop)
        }
        Act::Delete(_) => match maps.delete(NAME, &DeleteParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            deleted => deleted.map(drop),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(namespace: &str, data: &BTreeMap<String, String>, is_ours: bool) -> ConfigMap {
        let mut map = ConfigMap { data: Some(data.clone()), ..ConfigMap::default() };
        map.metadata.namespace = Some(namespace.to_owned());
        map.metadata.labels = is_ours.then(|| [(OWNER.0.to_owned(), OWNER.1.to_owned())].into());
        map
    }

    #[test]
    fn every_meshed_namespace_has_the_trust_and_no_other() {
        let (content, old) = (content(&TrustBundle("new".into())), content(&TrustBundle("old".into())));
        let more: BTreeMap<_, _> = content.clone().into_iter().chain([("else".to_owned(), "x".to_owned())]).collect();
        let maps = [
            map("right", &content, true),
            map("with-more", &more, true),
            map("old", &old, true),
            map("edited", &BTreeMap::new(), true),
            map("adopted", &content, false),
            map("left", &content, true),
            map("theirs", &content, false),
        ];
        let meshed = ["right", "with-more", "old", "edited", "adopted", "missing"].map(str::to_owned).into();
        let write = ["adopted", "edited", "missing", "old"].map(|name| Act::Write(name.to_owned()));
        let expected: Vec<_> = write.into_iter().chain([Act::Delete("left".to_owned())]).collect();
        assert_eq!(compare(&meshed, maps.iter(), &content), expected);
    }
}
