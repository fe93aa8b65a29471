//! Is the cluster fit to be installed on?

use futures::future::try_join_all;
use k8s_openapi::{
    api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Crd,
    apimachinery::pkg::version::Info,
};
use kube::{Api, Client, ResourceExt, api::PostParams};

use smidge_crds::stored_version;

use super::Finding;

/// Native sidecars, and `preStop: {sleep}`, are on by default from this minor version of Kubernetes 1 on.
const OLDEST_MINOR: u32 = 30;

/// What an installation writes, as `<group>/<resource>`.
const WRITTEN: &[(&str, &str)] = &[
    ("", "namespaces"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
    ("apps", "deployments"),
];

pub(super) fn version(info: &Info) -> Finding {
    let what = format!("Kubernetes {}", info.git_version);
    // Some providers write a plus behind the number.
    let minor = info.minor.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u32>();
    let is_new_enough = info.major == "1" && minor.is_ok_and(|minor| minor >= OLDEST_MINOR);
    Finding::if_so(is_new_enough, what, || {
        format!("1.{OLDEST_MINOR} or newer is needed, for native sidecars and preStop sleeps: upgrade the cluster")
    })
}

pub(super) async fn rights(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let ask = async |&(group, resource): &(&'static str, &'static str)| {
        let review = reviews.create(&PostParams::default(), &create_of(group, resource)).await?;
        let is_allowed = review.status.is_some_and(|status| status.allowed);
        Ok::<_, kube::Error>((!is_allowed).then_some(resource))
    };
    let missing: Vec<&str> = try_join_all(WRITTEN.iter().map(ask)).await?.into_iter().flatten().collect();
    let why = || format!("you may not create {}: install as cluster-admin", missing.join(", "));
    Ok(vec![Finding::if_so(missing.is_empty(), "you may install", why)])
}

fn create_of(group: &str, resource: &str) -> SelfSubjectAccessReview {
    let attributes = ResourceAttributes {
        group: Some(group.to_owned()),
        resource: Some(resource.to_owned()),
        verb: Some("create".to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() }
}

/// CRDs of SMI that something else has installed: what an installation will change about them.
pub(super) async fn foreign_kinds(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let installed: Api<Crd> = Api::all(client.clone());
    let compare = async |ours: Crd| {
        let theirs = installed.get_opt(&ours.name_any()).await?;
        Ok::<_, kube::Error>(theirs.and_then(|theirs| foreign(&theirs, &ours)))
    };
    Ok(try_join_all(smidge_crds::all().into_iter().map(compare)).await?.into_iter().flatten().collect())
}

fn foreign(theirs: &Crd, ours: &Crd) -> Option<Finding> {
    let changes = changes(theirs, ours);
    let what = format!("{} is there already", ours.name_any());
    (!changes.is_empty()).then(|| {
        let why = format!("smidge install takes it over, and no object is lost: {}", changes.join("; "));
        Finding::doubtful(what, why)
    })
}

fn changes(theirs: &Crd, ours: &Crd) -> Vec<String> {
    let served = |crd: &Crd| -> Vec<String> {
        crd.spec.versions.iter().filter(|version| version.served).map(|version| version.name.clone()).collect()
    };
    let (had, has) = (served(theirs), served(ours));
    let new: Vec<String> = has.iter().filter(|version| !had.contains(version)).cloned().collect();
    let gone: Vec<String> = had.into_iter().filter(|version| !has.contains(version)).collect();
    let newest = stored_version(ours).unwrap_or_default();
    let kept = theirs.status.as_ref().and_then(|status| status.stored_versions.clone()).unwrap_or_default();
    let old: Vec<String> = kept.into_iter().filter(|version| version != newest).collect();
    let has_status = |crd: &Crd| crd.spec.versions.iter().any(|version| version.subresources.is_some());
    [
        (!old.is_empty()).then(|| format!("objects that are stored as {} are stored as {newest}", old.join(", "))),
        (!new.is_empty()).then(|| format!("{} are served too", new.join(", "))),
        (!gone.is_empty()).then(|| format!("{} are served no longer", gone.join(", "))),
        (!has_status(theirs)).then(|| "objects get a status".to_owned()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    fn verdict(major: &str, minor: &str) -> Verdict {
        version(&Info { major: major.into(), minor: minor.into(), ..Info::default() }).verdict
    }

    #[test]
    fn what_an_installation_changes_about_a_crd_is_told() {
        let ours = smidge_crds::all().into_iter().find(|crd| crd.spec.names.kind == "TrafficSplit").unwrap();
        assert_eq!(foreign(&ours, &ours), None);
        let mut theirs = ours.clone();
        for version in &mut theirs.spec.versions {
            version.served = version.name == "v1alpha2";
            version.subresources = None;
        }
        theirs.status = serde_json::from_value(serde_json::json!({"storedVersions": ["v1alpha2"]})).unwrap();
        let expected = "! trafficsplits.split.smi-spec.io is there already: smidge install takes it over, and no object is lost: objects \
                        that are stored as v1alpha2 are stored as v1alpha4; v1alpha4, v1alpha3, v1alpha1 are served too; objects get a \
                        status";
        assert_eq!(foreign(&theirs, &ours).unwrap().to_string(), expected);
    }

    #[test]
    fn clusters_without_native_sidecars_are_told_so() {
        for (major, minor) in [("1", "30"), ("1", "36"), ("1", "31+")] {
            assert_eq!(verdict(major, minor), Verdict::Good, "{major}.{minor}");
        }
        for (major, minor) in [("1", "29"), ("1", "9"), ("1", ""), ("", "")] {
            assert!(matches!(verdict(major, minor), Verdict::Bad(_)), "{major}.{minor}");
        }
    }
}
