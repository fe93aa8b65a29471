//! Labels and annotations of pods in our name that mean nothing: whoever wrote them thinks that they do.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use smidge_crds::smidge::{MODE, MTLS};

use super::PROBES;
use crate::{INJECT, UNDO};

/// What all of our keys begin with.
const PREFIX: &str = "smidge.dev/";
/// Of a namespace alone, as labels.
const OF_NAMESPACES: [&str; 2] = [MODE, MTLS];
/// Of a pod, as annotations.
pub(super) const ANNOTATIONS: [&str; 8] = [
    "smidge.dev/exclude-inbound-ports",
    "smidge.dev/exclude-outbound-ports",
    "smidge.dev/exclude-outbound-cidrs",
    "smidge.dev/proxy-cpu-request",
    "smidge.dev/proxy-cpu-limit",
    "smidge.dev/proxy-memory-request",
    "smidge.dev/proxy-memory-limit",
    "smidge.dev/proxy-log-level",
];

/// How many are told, and how much of each is shown: a pod may have thousands.
const MOST: usize = 4;
const LONGEST: usize = 80;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Label,
    Annotation,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Label { "label" } else { "annotation" })
    }
}

/// A label or annotation in our name that means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misspelt {
    /// Where it stands: `metadata.labels[…]`.
    pub field: String,
    /// What is wrong, and what was likely meant.
    pub message: String,
}

/// The first few labels and annotations of a pod in our name that mean nothing.
pub fn misspelt(pod: &ObjectMeta) -> Vec<Misspelt> {
    let places = [(Place::Label, "labels", &pod.labels), (Place::Annotation, "annotations", &pod.annotations)];
    let keys = places
        .into_iter()
        .flat_map(|(place, field, map)| map.iter().flatten().map(move |(key, _)| (place, field, key)));
    let told = keys.filter_map(|(place, field, key)| {
        let message = meaningless(place, key)?;
        Some(Misspelt { field: format!("metadata.{field}[{}]", shown(key)), message })
    });
    told.take(MOST).collect()
}

fn shown(key: &str) -> String {
    key.chars().take(LONGEST).collect()
}

fn meaningless(place: Place, key: &str) -> Option<String> {
    let name = key.strip_prefix(PREFIX)?;
    let is_own = [PROBES, UNDO].contains(&key);
    let is_known = key == INJECT || (place == Place::Annotation && (ANNOTATIONS.contains(&key) || is_own));
    let shown = shown(key);
    if is_known {
        None
    } else if OF_NAMESPACES.contains(&key) {
        Some(format!("{place} {shown} means nothing on a pod: it is a label of namespaces"))
    } else if ANNOTATIONS.contains(&key) {
        Some(format!("{place} {shown} means nothing: write it as an annotation"))
    } else {
        Some(format!("{place} {shown} is unknown and means nothing: do you mean {}?", nearest(name)))
    }
}

/// The known key that takes the fewest edits.
fn nearest(name: &str) -> &'static str {
    let name = shown(name);
    let known = std::iter::once(INJECT).chain(ANNOTATIONS);
    known.min_by_key(|known| distance(&name, &known[PREFIX.len()..])).unwrap_or(INJECT)
}

/// How many characters have to be put in, taken away or replaced (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(labels: &[&str], annotations: &[&str]) -> Vec<String> {
        let map = |keys: &[&str]| Some(keys.iter().map(|key| ((*key).to_owned(), String::new())).collect());
        let told =
            misspelt(&ObjectMeta { labels: map(labels), annotations: map(annotations), ..ObjectMeta::default() });
        told.into_iter().map(|told| told.message).collect()
    }

    #[test]
    fn distances_count_edits() {
        let cases = [("", "abc", 3), ("kitten", "sitting", 3), ("same", "same", 0), ("ab", "ba", 2), ("é", "e", 1)];
        for (one, other, edits) in cases {
            assert_eq!((distance(one, other), distance(other, one)), (edits, edits), "{one} {other}");
        }
    }

    #[test]
    fn a_misspelt_key_is_told_with_the_one_that_was_meant() {
        let cases = [
            ("smidge.dev/injekt", "smidge.dev/inject"),
            ("smidge.dev/exclude-outbound-port", "smidge.dev/exclude-outbound-ports"),
            ("smidge.dev/excludeInboundPorts", "smidge.dev/exclude-inbound-ports"),
            ("smidge.dev/proxy-cpu-limits", "smidge.dev/proxy-cpu-limit"),
            ("smidge.dev/log-level", "smidge.dev/proxy-log-level"),
        ];
        for (written, meant) in cases {
            let expected = format!("annotation {written} is unknown and means nothing: do you mean {meant}?");
            assert_eq!(told(&[], &[written]), [expected]);
        }
    }

    #[test]
    fn a_key_in_a_wrong_place_is_told_where_it_belongs() {
        let said = told(&["smidge.dev/proxy-cpu-limit", "smidge.dev/mode"], &["smidge.dev/mtls"]);
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[0].contains("label of namespaces") && said[2].contains("label of namespaces"), "{said:?}");
        assert_eq!(said[1], "label smidge.dev/proxy-cpu-limit means nothing: write it as an annotation");
    }

    #[test]
    fn what_is_known_or_not_ours_is_not_told_and_the_rest_is_bounded() {
        let known =
            [&[INJECT, PROBES, UNDO, "example.com/smidge.dev/injekt", "prometheus.io/port"], &ANNOTATIONS[..]].concat();
        assert_eq!(told(&[INJECT, "app", "smidge.devil/x"], &known), [""; 0]);
        let many: Vec<String> = (0..1000).map(|n| format!("smidge.dev/{n}{}", "é".repeat(300))).collect();
        let said = told(&[], &many.iter().map(String::as_str).collect::<Vec<_>>());
        assert!(said.len() == MOST && said.iter().all(|line| line.chars().count() < 200), "{said:?}");
    }
}
