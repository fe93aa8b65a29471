//! What a kubelet does for pods that reach the control plane by TLS: a volume each with a token of their own and the
//! ConfigMap's trust; and, since the pods of a sandbox have no route to the host, a Unix socket that leads to the xDS port.
//! What travels through it is the TLS of Envoy and operator, untouched.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use smidge_injector::{ADMIN_PORT, Bootstrap, TOKEN, TOKEN_AUDIENCE, TRUST_CONFIG_MAP, VOLUME_PATH, bootstrap};
use smidge_sandbox::Sandbox;
use tokio::{
    io::copy_bidirectional,
    net::{TcpStream, UnixListener, UnixStream},
    sync::Mutex,
    task::JoinHandle,
};

use crate::{ApiServer, eventually, repository, world::SOON};

/// The namespace of the control plane.
pub const CONTROL_PLANE: &str = "smidge-system";

/// The way to the replicas, and the pods' volumes.
#[derive(Debug)]
pub struct Secure {
    folder: PathBuf,
    /// Where connections are led to, the first one that answers.
    replicas: Arc<Mutex<Vec<SocketAddr>>>,
    /// Connections that were led to a replica.
    connections: Arc<AtomicUsize>,
    relay: JoinHandle<()>,
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.relay.abort();
    }
}

impl Secure {
    /// Leads the sandbox's Envoys to the first of these addresses that answers.
    pub fn new(sandbox: &Sandbox, replicas: Vec<SocketAddr>) -> Result<Self> {
        let folder = sandbox.folder().to_owned();
        let socket = folder.join("relay.sock");
        let listener = UnixListener::bind(&socket)?;
        sandbox.open_socket(&socket)?;
        let (replicas, connections) = (Arc::new(Mutex::new(replicas)), Arc::default());
        let relay = tokio::spawn(lead(listener, Arc::clone(&replicas), Arc::clone(&connections)));
        Ok(Self { folder, replicas, connections, relay })
    }

    /// From now on leads new connections here first.
    pub async fn prefer(&self, replica: SocketAddr) {
        self.replicas.lock().await.insert(0, replica);
    }

    /// How many connections were led to a replica until now.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn volume(&self, pod: &str) -> PathBuf {
        self.folder.join("volumes").join(pod)
    }

    /// Writes all files of a pod's volume, as its kubelet would.
    pub async fn mount(&self, api: &ApiServer, namespace: &str, pod: &str, account: &str) -> Result<()> {
        fs::create_dir_all(self.volume(pod))?;
        self.sync_trust(api, namespace, pod).await?;
        let token = token(api, namespace, pod, account, TOKEN_AUDIENCE).await?;
        self.write(pod, TOKEN, &token)
    }

    /// Brings what the ConfigMap holds now into a pod's volume.
    pub async fn sync_trust(&self, api: &ApiServer, namespace: &str, pod: &str) -> Result<()> {
        let map = eventually("ConfigMap with the roots", SOON, async || trust(api, namespace).await).await?;
        for (name, text) in map.as_object().context("the ConfigMap holds nothing")? {
            let here = self.volume(pod).display().to_string();
            self.write(pod, name, &text.as_str().unwrap_or_default().replace(VOLUME_PATH, &here))?;
        }
        Ok(())
    }

    /// Puts a file in place of the one before, at once.
    pub fn write(&self, pod: &str, name: &str, text: &str) -> Result<()> {
        let path = self.volume(pod).join(name);
        if fs::read_to_string(&path).is_ok_and(|before| before == text) {
            return Ok(());
        }
        let temporary = self.folder.join(format!("{pod}.{name}.new"));
        fs::write(&temporary, text)?;
        fs::rename(temporary, path).map_err(Into::into)
    }

    /// The bootstrap of a pod's Envoy. `node`: what it says of itself.
    pub fn bootstrap(&self, pod: &str, node: &str) -> Result<String> {
        let socket = self.folder.join("relay.sock");
        let of =
            Bootstrap { node: node.to_owned(), cluster: node.to_owned(), xds_socket: socket, admin_port: ADMIN_PORT };
        let mut bootstrap: Value = serde_json::from_str(&bootstrap(&of))?;
        let name = format!("smidge-xds.{CONTROL_PLANE}.svc");
        let cluster = bootstrap.pointer_mut("/static_resources/clusters/0").context("no cluster xds")?;
        let volume = self.volume(pod);
        cluster["transport_socket"] = tls(&volume, &name);
        let options =
            &mut cluster["typed_extension_protocol_options"]["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"];
        options["http_filters"] = credential(&volume);
        Ok(bootstrap.to_string())
    }
}

/// Makes the control plane's account with the rights that `manifests/` gives it, and no more; returns its kubeconfig.
pub async fn account(api: &ApiServer, folder: &Path) -> Result<PathBuf> {
    for manifest in ["namespace.yaml", "rbac.yaml", "account.yaml"] {
        api.apply(&fs::read_to_string(repository().join("manifests").join(manifest))?).await?;
    }
    let token = api.kubectl(&["create", "token", "smidge-operator", "-n", CONTROL_PLANE, "--duration=2h"]).await?;
    let flat = api.kubectl(&["config", "view", "--raw", "--flatten", "-ojson"]).await?;
    let mut kubeconfig: Value = serde_json::from_str(&flat)?;
    kubeconfig["users"][0]["user"] = json!({"token": token.trim()});
    let path = folder.join("operator.kubeconfig");
    fs::write(&path, kubeconfig.to_string())?;
    Ok(path)
}

/// The data of a namespace's ConfigMap.
pub async fn trust(api: &ApiServer, namespace: &str) -> Result<Value> {
    let map = api.kubectl(&["get", "-n", namespace, "configmap", TRUST_CONFIG_MAP, "-ojson"]).await?;
    let mut map: Value = serde_json::from_str(&map)?;
    Ok(map["data"].take())
}

/// What the Secret says of the roots: which there are (`roots`), which one signs (`signer`), how far a rotation is (`phase`).
pub async fn roots(api: &ApiServer) -> Result<Value> {
    let path = "-ogo-template={{index .data \"state.json\" | base64decode}}";
    let state = api.kubectl(&["get", "secret", "smidge-root", "-n", CONTROL_PLANE, path]).await?;
    serde_json::from_str(&state).with_context(|| state)
}

/// A token as the kubelet would ask for it: bound to the pod that has this name now.
pub async fn token(api: &ApiServer, namespace: &str, pod: &str, account: &str, audience: &str) -> Result<String> {
    let bound = ["--bound-object-kind=Pod", "--bound-object-name", pod];
    let audience = format!("--audience={audience}");
    let uid = api.kubectl(&["get", "-n", namespace, "pod", pod, "-ojsonpath={.metadata.uid}"]).await?;
    let uid = format!("--bound-object-uid={uid}");
    let asked = ["create", "token", account, "-n", namespace, &audience, "--duration=10m", &uid];
    Ok(api.kubectl(&[&asked[..], &bound[..]].concat()).await?.trim().to_owned())
}

fn source(file: &Path) -> Value {
    json!({"path_config_source": {"path": file}, "resource_api_version": "V3"})
}

fn tls(volume: &Path, name: &str) -> Value {
    let only = json!([{"san_type": "DNS", "matcher": {"exact": name}}]);
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "sni": name,
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
                "combined_validation_context": {
                    "default_validation_context": {"match_typed_subject_alt_names": only},
                    "validation_context_sds_secret_config": {"name": "xds-ca", "sds_config": source(&volume.join("sds-ca.json"))},
                },
            },
        },
    })
}

fn credential(volume: &Path) -> Value {
    let generic = json!({
        "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
        "credential": {"name": "xds-token", "sds_config": source(&volume.join("sds-token.json"))},
        "header": "authorization",
        "header_value_prefix": "Bearer ",
    });
    let injector = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
        "overwrite": true,
        "credential": {"name": "envoy.http.injected_credentials.generic", "typed_config": generic},
    });
    let codec = json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"});
    json!([
        {"name": "envoy.filters.http.credential_injector", "typed_config": injector},
        {"name": "envoy.filters.http.upstream_codec", "typed_config": codec},
    ])
}

async fn lead(listener: UnixListener, replicas: Arc<Mutex<Vec<SocketAddr>>>, connections: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (replicas, connections) = (Arc::clone(&replicas), Arc::clone(&connections));
        tokio::spawn(async move {
            let replicas = replicas.lock().await.clone();
            for replica in &replicas {
                if let Ok(there) = TcpStream::connect(replica).await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    return join(stream, there).await;
                }
            }
        });
    }
}

async fn join(mut here: UnixStream, mut there: TcpStream) {
    // That either side is gone is what tests do to each other.
    let _ = copy_bidirectional(&mut here, &mut there).await;
}
