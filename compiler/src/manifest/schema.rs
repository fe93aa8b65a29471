//! What the API server would say of a custom object by its schema alone: fields that the kind does not have, values of
//! another type or size. A misspelt field that is passed over would mean that the part is absent, and for access an
//! absent part means everything.

use std::{collections::HashMap, sync::LazyLock};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps as Schema, JSONSchemaPropsOrArray,
};
use serde_json::Value;

/// By `apiVersion` and kind.
static SCHEMAS: LazyLock<HashMap<(String, String), Schema>> = LazyLock::new(|| {
    let crds = smidge_crds::all().into_iter().map(|crd| crd.spec);
    let versions = crds.flat_map(|spec| {
        let (group, kind) = (spec.group, spec.names.kind);
        spec.versions.into_iter().filter_map(move |version| {
            let schema = version.schema?.open_api_v3_schema?;
            Some(((format!("{group}/{}", version.name), kind.clone()), schema))
        })
    });
    versions.collect()
});

/// What does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Such as `spec.backends[0].weight`.
    pub(super) field: String,
    /// What is wrong with it.
    pub(super) message: String,
}

/// What may be wrong with one value.
pub(super) type Rule = fn(&Schema, &Value) -> Option<String>;

/// The first part of an object that its kind and version do not have, or that breaks the rule.
pub(super) fn misfit(object: &Value, api_version: &str, kind: &str, rule: Rule) -> Option<Misfit> {
    let schema = SCHEMAS.get(&(api_version.to_owned(), kind.to_owned()))?;
    let fields = object.as_object()?.iter();
    // The metadata is every kind's, and the status is not the author's.
    let own = fields.filter(|(name, _)| !matches!(name.as_str(), "apiVersion" | "kind" | "metadata" | "status"));
    own.filter_map(|(name, value)| in_field(schema, name, value, name.clone(), rule)).next()
}

fn in_field(schema: &Schema, name: &str, value: &Value, path: String, rule: Rule) -> Option<Misfit> {
    let known = schema.properties.as_ref()?;
    match known.get(name) {
        Some(schema) => in_value(schema, value, path, rule),
        None => {
            let names: Vec<&str> = known.keys().map(String::as_str).filter(|name| *name != "status").collect();
            Some(Misfit { field: path, message: format!("there is no such field; there are: {}", names.join(", ")) })
        }
    }
}

fn in_value(schema: &Schema, value: &Value, path: String, rule: Rule) -> Option<Misfit> {
    // The API server drops what is null.
    if value.is_null() || schema.x_kubernetes_preserve_unknown_fields == Some(true) {
        return None;
    }
    if let Some(message) = rule(schema, value) {
        return Some(Misfit { field: path, message });
    }
    match value {
        Value::Object(fields) => {
            fields.iter().find_map(|(name, value)| in_field(schema, name, value, format!("{path}.{name}"), rule))
        }
        Value::Array(items) => {
            let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items else { return None };
            items.iter().enumerate().find_map(|(at, value)| in_value(schema, value, format!("{path}[{at}]"), rule))
        }
        _ => None,
    }
}

/// Of another type.
pub(super) fn wrong_type(schema: &Schema, value: &Value) -> Option<String> {
    let wanted = match (schema.x_kubernetes_int_or_string, schema.type_.as_deref()?) {
        (Some(true), _) => "a whole number or a string",
        (_, "integer") => "a whole number",
        (_, "string") => "a string",
        (_, "boolean") => "true or false",
        (_, "array") => "a list",
        (_, "object") => "an object",
        _ => return None,
    };
    let is = match value {
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a string",
        Value::Bool(_) => "true or false",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
        Value::Null => return None,
    };
    (!wanted.contains(is)).then(|| format!("{wanted} is wanted, and {value} is {is}"))
}

/// Too small or too large. Where it can be read all the same, a diagnostic says more.
pub(super) fn wrong_size(schema: &Schema, value: &Value) -> Option<String> {
    let number = value.as_f64()?;
    let (least, most) = (schema.minimum.unwrap_or(f64::MIN), schema.maximum.unwrap_or(f64::MAX));
    match (number < least, number > most) {
        (true, _) => Some(format!("{value} is too small: the least is {least}")),
        (_, true) => Some(format!("{value} is too large: the most is {most}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: &str, kind: &str, spec: &str, expected: &str) {
        let either = |schema: &Schema, value: &Value| wrong_type(schema, value).or_else(|| wrong_size(schema, value));
        let object: Value = serde_yaml::from_str(&format!("{{metadata: {{name: a}}, spec: {spec}}}")).unwrap();
        let said = misfit(&object, version, kind, either).map(|misfit| format!("{}: {}", misfit.field, misfit.message));
        assert_eq!(said.unwrap_or_default(), expected, "{spec}");
    }

    #[test]
    fn what_the_api_server_refuses_by_the_schema_is_told() {
        let split = |spec, expected| check("split.smi-spec.io/v1alpha4", "TrafficSplit", spec, expected);
        split("{service: a, backends: [{service: b, weight: 1}]}", "");
        split("{service: a, matches: null, backends: []}", "");
        let said = "spec.backends[0].weight: a whole number is wanted, and \"90\" is a string";
        split("{service: a, backends: [{service: b, weight: '90'}]}", said);
        let said = "spec.backends[1].wieght: there is no such field; there are: service, weight";
        split("{service: a, backends: [{service: b, weight: 1}, {service: c, wieght: 1}]}", said);
        split(
            "{service: a, backends: [{service: b, weight: -1}]}",
            "spec.backends[0].weight: -1 is too small: the least is 0",
        );
        let said = "spec.backends[0].weight: a whole number is wanted, and 1.5 is a fraction";
        split("{service: a, backends: [{service: b, weight: 1.5}]}", said);
    }

    #[test]
    fn a_misspelt_restriction_does_not_open_everything() {
        let said = "spec.matches[0].path_regex: there is no such field; there are: headers, methods, name, pathRegex";
        check("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "{matches: [{name: a, path_regex: /y}]}", said);
        let said = "spec.enforcement: there is no such field; there are: ";
        let object = serde_json::json!({"spec": {"enforcement": "deny"}});
        let found = misfit(&object, "smidge.dev/v1alpha1", "MeshConfig", wrong_type).unwrap();
        assert!(format!("{}: {}", found.field, found.message).starts_with(said), "{found:?}");
    }

    #[test]
    fn older_versions_have_schemas_of_their_own() {
        let spec = "{service: a, backends: [{service: b, weight: 500m}, {service: c, weight: 1}]}";
        check("split.smi-spec.io/v1alpha1", "TrafficSplit", spec, "");
        let object = serde_json::json!({"metadata": {"name": "a"}, "matches": [{"name": "m", "methods": ["GET"]}]});
        assert_eq!(misfit(&object, "specs.smi-spec.io/v1alpha1", "HTTPRouteGroup", wrong_type), None);
    }
}
