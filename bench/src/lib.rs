//! What `make bench` is made of: a cluster's objects on a real API server and the measured operator; and [`sidecar`], which
//! measures requests through real Envoys. The load clients are [`smidge_e2e::proxies`].

pub mod cluster;
pub mod operator;
pub mod sidecar;
