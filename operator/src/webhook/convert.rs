//! From the bytes of a ConversionReview to the bytes of its answer: every object comes back in the version that is asked for.
//!
//! One object that failed would make every LIST of its kind fail, so nothing does: an object is read by itself, and one that
//! cannot be read (it is nested too deeply, say) comes back as it was written, with the other `apiVersion`.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::json::{items, members};

/// No ConversionReview.
#[derive(Debug, thiserror::Error)]
#[error("this is no ConversionReview (apiextensions.k8s.io/v1) of a request: {0}")]
pub struct NoReview(&'static str);

/// The answer, and how many objects are in it.
#[derive(Debug)]
pub struct Converted {
    /// A ConversionReview with a response, as JSON.
    pub answer: String,
    /// How many objects were asked for.
    pub objects: usize,
}

/// Converts all objects of a review.
///
/// # Errors
/// When nobody can be answered, because there is no request in it.
pub fn convert(review: &[u8]) -> Result<Converted, NoReview> {
    let review = std::str::from_utf8(review).map_err(|_| NoReview("it is not UTF-8"))?;
    let request = member(review, "request").ok_or(NoReview("it has no request"))?;
    let uid = member(request, "uid").and_then(text).ok_or(NoReview("the request has no uid"))?;
    let to = member(request, "desiredAPIVersion").and_then(text).ok_or(NoReview("it asks for no version"))?;
    let objects = member(request, "objects").and_then(items).ok_or(NoReview("it has no objects"))?;
    let converted: Vec<_> = objects.iter().map(|object| in_version(object, &to)).collect();
    let (uid, converted) = (json!(uid), converted.join(","));
    let answer = format!(
        r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","response":{{"uid":{uid},"convertedObjects":[{converted}],"result":{{"status":"Success"}}}}}}"#
    );
    Ok(Converted { answer, objects: objects.len() })
}

fn member<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    members(object)?.into_iter().find(|member| member.name == name).map(|member| member.value)
}

fn text(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

/// An object in a version.
fn in_version<'a>(object: &'a str, to: &str) -> Cow<'a, str> {
    let Ok(read) = serde_json::from_str::<Value>(object) else { return relabelled(object, to) };
    let mut converted = smidge_crds::convert(read, to);
    // One of which no conversion is known is taken for the same in every version.
    if let Some(members) = converted.as_object_mut() {
        members.insert("apiVersion".to_owned(), to.into());
    }
    Cow::Owned(converted.to_string())
}

/// An object with another `apiVersion`, and otherwise to the letter what it was.
fn relabelled<'a>(object: &'a str, to: &str) -> Cow<'a, str> {
    let Some(members) = members(object) else { return Cow::Borrowed(object) };
    let others = members.iter().filter(|member| member.name != "apiVersion");
    let others = others.map(|member| format!(",\"{}\":{}", member.name, member.value));
    Cow::Owned(format!("{{\"apiVersion\":{}{}}}", json!(to), others.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPLIT: &str = r#"{"apiVersion":"split.smi-spec.io/v1alpha1","kind":"TrafficSplit","metadata":{"name":"a"},"spec":{"service":"a","backends":[{"service":"b","weight":"500m"}]}}"#;

    fn review(objects: &str) -> String {
        format!(
            r#"{{"kind": "ConversionReview", "request": {{"objects": [{objects}], "uid": "7\n", "desiredAPIVersion": "split.smi-spec.io/v1alpha4"}}}}"#
        )
    }

    fn response(objects: &str) -> Value {
        let converted = convert(review(objects).as_bytes()).unwrap();
        let answer: Value = serde_json::from_str(&converted.answer).unwrap();
        assert_eq!((&answer["kind"], &answer["response"]["uid"]), (&json!("ConversionReview"), &json!("7\n")));
        assert_eq!(answer["response"]["result"]["status"], "Success");
        assert_eq!(answer["response"]["convertedObjects"].as_array().unwrap().len(), converted.objects);
        answer["response"]["convertedObjects"].clone()
    }

    #[test]
    fn every_object_comes_back_in_the_version_that_is_asked_for() {
        let other = r#"{"apiVersion": "split.smi-spec.io/v1alpha9", "kind": "Other", "spec": "none"}"#;
        let converted = response(&format!("{SPLIT}, {other}"));
        assert_eq!(converted[0]["apiVersion"], "split.smi-spec.io/v1alpha4");
        assert_eq!(converted[0]["spec"]["backends"][0]["weight"], 1);
        assert_eq!(converted[1], json!({"apiVersion": "split.smi-spec.io/v1alpha4", "kind": "Other", "spec": "none"}));
        assert_eq!(response(""), json!([]));
    }

    #[test]
    fn what_is_nested_too_deeply_is_handed_back_whole() {
        let deep = format!("{}\"}}]\"{}", "[".repeat(4_000), "]".repeat(4_000));
        let object =
            format!(r#"{{"apiVersion":"split.smi-spec.io/v1alpha1","metadata":{{"name":"a"}},"spec":{deep}}}"#);
        let converted = convert(review(&format!("{object},{SPLIT}")).as_bytes()).unwrap();
        let expected =
            format!(r#"[{{"apiVersion":"split.smi-spec.io/v1alpha4","metadata":{{"name":"a"}},"spec":{deep}}},{{"#);
        assert!(converted.answer.contains(&expected), "{}", converted.answer);
        assert_eq!(converted.objects, 2);
    }

    #[test]
    fn what_is_no_review_is_told_so() {
        for bytes in ["", "{", "[]", "{}", r#"{"request": {}}"#, r#"{"request": {"uid": "1", "objects": []}}"#] {
            convert(bytes.as_bytes()).unwrap_err();
        }
        convert(&[0xff]).unwrap_err();
        convert("[".repeat(1_000_000).as_bytes()).unwrap_err();
    }
}
