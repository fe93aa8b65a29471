//! What a Service's port speaks: `appProtocol` says it, else the prefix of the port's name, else the mesh's default.

use smidge_mesh::Protocol;

use crate::facts::{MeshConfigFacts, ServicePortFacts, TargetPort};

/// What a port speaks.
pub fn protocol_of(number: u16, port: &ServicePortFacts, config: &MeshConfigFacts) -> Protocol {
    let said = port.app_protocol.as_deref().and_then(said_by_app_protocol);
    said.or_else(|| said_by_name(&port.name)).unwrap_or_else(|| unsaid(number, port, config))
}

/// <https://kubernetes.io/docs/concepts/services-networking/service/#application-protocol>, and the words of other meshes.
pub(crate) fn said_by_app_protocol(text: &str) -> Option<Protocol> {
    match text {
        "kubernetes.io/h2c" => Some(Protocol::Http2),
        "kubernetes.io/ws" => Some(Protocol::Http),
        "kubernetes.io/wss" => Some(Protocol::Tcp),
        _ => word(&text.to_ascii_lowercase()),
    }
}

/// `http`, `http-web`: a word up to the first dash.
fn said_by_name(name: &str) -> Option<Protocol> {
    let first = name.split('-').next().unwrap_or_default();
    // `grpc-web` is HTTP/1.1 as much as HTTP/2.
    if first == "grpc" && name.starts_with("grpc-web") { Some(Protocol::Http) } else { word(first) }
}

/// An app's own TLS (`https`) is not to be looked into.
fn word(text: &str) -> Option<Protocol> {
    match text {
        "http" | "http1" | "ws" | "grpc-web" => Some(Protocol::Http),
        "http2" | "h2c" | "grpc" => Some(Protocol::Http2),
        "tcp" | "tls" | "https" | "wss" | "mysql" | "mongo" | "mongodb" | "redis" | "postgres" | "postgresql"
        | "amqp" | "kafka" | "ldap" | "smtp" | "memcached" => Some(Protocol::Tcp),
        _ => None,
    }
}

/// An opaque port may be the Service's or the pods'.
fn unsaid(number: u16, port: &ServicePortFacts, config: &MeshConfigFacts) -> Protocol {
    let is_opaque = |port| config.opaque_ports.contains(&port);
    let target_is_opaque = matches!(port.target, TargetPort::Number(target) if is_opaque(target));
    if is_opaque(number) || target_is_opaque { Protocol::Tcp } else { config.unsaid }
}

#[cfg(test)]
mod tests {
    use smidge_mesh::Protocol::{self, Detect, Http, Http2, Tcp};

    use super::protocol_of;
    use crate::facts::{MeshConfigFacts, ServicePortFacts, TargetPort};

    fn check(app_protocol: Option<&str>, name: &str, number: u16, expected: Protocol) {
        let port = ServicePortFacts {
            name: name.into(),
            target: TargetPort::Number(number),
            app_protocol: app_protocol.map(Into::into),
        };
        assert_eq!(
            protocol_of(number, &port, &MeshConfigFacts::default()),
            expected,
            "{app_protocol:?} {name} {number}"
        );
    }

    #[test]
    fn app_protocol_decides_then_the_name_then_the_number() {
        check(Some("http"), "tcp-x", 5432, Http);
        check(Some("kubernetes.io/h2c"), "", 80, Http2);
        check(Some("HTTPS"), "", 80, Tcp);
        check(Some("example.com/own"), "grpc-api", 80, Http2);
        check(None, "http-web", 80, Http);
        check(None, "https", 80, Tcp);
        check(None, "postgres-main", 80, Tcp);
        check(None, "grpc-web", 80, Http);
        check(None, "httpd", 80, Detect);
        check(None, "", 5432, Tcp);
        check(None, "http", 5432, Http);
        check(None, "", 80, Detect);
    }
}
