//! An HTTP match of the mesh, as a route's match and as a permission. Both read paths, methods and headers alike.

use envoy_types::pb::envoy::{
    config::{
        rbac::v3::{
            Permission,
            permission::{Rule, Set},
        },
        route::v3::{HeaderMatcher, RouteMatch, header_matcher::HeaderMatchSpecifier, route_match::PathSpecifier},
    },
    r#type::matcher::v3::{PathMatcher, RegexMatcher, StringMatcher, path_matcher},
};
use smidge_mesh::{HttpMatch, Method, PathPattern};

use crate::envoy::fully;

/// The match of a route.
pub(crate) fn route_match(matching: &HttpMatch) -> RouteMatch {
    let path = match &matching.path {
        Some(pattern) => {
            PathSpecifier::SafeRegex(RegexMatcher { regex: from_the_start(pattern), ..Default::default() })
        }
        None => every_path(),
    };
    RouteMatch { path_specifier: Some(path), headers: header_matchers(matching), ..Default::default() }
}

/// The match of every request, `OPTIONS *` too.
pub(crate) fn every_request() -> RouteMatch {
    RouteMatch { path_specifier: Some(every_path()), ..Default::default() }
}

/// The same as a permission.
pub(crate) fn permission(matching: &HttpMatch) -> Permission {
    let path = matching.path.as_ref().map(|pattern| {
        Rule::UrlPath(PathMatcher { rule: Some(path_matcher::Rule::Path(fully(from_the_start(pattern)))) })
    });
    let headers = header_matchers(matching).into_iter().map(Rule::Header);
    all(path.into_iter().chain(headers).map(|rule| Permission { rule: Some(rule) }).collect())
}

/// All of these; of none, everything.
pub(crate) fn all(mut permissions: Vec<Permission>) -> Permission {
    match permissions.len() {
        0 => Permission { rule: Some(Rule::Any(true)) },
        1 => permissions.remove(0),
        _ => Permission { rule: Some(Rule::AndRules(Set { rules: permissions })) },
    }
}

fn every_path() -> PathSpecifier {
    PathSpecifier::Prefix(String::new())
}

/// Envoy matches whole paths (without query); SMI's patterns are anchored at the start only.
fn from_the_start(pattern: &PathPattern) -> String {
    format!("(?:{}).*", pattern.as_str())
}

fn header_matchers(matching: &HttpMatch) -> Vec<HeaderMatcher> {
    let method = (!matching.methods.is_empty()).then(|| {
        let methods: Vec<_> = matching.methods.iter().map(Method::as_str).collect();
        header_matcher(":method", fully(methods.join("|")))
    });
    let headers = matching.headers.iter().map(|(name, value)| header_matcher(name.as_str(), fully(value.as_str())));
    method.into_iter().chain(headers).collect()
}

fn header_matcher(name: &str, value: StringMatcher) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(value)),
        ..Default::default()
    }
}
