//! What must not leave a cluster: keys, tokens, certificates, values of environment variables, annotations of others. Objects and
//! text in, the same without those out.

use serde_json::Value;

/// What stands in the place of what was taken out.
const REDACTED: &str = "[redacted]";
/// Fields of which only the form stays: what stands in headers may be a key.
const LEAVES: [&str; 3] = ["headers", "httpHeaders", "string_match"];
/// Annotations that say nothing secret; of all others only the keys stay.
const HARMLESS: [&str; 3] = ["smidge.dev/", "prometheus.io/", "deployment.kubernetes.io/"];
/// Base64 of `-----`, as PEM begins.
const PEM_IN_BASE64: &str = "LS0tLS1";
/// Base64 of `{"`, as a JSON web token begins.
const TOKEN: &str = "eyJ";

/// An object of Kubernetes without what is nobody's business.
pub(super) fn redact(object: &mut Value) {
    match object {
        Value::Object(fields) => {
            fields.remove("managedFields");
            if let Some(Value::Object(annotations)) = fields.get_mut("annotations") {
                let others = annotations.iter_mut().filter(|(key, _)| !HARMLESS.iter().any(|it| key.starts_with(it)));
                others.for_each(|(_, value)| *value = REDACTED.into());
            }
            for value in fields.get_mut("env").and_then(Value::as_array_mut).into_iter().flatten() {
                if let Some(value) = value.get_mut("value") {
                    *value = REDACTED.into();
                }
            }
            for (name, value) in fields {
                if LEAVES.contains(&name.as_str()) { blank(value) } else { redact(value) }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

/// All that it says, in its form.
fn blank(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(blank),
        Value::Array(items) => items.iter_mut().for_each(blank),
        other => *other = REDACTED.into(),
    }
}

/// A log without the queries of paths, in which tokens travel.
pub(super) fn without_queries(log: &str) -> String {
    let mut clean = String::with_capacity(log.len());
    let mut is_query = false;
    for c in log.chars() {
        is_query &= !(c.is_whitespace() || "\"'\\".contains(c));
        if !is_query {
            clean.push(c);
        }
        if c == '?' && !is_query {
            clean.push_str(REDACTED);
            is_query = true;
        }
    }
    clean
}

/// Text without PEM blocks and tokens.
pub(super) fn clean(text: &str) -> String {
    without_words(&without_pem(text))
}

fn without_pem(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    // A log may begin within a block.
    if let Some((_, end)) = text.split_once("-----END ").filter(|(before, _)| !before.contains("-----BEGIN ")) {
        clean.push_str(REDACTED);
        rest = end.split_once("-----").map_or("", |(_, rest)| rest);
    }
    while let Some((before, block)) = rest.split_once("-----BEGIN ") {
        clean.push_str(before);
        clean.push_str(REDACTED);
        // What has no end is taken out to the end.
        let end = block.split_once("-----END ").and_then(|(_, end)| end.split_once("-----"));
        rest = end.map_or("", |(_, rest)| rest);
    }
    clean + rest
}

fn without_words(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut follows_scheme = false;
    for piece in text.split_inclusive(|c: char| !is_of_word(c)) {
        let word = piece.trim_end_matches(|c: char| !is_of_word(c));
        let is_token = word.split('/').any(|part| part.starts_with(TOKEN) && part.len() > 20);
        let is_secret = is_token || word.contains(PEM_IN_BASE64) || (follows_scheme && !word.is_empty());
        clean.push_str(if is_secret { REDACTED } else { word });
        clean.push_str(&piece[word.len()..]);
        if !word.is_empty() {
            follows_scheme = ["bearer", "basic"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
        }
    }
    clean
}

fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.+/".contains(c)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_is_left_without_keys_and_tokens() {
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln";
        for (text, expected) in [
            (format!("token={jwt}, next"), "token=[redacted], next"),
            ("MIIB\n-----END PRIVATE KEY-----\nx".into(), "[redacted]\nx"),
            ("Authorization: Basic abc= x".into(), "Authorization: Basic [redacted]= x"),
            ("Authorization: Bearer abc.def x".into(), "Authorization: Bearer [redacted] x"),
            (
                "{\"key\":\"-----BEGIN PRIVATE KEY-----\\nMIIB\\n-----END PRIVATE KEY-----\\n\"}".into(),
                "{\"key\":\"[redacted]\\n\"}",
            ),
            ("a -----BEGIN PRIVATE KEY-----\nMIIB".into(), "a [redacted]"),
            ("caBundle: LS0tLS1CRUdJTiBD".into(), "caBundle: [redacted]"),
            ("pod web-1 of shop: eyJ".into(), "pod web-1 of shop: eyJ"),
        ] {
            assert_eq!(clean(&text), expected);
        }
    }

    #[test]
    fn logs_are_left_without_queries() {
        let line = "{\"path\":\"/a?access_token=planted&b\",\"status\":200} why?";
        assert_eq!(without_queries(line), "{\"path\":\"/a?[redacted]\",\"status\":200} why?[redacted]");
    }

    #[test]
    fn objects_are_left_without_values_of_others() {
        let env = json!([{"name": "PASSWORD", "value": "planted"}, {"name": "IP", "valueFrom": {"fieldRef": {}}}]);
        let annotations =
            json!({"kubectl.kubernetes.io/last-applied-configuration": "planted", "smidge.dev/probes": "{}"});
        let mut object = json!({
            "metadata": {"name": "a", "managedFields": ["planted"], "annotations": annotations},
            "matches": [{"name": "m", "headers": [{"x-api-key": "planted"}]}],
            "spec": {"template": {"spec": {"containers": [{"args": ["operator"], "env": env}]}}},
        });
        redact(&mut object);
        let text = object.to_string();
        assert!(!text.contains("planted") && text.contains("PASSWORD") && text.contains("fieldRef"), "{text}");
        assert!(text.contains("\"smidge.dev/probes\":\"{}\"") && text.contains("operator"), "{text}");
    }
}
