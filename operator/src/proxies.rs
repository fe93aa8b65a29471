//! What `/proxies` answers: each proxy that this replica serves, in step or not, and what it has rejected. The loop makes it of
//! what it and the hub know already, when somebody asks; `smidge status` reads it.

use std::time::SystemTime;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::{Deserialize, Serialize};
use smidge_mesh::PodName;
use smidge_report::{Acknowledgements, Mark};
use smidge_xds::{Epoch, ProxyId};
use smidge_xds_server::Connected;

/// Of how many rejected resources of a proxy it tells the words: one is enough to see what is wrong, and all may be thousands.
const TOLD: usize = 16;

/// The proxies of one replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxies {
    /// The version of the replica.
    pub version: String,
    /// Whether it leads.
    pub leads: bool,
    /// Its newest publication, by a count of its own.
    pub epoch: u64,
    /// Those that have a stream to it, in the order of their names.
    pub proxies: Vec<Proxy>,
}

/// One proxy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Proxy {
    /// Its pod.
    pub pod: String,
    /// The namespace of its pod.
    pub namespace: String,
    /// The version of Envoy that it says it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envoy: Option<String>,
    /// Since when its stream is open.
    pub connected_since: Time,
    /// Of how many publications it has not acknowledged all that concerns it; 0: it is in step.
    pub behind: u64,
    /// How many resources it has rejected, and not had a better form of since: of these it keeps the last good form.
    pub rejections: u64,
    /// The first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejected>,
}

/// A resource that a proxy has rejected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Its type: the last part of its URL, such as `RouteConfiguration`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Envoy's words.
    pub words: String,
}

/// The answer, of what is acknowledged and who is connected.
pub(crate) fn proxies(of: &Acknowledgements, leads: bool, connected: Vec<(ProxyId, Connected)>) -> Proxies {
    let through = of.through();
    let told = |(id, began): (ProxyId, Connected)| {
        let pod = PodName::parse(id.as_str())?;
        Some(proxy(&pod, began, &of.mark(&id)?, through))
    };
    let mut proxies: Vec<Proxy> = connected.into_iter().filter_map(told).collect();
    proxies.sort_by(|a, b| (&a.namespace, &a.pod).cmp(&(&b.namespace, &b.pod)));
    Proxies { version: env!("CARGO_PKG_VERSION").to_owned(), leads, epoch: through.0, proxies }
}

fn proxy(pod: &PodName, began: Connected, mark: &Mark, through: Epoch) -> Proxy {
    let rejected = mark.rejected.iter().take(TOLD).map(|((kind, name), rejection)| Rejected {
        kind: kind.to_string(),
        name: name.to_string(),
        words: rejection.words.to_string(),
    });
    Proxy {
        pod: pod.name.to_string(),
        namespace: pod.namespace.to_string(),
        envoy: began.envoy,
        connected_since: since(began.since),
        behind: mark.gate.map_or(0, |gate| behind(gate, through)),
        rejections: mark.rejected.len() as u64,
        rejected: rejected.collect(),
    }
}

/// Who has a gate lacks something, even before the publication that it lacks is reported on.
fn behind(gate: Epoch, through: Epoch) -> u64 {
    through.next().0.saturating_sub(gate.0.max(1)).max(1)
}

/// To the second, as Kubernetes writes times.
fn since(time: SystemTime) -> Time {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map(|age| age.as_secs()).unwrap_or_default();
    Time(Timestamp::from_second(i64::try_from(seconds).unwrap_or_default()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use smidge_engine::Placement;
    use smidge_report::Standing;
    use smidge_xds::{Name, TypeUrl, Version, WorkloadId};

    use super::*;

    fn placed(of: &mut Acknowledgements, id: &str) {
        let placement = Placement { workload: WorkloadId(1), key: Version::of(b"layer"), since: Epoch(1), ready: true };
        of.place(&ProxyId::from(id), Some(placement));
    }

    fn connected(id: &str) -> (ProxyId, Connected) {
        let since = SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_500);
        (ProxyId::from(id), Connected { since, envoy: Some("1.40.0".to_owned()) })
    }

    #[test]
    fn a_proxy_is_told_with_what_it_lacks_and_what_it_rejected() {
        let mut acknowledgements = Acknowledgements::default();
        for id in ["web-0.shop", "cart-0.shop", "late-0.shop"] {
            placed(&mut acknowledgements, id);
        }
        let rejected = BTreeMap::from([((TypeUrl::Route, Name::from("shop/web/80")), "bad regex".into())]);
        let in_step = Standing::default();
        let stale = Standing { behind_since: Some(Epoch(3)), rejected };
        let reports = [("web-0.shop", in_step), ("cart-0.shop", stale)];
        acknowledgements.report(Epoch(4), reports.map(|(id, standing)| (ProxyId::from(id), Some(standing))));
        let streams = ["web-0.shop", "cart-0.shop", "late-0.shop", "gone-0.shop"].map(connected).to_vec();
        let told = proxies(&acknowledgements, true, streams);
        let behind: Vec<_> = told.proxies.iter().map(|proxy| (proxy.pod.as_str(), proxy.behind)).collect();
        assert_eq!(behind, [("cart-0", 2), ("late-0", 4), ("web-0", 0)], "a proxy of no known pod is left out");
        let cart = serde_json::to_value(&told.proxies[0]).unwrap();
        let expected = serde_json::json!({
            "pod": "cart-0", "namespace": "shop", "envoy": "1.40.0", "connectedSince": "2027-01-15T08:00:00Z", "behind": 2,
            "rejections": 1, "rejected": [{"type": "RouteConfiguration", "name": "shop/web/80", "words": "bad regex"}],
        });
        assert_eq!(cart, expected);
        assert_eq!((told.epoch, told.leads), (4, true));
    }

    #[test]
    fn who_lacks_what_is_not_reported_on_yet_is_behind_all_the_same() {
        assert_eq!(behind(Epoch(5), Epoch(4)), 1);
        assert_eq!(behind(Epoch(4), Epoch(4)), 1);
        assert_eq!(behind(Epoch(0), Epoch(4)), 4);
    }
}
