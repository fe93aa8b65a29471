//! Kubernetes objects for the tests, as JSON: what a cluster's own controllers would have made.
//!
//! Only an API server runs, so nothing schedules pods, starts them or finds their endpoints: the tests do, with
//! objects that look as a cluster's would.

use std::net::IpAddr;

use serde_json::{Value, json};

/// A namespace, in the mesh.
pub fn namespace(name: &str, labels: &[(&str, &str)]) -> Value {
    let mut object = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": name, "labels": {"smidge.dev/inject": "enabled"}},
    });
    for (key, value) in labels {
        object["metadata"]["labels"][*key] = json!(value);
    }
    object
}

/// A service account.
pub fn service_account(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
}

/// What a Pod object says.
#[derive(Clone, Debug)]
pub struct PodObject<'a> {
    /// Its namespace.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its service account.
    pub service_account: &'a str,
    /// The label `app`.
    pub app: &'a str,
    /// Its addresses; the first one is `podIP`.
    pub ips: &'a [IpAddr],
    /// Whether it has a sidecar.
    pub meshed: bool,
    /// Named container ports.
    pub ports: &'a [(&'a str, u16)],
}

impl PodObject<'_> {
    /// The object to create.
    pub fn spec(&self) -> Value {
        let ports: Vec<_> =
            self.ports.iter().map(|(name, port)| json!({"name": name, "containerPort": port})).collect();
        let sidecar = json!({"name": "smidge-proxy", "image": "envoy", "restartPolicy": "Always"});
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": self.name, "namespace": self.namespace, "labels": {"app": self.app}},
            "spec": {
                "serviceAccountName": self.service_account,
                "automountServiceAccountToken": false,
                "initContainers": if self.meshed { vec![sidecar] } else { vec![] },
                "containers": [{"name": "app", "image": "app", "ports": ports}],
            },
        })
    }

    /// The status that a kubelet would report.
    pub fn status(&self, ready: bool) -> Value {
        let ips: Vec<_> = self.ips.iter().map(|ip| json!({"ip": ip})).collect();
        let ready = if ready { "True" } else { "False" };
        json!({
            "phase": "Running", "podIP": self.ips.first(), "podIPs": ips,
            "conditions": [{"type": "Ready", "status": ready}],
        })
    }
}

/// One port of a Service.
#[derive(Clone, Copy, Debug)]
pub struct Port<'a> {
    /// Its name; its prefix tells the protocol.
    pub name: &'a str,
    /// The Service's port.
    pub port: u16,
    /// The pods' port.
    pub target: u16,
}

/// A Service over the pods with label `app`. `cluster_ip`: `None` lets the API server choose, `"None"` is headless.
pub fn service(namespace: &str, name: &str, app: &str, ports: &[Port<'_>], cluster_ip: Option<&str>) -> Value {
    let ports: Vec<_> = ports.iter().map(|p| json!({"name": p.name, "port": p.port, "targetPort": p.target})).collect();
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"app": app}, "ports": ports, "clusterIP": cluster_ip, "ipFamilyPolicy": "PreferDualStack"},
    })
}

/// The EndpointSlice of one address family, as the cluster's controller would write it; without pods an empty one.
pub fn endpoint_slice(
    namespace: &str,
    service: &str,
    ports: &[Port<'_>],
    is_v4: bool,
    pods: &[(&str, IpAddr)],
) -> Value {
    let (family, suffix) = if is_v4 { ("IPv4", "v4") } else { ("IPv6", "v6") };
    let endpoints: Vec<_> = pods
        .iter()
        .map(|(pod, ip)| {
            json!({
                "addresses": [ip], "conditions": {"ready": true, "serving": true, "terminating": false},
                "targetRef": {"kind": "Pod", "namespace": namespace, "name": pod},
            })
        })
        .collect();
    let ports: Vec<_> = ports.iter().map(|p| json!({"name": p.name, "port": p.target, "protocol": "TCP"})).collect();
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-{suffix}"), "namespace": namespace,
            "labels": {"kubernetes.io/service-name": service},
        },
        "addressType": family, "endpoints": endpoints, "ports": ports,
    })
}

/// A TrafficSplit.
pub fn split(namespace: &str, name: &str, root: &str, backends: &[(&str, u32)]) -> Value {
    let backends: Vec<_> =
        backends.iter().map(|(service, weight)| json!({"service": service, "weight": weight})).collect();
    json!({
        "apiVersion": "split.smi-spec.io/v1alpha4", "kind": "TrafficSplit",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"service": root, "backends": backends},
    })
}

/// A TrafficTarget from some service accounts of its own namespace to another one's workloads, by rules
/// such as `("TCPRoute", "all")`.
pub fn target(namespace: &str, name: &str, destination: &str, sources: &[&str], rules: &[(&str, &str)]) -> Value {
    let sources: Vec<_> =
        sources.iter().map(|s| json!({"kind": "ServiceAccount", "name": s, "namespace": namespace})).collect();
    let rules: Vec<_> = rules.iter().map(|(kind, name)| json!({"kind": kind, "name": name})).collect();
    json!({
        "apiVersion": "access.smi-spec.io/v1alpha3", "kind": "TrafficTarget",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "destination": {"kind": "ServiceAccount", "name": destination, "namespace": namespace},
            "sources": sources, "rules": rules,
        },
    })
}

/// A TCPRoute that opens some ports, or every port.
pub fn tcp_route(namespace: &str, name: &str, ports: &[u16]) -> Value {
    json!({
        "apiVersion": "specs.smi-spec.io/v1alpha4", "kind": "TCPRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"matches": {"ports": ports}},
    })
}

/// An HTTPRouteGroup with matches given as JSON.
pub fn route_group(namespace: &str, name: &str, matches: &Value) -> Value {
    json!({
        "apiVersion": "specs.smi-spec.io/v1alpha4", "kind": "HTTPRouteGroup",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"matches": matches},
    })
}

/// An IngressBackend.
pub fn ingress(namespace: &str, name: &str, backends: &Value, sources: &Value) -> Value {
    json!({
        "apiVersion": "smidge.dev/v1alpha1", "kind": "IngressBackend",
        "metadata": {"name": name, "namespace": namespace}, "spec": {"backends": backends, "sources": sources},
    })
}
