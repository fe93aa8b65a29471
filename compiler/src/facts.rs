//! What is kept of an object: small values, made at the door, the raw object dropped.

/// The facts about one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {}

/// Objects that have facts.
pub trait Digest {
    /// Its facts.
    fn digest(&self) -> Fact;
}
