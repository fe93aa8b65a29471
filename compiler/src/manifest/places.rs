//! The line of a field in a document.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_yaml::Spanned;

/// Where the values of a document stand.
#[derive(Debug)]
pub struct Places(Spanned<Node>);

/// A value of which only the places of its parts are kept.
#[derive(Debug)]
enum Node {
    Scalar,
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<String>, Spanned<Node>)>),
}

impl Places {
    /// The places in a text; `None`: it is no YAML.
    pub fn of(text: &str) -> Option<Self> {
        serde_yaml::from_str(text).ok().map(Self)
    }

    /// The line (from 1) on which the field stands; the nearest one around it when it is not there itself.
    /// Fields are written as in diagnostics: `spec.backends[1].weight`, `metadata.labels[smidge.dev/mode]`.
    pub fn line_of(&self, field: &str) -> usize {
        let (mut line, mut node) = (self.0.defined.line(), &self.0.value);
        for step in steps(field) {
            match node.step(step) {
                Some((at, next)) => (line, node) = (at, next),
                // The first versions of SMI have the fields beside `metadata`.
                None if step == "spec" => {}
                None => break,
            }
        }
        usize::try_from(line).unwrap_or(1)
    }
}

/// `a.b[c.d]` is `a`, `b`, `c.d`.
fn steps(field: &str) -> impl Iterator<Item = &str> {
    let outside = field.split('[').enumerate().flat_map(|(position, part)| {
        let (inside, rest) = match (position, part.split_once(']')) {
            (1.., Some((inside, rest))) => (Some(inside), rest),
            _ => (None, part),
        };
        inside.into_iter().chain(rest.split('.'))
    });
    outside.filter(|step| !step.is_empty())
}

impl Node {
    fn step(&self, step: &str) -> Option<(u64, &Self)> {
        match self {
            Self::Scalar => None,
            Self::List(items) => {
                let item = items.get(step.parse::<usize>().ok()?)?;
                Some((item.defined.line(), &item.value))
            }
            Self::Map(fields) => {
                let (key, value) = fields.iter().find(|(key, _)| key.value == step)?;
                Some((key.defined.line(), &value.value))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

macro_rules! scalars {
    ($($visit:ident $type:ty;)*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Node, E> {
            Ok(Node::Scalar)
        })*
    };
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    scalars! { visit_bool bool; visit_i64 i64; visit_u64 u64; visit_i128 i128; visit_u128 u128; visit_f64 f64; visit_str &str; visit_bytes &[u8]; }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Scalar)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Node::Scalar)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
        let mut map = Vec::new();
        while let Some(field) = fields.next_entry()? {
            map.push(field);
        }
        Ok(Node::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
kind: TrafficSplit
metadata:
  name: web
  labels:
    smidge.dev/mode: deny
spec:
  backends:
  - service: a
    weight: 1
  - {service: b, weight: 2}
";

    #[test]
    fn a_field_of_a_diagnostic_has_its_line() {
        for (field, line) in [
            ("spec.backends[0].weight", 9),
            ("spec.backends[1].weight", 10),
            ("metadata.labels[smidge.dev/mode]", 5),
            ("spec.matches[0]", 6),
            ("", 1),
        ] {
            assert_eq!(Places::of(TEXT).unwrap().line_of(field), line, "{field}");
        }
    }
}
