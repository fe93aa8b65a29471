//! Does the control plane work?

use futures::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::{
    ByteString,
    api::{
        admissionregistration::v1::{MutatingWebhookConfiguration, ValidatingWebhookConfiguration},
        apps::v1::Deployment,
        coordination::v1::Lease,
    },
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition as Crd,
};
use kube::{Api, Client, ResourceExt};

use smidge_operator::{
    custody::{INJECTOR, RotationError, VALIDATOR, rotation_status},
    leader::LEASE,
};

use super::Finding;
use crate::{NAMESPACE, OPERATOR, apply::is_rolled_out, migrate::older_versions};

pub(super) fn deployment(deployment: &Deployment) -> Finding {
    let status = deployment.status.clone().unwrap_or_default();
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let available = status.available_replicas.unwrap_or(0);
    let what = format!("{available} of {wanted} replicas of the control plane are available");
    if is_rolled_out(deployment) {
        return Finding::good(what);
    }
    let why = format!("see kubectl -n {NAMESPACE} describe pods, and kubectl -n {NAMESPACE} logs deploy/{OPERATOR}");
    if available > 0 { Finding::doubtful(what, why) } else { Finding::bad(what, why) }
}

pub(super) async fn leader(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), NAMESPACE);
    let lease = leases.get_opt(LEASE).await?.and_then(|lease| lease.spec).unwrap_or_default();
    let holder = lease.holder_identity.filter(|holder| !holder.is_empty());
    let age = lease.renew_time.map(|time| Timestamp::now().duration_since(time.0)).unwrap_or(SignedDuration::MAX);
    let is_fresh = age.as_secs() <= i64::from(lease.lease_duration_seconds.unwrap_or(0));
    let what = format!("the leader is {}", holder.as_deref().unwrap_or("nobody"));
    Ok(vec![Finding::if_so(holder.is_some() && is_fresh, what, || {
        format!(
            "nobody writes statuses: see kubectl -n {NAMESPACE} logs deploy/{OPERATOR} for what keeps it from the Lease"
        )
    })])
}

pub(super) async fn kinds(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let installed: Api<Crd> = Api::all(client.clone());
    let look = async |ours: Crd| {
        let found = installed.get_opt(&ours.name_any()).await?;
        Ok::<_, kube::Error>((!found.is_some_and(|found| has_our_versions(&found, &ours))).then(|| ours.name_any()))
    };
    let all = smidge_crds::all();
    let what = format!("all {} kinds are installed", all.len());
    let missing: Vec<String> = try_join_all(all.into_iter().map(look)).await?.into_iter().flatten().collect();
    Ok(vec![Finding::if_so(missing.is_empty(), what, || {
        format!("{} are missing or of another version: run smidge install again", missing.join(", "))
    })])
}

fn has_our_versions(found: &Crd, ours: &Crd) -> bool {
    let versions =
        |crd: &Crd| crd.spec.versions.iter().map(|v| (v.name.clone(), v.served, v.storage)).collect::<Vec<_>>();
    versions(found) == versions(ours)
}

pub(super) async fn webhook(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let Some(configuration) = configurations.get_opt(INJECTOR).await? else {
        let why = "it is missing, so pods start outside the mesh: run smidge install again";
        return Ok(vec![Finding::bad(format!("webhook {INJECTOR}"), why)]);
    };
    let bundle = configuration.webhooks.iter().flatten().next();
    let bundle = bundle.and_then(|webhook| webhook.client_config.ca_bundle.as_ref());
    Ok(vec![Finding::if_so(
        bundle.is_some_and(|bundle| !bundle.0.is_empty()),
        "pods that join the mesh are injected",
        || {
            format!(
                "the webhook has no caBundle yet; the leader writes it: see kubectl -n {NAMESPACE} logs deploy/{OPERATOR}"
            )
        },
    )])
}

/// Whether the API server asks about objects before it stores them. Without it they are judged later, in their status.
pub(super) async fn validator(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let what = "SMI objects that can never work are refused";
    let Some(configuration) = configurations.get_opt(VALIDATOR).await? else {
        let why =
            format!("webhook {VALIDATOR} is missing, so they are told in their status only: run smidge install again");
        return Ok(vec![Finding::doubtful(what, why)]);
    };
    let trusts = |bundle: Option<&ByteString>| bundle.is_some_and(|bundle| !bundle.0.is_empty());
    let is_asked = configuration.webhooks.iter().flatten().all(|hook| trusts(hook.client_config.ca_bundle.as_ref()));
    let why =
        format!("webhook {VALIDATOR} has no caBundle yet, so they are told in their status only; the leader writes it");
    Ok(vec![if is_asked { Finding::good(what) } else { Finding::doubtful(what, why) }])
}

/// Whether objects may be stored in an older version still: nothing to say where none are.
pub(super) async fn unmigrated(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let installed: Api<Crd> = Api::all(client.clone());
    let look = async |ours: Crd| {
        let older = installed.get_opt(&ours.name_any()).await?.map(|found| older_versions(&found)).unwrap_or_default();
        Ok::<_, kube::Error>((!older.is_empty()).then(|| format!("{} as {}", ours.spec.names.kind, older.join(", "))))
    };
    let kinds: Vec<String> =
        try_join_all(smidge_crds::all().into_iter().map(look)).await?.into_iter().flatten().collect();
    let why = || {
        format!(
            "{} may be, and can be read only while the control plane works: run smidge install again",
            kinds.join("; ")
        )
    };
    Ok((!kinds.is_empty())
        .then(|| Finding::doubtful("no object is stored in an older version", why()))
        .into_iter()
        .collect())
}

/// Whether the API server has objects of every kind converted between their versions.
pub(super) async fn conversions(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let installed: Api<Crd> = Api::all(client.clone());
    let look = async |ours: Crd| {
        let found = installed.get_opt(&ours.name_any()).await?;
        // What is missing is told as such.
        Ok::<_, kube::Error>(found.filter(|found| ca_bundle(found).is_none()).map(|found| found.name_any()))
    };
    let untrusting: Vec<String> =
        try_join_all(smidge_crds::converted().map(look)).await?.into_iter().flatten().collect();
    Ok(vec![Finding::if_so(untrusting.is_empty(), "every version of SMI can be read and written", || {
        format!(
            "{} have no caBundle yet, so only the newest version of each works; the leader writes it: see kubectl -n \
             {NAMESPACE} logs deploy/{OPERATOR}",
            untrusting.join(", ")
        )
    })])
}

/// What the API server trusts when it has objects of a kind converted.
pub(crate) fn ca_bundle(crd: &Crd) -> Option<&ByteString> {
    let hook = crd.spec.conversion.as_ref()?.webhook.as_ref()?.client_config.as_ref()?;
    hook.ca_bundle.as_ref().filter(|bundle| !bundle.0.is_empty())
}

/// Whether the root is being replaced, which takes minutes: nothing to say where it is not.
pub(super) async fn rotation(client: &Client) -> Result<Vec<Finding>, kube::Error> {
    let what = "the mesh's root";
    Ok(match rotation_status(client.clone(), NAMESPACE).await {
        Ok(status) => {
            status.under_way().map(|step| Finding::doubtful(what, format!("{step}; smidge rotate status says more")))
        }
        // Before the first leader there is none.
        Err(RotationError::Absent { .. }) => None,
        Err(RotationError::Api { source, .. }) => return Err(source),
        Err(error) => Some(Finding::bad(what, error.to_string())),
    }
    .into_iter()
    .collect())
}
