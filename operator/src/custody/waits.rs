//! What a step of a rotation waits for, in words: the leader alone knows, and writes it on the Secret for whoever asks.

use jiff::Timestamp;

use crate::identity::roots::{Phase, Times};

/// How many names a line holds.
const SHOWN: usize = 3;

/// What is still missing for the next step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// How many Ready proxies have not acknowledged the trusted roots; `None`: all have, and that is certain.
    pub(super) untrusting: Option<u32>,
    /// How many proxies have a certificate by a root that does not sign any more.
    pub(super) unsigned: usize,
    /// What has not the trusted roots written in it yet.
    pub(super) unwritten: Vec<String>,
}

/// A line for each thing that is waited for; none where no rotation is under way, or where the next step comes at once.
pub(super) fn waits(phase: Phase, missing: &Missing, times: Times, now: Timestamp) -> Vec<String> {
    let (since, is_signing) = match phase {
        Phase::Settled => return Vec::new(),
        Phase::Introduced { since } => (since, false),
        Phase::Signing { since } => (since, true),
    };
    let after = |time| since.checked_add(time).unwrap_or(Timestamp::MAX);
    let (volumes, latest) = (after(times.propagation), after(times.lifetime));
    let proxies = missing.untrusting.map(|number| match number {
        0 => "proxies that have not come back to this leader yet".to_owned(),
        number => format!("{number} proxies that have not acknowledged the roots, until {latest:.0} at the latest"),
    });
    let unsigned = (is_signing && missing.unsigned > 0).then(|| {
        format!("{} proxies with a certificate by the old root, until {latest:.0} at the latest", missing.unsigned)
    });
    let unwritten =
        (!missing.unwritten.is_empty()).then(|| format!("the roots to be written: {}", some(&missing.unwritten)));
    let volumes =
        (now < volumes).then(|| format!("the kubelets to bring the roots into every pod, until {volumes:.0}"));
    [unwritten, proxies, unsigned, volumes].into_iter().flatten().collect()
}

fn some(names: &[String]) -> String {
    let shown = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN { format!("{shown} and {} more", names.len() - SHOWN) } else { shown }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMES: Times = Times { propagation: Duration::from_secs(120), lifetime: Duration::from_secs(86400) };

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn each_thing_that_a_step_waits_for_is_told_with_its_end() {
        let unwritten = ["a", "b", "c", "d"].map(|name| format!("ConfigMap smidge-trust in {name}")).to_vec();
        let all = Missing { untrusting: Some(3), unsigned: 2, unwritten };
        let introduced = waits(Phase::Introduced { since: at(0) }, &all, TIMES, at(119));
        let [maps, proxies, volumes] = introduced.as_slice() else { panic!("{introduced:?}") };
        assert!(maps.ends_with("ConfigMap smidge-trust in c and 1 more"), "{maps}");
        assert_eq!(proxies, "3 proxies that have not acknowledged the roots, until 2027-01-16T08:00:00Z at the latest");
        assert_eq!(volumes, "the kubelets to bring the roots into every pod, until 2027-01-15T08:02:00Z");
        let signing =
            waits(Phase::Signing { since: at(0) }, &Missing { unsigned: 2, ..Missing::default() }, TIMES, at(120));
        assert_eq!(signing.len(), 1, "{signing:?}");
        assert!(signing[0].starts_with("2 proxies with a certificate by the old root"), "{signing:?}");
    }

    #[test]
    fn nothing_is_waited_for_when_all_is_there_or_nothing_is_under_way() {
        assert!(waits(Phase::Signing { since: at(0) }, &Missing::default(), TIMES, at(120)).is_empty());
        let missing = Missing { untrusting: Some(1), unsigned: 1, unwritten: vec!["x".into()] };
        assert!(waits(Phase::Settled, &missing, TIMES, at(0)).is_empty());
    }
}
