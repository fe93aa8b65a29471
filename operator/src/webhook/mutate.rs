//! From the bytes of an AdmissionReview of an HTTPRouteGroup to the answer: `headers` are stored as a list of maps with one key
//! each. The specification's text has one map; the official CRD and the first clients know the list alone, and fail on a map.

use kube::core::{
    DynamicObject,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview},
};
use serde_json::{Value, json};

use super::answer::{Unreadable, finished, request_of};

/// Where the matches stand: the first versions have no `spec`.
const MATCHES: [&str; 2] = ["/spec/matches", "/matches"];

/// Answers one review.
///
/// # Errors
/// When nobody can be answered, because there is no request in it.
pub fn mutate(review: &[u8]) -> Result<AdmissionReview<DynamicObject>, Unreadable> {
    Ok(finished(match request_of(review)? {
        Ok(request) => listed(&request),
        Err(unreadable) => unreadable,
    }))
}

fn listed(request: &AdmissionRequest<DynamicObject>) -> AdmissionResponse {
    let response = AdmissionResponse::from(request);
    let Some(object) = request.object.as_ref().filter(|_| request.sub_resource.is_none()) else { return response };
    let changes: Vec<_> = MATCHES.into_iter().flat_map(|place| changes(&object.data, place)).collect();
    if changes.is_empty() {
        return response;
    }
    match serde_json::from_value(changes.into()).map(|patch| response.clone().with_patch(patch)) {
        Ok(Ok(patched)) => patched,
        // It is stored as it came, which is read as well.
        _ => response,
    }
}

fn changes(fields: &Value, place: &str) -> Vec<Value> {
    let matches = fields.pointer(place).and_then(Value::as_array).into_iter().flatten().enumerate();
    let change = |(at, one): (usize, &Value)| {
        let list: Vec<_> = one.get("headers")?.as_object()?.iter().map(|(name, regex)| json!({name: regex})).collect();
        Some(json!({"op": "replace", "path": format!("{place}/{at}/headers"), "value": list}))
    };
    matches.filter_map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: &str, fields: &Value, expected: &Value) {
        let mut object =
            json!({"apiVersion": format!("specs.smi-spec.io/{version}"), "kind": "HTTPRouteGroup", "metadata": {}});
        object.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let named = json!({"group": "", "version": "", "kind": "", "resource": ""});
        let request = json!({"uid": "7", "kind": named, "resource": named, "name": "a", "operation": "CREATE", "userInfo": {}, "object": object});
        let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
        let response = mutate(review.to_string().as_bytes()).unwrap().response.unwrap();
        let patch = response.patch.map(|patch| serde_json::from_slice::<Value>(&patch).unwrap());
        assert!(response.allowed);
        assert_eq!(patch.unwrap_or_default(), *expected, "{fields}");
    }

    #[test]
    fn a_map_of_headers_becomes_a_list_in_the_versions_that_have_a_spec_and_those_that_have_none() {
        let matches =
            json!([{"name": "a"}, {"name": "b", "headers": {"cookie": "x", "via": "y"}}, {"name": "c", "headers": {}}]);
        for (version, fields, place) in [
            ("v1alpha4", json!({"spec": {"matches": matches}}), "/spec"),
            ("v1alpha2", json!({"matches": matches}), ""),
        ] {
            let expected = json!([
                {"op": "replace", "path": format!("{place}/matches/1/headers"), "value": [{"cookie": "x"}, {"via": "y"}]},
                {"op": "replace", "path": format!("{place}/matches/2/headers"), "value": []},
            ]);
            check(version, &fields, &expected);
        }
    }

    #[test]
    fn a_list_stays_as_it_is() {
        for headers in [json!([{"cookie": "x"}]), json!(null), json!("x")] {
            check("v1alpha4", &json!({"spec": {"matches": [{"headers": headers}]}}), &Value::Null);
        }
        check("v1alpha4", &json!({"spec": 7}), &Value::Null);
    }
}
