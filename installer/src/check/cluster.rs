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

/// CRDs of SMI that something else has installed, where objects are stored in a form that ours cannot read.
pub(super) async fn foreign_kinds(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let installed: Api<Crd> = Api::all(client.clone());
    let compare = async |ours: Crd| {
        let theirs = installed.get_opt(&ours.name_any()).await?;
        Ok::<_, kube::Error>(theirs.and_then(|theirs| foreign(&theirs, &ours)))
    };
    Ok(try_join_all(smidge_crds::all().into_iter().map(compare)).await?.into_iter().flatten().collect())
}

fn foreign(theirs: &Crd, ours: &Crd) -> Option<Finding> {
    let stored = stored_version(ours);
    let kept = theirs.status.as_ref().and_then(|status| status.stored_versions.clone()).unwrap_or_default();
    let other: Vec<&str> = kept.iter().map(String::as_str).filter(|&version| Some(version) != stored).collect();
    let what = format!("{} is there already", ours.name_any());
    (!other.is_empty()).then(|| {
        let (other, stored) = (other.join(", "), stored.unwrap_or_default());
        let why = format!(
            "objects may be stored as {other}, which is not served here: write them anew as {stored} (kubectl get, \
             convert, kubectl replace), else they cannot be read after the installation"
        );
        Finding::doubtful(what, why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    fn verdict(major: &str, minor: &str) -> Verdict {
        version(&Info { major: major.into(), minor: minor.into(), ..Info::default() }).verdict
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
