//! The kinds that Smidge reads, in which versions; and what to say of those that look like one and are none.

use super::template::makes_pods;
use crate::Kind;

/// A kind that Smidge reads.
pub(super) struct Known {
    pub(super) kind: Kind,
    group: &'static str,
    /// The versions that are read; the last is the one that is stored.
    versions: &'static [&'static str],
}

const fn kind(kind: Kind, group: &'static str, versions: &'static [&'static str]) -> Known {
    Known { kind, group, versions }
}

const KNOWN: [Known; 11] = [
    kind(Kind::Namespace, "", &["v1"]),
    kind(Kind::Service, "", &["v1"]),
    kind(Kind::Pod, "", &["v1"]),
    kind(Kind::EndpointSlice, "discovery.k8s.io", &["v1"]),
    kind(Kind::TrafficSplit, "split.smi-spec.io", &["v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4"]),
    kind(Kind::TrafficTarget, "access.smi-spec.io", &["v1alpha1", "v1alpha2", "v1alpha3"]),
    kind(Kind::HttpRouteGroup, "specs.smi-spec.io", &["v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4"]),
    kind(Kind::TcpRoute, "specs.smi-spec.io", &["v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4"]),
    kind(Kind::UdpRoute, "specs.smi-spec.io", &["v1alpha4"]),
    kind(Kind::MeshConfig, "smidge.dev", &["v1alpha1"]),
    kind(Kind::IngressBackend, "smidge.dev", &["v1alpha1"]),
];

/// Served by an API server of its own, never written as a manifest.
const METRICS: &str = "metrics.smi-spec.io";

impl Known {
    /// The version that is stored, with its group.
    pub(super) fn api_version(&self) -> String {
        let version = self.versions.last().copied().unwrap_or_default();
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    fn name(&self) -> &'static str {
        self.kind.as_str()
    }
}

/// Whether objects of the kind are read, in some version.
pub(super) fn is_read(api_version: &str, kind: &str) -> bool {
    let group = parts(api_version).0;
    makes_pods(api_version, kind) || KNOWN.iter().any(|known| known.group == group && known.name() == kind)
}

/// The kind that is meant; `None`: one that is not Smidge's to read.
///
/// # Errors
/// When it looks like one of ours and is none, such as a misspelt kind: what is wrong, and what to write.
pub(super) fn known(api_version: &str, kind: &str) -> Result<Option<&'static Known>, String> {
    for (field, value) in [("kind", kind), ("apiVersion", api_version)] {
        if value.is_empty() {
            return Err(format!("there is no {field}: every object needs apiVersion, kind and metadata.name"));
        }
    }
    let (group, version) = parts(api_version);
    match KNOWN.iter().find(|known| known.group == group && known.name() == kind) {
        Some(known) if known.versions.contains(&version) => Ok(Some(known)),
        Some(known) => Err(format!("{kind} has no version {version}: write {}", versions(known))),
        None if looks_like_ours(group, kind) => Err(no_such_kind(api_version, kind)),
        None => Ok(None),
    }
}

fn parts(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

fn custom() -> impl Iterator<Item = &'static Known> {
    KNOWN.iter().filter(|known| known.kind.has_status())
}

/// A group of SMI's or our own, rightly spelt or not; or one of their kinds without a group.
fn looks_like_ours(group: &str, kind: &str) -> bool {
    let is_group = group.ends_with("smi-spec.io") || custom().any(|known| known.group == group);
    (is_group && group != METRICS) || (group.is_empty() && custom().any(|known| known.name() == kind))
}

fn versions(known: &Known) -> String {
    match known.versions {
        [older @ .., _] if !older.is_empty() => format!("{} (also read: {})", known.api_version(), older.join(", ")),
        _ => known.api_version(),
    }
}

fn no_such_kind(api_version: &str, kind: &str) -> String {
    if let Some(known) = custom().find(|known| known.name() == kind) {
        return format!("{kind} is not in {api_version}: write apiVersion {}", known.api_version());
    }
    let group = parts(api_version).0;
    let are_alike: Vec<_> = custom().filter(|known| known.group == group).map(Known::name).collect();
    match are_alike.as_slice() {
        [] => format!("there is no API group {group}: look for the group and kind in `smidge crds`"),
        kinds => format!("{group} has no kind {kind}: write {}", kinds.join(" or ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(api_version: &str, kind: &str, expected: Result<Option<&str>, &str>) {
        let found = known(api_version, kind).map(|known| known.map(Known::name));
        assert_eq!(found, expected.map_err(str::to_owned), "{api_version} {kind}");
    }

    #[test]
    fn every_served_version_is_read() {
        for crd in smidge_crds::all() {
            for version in crd.spec.versions {
                let api_version = format!("{}/{}", crd.spec.group, version.name);
                check(&api_version, &crd.spec.names.kind, Ok(Some(&crd.spec.names.kind)));
            }
        }
    }

    #[test]
    fn what_looks_like_one_of_ours_and_is_none_is_told_with_what_to_write() {
        let versions = "TrafficSplit has no version v1alpha9: \
            write split.smi-spec.io/v1alpha4 (also read: v1alpha1, v1alpha2, v1alpha3)";
        check("split.smi-spec.io/v1alpha9", "TrafficSplit", Err(versions));
        check("v2", "Service", Err("Service has no version v2: write v1"));
        let kind = "split.smi-spec.io has no kind TraficSplit: write TrafficSplit";
        check("split.smi-spec.io/v1alpha4", "TraficSplit", Err(kind));
        let group = "TrafficSplit is not in splits.smi-spec.io/v1alpha4: write apiVersion split.smi-spec.io/v1alpha4";
        check("splits.smi-spec.io/v1alpha4", "TrafficSplit", Err(group));
        let no_version = "TCPRoute is not in specs.smi-spec.io: write apiVersion specs.smi-spec.io/v1alpha4";
        check("specs.smi-spec.io", "TCPRoute", Err(no_version));
        let nothing = "there is no API group x.smi-spec.io: look for the group and kind in `smidge crds`";
        check("x.smi-spec.io/v1", "X", Err(nothing));
    }

    #[test]
    fn what_is_not_ours_is_passed_over() {
        check("gateway.networking.k8s.io/v1alpha2", "TCPRoute", Ok(None));
        check("serving.knative.dev/v1", "Service", Ok(None));
        check("v1", "ConfigMap", Ok(None));
        check("metrics.smi-spec.io/v1alpha1", "TrafficMetrics", Ok(None));
    }
}
