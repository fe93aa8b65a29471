//! Findings as SARIF 2.1.0 (<https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>), for code review tools: a rule for
//! each code of the catalogue, a result for each finding.

use std::path::Path;

use serde_json::{Value, json};
use smidge_compiler::{Code, Severity, codes::CATALOGUE};

use crate::lint::Finding;

/// The rule of what has no code: files that cannot be read, and what the webhook would say of pods.
const UNCODED: &str = "manifest";

/// The log of one run.
pub(crate) fn sarif(findings: &[Finding<'_>]) -> Value {
    let uncoded = json!({
        "id": UNCODED,
        "shortDescription": {"text": "A manifest cannot be read, or a pod in it would not join the mesh as it is."},
        "help": {"text": "The message says what to do."},
    });
    let rules: Vec<Value> = CATALOGUE.iter().map(rule).chain([uncoded]).collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    let driver = json!({"name": "smidge", "version": env!("CARGO_PKG_VERSION"), "rules": rules});
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    })
}

fn rule(code: &Code) -> Value {
    json!({
        "id": code.id,
        "name": code.reason,
        "shortDescription": {"text": plain(code.meaning)},
        "help": {"text": plain(code.remedy), "markdown": code.remedy},
        "defaultConfiguration": {"level": level(code.severity)},
    })
}

/// Without the marks of Markdown.
fn plain(text: &str) -> String {
    text.replace('`', "")
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn result(finding: &Finding<'_>) -> Value {
    let id = finding.code.unwrap_or(UNCODED);
    let index = CATALOGUE.iter().position(|code| code.id == id).unwrap_or(CATALOGUE.len());
    let mut location = json!({});
    if let Some(path) = finding.path {
        location["physicalLocation"] = json!({"artifactLocation": {"uri": uri(path)}});
        if let Some(line) = finding.line {
            location["physicalLocation"]["region"] = json!({"startLine": line});
        }
    }
    if let Some(object) = &finding.object {
        let name = if finding.field.is_empty() { object.clone() } else { format!("{object} {}", finding.field) };
        location["logicalLocations"] = json!([{"fullyQualifiedName": name}]);
    }
    json!({
        "ruleId": id,
        "ruleIndex": index,
        "level": level(finding.severity),
        "message": {"text": finding.message},
        "locations": [location],
    })
}

/// A path as a URI reference (RFC 3986): relative ones stay relative, so that they mean files of a checkout.
fn uri(path: &Path) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/-._~".contains(&b);
    let text = path.to_string_lossy();
    let text = text.strip_prefix("./").unwrap_or(&text);
    let escaped: String =
        text.bytes().map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect();
    if path.is_absolute() { format!("file://{escaped}") } else { escaped }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_points_at_its_rule_and_its_line() {
        let finding = Finding {
            path: Some(Path::new("./my shop/split.yaml")),
            line: Some(7),
            severity: Severity::Warning,
            code: Some("SMI0116"),
            object: Some("TrafficSplit/shop/web".to_owned()),
            field: "spec.backends[1]",
            message: "a caller may not call it",
        };
        let run = &sarif(&[finding])["runs"][0];
        let result = &run["results"][0];
        let rule = &run["tool"]["driver"]["rules"][usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert_eq!((&rule["id"], &rule["name"]), (&json!("SMI0116"), &json!("CallerDenied")));
        let place = json!({
            "physicalLocation": {"artifactLocation": {"uri": "my%20shop/split.yaml"}, "region": {"startLine": 7}},
            "logicalLocations": [{"fullyQualifiedName": "TrafficSplit/shop/web spec.backends[1]"}],
        });
        assert_eq!((&result["level"], &result["locations"][0]), (&json!("warning"), &place));
    }

    #[test]
    fn every_rule_says_what_to_do_and_what_has_no_code_has_a_rule() {
        let log = sarif(&[]);
        let rules = log["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap();
        assert!(rules.iter().all(|rule| rule["help"]["text"].as_str().is_some_and(|help| !help.is_empty())));
        assert_eq!((rules.len(), &rules[CATALOGUE.len()]["id"]), (CATALOGUE.len() + 1, &json!(UNCODED)));
    }
}
