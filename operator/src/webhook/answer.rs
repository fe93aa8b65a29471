//! From the bytes of an AdmissionReview to the answer. What is no review is an error; every review gets its verdict.

use k8s_openapi::api::core::v1::Pod;
use kube::core::{
    DynamicObject,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation},
};
use serde::Deserialize;
use serde_json::Value;
use smidge_injector::{INJECT, Namespace, Outcome, Settings, Verdict, bypass, inject, is_exempt};

use super::{Counters, Labels, Webhook, json::members};

/// No AdmissionReview.
#[derive(Debug, thiserror::Error)]
#[error("this is no AdmissionReview (admission.k8s.io/v1) of a request: {0}")]
pub struct Unreadable(String);

/// Judges one review.
///
/// # Errors
/// When nobody can be answered, because there is no request in it.
pub fn answer(webhook: &Webhook, review: &[u8]) -> Result<AdmissionReview<DynamicObject>, Unreadable> {
    let parsed = serde_json::from_slice::<AdmissionReview<Pod>>(review);
    let request = parsed.map(TryInto::<AdmissionRequest<Pod>>::try_into);
    let response = match request {
        Ok(Ok(request)) => judge(webhook, &request),
        Ok(Err(error)) => return Err(Unreadable(error.to_string())),
        Err(error) => {
            // The author of an unreadable pod is told what is wrong with it, if it can be seen whom to answer.
            let request = without_object(review).ok_or_else(|| Unreadable(error.to_string()))?;
            Counters::count(&webhook.counters.failed);
            AdmissionResponse::from(&request).deny(format!("Smidge cannot read the pod: {error}"))
        }
    };
    Ok(finished(response))
}

pub(super) fn finished(response: AdmissionResponse) -> AdmissionReview<DynamicObject> {
    let mut review = response.into_review();
    // A request that was read piecemeal has lost them.
    review.types.kind = "AdmissionReview".to_owned();
    review.types.api_version = "admission.k8s.io/v1".to_owned();
    review
}

/// The request of a review of a custom object; or the refusal of an object that cannot be read: it is nested too deeply, and
/// clients that list its kind would break on it.
pub(super) fn request_of(
    review: &[u8],
) -> Result<Result<AdmissionRequest<DynamicObject>, AdmissionResponse>, Unreadable> {
    let unreadable = |error: &dyn std::error::Error| Unreadable(error.to_string());
    match serde_json::from_slice::<AdmissionReview<DynamicObject>>(review) {
        Ok(review) => review.try_into().map(Ok).map_err(|error| unreadable(&error)),
        Err(error) => {
            let mut refusal = AdmissionResponse::invalid(format!("Smidge cannot read the object: {error}"));
            refusal.uid = uid_of(review).ok_or_else(|| unreadable(&error))?;
            Ok(Err(refusal))
        }
    }
}

fn uid_of(review: &[u8]) -> Option<String> {
    let member = |of, name| members(of)?.into_iter().find(|member| member.name == name).map(|member| member.value);
    serde_json::from_str(member(member(std::str::from_utf8(review).ok()?, "request")?, "uid")?).ok()
}

/// The request of a review whose object cannot be read.
fn without_object(review: &[u8]) -> Option<AdmissionRequest<DynamicObject>> {
    let mut review: Value = serde_json::from_slice(review).ok()?;
    let request = review.get_mut("request")?.as_object_mut()?;
    request.retain(|key, _| !["object", "oldObject"].contains(&key.as_str()));
    serde_json::from_value(review["request"].take()).ok()
}

fn judge(webhook: &Webhook, request: &AdmissionRequest<Pod>) -> AdmissionResponse {
    let response = AdmissionResponse::from(request);
    let pod = match (&request.operation, request.sub_resource.as_deref(), &request.object) {
        (Operation::Create, None, Some(pod)) => pod,
        (Operation::Update, Some("ephemeralcontainers"), Some(pod)) => return debugged(webhook, response, pod),
        _ => return response,
    };
    Counters::count(&webhook.counters.admissions);
    let name = request.namespace.as_deref().unwrap_or_default();
    let namespaces = webhook.namespaces.borrow();
    let settings = webhook.settings.borrow();
    let Some(labels) = namespaces.get(name).filter(|labels| is_expected(&settings, name, labels)) else {
        return unknown(webhook, response, name);
    };
    let outcome = inject(&settings, Namespace { name, labels }, pod);
    drop((namespaces, settings));
    told(webhook, response, outcome)
}

/// A debugger in a pod that runs: it is let in or not.
fn debugged(webhook: &Webhook, response: AdmissionResponse, pod: &Pod) -> AdmissionResponse {
    Counters::count(&webhook.counters.admissions);
    let Some(why) = bypass(&webhook.settings.borrow(), pod) else { return response };
    Counters::count(&webhook.counters.refused);
    response.deny(why)
}

/// Whether a review is of a namespace that is not known to be labelled, as far as can be seen without reading its object.
pub(super) fn comes_early(webhook: &Webhook, review: &[u8]) -> bool {
    let Ok(Head { request: Named { namespace: Some(name) } }) = serde_json::from_slice(review) else { return false };
    let namespaces = webhook.namespaces.borrow();
    !namespaces.get(&name).is_some_and(|labels| is_expected(&webhook.settings.borrow(), &name, labels))
}

#[derive(Deserialize)]
struct Head {
    request: Named,
}

#[derive(Deserialize)]
struct Named {
    namespace: Option<String>,
}

/// The API server asks for pods of labelled namespaces only, so one without the label was labelled just now.
fn is_expected(settings: &Settings, name: &str, labels: &Labels) -> bool {
    labels.get(INJECT).is_some_and(|label| label == "enabled") || is_exempt(settings, name)
}

/// A pod of a namespace that was made or labelled just now, if it were let through, would start without its sidecar.
fn unknown(webhook: &Webhook, response: AdmissionResponse, name: &str) -> AdmissionResponse {
    Counters::count(&webhook.counters.failed);
    let mut response = response.deny(format!(
        "Smidge does not know yet that namespace {name:?} has the label {INJECT}: enabled, by which the API server \
         asks for its pods: try again in a moment"
    ));
    response.result.code = 503;
    response
}

fn told(webhook: &Webhook, mut response: AdmissionResponse, outcome: Outcome) -> AdmissionResponse {
    if !outcome.warnings.is_empty() {
        response.warnings = Some(outcome.warnings.into_iter().map(|warning| format!("Smidge: {warning}")).collect());
    }
    match outcome.verdict {
        Verdict::Unchanged => response,
        Verdict::Refused(why) => {
            Counters::count(&webhook.counters.refused);
            response.deny(why)
        }
        Verdict::Patched(patch) => match response.clone().with_patch(patch) {
            Ok(patched) => {
                Counters::count(&webhook.counters.injected);
                patched
            }
            Err(error) => {
                Counters::count(&webhook.counters.failed);
                response.deny(error)
            }
        },
    }
}
