//! Access control on a real API server with real Envoys: who gets in, by which policy, and what the others get.

mod http;
mod modes;
mod postgres;
mod shop;
mod tcp;
mod wire;
