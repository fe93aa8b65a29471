//! What a pod of the mesh must not have, and what its author should know.

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec, Volume};

use super::Namespace;
use crate::{
    ADMIN_PORT, ADMIN_VOLUME, INBOUND_PORT, METRICS_PORT, OUTBOUND_PORT, PROXY_UID, PodSecurityMode, pod_security,
    probe::is_ours, trust::VOLUME,
};

/// The containers that are not ours.
fn apps(spec: &PodSpec) -> impl Iterator<Item = &Container> {
    spec.containers.iter().chain(spec.init_containers.iter().flatten()).filter(|container| !is_ours(container))
}

/// Why a container could go round the mesh, and what to do if the pod is to be created.
pub(super) fn bypasses(spec: &PodSpec) -> Option<String> {
    let why = bypassing(spec)?;
    Some(format!(
        "{why}: take it away, let the pod stay outside (label smidge.dev/inject: disabled), or permit it for the whole mesh \
         (permitProxyBypass of the MeshConfig)"
    ))
}

/// The same of a pod that runs and is to be debugged.
pub(super) fn bypasses_as_debugger(spec: &PodSpec) -> Option<String> {
    let why = bypassing(spec)?;
    Some(format!(
        "{why}, because all containers of a pod share its redirect rules: use kubectl debug --profile=general (or baseline, \
         restricted); look at the pod's network from its node (kubectl debug node/<node> --profile=sysadmin); or permit it for \
         the whole mesh as long as you need it (permitProxyBypass of the MeshConfig)"
    ))
}

fn bypassing(spec: &PodSpec) -> Option<String> {
    let pod_user = spec.security_context.as_ref().and_then(|security| security.run_as_user);
    let ephemeral = spec.ephemeral_containers.iter().flatten();
    let debuggers = ephemeral.map(|e| (&e.name, e.security_context.as_ref(), &e.volume_mounts));
    let all = apps(spec).map(|app| (&app.name, app.security_context.as_ref(), &app.volume_mounts)).chain(debuggers);
    all.filter_map(|(name, security, mounts)| {
        let mounted = mounts.iter().flatten().find(|mount| [VOLUME, ADMIN_VOLUME].contains(&mount.name.as_str()));
        let user = security.and_then(|security| security.run_as_user).or(pod_user);
        let adds = security.and_then(|security| security.capabilities.as_ref()).and_then(|all| all.add.as_ref());
        let what = if user == Some(PROXY_UID.into()) {
            format!("runs as user {PROXY_UID}, the proxy's own")
        } else if security.is_some_and(|security| security.privileged == Some(true)) {
            "is privileged".to_owned()
        } else if let Some(mount) = mounted {
            format!("mounts {}, the sidecar's own volume", mount.name)
        } else {
            let added = adds?.iter().find(|added| opens_network(added))?;
            format!("adds the capability {added}")
        };
        Some(format!("container {name} {what}, with which it could go round the mesh"))
    })
    .next()
}

fn opens_network(capability: &str) -> bool {
    let name = capability.to_ascii_uppercase();
    ["ALL", "NET_ADMIN"].contains(&name.strip_prefix("CAP_").unwrap_or(&name))
}

/// Why the sidecar's volumes cannot be added.
pub(super) fn volume_taken(spec: &PodSpec) -> Option<String> {
    let is_not_ours = |volume: &&Volume| match volume.name.as_str() {
        VOLUME => volume.projected.is_none(),
        ADMIN_VOLUME => volume.empty_dir.is_none(),
        _ => false,
    };
    let taken = spec.volumes.iter().flatten().find(is_not_ours)?;
    Some(format!("the pod has a volume {} of its own, the name of the sidecar's: rename it", taken.name))
}

/// What will not be as its author thinks. `ours` are the ports that Envoy takes for probes.
pub(super) fn warnings(namespace: Namespace<'_>, spec: &PodSpec, ours: &[u16]) -> Vec<String> {
    // What goes to the audit log alone is not for the pod's author.
    let security = pod_security(namespace).filter(|conflict| conflict.mode != PodSecurityMode::Audit);
    let dns = spec.dns_policy.as_deref().filter(|policy| ["Default", "None"].contains(policy)).map(|policy| {
        format!(
            "dnsPolicy {policy}: the sidecar finds its control plane by the cluster's DNS and will not start without"
        )
    });
    security.map(|conflict| conflict.to_string()).into_iter().chain(dns).chain(ports(spec, ours)).collect()
}

fn ports(spec: &PodSpec, ours: &[u16]) -> Vec<String> {
    let ports = || apps(spec).flat_map(|app| app.ports.iter().flatten().map(move |port| (&app.name, port)));
    let udp = ports().find(|(_, port)| protocol(port) != "TCP");
    let udp = udp.map(|(name, port)| {
        let (number, protocol) = (port.container_port, protocol(port));
        format!("container {name}, port {number}: {protocol} passes outside the mesh, neither encrypted nor judged")
    });
    let host = ports().find(|(_, port)| port.host_port.is_some_and(|number| number > 0));
    let host = host.map(|(name, port)| {
        let number = port.container_port;
        format!("container {name}, port {number}: callers by hostPort are outside the mesh, and denied as such")
    });
    let taken = ports().find(|(_, port)| protocol(port) == "TCP" && is_taken(port.container_port, ours));
    let taken = taken.map(|(name, port)| {
        let number = port.container_port;
        format!("container {name}, port {number}: the sidecar listens there, so the app cannot")
    });
    [udp, host, taken].into_iter().flatten().collect()
}

fn protocol(port: &ContainerPort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

fn is_taken(port: i32, ours: &[u16]) -> bool {
    let fixed = [ADMIN_PORT, OUTBOUND_PORT, INBOUND_PORT, METRICS_PORT];
    fixed.iter().chain(ours).any(|taken| i32::from(*taken) == port)
}
