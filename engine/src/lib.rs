//! The incremental loop's state: events in, the changes that they make to what is served out.
//!
//! ```text
//! events ─Snapshot::apply→ changes ─affected→ dirty keys ─compile→ values ─translate→ resources ─→ Step
//!              │ equal facts: stop              equal value: stop ┘   same version: stop ┘
//! ```
//! An [`Engine`] is owned by one task. It remembers what it compiled and translated, so that work is per changed key,
//! and in which publication each object's effect last changed, so that a status can say when proxies have it.
//! There is no I/O, time, task or lock here, and what it publishes depends on the final objects alone, never on the
//! order in which they came (the property that `tests/` and [`Engine::verify`] hold it to).

mod cache;
mod counters;
mod effects;
mod engine;
mod layer;
mod stages;
mod step;
mod verify;
mod workloads;

pub use counters::Counters;
pub use engine::{Drift, Engine};
pub use step::{Audience, Carrier, Effect, Placement, Step};
pub use verify::Expected;
