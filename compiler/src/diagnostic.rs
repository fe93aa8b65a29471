//! What is told to the author of an object. The catalogue of codes is permanent.

use std::{cmp::Reverse, fmt};

use serde::Serialize;

use crate::ObjectRef;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nothing is lost.
    Info,
    /// It does less than its author may think.
    Warning,
    /// It, or a part of it, is not in force.
    Error,
}

/// Which status condition an error turns to False.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Condition {
    /// The object is well-formed and in force.
    Accepted,
    /// Everything that it names exists and fits.
    ResolvedRefs,
}

/// An entry of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Code {
    /// `SMI0101`: permanent, never used again for something else.
    pub id: &'static str,
    /// The CamelCase reason in the condition.
    pub reason: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The condition that it makes False; `None`: it is only said.
    pub condition: Option<Condition>,
    /// What it means, in a sentence.
    pub meaning: &'static str,
    /// What to do, in a sentence.
    pub remedy: &'static str,
}

/// One thing to tell about one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Diagnostic {
    /// Which entry of the catalogue.
    pub code: Code,
    /// On which object.
    pub object: ObjectRef,
    /// Where in it: `spec.backends[1].weight`; empty: the whole object.
    pub field: String,
    /// What is wrong, with names and values, and what to do.
    pub message: String,
}

/// A part of a field, so that `matches[2]` comes before `matches[10]`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step<'a> {
    Position(usize),
    Name(&'a str),
}

impl Diagnostic {
    /// What comes first is told first: errors, and of one code what stands first in the object.
    pub(crate) fn order(&self) -> impl Ord + use<'_> {
        let steps = self.field.split(['.', '[', ']']).map(|part| part.parse().map_or(Step::Name(part), Step::Position));
        (Reverse(self.code.severity), self.code, steps.collect::<Vec<_>>(), &self.message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code.id, self.object, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, codes};

    #[test]
    fn what_stands_first_in_the_object_is_told_first() {
        let object = ObjectRef::new(Kind::HttpRouteGroup, "shop", "all");
        let at = |field: &str| Diagnostic {
            code: codes::TOO_MANY_MATCHES,
            object: object.clone(),
            field: field.to_owned(),
            message: String::new(),
        };
        let fields = ["spec.matches", "spec.matches[2]", "spec.matches[2].pathRegex", "spec.matches[10]"];
        assert!(fields.map(at).is_sorted_by(|a, b| a.order() < b.order()));
    }
}
