//! What must not leave a cluster: keys, tokens, certificates, values of environment variables, annotations of others. Objects and
//! text in, the same without those out.

use serde_json::Value;

/// What stands in the place of what was taken out.
const REDACTED: &str = "[redacted]";
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
            fields.values_mut().for_each(redact);
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

/// Text without PEM blocks and tokens.
pub(super) fn clean(text: &str) -> String {
    without_words(&without_pem(text))
}

fn without_pem(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
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
    let mut follows_bearer = false;
    for piece in text.split_inclusive(|c: char| !is_of_word(c)) {
        let word = piece.trim_end_matches(|c: char| !is_of_word(c));
        let is_token = word.split('/').any(|part| part.starts_with(TOKEN) && part.len() > 20);
        let is_secret = is_token || word.contains(PEM_IN_BASE64) || (follows_bearer && !word.is_empty());
        clean.push_str(if is_secret { REDACTED } else { word });
        clean.push_str(&piece[word.len()..]);
        if !word.is_empty() {
            follows_bearer = word.eq_ignore_ascii_case("bearer");
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
    fn objects_are_left_without_values_of_others() {
        let env = json!([{"name": "PASSWORD", "value": "planted"}, {"name": "IP", "valueFrom": {"fieldRef": {}}}]);
        let annotations =
            json!({"kubectl.kubernetes.io/last-applied-configuration": "planted", "smidge.dev/probes": "{}"});
        let mut object = json!({
            "metadata": {"name": "a", "managedFields": ["planted"], "annotations": annotations},
            "spec": {"template": {"spec": {"containers": [{"args": ["operator"], "env": env}]}}},
        });
        redact(&mut object);
        let text = object.to_string();
        assert!(!text.contains("planted") && text.contains("PASSWORD") && text.contains("fieldRef"), "{text}");
        assert!(text.contains("\"smidge.dev/probes\":\"{}\"") && text.contains("operator"), "{text}");
    }
}
