//! Golden metrics: counters and a histogram that each proxy keeps of its requests and connections, in its own statistics
//! (`docs/metrics.md` has their names and labels).
//!
//! Labels are of configuration and of verified certificates alone, the class of a status instead of the status: what a
//! caller may choose (Host, path, an undeclared port) never makes a new series. Envoy itself bounds their number.

use envoy_types::{
    pb::{
        envoy::{
            config::accesslog::v3::{AccessLog, access_log::ConfigType},
            extensions::access_loggers::stats::v3::{
                Config,
                config::{Counter, Histogram, Stat, Tag, histogram::Unit},
            },
            r#type::v3::Scope,
        },
        google::protobuf::UInt64Value,
    },
    util::pack_any,
};
use smidge_mesh::Identity;

use crate::{
    access_log,
    envoy::{literal, number},
    name::InboundPort,
};

/// The first word of every name. The bootstrap's buckets are for names that begin so.
const PREFIX: &str = "smidge";

/// How many series a proxy keeps at most; what would be more is not counted. A histogram weighs as much as a few dozen counters.
const MOST_COUNTERS: u32 = 10_000;
const MOST_HISTOGRAMS: u32 = 1_000;

/// A proxy tells this many refused callers apart, each at one port; the rest is in the sum of all only.
const MOST_REFUSED: u32 = 100;

/// The class of a response by the first digit of its status; without a response there is a status of 0. Plain operators:
/// an expression (CEL) would cost more than everything else that is counted of a request.
const RESPONSE_CLASS: &str =
    r#"%COALESCE({"operators": [{"command": "RESP", "param": ":STATUS", "max_length": 1}, "RESPONSE_CODE"]})%xx"#;

/// Who keeps the metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Reporter<'a> {
    /// The client's side of a port, `<namespace>/<service>/<port>`; `None`: it is no Service's.
    Source(Option<&'a str>),
    /// The server's side: who it is, at which of its ports.
    Destination(&'a Identity, InboundPort),
}

/// A label and Envoy's command operators for its value.
type Label = (&'static str, String);

/// Of HTTP requests.
pub(crate) fn http(reporter: Reporter<'_>) -> AccessLog {
    let labels = labels(reporter);
    let of_a_request = [("route", "%ROUTE_NAME%".to_owned()), ("response_class", RESPONSE_CLASS.to_owned())];
    let requests = [&labels[..], &of_a_request].concat();
    let duration = Histogram {
        stat: Some(stat("request_duration_us", &labels)),
        unit: Unit::Microseconds.into(),
        value_format: "%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)%".to_owned(),
    };
    logger(vec![one("requests_total", &requests)], vec![duration])
}

/// Of TCP connections, once they are closed.
pub(crate) fn tcp(reporter: Reporter<'_>) -> AccessLog {
    let labels = labels(reporter);
    let bytes = |name, value: &str| Counter {
        stat: Some(stat(name, &labels)),
        value_format: value.to_owned(),
        value_fixed: None,
    };
    let counters = vec![
        one("connections_total", &labels),
        bytes("connection_received_bytes_total", "%BYTES_RECEIVED%"),
        bytes("connection_sent_bytes_total", "%BYTES_SENT%"),
    ];
    logger(counters, Vec::new())
}

/// Of what an audit found that enforcement would have refused; `filter` is the RBAC filter that says so.
pub(crate) fn audited(reporter: Reporter<'_>, filter: &str) -> AccessLog {
    let counted = logger(vec![one("audit_refusals_total", &labels(reporter))], Vec::new());
    AccessLog { filter: Some(access_log::would_be_refused(filter)), ..counted }
}

/// Of connections that no filter chain of a server takes: their sum, and who it is as far as there is room. Callers come
/// by addresses and to ports of their choice, so these have a scope of their own with narrow bounds.
pub(crate) fn refused(identity: &Identity) -> Vec<AccessLog> {
    let all = [("reporter", "destination".to_owned()), ("destination", literal(&identity.to_string()))];
    let who = [
        ("address", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%".to_owned()),
        ("port", "%DOWNSTREAM_LOCAL_PORT%".to_owned()),
    ];
    let few = Scope { sharing_name: format!("{PREFIX}/refused"), max_counters: number(MOST_REFUSED), ..scope() };
    let each = vec![one("refused_callers_total", &[&all[..], &who].concat())];
    let loggers = [logger(vec![one("refused_connections_total", &all)], Vec::new()), logger_in(few, each, Vec::new())];
    let without_a_chain = |log| AccessLog { filter: Some(access_log::with_flag("NR")), ..log };
    loggers.map(without_a_chain).into()
}

fn labels(reporter: Reporter<'_>) -> Vec<Label> {
    match reporter {
        Reporter::Source(service) => vec![
            ("reporter", "source".to_owned()),
            ("source", "%UPSTREAM_LOCAL_URI_SAN%".to_owned()),
            ("destination", "%UPSTREAM_PEER_URI_SAN%".to_owned()),
            ("service", literal(service.unwrap_or_default())),
            ("backend", "%UPSTREAM_CLUSTER_RAW%".to_owned()),
        ],
        Reporter::Destination(identity, port) => vec![
            ("reporter", "destination".to_owned()),
            ("source", "%DOWNSTREAM_PEER_URI_SAN%".to_owned()),
            ("destination", literal(&identity.to_string())),
            ("port", port.to_string()),
        ],
    }
}

fn one(name: &str, labels: &[Label]) -> Counter {
    Counter { stat: Some(stat(name, labels)), value_fixed: Some(UInt64Value { value: 1 }), ..Default::default() }
}

fn stat(name: &str, labels: &[Label]) -> Stat {
    // An empty label is left out: it says the same, and Envoy takes none.
    let said = labels.iter().filter(|(_, format)| !format.is_empty());
    let tag =
        |(name, format): &Label| Tag { name: (*name).to_owned(), value_format: format.clone(), ..Default::default() };
    Stat { name: name.to_owned(), tags: said.map(tag).collect() }
}

fn logger(counters: Vec<Counter>, histograms: Vec<Histogram>) -> AccessLog {
    logger_in(scope(), counters, histograms)
}

/// By its name all loggers of a proxy share a scope, and its bounds.
fn scope() -> Scope {
    Scope {
        prefix: PREFIX.to_owned(),
        sharing_name: PREFIX.to_owned(),
        max_counters: number(MOST_COUNTERS),
        max_histograms: number(MOST_HISTOGRAMS),
        enable_eviction: true,
        ..Default::default()
    }
}

fn logger_in(scope: Scope, counters: Vec<Counter>, histograms: Vec<Histogram>) -> AccessLog {
    let config = Config { stats_scope: Some(scope), counters, histograms, ..Default::default() };
    AccessLog {
        name: "envoy.access_loggers.stats".to_owned(),
        filter: None,
        config_type: Some(ConfigType::TypedConfig(pack_any(config))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_and_label_is_documented() {
        let page = include_str!("../../docs/metrics.md");
        let all =
            [http(Reporter::Source(Some("s"))), tcp(Reporter::Source(None)), audited(Reporter::Source(None), "x")];
        let trust_domain = smidge_mesh::TrustDomain::default();
        let of = Identity { trust_domain, namespace: "shop".into(), service_account: "cart".into() };
        for log in all.into_iter().chain(refused(&of)) {
            let Some(ConfigType::TypedConfig(any)) = log.config_type else { panic!("a config") };
            let config: Config = prost::Message::decode(&*any.value).expect("a config");
            let stats = config.counters.into_iter().filter_map(|counter| counter.stat);
            for stat in stats.chain(config.histograms.into_iter().filter_map(|histogram| histogram.stat)) {
                assert!(page.contains(&format!("`envoy_{PREFIX}_{}`", stat.name)), "{}", stat.name);
                assert!(stat.tags.iter().all(|tag| page.contains(&format!("`{}`", tag.name))), "{:?}", stat.tags);
            }
        }
    }
}
