//! Access control on a real API server with real Envoys: who gets in, by which policy, and what the others get.

mod foretold;
mod http;
mod ingress;
mod modes;
mod mtls;
mod postgres;
mod shop;
mod tcp;
mod wire;
