//! Pods without Kubernetes: network namespaces, redirect rules, stock Envoys and app processes on one Linux machine.
//!
//! ```text
//!  owner (a test, the demo)                    one set of namespaces per Sandbox: mount, net, pid
//!  ┌──────────┐  stdin pipe   ┌───────────────────────────────────────────────────────────────────┐
//!  │ Sandbox ─┼──────────────→│ holder, pid 1        bridge ── veth ── net namespace of pod a     │
//!  │ Pod      │               │                         │               nft redirect, Envoy, app   │
//!  │ Process  │               │                         └──── veth ── net namespace of pod b …    │
//!  └──────────┘               └───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Whatever ends the owner, even `kill -9`, closes the pipe; the holder then exits, and the kernel ends every process,
//! mount, rule and interface with it. Nothing of the host's network is touched, and two sandboxes never meet: they may
//! use the same addresses at the same time. The only thing outside is a folder in the temporary directory; the next
//! [`Sandbox::new`] removes the folders of owners that died.
//!
//! This crate knows neither SMI nor Kubernetes: what the control plane reads, addresses, names and bootstraps are given by the caller.

mod command;
mod control_plane;
mod envoy;
mod error;
mod expand;
mod family;
mod holder;
mod leftovers;
mod network;
mod pod;
mod process;
mod root;
mod sandbox;
mod tool;

pub use command::{APP_UID, Command, ROOT_UID};
pub use envoy::Sidecar;
pub use error::Error;
pub use expand::expand;
pub use family::program_of;
pub use holder::Holder;
pub use leftovers::{Folder, remove_leftovers};
pub use pod::{Pod, PodSpec};
pub use process::{Output, Process};
pub use root::become_root;
pub use sandbox::Sandbox;
pub use smidge_injector::PROXY_UID;
pub use tool::{Tool, cache_folder};
