//! HTTPRouteGroup in its four versions, and the parts that they share.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{lenient::null_is_absent, schema};

mod headers;
pub mod v1alpha1;
pub mod v1alpha2;
pub mod v1alpha3;
pub mod v1alpha4;

pub use headers::Headers;

/// Requests that have this path and one of these methods and all of these headers. What is absent matches anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpMatch {
    /// The name by which a TrafficTarget picks this match out of the group.
    #[schemars(length(min = 1, max = schema::NAME))]
    pub name: String,
    /// A regular expression (RE2), anchored at the start of the path without its query, and not at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = schema::REGEX))]
    pub path_regex: Option<String>,
    /// The methods; `*` is every method.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub methods: Vec<Method>,
    /// Names of headers, each with a regular expression (RE2) for the whole of its value: a map, or a list of maps with one key each.
    #[serde(default, deserialize_with = "null_is_absent", skip_serializing_if = "Headers::is_empty")]
    #[schemars(schema_with = "schema::headers")]
    pub headers: Headers,
}

/// A method of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Every method, also those that have no name here.
    #[serde(rename = "*")]
    Any,
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `PUT`
    Put,
    /// `POST`
    Post,
    /// `DELETE`
    Delete,
    /// `CONNECT`
    Connect,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `PATCH`
    Patch,
}

impl Method {
    /// The method as it stands in a manifest and in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "*",
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Patch => "PATCH",
        }
    }
}
