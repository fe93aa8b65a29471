//! The thin shell around the engine.

pub mod identity;
