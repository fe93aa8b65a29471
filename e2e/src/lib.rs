//! What the end-to-end tests stand on: a real API server, real Envoys in network namespaces as pods, real traffic.

pub mod objects;
