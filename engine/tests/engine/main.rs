//! The engine as a whole, over a small world of objects: what it serves, what it tells, what it costs.

mod cost;
mod effects;
mod incremental;
mod listeners;
mod world;
