//! Pieces of schema that Rust's types do not say by themselves.
//!
//! Every list and every string that a CEL rule reads has an upper bound, because the API server refuses
//! a CRD whose rules could cost too much. The bounds are far above what a mesh needs.

use schemars::{Schema, SchemaGenerator, json_schema};

/// How many backends a split may have.
pub(crate) const BACKENDS: usize = 128;
/// How many matches a group may have.
pub(crate) const MATCHES: usize = 10_000;
/// How many references, sources or ports a list may have.
pub(crate) const REFERENCES: usize = 1_000;
/// How many backends, sources and routes an IngressBackend may have.
pub(crate) const INGRESS_BACKENDS: usize = 64;
pub(crate) const INGRESS_SOURCES: usize = 256;
pub(crate) const INGRESS_ROUTES: usize = 64;
/// How long the name of an image may be.
pub(crate) const IMAGE: usize = 512;
/// How long a regular expression may be.
pub(crate) const REGEX: usize = 4_096;
/// How long a name may be: that of a DNS subdomain, Kubernetes' own bound.
pub(crate) const NAME: usize = 253;

/// A port's number. A schema of its own because the API server does not know the format `uint16`.
pub(crate) fn port(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535})
}

/// [`port`], or none.
pub(crate) fn optional_port(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 65535, "nullable": true})
}

/// A list of ports.
pub(crate) fn ports(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": REFERENCES, "items": port(generator)})
}

/// Some seconds, five minutes at most.
pub(crate) fn seconds(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 0, "maximum": 300})
}

/// A whole weight. Envoy adds weights up in 32 bits.
pub(crate) fn weight(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX})
}

/// A Kubernetes quantity that is not negative: `1`, `"1"`, `"500m"`, `"1k"`, `"1e3"`.
pub(crate) fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "minimum": 0,
        "maxLength": 32,
        "pattern": r"^\+?([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$",
    })
}

/// [`quantity`], as text, or none.
pub(crate) fn optional_amount(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 32,
        "pattern": r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?$",
        "nullable": true,
    })
}

/// The port of a TrafficTarget v1alpha1: the specification writes a number, the first Go clients a string.
pub(crate) fn port_or_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-int-or-string": true,
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "minimum": 1,
        "maximum": 65535,
        "pattern": "^([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])$",
        "nullable": true,
    })
}

/// Headers, as a map or as a list of maps with one key each. A type that is two types has no structural
/// schema, so the field is untyped; `allOf` carries the one rule that the API server admits on such a field.
pub(crate) fn headers(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "x-kubernetes-preserve-unknown-fields": true,
        "allOf": [{"items": {"maxProperties": 1}}],
    })
}

/// `metav1.Condition`, as a list keyed by type, so that several writers can each own their conditions.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "maxItems": 16,
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {"type": "string", "description": "What the condition is about.", "minLength": 1, "maxLength": 316},
                "status": {"type": "string", "description": "Whether it holds.", "enum": ["True", "False", "Unknown"]},
                "observedGeneration": {"type": "integer", "description": "The generation it was decided on.", "format": "int64", "minimum": 0},
                "lastTransitionTime": {"type": "string", "description": "When the status last changed.", "format": "date-time"},
                "reason": {"type": "string", "description": "Why, in one word.", "minLength": 1, "maxLength": 1024, "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
                "message": {"type": "string", "description": "Why, and what to do about it.", "maxLength": 32768},
            },
        },
    })
}
