//! Any bytes as a ConversionReview, and any bytes as the objects in one: there is an answer or an error, and in an answer every
//! object is there, in the version that was asked for, with the name that it had.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use smidge_operator::webhook::convert;

/// What is asked for, by the first byte.
const VERSIONS: [&str; 4] = [
    "split.smi-spec.io/v1alpha4",
    "split.smi-spec.io/v1alpha1",
    "access.smi-spec.io/v1alpha3",
    "specs.smi-spec.io/v1alpha1",
];

fuzz_target!(|bytes: &[u8]| {
    if let Ok(converted) = convert(bytes) {
        assert_eq!(
            objects(&converted.answer).map(|objects| objects.len()).unwrap_or(converted.objects),
            converted.objects
        );
    }
    let Some((first, object)) = bytes.split_first() else { return };
    let Ok(object) = serde_json::from_slice::<Value>(object) else { return };
    if has_fraction(&object) {
        return; // What is printed of one may be read as its neighbour: this comparison would say nothing of conversions.
    }
    let to = VERSIONS[usize::from(*first) % VERSIONS.len()];
    let review = json!({"request": {"uid": "1", "desiredAPIVersion": to, "objects": [object, object]}});
    let converted = convert(review.to_string().as_bytes()).expect("a review has an answer");
    for now in objects(&converted.answer).expect("an answer is JSON") {
        if object.is_object() {
            assert_eq!(now["apiVersion"], to);
            assert_eq!(now["metadata"]["name"], object["metadata"]["name"]);
            assert_eq!(now["metadata"]["labels"], object["metadata"]["labels"]);
        } else {
            assert_eq!(now, object);
        }
    }
});

fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_fraction),
        Value::Object(fields) => fields.values().any(has_fraction),
        _ => false,
    }
}

fn objects(answer: &str) -> Option<Vec<Value>> {
    let answer: Value = serde_json::from_str(answer).ok()?;
    answer["response"]["convertedObjects"].as_array().cloned()
}
