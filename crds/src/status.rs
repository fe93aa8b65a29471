//! The status that every kind of ours and of SMI has: conditions, and what the proxies say.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{lenient::null_is_absent, schema};

/// Whether the object is in force, and how many proxies have acknowledged it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// `Accepted`, `ResolvedRefs` and `Programmed`, each at most once.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// How far the object has got to the proxies that it concerns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxies: Option<Proxies>,
}

/// Counts of the proxies that an object concerns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Proxies {
    /// The Ready meshed pods concerned, connected or not.
    #[schemars(schema_with = "schema::weight")]
    pub total: u32,
    /// Those whose Envoy has acknowledged this generation.
    #[schemars(schema_with = "schema::weight")]
    pub acknowledged: u32,
    /// Those whose Envoy has rejected it.
    #[schemars(schema_with = "schema::weight")]
    pub rejected: u32,
}
