//! What a pod's annotations ask for. A wrong one is told with what it should look like: a pod that starts without what
//! its author asked for would surprise them later.

use std::{collections::BTreeMap, net::IpAddr, str::FromStr};

use ipnet::IpNet;

use super::spelling::ANNOTATIONS;
use crate::{LOG_LEVELS, Redirect, Resources, Settings, resources::thousandths};

/// What a pod's author decides.
#[derive(Clone, Debug)]
pub(super) struct Wishes {
    pub(super) redirect: Redirect,
    pub(super) resources: Resources,
    pub(super) log_level: String,
}

/// The annotations of one pod, and what is wrong in them.
struct Reader<'a> {
    annotations: &'a BTreeMap<String, String>,
    wrong: Vec<String>,
}

/// Reads the annotations; where they are silent, `defaults` hold.
///
/// # Errors
/// What is wrong in each.
pub(super) fn wishes(
    settings: &Settings,
    defaults: Resources,
    annotations: &BTreeMap<String, String>,
) -> Result<Wishes, String> {
    let mut reader = Reader { annotations, wrong: Vec::new() };
    let redirect = Redirect {
        exclude_inbound_ports: reader.list("exclude-inbound-ports", PORTS, port).into_iter().collect(),
        exclude_outbound_ports: reader.list("exclude-outbound-ports", PORTS, port).into_iter().collect(),
        exclude_outbound_addresses: reader.list("exclude-outbound-cidrs", CIDRS, network).into_iter().collect(),
        ..Redirect::default()
    };
    let resources = reader.resources(defaults);
    let level = reader.one("proxy-log-level", &format!("one of {}", LOG_LEVELS.join(", ")), |text| {
        LOG_LEVELS.contains(&text).then(|| text.to_owned())
    });
    let log_level = level.unwrap_or_else(|| settings.log_level.clone());
    if reader.wrong.is_empty() { Ok(Wishes { redirect, resources, log_level }) } else { Err(reader.wrong.join("; ")) }
}

const PORTS: &str = "port numbers separated by commas, such as 9090,9091";
const CIDRS: &str = "address ranges separated by commas, such as 10.0.0.0/8,fd00::/8";
const CPU: &str = "a quantity above 0, such as 250m or 1";
const MEMORY: &str = "a quantity above 0, such as 128Mi";

impl<'a> Reader<'a> {
    fn one<T>(&mut self, name: &str, form: &str, parse: impl Fn(&str) -> Option<T>) -> Option<T> {
        let key = format!("smidge.dev/{name}");
        debug_assert!(ANNOTATIONS.contains(&key.as_str()), "{key} would be told as misspelt");
        let text = self.annotations.get(&key)?.trim();
        let value = parse(text);
        if value.is_none() {
            let shown: String = text.chars().take(60).collect();
            self.wrong.push(format!("annotation {key} is {shown:?}: write {form}"));
        }
        value
    }

    fn list<T>(&mut self, name: &str, form: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let items = |text: &str| -> Option<Vec<T>> {
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(&parse).collect()
        };
        self.one(name, form, items).unwrap_or_default()
    }

    fn resources(&mut self, defaults: Resources) -> Resources {
        let mut quantity = |name: &str, form: &str| {
            self.one(name, form, |text| thousandths(text).filter(|n| *n > 0).map(|_| text.to_owned()))
        };
        let [cpu_request, cpu_limit] = ["proxy-cpu-request", "proxy-cpu-limit"].map(|name| quantity(name, CPU));
        let [memory_request, memory_limit] =
            ["proxy-memory-request", "proxy-memory-limit"].map(|name| quantity(name, MEMORY));
        let (cpu_request, cpu_limit) = pair((cpu_request, cpu_limit), (defaults.cpu_request, defaults.cpu_limit));
        let (memory_request, memory_limit) =
            pair((memory_request, memory_limit), (defaults.memory_request, defaults.memory_limit));
        Resources { cpu_request, cpu_limit, memory_request, memory_limit }
    }
}

/// A request and its limit. Where only one is asked for, the mesh's own value for the other must not contradict it:
/// a greater request raises the limit, a smaller limit lowers the request.
fn pair(
    asked: (Option<String>, Option<String>),
    own: (Option<String>, Option<String>),
) -> (Option<String>, Option<String>) {
    let value = |text: &Option<String>| text.as_deref().and_then(thousandths);
    let contradicts = |request: &Option<String>, limit: &Option<String>| match (value(request), value(limit)) {
        (Some(request), Some(limit)) => request > limit,
        _ => false,
    };
    match asked {
        (Some(request), None) if contradicts(&Some(request.clone()), &own.1) => (Some(request.clone()), Some(request)),
        (None, Some(limit)) if contradicts(&own.0, &Some(limit.clone())) => (Some(limit.clone()), Some(limit)),
        (request, limit) => (request.or(own.0), limit.or(own.1)),
    }
}

fn port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port > 0)
}

/// A range, or one address.
fn network(text: &str) -> Option<IpNet> {
    let net = IpNet::from_str(text).ok().or_else(|| IpAddr::from_str(text).ok().map(IpNet::from))?;
    Some(net.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(annotations: &[(&str, &str)]) -> Result<Wishes, String> {
        let annotations = annotations.iter().map(|(key, value)| (format!("smidge.dev/{key}"), (*value).to_owned()));
        let some = |quantity: &str| Some(quantity.to_owned());
        let (cpu_request, cpu_limit) = (some("100m"), some("2"));
        let defaults = Resources { cpu_request, cpu_limit, memory_request: some("128Mi"), memory_limit: some("1Gi") };
        wishes(&Settings::default(), defaults, &annotations.collect())
    }

    #[test]
    fn every_wrong_annotation_is_told_with_what_it_should_look_like() {
        let wrong = read(&[
            ("exclude-inbound-ports", "80,http"),
            ("exclude-outbound-ports", "0"),
            ("exclude-outbound-cidrs", "10.0.0.0/33"),
            ("proxy-cpu-limit", "0"),
            ("proxy-memory-limit", "-1Mi"),
            ("proxy-log-level", "loud; exit"),
        ]);
        let wrong = wrong.unwrap_err();
        for expected in [
            "smidge.dev/exclude-inbound-ports is \"80,http\": write port numbers",
            "smidge.dev/exclude-outbound-ports is \"0\"",
            "such as 10.0.0.0/8",
            "proxy-cpu-limit is \"0\": write a quantity above 0",
            "proxy-memory-limit is",
            "one of trace, debug",
        ] {
            assert!(wrong.contains(expected), "no {expected} in {wrong}");
        }
    }

    #[test]
    fn every_annotation_that_counts_as_known_is_read() {
        let nonsense = ANNOTATIONS.map(|key| (key.strip_prefix("smidge.dev/").unwrap(), "?"));
        let wrong = read(&nonsense).unwrap_err();
        for key in ANNOTATIONS {
            assert!(wrong.contains(&format!("{key} is")), "{key} is not read: {wrong}");
        }
    }

    #[test]
    fn what_is_asked_for_never_contradicts_what_the_mesh_gives() {
        let both = |annotations: &[(&str, &str)]| {
            let resources = read(annotations).unwrap().resources;
            (resources.cpu_request.unwrap(), resources.cpu_limit.unwrap())
        };
        let pair = |request: &str, limit: &str| (request.to_owned(), limit.to_owned());
        assert_eq!(both(&[("proxy-cpu-request", "3")]), pair("3", "3"));
        assert_eq!(both(&[("proxy-cpu-limit", "50m")]), pair("50m", "50m"));
        assert_eq!(both(&[("proxy-cpu-limit", "4")]), pair("100m", "4"));
    }
}
