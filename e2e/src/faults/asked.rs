//! What a request asks of a Kubernetes API server, in the words of its rules: which verb, on which resource.

use hyper::{Method, Uri};

/// One thing that a client did. Sorted and printed as in a rule: `apps deployments/status patch`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Asked {
    /// Of the API; the core's is empty.
    pub group: String,
    /// With its subresource, after a slash.
    pub resource: String,
    /// `list`, `patch`, …
    pub verb: &'static str,
}

impl Asked {
    /// `None`: it is about no resource (discovery, health).
    pub fn of(method: &Method, uri: &Uri) -> Option<Self> {
        let mut path = uri.path().split('/').filter(|part| !part.is_empty());
        let group = match path.next()? {
            "api" => "",
            "apis" => path.next()?,
            _ => return None,
        };
        let rest: Vec<&str> = path.skip(1).collect();
        let of_object = match rest[..] {
            // A namespace is in itself.
            ["namespaces", _, _, ..] => &rest[2..],
            _ => &rest[..],
        };
        let resource = match *of_object {
            [resource] | [resource, _] => resource.to_owned(),
            [resource, _, subresource] => format!("{resource}/{subresource}"),
            _ => return None,
        };
        let verb = verb(method, uri.query().unwrap_or_default(), of_object.len() > 1)?;
        Some(Self { group: group.to_owned(), resource, verb })
    }
}

fn verb(method: &Method, query: &str, is_named: bool) -> Option<&'static str> {
    let watches = query.split('&').any(|part| matches!(part, "watch=true" | "watch=1"));
    Some(match (method.as_str(), is_named) {
        ("GET", _) if watches => "watch",
        ("GET", true) => "get",
        ("GET", false) => "list",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, uri: &str, expected: Option<(&str, &str, &str)>) {
        let asked = Asked::of(&method.parse().unwrap(), &uri.parse().unwrap());
        let asked = asked.as_ref().map(|of| (of.group.as_str(), of.resource.as_str(), of.verb));
        assert_eq!(asked, expected, "{method} {uri}");
    }

    #[test]
    fn a_request_is_a_verb_on_a_resource() {
        check("GET", "/api/v1/pods?limit=500", Some(("", "pods", "list")));
        check("GET", "/api/v1/pods?watch=true&timeoutSeconds=290", Some(("", "pods", "watch")));
        check("GET", "/api/v1/namespaces/shop", Some(("", "namespaces", "get")));
        check("POST", "/api/v1/namespaces/shop/secrets", Some(("", "secrets", "create")));
        let split = "/apis/split.smi-spec.io/v1alpha4/namespaces/shop/trafficsplits/web/status?force=true";
        check("PATCH", split, Some(("split.smi-spec.io", "trafficsplits/status", "patch")));
        check("DELETE", "/api/v1/namespaces/shop/configmaps", Some(("", "configmaps", "deletecollection")));
        check("GET", "/apis/split.smi-spec.io/v1alpha4", None);
        check("GET", "/readyz", None);
    }
}
