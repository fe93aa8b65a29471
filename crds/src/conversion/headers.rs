//! HTTPRouteGroup: headers came with v1alpha2. Each match's are carried with a hash of that match, so that a
//! v1alpha1 client that adds or changes one match leaves the others' headers alone.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Alpha, Fields,
    carried::{Carried, hash},
};

pub(super) fn widen(from: Alpha, fields: &mut Fields, carried: &mut Carried) {
    if from != 1 {
        return;
    }
    let Some(Value::Object(mut headers)) = carried.take("headers", &Value::Null) else { return };
    for (key, one) in keyed(fields) {
        if let Some(headers) = headers.remove(&key) {
            one.entry("headers").or_insert(headers);
        }
    }
}

pub(super) fn narrow(to: Alpha, fields: &mut Fields, carried: &mut Carried) {
    if to != 1 {
        return;
    }
    let removed: Vec<_> = matches_of(fields).map(|one| one.remove("headers")).collect();
    let headers: Map<_, _> =
        keyed(fields).into_iter().zip(removed).filter_map(|((key, _), headers)| Some((key, headers?))).collect();
    if !headers.is_empty() {
        carried.put("headers", &Value::Null, &headers.into());
    }
}

/// Every match with a key of its own: its hash, and its place among the matches that have the same.
fn keyed(fields: &mut Fields) -> Vec<(String, &mut Map<String, Value>)> {
    let mut seen = BTreeMap::<String, usize>::new();
    let mut key = |one: &mut Map<String, Value>| {
        let hash = hash(&Value::Object(one.clone()));
        let place = seen.entry(hash.clone()).or_default();
        *place += 1;
        format!("{hash}.{place}")
    };
    matches_of(fields).map(|one| (key(one), one)).collect()
}

fn matches_of(fields: &mut Fields) -> impl Iterator<Item = &mut Map<String, Value>> {
    fields.get_mut("matches").and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_object_mut)
}
