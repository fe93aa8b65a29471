//! Envoy's `/config_dump`: its JSON in, resources with name, version and state out; without anything secret.

use serde_json::{Value, json};
use smidge_xds::TypeUrl;

/// What Envoy puts in place of what it keeps to itself.
const REDACTED: &str = "[redacted]";
/// Fields that hold secrets, whatever Envoy does with them.
const SECRETS: [&str; 6] =
    ["private_key", "password", "session_ticket_keys", "generic_secret", "private_key_provider", "pkcs12"];

/// How a resource is in Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// In use.
    Active,
    /// Not in use yet: it waits for something that it names.
    Warming,
    /// On its way out.
    Draining,
    /// From the bootstrap.
    Static,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Warming => "warming",
            Self::Draining => "draining",
            Self::Static => "static",
        }
    }
}

/// A resource that Envoy has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) state: State,
    pub(crate) version: &'a str,
    /// The resource.
    pub(crate) content: &'a Value,
    /// Why Envoy has not taken a newer form of it.
    pub(crate) error: Option<&'a str>,
}

impl Entry<'_> {
    /// The state, and what is wrong.
    pub(crate) fn shown_state(&self) -> String {
        let error = self.error.map(|error| format!(", newer one refused: {error}"));
        format!("{}{}", self.state.as_str(), error.unwrap_or_default())
    }
}

/// Where the resources of a type are: the dump's message, its lists, and the field of a list's item that holds the resource.
struct Place {
    message: &'static str,
    lists: &'static [(&'static str, State)],
    field: &'static str,
}

fn place(kind: TypeUrl) -> Place {
    let (message, lists, field): (_, &[_], _) = match kind {
        TypeUrl::Secret => (
            "SecretsConfigDump",
            &[
                ("static_secrets", State::Static),
                ("dynamic_active_secrets", State::Active),
                ("dynamic_warming_secrets", State::Warming),
            ],
            "secret",
        ),
        TypeUrl::Cluster => (
            "ClustersConfigDump",
            &[
                ("static_clusters", State::Static),
                ("dynamic_active_clusters", State::Active),
                ("dynamic_warming_clusters", State::Warming),
            ],
            "cluster",
        ),
        TypeUrl::Endpoints => (
            "EndpointsConfigDump",
            &[("static_endpoint_configs", State::Static), ("dynamic_endpoint_configs", State::Active)],
            "endpoint_config",
        ),
        TypeUrl::Extension => ("EcdsConfigDump", &[("ecds_filters", State::Active)], "ecds_filter"),
        // Each of the dynamic ones has up to three states.
        TypeUrl::Listener => ("ListenersConfigDump", &[("static_listeners", State::Static)], "listener"),
        TypeUrl::Route => (
            "RoutesConfigDump",
            &[("static_route_configs", State::Static), ("dynamic_route_configs", State::Active)],
            "route_config",
        ),
    };
    Place { message, lists, field }
}

/// The whole of it.
#[derive(Debug)]
pub(crate) struct Dump(Value);

impl Dump {
    pub(crate) fn new(mut value: Value) -> Self {
        redact(&mut value);
        Self(value)
    }

    pub(crate) fn value(&self) -> &Value {
        &self.0
    }

    /// The part that is about a type, as it is.
    pub(crate) fn section(&self, kind: TypeUrl) -> Value {
        let message = place(kind).message;
        self.find(message)
            .cloned()
            .unwrap_or_else(|| json!({"@type": format!("type.googleapis.com/envoy.admin.v3.{message}")}))
    }

    fn find(&self, message: &str) -> Option<&Value> {
        let configs = self.0["configs"].as_array()?;
        configs.iter().find(|config| config["@type"].as_str().is_some_and(|of| of.rsplit('.').next() == Some(message)))
    }

    /// All resources of a type.
    pub(crate) fn entries(&self, kind: TypeUrl) -> Vec<Entry<'_>> {
        let Place { message, lists, field } = place(kind);
        let Some(section) = self.find(message) else { return Vec::new() };
        let items = |list: &str| section[list].as_array().into_iter().flatten();
        let of_list =
            lists.iter().flat_map(|(list, state)| items(list).filter_map(|item| entry(item, item, field, *state)));
        let mut entries: Vec<_> = of_list.collect();
        if kind == TypeUrl::Listener {
            entries.extend(items("dynamic_listeners").flat_map(listener));
        }
        entries.sort_by_key(|entry| entry.name);
        entries
    }
}

fn listener(item: &Value) -> impl Iterator<Item = Entry<'_>> {
    let states =
        [("active_state", State::Active), ("warming_state", State::Warming), ("draining_state", State::Draining)];
    let mut error = item["error_state"]["details"].as_str();
    let entries = states.into_iter().filter_map(|(field, state)| entry(item, &item[field], "listener", state));
    // It is told once: of the one in use, if there is one.
    entries.map(move |entry| Entry { error: error.take(), ..entry })
}

/// `of`: what has version and resource, `item` or a part of it.
fn entry<'a>(item: &'a Value, of: &'a Value, field: &str, state: State) -> Option<Entry<'a>> {
    let content = of.get(field)?;
    let name = [&content["name"], &content["cluster_name"], &item["name"]].into_iter().find_map(Value::as_str)?;
    let version = of["version_info"].as_str().unwrap_or_default();
    Some(Entry { name, state, version, content, error: item["error_state"]["details"].as_str() })
}

fn redact(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match SECRETS.contains(&name.as_str()) {
                    true => *value = REDACTED.into(),
                    false => redact(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(redact),
        _ => {}
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn dump() -> Dump {
        Dump::new(serde_json::from_str(include_str!("dump.json")).unwrap())
    }

    fn told(kind: TypeUrl) -> Vec<String> {
        let dump = dump();
        dump.entries(kind).iter().map(|of| format!("{} {} {}", of.name, of.version, of.shown_state())).collect()
    }

    #[test]
    fn resources_are_found_with_their_state() {
        let listeners = ["inbound 2 active, newer one refused: no such filter", "inbound 3 warming", "metrics  static"];
        assert_eq!(told(TypeUrl::Listener), listeners);
        assert_eq!(told(TypeUrl::Cluster), ["shop/cart/80/http 7 active", "smidge-xds  static"]);
        assert_eq!(told(TypeUrl::Endpoints), ["shop/cart/80/http  active"]);
        assert_eq!(told(TypeUrl::Extension), Vec::<String>::new());
    }

    #[test]
    fn no_private_key_is_in_it() {
        let text = dump().value().to_string();
        assert!(text.contains("workload") && !text.contains("UFJJVkFURQ"), "{text}");
    }
}
