//! TrafficSplit: weights were quantities in v1alpha1, `matches` came with v1alpha3.

use serde_json::Value;

use super::{
    Alpha, Fields,
    carried::Carried,
    quantity::{canonical, whole_weights},
};

pub(super) fn widen(from: Alpha, fields: &mut Fields, carried: &mut Carried) {
    if from < 3
        && let Some(matches) = carried.take("matches", &root_of(fields)).filter(Value::is_array)
    {
        fields.insert("matches".to_owned(), matches);
    }
    if from > 1 {
        widen_weights(fields, carried);
    }
}

pub(super) fn narrow(to: Alpha, fields: &mut Fields, carried: &mut Carried) {
    if to < 3
        && let Some(matches) = fields.remove("matches")
    {
        carried.put("matches", &root_of(fields), &matches);
    }
    if to > 1 {
        narrow_weights(fields, carried);
    }
}

/// What `matches` belong to. Not the backends: rollout tools that write an old version change weights all the time,
/// and must not turn an A/B test into a canary for everybody by it.
fn root_of(fields: &Fields) -> Value {
    fields.get("service").cloned().unwrap_or_default()
}

/// Whole weights → quantities: those that they were made from, or else their plain form.
fn widen_weights(fields: &mut Fields, carried: &mut Carried) {
    let basis = fields.get("backends").cloned().unwrap_or_default();
    let original = carried.take("weights", &basis);
    let Some(weights) = whole(weights_of(fields)) else { return };
    let quantities = match original {
        Some(Value::Array(quantities)) if whole_weights(&quantities).as_ref() == Some(&weights) => quantities,
        _ => weights.into_iter().map(canonical).collect(),
    };
    set_weights(fields, quantities);
}

/// Quantities → whole weights. Quantities that are not the plain form of these are carried.
fn narrow_weights(fields: &mut Fields, carried: &mut Carried) {
    let Some(quantities) = weights_of(fields) else { return };
    let Some(weights) = whole_weights(&quantities) else { return };
    let plain: Vec<_> = weights.iter().copied().map(canonical).collect();
    set_weights(fields, weights.into_iter().map(Value::from).collect());
    if plain != quantities {
        let basis = fields.get("backends").cloned().unwrap_or_default();
        carried.put("weights", &basis, &quantities.into());
    }
}

/// All weights, if every backend has one.
fn weights_of(fields: &Fields) -> Option<Vec<Value>> {
    fields.get("backends")?.as_array()?.iter().map(|backend| backend.get("weight").cloned()).collect()
}

fn whole(weights: Option<Vec<Value>>) -> Option<Vec<u32>> {
    weights?.iter().map(|weight| u32::try_from(weight.as_u64()?).ok()).collect()
}

fn set_weights(fields: &mut Fields, weights: Vec<Value>) {
    let backends = fields.get_mut("backends").and_then(Value::as_array_mut).into_iter().flatten();
    for (backend, weight) in backends.filter_map(Value::as_object_mut).zip(weights) {
        backend.insert("weight".to_owned(), weight);
    }
}
