//! A stock Envoy on the server's socket.

use std::{path::Path, process::Stdio};

use smidge_sandbox::Tool;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, Command},
};

use super::PROXY;

const BOOTSTRAP: &str = r#"
admin: {address: {pipe: {path: "DIR/admin.sock"}}}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: xds}}]
  cds_config: {ads: {}, resource_api_version: V3}
  lds_config: {ads: {}, resource_api_version: V3}
static_resources:
  clusters:
  - name: xds
    type: STATIC
    load_assignment:
      cluster_name: xds
      endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: "DIR/xds.sock"}}}}]}]
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
"#;

/// Starts Envoy as `PROXY` on the server's socket in `dir`; it is killed when dropped.
pub(crate) fn start_envoy(dir: &Path) -> Child {
    let log = std::fs::File::create(dir.join("envoy.log")).unwrap();
    Command::new(Tool::Envoy.path().unwrap_or_else(|error| panic!("{error}")))
        .args(["--config-yaml", &BOOTSTRAP.replace("DIR", dir.to_str().unwrap())])
        .args(["--service-node", PROXY, "--service-cluster", "test", "--use-dynamic-base-id"])
        .args(["--concurrency", "1", "--log-level", "warn"])
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// `GET`; the whole answer.
pub(crate) async fn fetch(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
