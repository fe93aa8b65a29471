//! From the bytes of an AdmissionReview of an SMI object, an IngressBackend or a MeshConfig to the answer: what `smidge lint` says of
//! it, with everything that the loop knows of the cluster.
//!
//! Refused is what the object alone decides, since that can never work: [`codes::REFUSED`]. All else may come right, and is
//! warned of. What was there before is never held against a change that leaves it as it is.

use kube::{
    Resource,
    core::{
        DynamicObject,
        admission::{AdmissionRequest, AdmissionResponse, AdmissionReview, Operation},
    },
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use smidge_compiler::{Diagnostic, Digest, Event, Fact, Severity, Snapshot, codes, diagnose};
use smidge_crds::{
    HTTPRouteGroup, IngressBackend, MeshConfig, TCPRoute, TrafficSplit, TrafficTarget, UDPRoute, convert,
};

use super::answer::{Unreadable, finished, request_of};

/// How many warnings there are at most: the API server passes on 4 KiB of them.
const WARNINGS: usize = 12;
/// How long one may be: the API server cuts it there.
const LONGEST: usize = 256;

/// Judges one review. `snapshot`: all objects of the cluster; `None`: they are not known yet, so only what the object alone
/// decides is judged.
///
/// # Errors
/// When nobody can be answered, because there is no request in it.
pub fn validate(snapshot: Option<&Snapshot>, review: &[u8]) -> Result<AdmissionReview<DynamicObject>, Unreadable> {
    Ok(finished(match request_of(review)? {
        Ok(request) => judge(snapshot, &request),
        Err(unreadable) => unreadable,
    }))
}

fn judge(snapshot: Option<&Snapshot>, request: &AdmissionRequest<DynamicObject>) -> AdmissionResponse {
    let response = AdmissionResponse::from(request);
    let (Some(object), None) = (&request.object, &request.sub_resource) else { return response };
    let before = request.old_object.as_ref();
    if !matches!(request.operation, Operation::Create | Operation::Update)
        || object.metadata.deletion_timestamp.is_some()
        || before.is_some_and(|before| fields(before) == fields(object))
    {
        return response;
    }
    let known = before.map(|before| self::told(snapshot, before));
    let told = match (told(snapshot, object), &known) {
        (Ok(told), _) => told,
        (Err(error), known) => {
            let why = format!("Smidge cannot read it, so it counts as absent: {error}");
            let is_no_worse = matches!(known, Some(Err(_)));
            return if is_no_worse { said(response, vec![why]) } else { response.deny(why) };
        }
    };
    let known = known.and_then(Result::ok).unwrap_or_default();
    let is_known = |one: &Diagnostic| known.iter().any(|before| before.code == one.code);
    let (refused, warned): (Vec<_>, Vec<_>) =
        told.into_iter().partition(|one| codes::REFUSED.contains(&one.code) && !is_known(one));
    match refused.is_empty() {
        true => said(response, uncarried(object).into_iter().chain(warnings(&warned)).collect()),
        false => response.deny(sentences(&refused)),
    }
}

/// What an older version cannot carry, a client of that version would take away.
fn uncarried(object: &DynamicObject) -> Option<String> {
    let own = object.types.as_ref()?.api_version.clone();
    let (group, _) = own.split_once('/')?;
    let (object, oldest) = (serde_json::to_value(object).ok()?, format!("{group}/v1alpha1"));
    let back: DynamicObject = serde_json::from_value(convert(convert(object.clone(), &oldest), &own)).ok()?;
    let object: DynamicObject = serde_json::from_value(object).ok()?;
    (fields(&back) != fields(&object)).then(|| {
        format!("{oldest} cannot carry all of it, since annotations have 256 KiB: who writes it back in that version takes parts away")
    })
}

/// What the author has written.
fn fields(object: &DynamicObject) -> Value {
    let mut fields = object.data.clone();
    if let Some(fields) = fields.as_object_mut() {
        fields.remove("status");
    }
    fields
}

/// What there is to say of an object in the cluster as it would be with it.
fn told(snapshot: Option<&Snapshot>, object: &DynamicObject) -> Result<Vec<Diagnostic>, serde_json::Error> {
    let Some(fact) = fact(object)? else { return Ok(Vec::new()) };
    let (reference, is_known) = (fact.object(), snapshot.is_some());
    let mut snapshot = snapshot.cloned().unwrap_or_default();
    snapshot.apply(Event::Apply(fact));
    let mut told = diagnose(&snapshot, &reference);
    told.retain(|one| is_known || codes::REFUSED.contains(&one.code));
    Ok(told)
}

/// The facts about an object in any version; `None`: of a kind that nothing is said of.
fn fact(object: &DynamicObject) -> Result<Option<Fact>, serde_json::Error> {
    let mut value = serde_json::to_value(object)?;
    if let Some(members) = value.as_object_mut() {
        members.remove("status");
    }
    let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
    Ok(Some(match kind {
        "TrafficSplit" => digested::<TrafficSplit>(value)?,
        "TrafficTarget" => digested::<TrafficTarget>(value)?,
        "HTTPRouteGroup" => digested::<HTTPRouteGroup>(value)?,
        "TCPRoute" => digested::<TCPRoute>(value)?,
        "UDPRoute" => digested::<UDPRoute>(value)?,
        "IngressBackend" => digested::<IngressBackend>(value)?,
        "MeshConfig" => digested::<MeshConfig>(value)?,
        _ => return Ok(None),
    }))
}

fn digested<K>(object: Value) -> Result<Fact, serde_json::Error>
where
    K: Resource<DynamicType = ()> + Digest + DeserializeOwned,
{
    let stored = convert(object, &K::api_version(&()));
    Ok(serde_json::from_value::<K>(stored)?.digest())
}

fn sentences(refused: &[Diagnostic]) -> String {
    let all: Vec<_> = refused.iter().map(|one| format!("{}. {}", line(one), one.code.remedy)).collect();
    all.join(" ")
}

fn warnings(diagnostics: &[Diagnostic]) -> impl Iterator<Item = String> {
    diagnostics.iter().filter(|one| one.code.severity > Severity::Info).map(line)
}

fn said(mut response: AdmissionResponse, warnings: Vec<String>) -> AdmissionResponse {
    let warnings = warnings.into_iter().take(WARNINGS).map(|line| line.chars().take(LONGEST).collect());
    response.warnings = Some(warnings.collect()).filter(|warnings: &Vec<String>| !warnings.is_empty());
    response
}

/// A diagnostic in one line, as `smidge lint` has it: it becomes a header of HTTP.
fn line(one: &Diagnostic) -> String {
    let Diagnostic { code, field, message, .. } = one;
    let place = if field.is_empty() { String::new() } else { format!(" {field}") };
    format!("{}{place}: {message}", code.id).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The verdict, the message of a refusal, the warnings.
    fn verdict(snapshot: Option<&Snapshot>, operation: &str, old: &Value, new: &Value) -> (bool, String, Vec<String>) {
        let request = json!({
            "uid": "7", "kind": {"group": "", "version": "", "kind": ""}, "resource": {"group": "", "version": "", "resource": ""},
            "name": "a", "namespace": "shop", "operation": operation, "userInfo": {}, "object": new, "oldObject": old,
        });
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let response = validate(snapshot, review.to_string().as_bytes()).unwrap().response.unwrap();
        (response.allowed, response.result.message, response.warnings.unwrap_or_default())
    }

    fn create(object: &Value) -> (bool, String, Vec<String>) {
        verdict(Some(&Snapshot::default()), "CREATE", &Value::Null, object)
    }

    fn split(version: &str, weights: &[Value]) -> Value {
        let backends: Vec<_> = weights
            .iter()
            .enumerate()
            .map(|(at, weight)| json!({"service": format!("v{at}"), "weight": weight}))
            .collect();
        json!({
            "apiVersion": format!("split.smi-spec.io/{version}"), "kind": "TrafficSplit",
            "metadata": {"name": "a", "namespace": "shop"}, "spec": {"service": "web", "backends": backends},
        })
    }

    fn target(namespace: &str) -> Value {
        let account = json!({"kind": "ServiceAccount", "name": "a", "namespace": namespace});
        json!({
            "apiVersion": "access.smi-spec.io/v1alpha3", "kind": "TrafficTarget", "metadata": {"name": "a", "namespace": "shop"},
            "spec": {"destination": account, "sources": [account], "rules": [{"kind": "TCPRoute", "name": "all"}]},
        })
    }

    #[test]
    fn what_opens_another_namespace_or_can_never_work_is_refused_in_every_version() {
        let (allowed, why, _) = create(&target("other"));
        assert!(!allowed && why.starts_with("SMI0201 spec.destination.namespace: "), "{why}");
        assert!(why.ends_with("Put the target into the destination's namespace."), "{why}");
        for (version, zero) in [("v1alpha1", json!("0")), ("v1alpha2", json!(0)), ("v1alpha4", json!(0))] {
            let (allowed, why, _) = create(&split(version, &[zero]));
            assert!(!allowed && why.starts_with("SMI0104 spec.backends: all weights are 0"), "{version}: {why}");
        }
    }

    #[test]
    fn what_may_come_right_is_warned_of() {
        let (allowed, _, warnings) = create(&split("v1alpha2", &[json!(1)]));
        assert!(allowed);
        let told = |code: &str| warnings.iter().any(|warning| warning.starts_with(code));
        assert!(told("SMI0108: namespace shop is not") && told("SMI0110 spec.backends[0].service: "), "{warnings:?}");
        // Before the cluster is known nothing is said that it might contradict.
        let early = verdict(None, "CREATE", &Value::Null, &split("v1alpha2", &[json!(1)]));
        assert_eq!(early, (true, String::new(), vec![]));
        assert!(!verdict(None, "CREATE", &Value::Null, &target("other")).0);
    }

    #[test]
    fn what_was_there_before_is_not_held_against_a_change() {
        let (bad, mut labelled) = (split("v1alpha4", &[json!(0)]), split("v1alpha4", &[json!(0)]));
        labelled["metadata"]["labels"] = json!({"a": "b"});
        let mut ending = split("v1alpha4", &[json!(0), json!(0)]);
        let update = |old: &Value, new: &Value| verdict(Some(&Snapshot::default()), "UPDATE", old, new).0;
        assert!(update(&bad, &labelled));
        assert!(update(&bad, &ending), "not worse than before");
        assert!(!update(&split("v1alpha4", &[json!(1)]), &bad));
        ending["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert!(update(&split("v1alpha4", &[json!(1)]), &ending));
        assert!(verdict(None, "DELETE", &bad, &Value::Null).0);
    }

    #[test]
    fn what_older_versions_cannot_carry_is_warned_of() {
        let headers: Vec<_> = (0..32).map(|at| json!({format!("x-{at}"): "a".repeat(60)})).collect();
        let matches: Vec<_> = (0..150).map(|at| json!({"name": format!("m{at}"), "headers": headers})).collect();
        let group = |count| {
            json!({"apiVersion": "specs.smi-spec.io/v1alpha4", "kind": "HTTPRouteGroup", "metadata": {"name": "a"},
                                   "spec": {"matches": matches[..count]}})
        };
        assert_eq!(create(&group(50)).2, Vec::<String>::new());
        let (allowed, _, warnings) = create(&group(150));
        assert!(allowed && warnings[0].starts_with("specs.smi-spec.io/v1alpha1 cannot carry all"), "{warnings:?}");
    }

    #[test]
    fn what_nobody_can_read_is_refused() {
        let unreadable = split("v1alpha4", &[json!(0.5)]);
        let (allowed, why, _) = create(&unreadable);
        assert!(!allowed && why.contains("cannot read it"), "{why}");
        let (allowed, _, warnings) = verdict(None, "UPDATE", &unreadable, &split("v1alpha4", &[json!(0.25)]));
        assert!(allowed && warnings[0].contains("counts as absent"), "{warnings:?}");
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let review = format!("{{\"request\": {{\"uid\": \"7\", \"object\": {{\"spec\": {deep}}}}}}}");
        let response = validate(None, review.as_bytes()).unwrap().response.unwrap();
        assert!(!response.allowed && response.uid == "7", "{response:?}");
        validate(None, b"{").unwrap_err();
    }
}
