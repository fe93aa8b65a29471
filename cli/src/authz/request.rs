//! A request as the server's sidecar judges it: arguments in, the tidied request out, and whether a match of the mesh fits it.
//!
//! Both sidecars tidy a path before they look at it (the connection managers of `translator/src/http.rs`), and expressions are read
//! as there: anchored at the path's start, over a header's whole value. Only ASCII is taken, in which RE2 and our engine agree
//! on all that the compiler takes for an expression (`smidge_compiler::pattern`).

use std::{collections::BTreeMap, fmt};

use regex::bytes::RegexBuilder;
use serde::Serialize;
use smidge_mesh::{HttpMatch, Method};

/// A path, as far as a sidecar lets it through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(crate) enum Path {
    /// Without query, dot segments and doubled slashes.
    Tidied(String),
    /// The sidecar answers 400, whoever asks.
    Refused(String),
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: Path,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) headers: BTreeMap<String, String>,
}

impl Path {
    /// Reads a path, with or without a query.
    ///
    /// # Errors
    /// When no client could send it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err("a path begins with /".to_owned());
        }
        let path = text.split('?').next().unwrap_or_default();
        if let Some(other) = path.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(format!("write {other:?} as a client sends it: percent-encoded"));
        }
        let lower = path.to_ascii_lowercase();
        if lower.contains("%2e;") {
            return Err("write the dots before ; plainly: of escaped ones each sidecar makes something else".to_owned());
        }
        let is_refused = ["%2f", "%5c", "#"].iter().any(|refused| lower.contains(refused));
        Ok(if is_refused { Self::Refused(path.to_owned()) } else { Self::Tidied(tidied(path)) })
    }
}

/// RFC 3986 §5.2.4 and §6.2.2.2, then doubled slashes as one. As Envoy does it, which was asked.
fn tidied(path: &str) -> String {
    let path = path.replace('\\', "/");
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let mut kept: Vec<String> = Vec::new();
    for (at, segment) in segments.iter().enumerate() {
        let plain = normal(segment);
        // Of a dot segment parameters are dropped too: `..;x`.
        match plain.split(';').next() {
            Some(".") => {}
            Some("..") => drop(kept.pop()),
            _ => {
                kept.push(plain);
                continue;
            }
        }
        if at + 1 == segments.len() {
            kept.push(String::new());
        }
    }
    let is_folder = kept.len() > 1 && kept.last().is_some_and(String::is_empty);
    let names: Vec<String> = kept.into_iter().filter(|segment| !segment.is_empty()).collect();
    format!("/{}{}", names.join("/"), if is_folder { "/" } else { "" })
}

/// Escapes of characters that need none stand for them, and characters that need one are escaped.
fn normal(segment: &str) -> String {
    let mut parts = segment.split('%');
    let escaped = |c: char| if "|^{}\"<>".contains(c) { format!("%{:02X}", u32::from(c)) } else { c.to_string() };
    let first: String = parts.next().unwrap_or_default().chars().map(escaped).collect();
    parts.fold(first, |text, part| {
        let meant = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()).map(char::from);
        let rest = |from: usize| part[from..].chars().map(escaped).collect::<String>();
        match meant.filter(|&c| c.is_ascii_alphanumeric() || "-._~".contains(c)) {
            Some(meant) => format!("{text}{meant}{}", rest(2)),
            None => format!("{text}%{}", rest(0)),
        }
    })
}

/// Reads `name=value`.
///
/// # Errors
/// When it is no header.
pub(crate) fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write name=value")?;
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':');
    let is_value = value.bytes().all(|b| (b' '..=b'~').contains(&b));
    match is_name && is_value {
        true => Ok((name.to_ascii_lowercase(), value.trim().to_owned())),
        false => Err("write name=value in printable ASCII".to_owned()),
    }
}

/// Reads a method.
///
/// # Errors
/// When it is none.
pub(crate) fn parse_method(text: &str) -> Result<String, String> {
    let is_method = !text.is_empty() && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-');
    is_method.then(|| text.to_owned()).ok_or_else(|| "write a method as it is sent, such as GET".to_owned())
}

impl Request {
    /// What is not said is `GET` and `/`. Headers of one name count as a list, as Envoy sees them.
    pub(crate) fn new(method: Option<&str>, path: Option<&Path>, headers: &[(String, String)]) -> Self {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for (name, value) in headers {
            let known = all.entry(name.clone()).and_modify(|known| *known = format!("{known},{value}"));
            known.or_insert_with(|| value.clone());
        }
        let path = path.cloned().unwrap_or_else(|| Path::Tidied("/".to_owned()));
        Self { method: method.unwrap_or("GET").to_owned(), path, headers: all }
    }

    /// Whether a match is about it.
    pub(crate) fn fits(&self, matching: &HttpMatch) -> bool {
        let Path::Tidied(path) = &self.path else { return false };
        let has_path = matching.path.as_ref().is_none_or(|pattern| {
            // Anchored at the start only.
            is_whole(&format!("(?:{}).*", pattern.as_str()), path)
        });
        let has_method = matching.methods.is_empty() || matching.methods.iter().any(|m| m.as_str() == self.method);
        let mut headers = matching.headers.iter();
        has_path
            && has_method
            && headers
                .all(|(name, value)| self.headers.get(name.as_str()).is_some_and(|sent| is_whole(value.as_str(), sent)))
    }
}

/// Whether an expression, as RE2 reads it, matches all of a text. The compiler has bounded its size.
fn is_whole(expression: &str, text: &str) -> bool {
    let whole = RegexBuilder::new(&format!(r"\A(?:{expression})\z")).unicode(false).size_limit(1 << 26).build();
    whole.is_ok_and(|expression| expression.is_match(text.as_bytes()))
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Path::Tidied(path) | Path::Refused(path)) = &self.path;
        write!(f, "{} {path}", self.method)?;
        self.headers.iter().try_for_each(|(name, value)| write!(f, " {name}={value}"))
    }
}

/// A match in words: `GET /orders… with x-version: 1`.
pub(crate) fn in_words(matching: &HttpMatch) -> String {
    let methods: Vec<&str> = matching.methods.iter().map(Method::as_str).collect();
    let methods = if methods.is_empty() { "any method".to_owned() } else { methods.join(", ") };
    let path = matching.path.as_ref().map_or("any path".to_owned(), |path| format!("{}…", path.as_str()));
    let headers: Vec<String> =
        matching.headers.iter().map(|(name, value)| format!("{}: {}", name.as_str(), value.as_str())).collect();
    let headers = if headers.is_empty() { String::new() } else { format!(" with {}", headers.join(", ")) };
    if matching == &HttpMatch::default() { "every request".to_owned() } else { format!("{methods} {path}{headers}") }
}

#[cfg(test)]
mod tests {
    use smidge_mesh::{HeaderName, PathPattern, ValuePattern};

    use super::*;

    #[test]
    fn a_path_is_tidied_as_the_sidecars_do_it() {
        for (sent, seen) in [
            ("/books/1?by=title", "/books/1"),
            ("/metrics/../admin", "/admin"),
            ("/metrics/./../admin", "/admin"),
            ("/metrics/%2e%2E/admin", "/admin"),
            ("/metrics\\..\\admin", "/admin"),
            ("//a/../metrics/./x", "/metrics/x"),
            ("/%62ooks%20%2562%7e%3b%zz%", "/books%20%2562~%3b%zz%"),
            ("/a/..;x/metrics", "/metrics"),
            ("/a/b;c;d/..;e;f/g", "/a/g"),
            ("/a/..%3b/m", "/a/..%3b/m"),
            ("/a|b^c`d{e}", "/a%7Cb%5Ec`d%7Be%7D"),
            ("/a//../b", "/a/b"),
            ("/../..", "/"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/", "/a/"),
            ("//", "//"),
            ("/.../x..", "/.../x.."),
        ] {
            assert_eq!(Path::parse(sent), Ok(Path::Tidied(seen.to_owned())), "{sent}");
        }
        for refused in ["/metrics%2f..%2fadmin", "/metrics%5Cadmin", "/a#b"] {
            assert!(matches!(Path::parse(refused), Ok(Path::Refused(_))), "{refused}");
        }
        for wrong in ["", "a", "/ä", "/a b", "/a/%2e%2e;/m"] {
            assert!(Path::parse(wrong).is_err(), "{wrong}");
        }
    }

    fn fits(pattern: &str, path: &str) -> bool {
        let matching = HttpMatch { path: Some(PathPattern::from_checked(pattern)), ..HttpMatch::default() };
        Request::new(None, Some(&Path::parse(path).unwrap()), &[]).fits(&matching)
    }

    #[test]
    fn a_pattern_is_anchored_at_the_start_of_the_path_alone() {
        assert!(fits("/metrics", "/metrics/x") && fits("/metrics", "/metricsx?q"));
        assert!(!fits("/metrics", "/a/metrics") && !fits("/metrics$", "/metrics/x") && fits("/metrics$", "/metrics"));
        assert!(fits("/a|/b", "/b/c") && !fits("/a|/b", "/c/b") && fits("", "/x"));
    }

    #[test]
    fn methods_and_headers_are_compared_as_a_whole() {
        let header = (HeaderName::from_checked("x-client"), ValuePattern::from_checked("gold.*|silver"));
        let matching = HttpMatch {
            methods: [Method::from_checked("GET")].into(),
            headers: [header].into(),
            ..HttpMatch::default()
        };
        let asks = |method: &str, headers: &[&str]| {
            let headers: Vec<_> = headers.iter().map(|text| parse_header(text).unwrap()).collect();
            Request::new(Some(method), None, &headers).fits(&matching)
        };
        assert!(asks("GET", &["X-Client=golden"]) && asks("GET", &["x-client=silver"]));
        assert!(!asks("POST", &["x-client=golden"]) && !asks("GET", &["x-client=not golden"]) && !asks("GET", &[]));
        // As Envoy joins them.
        assert!(!asks("GET", &["x-client=silver", "x-client=silver"]));
        assert_eq!(in_words(&matching), "GET any path with x-client: gold.*|silver");
    }
}
