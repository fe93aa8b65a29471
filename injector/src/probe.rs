//! The kubelet's probes and lifecycle hooks of a pod's apps: what they call, and what they call instead in the mesh.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::{
    api::core::v1::{Container, GRPCAction, HTTPGetAction, Lifecycle, LifecycleHandler, PodSpec, TCPSocketAction},
    apimachinery::pkg::util::intstr::IntOrString,
};
use serde::{Deserialize, Serialize};

use crate::{GRPC_PROBE_PORT, PROBE_PORT, PROXY, REDIRECT};

/// What the kubelet replaces by the pod's address.
pub(crate) const POD_IP: &str = "$(POD_IP)";
/// How long a hook may take, in seconds; it is the kubelet that ends it before.
const HOOK_SECONDS: u32 = 3600;

/// What is called when: the last part of a probe's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Liveness,
    Readiness,
    Startup,
    PostStart,
    PreStop,
}

/// What a probe of the app calls, on the pod's own address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// A GET; the path has its query, the host is the one that the author set.
    Http { tls: bool, port: u16, path: String, host: Option<String> },
    /// A connection.
    Tcp { port: u16 },
    /// gRPC's health service.
    Grpc { port: u16 },
}

/// A probe that Envoy answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) container: String,
    pub(crate) kind: Kind,
    pub(crate) target: Target,
    /// How long an answer may take, in seconds; at least 1.
    pub(crate) timeout: u32,
    /// How often it is asked for, in seconds; at least 1.
    pub(crate) period: u32,
}

/// What a probe or hook does, as far as it is ours to rewrite. In annotations it is written as in a Pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Call {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) http_get: Option<HTTPGetAction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tcp_socket: Option<TCPSocketAction>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grpc: Option<GRPCAction>,
}

/// What the authors of rewritten probes wrote, by `<container>/<kind>`.
pub(crate) type Remembered = BTreeMap<String, Call>;

/// A probe in a pod.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    /// Where it is in the pod.
    pub(crate) place: Vec<String>,
    /// What is written there now.
    pub(crate) current: Call,
    /// What its author wrote.
    pub(crate) original: Call,
    pub(crate) probe: Probe,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Liveness, Self::Readiness, Self::Startup, Self::PostStart, Self::PreStop];

    fn name(self) -> &'static str {
        match self {
            Self::Liveness => "liveness",
            Self::Readiness => "readiness",
            Self::Startup => "startup",
            Self::PostStart => "postStart",
            Self::PreStop => "preStop",
        }
    }

    /// Where it stands in a container.
    fn place(self) -> &'static [&'static str] {
        match self {
            Self::Liveness => &["livenessProbe"],
            Self::Readiness => &["readinessProbe"],
            Self::Startup => &["startupProbe"],
            Self::PostStart => &["lifecycle", "postStart"],
            Self::PreStop => &["lifecycle", "preStop"],
        }
    }
}

impl Target {
    pub(crate) fn port(&self) -> u16 {
        let (Self::Http { port, .. } | Self::Tcp { port } | Self::Grpc { port }) = self;
        *port
    }

    /// The name of the cluster that leads there.
    pub(crate) fn cluster(&self) -> String {
        let protocol = match self {
            Self::Http { tls: false, .. } => "http",
            Self::Http { tls: true, .. } => "https",
            Self::Tcp { .. } => "tcp",
            Self::Grpc { .. } => "grpc",
        };
        format!("probes/{protocol}/{}", self.port())
    }
}

impl Probe {
    /// `<container>/<kind>`.
    pub(crate) fn key(&self) -> String {
        format!("{}/{}", self.container, self.kind.name())
    }

    /// Its path on [`PROBE_PORT`].
    pub(crate) fn path(&self) -> String {
        format!("/{}", self.key())
    }
}

impl Found {
    /// What is to be written there.
    pub(crate) fn rewritten(&self, grpc: &BTreeMap<u16, u16>) -> Call {
        let get = |headers| HTTPGetAction {
            host: None,
            http_headers: headers,
            path: Some(self.probe.path()),
            port: IntOrString::Int(PROBE_PORT.into()),
            scheme: Some("HTTP".to_owned()),
        };
        match (&self.probe.target, &self.original) {
            (Target::Grpc { port }, Call { grpc: Some(action), .. }) => {
                let port = grpc.get(port).map_or(action.port, |port| (*port).into());
                Call { grpc: Some(GRPCAction { port, ..action.clone() }), ..Call::default() }
            }
            (_, original) => {
                let headers = original.http_get.as_ref().and_then(|get| get.http_headers.clone());
                Call { http_get: Some(get(headers)), ..Call::default() }
            }
        }
    }
}

/// The ports of gRPC probes, each with the port of ours that leads there.
pub(crate) fn grpc_ports<'a>(probes: impl IntoIterator<Item = &'a Probe>) -> BTreeMap<u16, u16> {
    let targets = probes.into_iter().filter(|probe| matches!(probe.target, Target::Grpc { .. }));
    let ports: BTreeSet<u16> = targets.map(|probe| probe.target.port()).collect();
    ports.into_iter().zip(GRPC_PROBE_PORT..).collect()
}

/// Text as it must stand in an argument, where the kubelet replaces `$(NAME)`.
pub(crate) fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// Every probe and hook of the apps that Envoy can answer, in the pod's order.
pub(crate) fn probes(spec: &PodSpec, remembered: &Remembered) -> Vec<Found> {
    let init = spec.init_containers.iter().flatten().enumerate().map(|(n, c)| ("initContainers", n, c));
    let apps = spec.containers.iter().enumerate().map(|(n, container)| ("containers", n, container));
    let apps = apps.chain(init).filter(|(_, _, container)| !is_ours(container));
    let sites = apps.flat_map(|app| Kind::ALL.map(|kind| (app, kind)));
    sites.filter_map(|((list, n, container), kind)| found(list, n, container, kind, remembered)).collect()
}

/// Is it one of the containers that injection adds?
pub(crate) fn is_ours(container: &Container) -> bool {
    container.name == PROXY || container.name == REDIRECT
}

fn found(list: &str, index: usize, container: &Container, kind: Kind, remembered: &Remembered) -> Option<Found> {
    let (current, [timeout, period]) = read(container, kind)?;
    let key = format!("{}/{}", container.name, kind.name());
    let original = match current.is_rewritten(&key) {
        true => remembered.get(&key)?.clone(),
        false => current.clone(),
    };
    let target = original.target(container)?;
    let container_at = ["spec".to_owned(), list.to_owned(), index.to_string()];
    let place = container_at.into_iter().chain(kind.place().iter().map(|field| (*field).to_owned())).collect();
    let probe = Probe { container: container.name.clone(), kind, target, timeout, period };
    Some(Found { place, current, original, probe })
}

/// What is written for this kind, its timeout and its period.
fn read(container: &Container, kind: Kind) -> Option<(Call, [u32; 2])> {
    let hook = |of: fn(&Lifecycle) -> Option<&LifecycleHandler>| container.lifecycle.as_ref().and_then(of);
    let probe = match kind {
        Kind::Liveness => container.liveness_probe.as_ref(),
        Kind::Readiness => container.readiness_probe.as_ref(),
        Kind::Startup => container.startup_probe.as_ref(),
        // Kubernetes has given hooks by TCP up: they fail, in the mesh as without it.
        Kind::PostStart => {
            let get = hook(|lifecycle| lifecycle.post_start.as_ref())?.http_get.clone();
            return Some((Call { http_get: get, ..Call::default() }, [HOOK_SECONDS, HOOK_SECONDS]));
        }
        Kind::PreStop => {
            let get = hook(|lifecycle| lifecycle.pre_stop.as_ref())?.http_get.clone();
            return Some((Call { http_get: get, ..Call::default() }, [HOOK_SECONDS, HOOK_SECONDS]));
        }
    }?;
    let seconds = |number: Option<i32>, default| number.and_then(|n| u32::try_from(n).ok()).unwrap_or(default).max(1);
    let call =
        Call { http_get: probe.http_get.clone(), tcp_socket: probe.tcp_socket.clone(), grpc: probe.grpc.clone() };
    Some((call, [seconds(probe.timeout_seconds, 1), seconds(probe.period_seconds, 10)]))
}

impl Call {
    /// Is it what [`Found::rewritten`] has written?
    fn is_rewritten(&self, key: &str) -> bool {
        let http = self.http_get.as_ref().is_some_and(|get| {
            get.port == IntOrString::Int(PROBE_PORT.into())
                && get.path.as_deref().and_then(|path| path.strip_prefix('/')) == Some(key)
        });
        http || self.grpc.as_ref().is_some_and(|grpc| grpc.port >= GRPC_PROBE_PORT.into())
    }

    /// What it calls; `None` for what is no call to the pod, or none that Kubernetes could make.
    fn target(&self, container: &Container) -> Option<Target> {
        match self {
            Self { http_get: Some(get), tcp_socket: None, grpc: None } if is_pod(get.host.as_deref()) => {
                Some(Target::Http {
                    tls: get.scheme.as_deref() == Some("HTTPS"),
                    port: port(&get.port, container)?,
                    path: on_the_wire(get.path.as_deref().unwrap_or_default()),
                    host: host(get),
                })
            }
            Self { http_get: None, tcp_socket: Some(tcp), grpc: None } if is_pod(tcp.host.as_deref()) => {
                Some(Target::Tcp { port: port(&tcp.port, container)? })
            }
            Self { http_get: None, tcp_socket: None, grpc: Some(grpc) } => {
                Some(Target::Grpc { port: valid(grpc.port)? })
            }
            _ => None,
        }
    }
}

/// A probe with a host of its own does not call the pod.
fn is_pod(host: Option<&str>) -> bool {
    host.unwrap_or_default().is_empty()
}

fn valid(port: i32) -> Option<u16> {
    u16::try_from(port).ok().filter(|port| *port > 0)
}

/// A name is looked up among the container's own ports, as the kubelet does.
fn port(port: &IntOrString, container: &Container) -> Option<u16> {
    match port {
        IntOrString::Int(number) => valid(*number),
        IntOrString::String(name) => {
            let named = container.ports.iter().flatten().find(|port| port.name.as_deref() == Some(name));
            valid(named.map_or_else(|| name.parse().unwrap_or_default(), |port| port.container_port))
        }
    }
}

/// The Host that the author set; one that no request can hold counts as none.
fn host(get: &HTTPGetAction) -> Option<String> {
    let mut headers = get.http_headers.iter().flatten();
    let host = headers.find(|header| header.name.eq_ignore_ascii_case("host"))?.value.clone();
    (!host.is_empty() && host.bytes().all(|byte| byte.is_ascii_graphic())).then_some(host)
}

/// A path as the kubelet would write it: from a slash on, without a fragment, escaped where it must be.
fn on_the_wire(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    let bytes = path.bytes().map(|byte| match byte {
        b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => format!("%{byte:02X}"),
        _ if byte.is_ascii_graphic() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    slash.to_owned() + &bytes.collect::<String>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped_as_the_kubelet_does() {
        for (path, expected) in [
            ("", "/"),
            ("healthz", "/healthz"),
            ("/a b?x=1&y=ü#top", "/a%20b?x=1&y=%C3%BC"),
            ("/a\r\nx: y", "/a%0D%0Ax:%20y"),
        ] {
            assert_eq!(on_the_wire(path), expected);
        }
    }
}
