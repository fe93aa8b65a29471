//! What is told to the author of an object. The catalogue of codes is permanent.

use std::fmt;

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

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.code.id, self.object, self.message)
    }
}
