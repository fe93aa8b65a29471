//! The containers and the volume that injection adds.

use k8s_openapi::api::core::v1::PodSpec;
use serde_json::{Map, Value, json};

use super::wishes::Wishes;
use crate::{
    ADMIN_PATH, ADMIN_VOLUME, METRICS_PORT, PROXY, PROXY_UID, READY_PORT, REDIRECT, Redirect, Resources, Settings,
    TrustFrom, redirect_rules,
    trust::{
        CA_FILE, CLUSTER_TRUST_BUNDLE, TOKEN, TOKEN_AUDIENCE, TOKEN_FILE, TOKEN_SECONDS, TRUST_BUNDLE,
        TRUST_CONFIG_MAP, VOLUME, VOLUME_PATH,
    },
};

/// How long a pod waits for its configuration before its sidecar is started anew, in seconds.
const START_SECONDS: u32 = 600;

/// Stock Envoy as a native sidecar.
pub(super) fn proxy(settings: &Settings, wishes: &Wishes, spec: &PodSpec, bootstrap: &str) -> Value {
    let account = spec.service_account_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
    let ready = json!({"path": "/ready", "port": READY_PORT, "scheme": "HTTP"});
    let mut container = json!({
        "name": PROXY,
        "image": settings.proxy_image,
        "restartPolicy": "Always",
        "command": ["envoy"],
        "args": [
            "--config-yaml", bootstrap,
            "--service-node", "$(POD_NAME).$(POD_NAMESPACE)",
            "--service-cluster", format!("{account}.$(POD_NAMESPACE)"),
            "--concurrency", wishes.resources.concurrency().to_string(),
            "--log-level", wishes.log_level,
            // It shares memory by a number that all Envoys of a machine would have to agree on.
            "--disable-hot-restart",
            // The access log; by default its lines come up to ten seconds late.
            "--file-flush-interval-msec", "1000",
        ],
        "env": [
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            field("POD_IP", "status.podIP"),
        ],
        // By this name a PodMonitor finds the pods that have a sidecar.
        "ports": [{"name": "smidge-metrics", "containerPort": METRICS_PORT, "protocol": "TCP"}],
        "startupProbe": {"httpGet": ready, "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": START_SECONDS},
        "readinessProbe": {"httpGet": ready, "periodSeconds": 5, "timeoutSeconds": 2, "failureThreshold": 3},
        "securityContext": security(spec, PROXY_UID, None),
        "resources": resources(&wishes.resources),
        "volumeMounts": [
            {"name": VOLUME, "mountPath": VOLUME_PATH, "readOnly": true},
            {"name": ADMIN_VOLUME, "mountPath": ADMIN_PATH},
        ],
    });
    pull_policy(&mut container, settings);
    container
}

/// Sets the redirect rules, and ends.
pub(super) fn redirect(settings: &Settings, redirect: &Redirect, spec: &PodSpec) -> Value {
    let small = |cpu: &str, memory: &str| (Some(cpu.to_owned()), Some(memory.to_owned()));
    let ((cpu_request, memory_request), (cpu_limit, memory_limit)) = (small("10m", "16Mi"), small("100m", "64Mi"));
    let small = Resources { cpu_request, cpu_limit, memory_request, memory_limit };
    let mut container = json!({
        "name": REDIRECT,
        "image": settings.redirect_image,
        "command": ["nft"],
        "args": [redirect_rules(redirect)],
        "securityContext": security(spec, 0, Some("NET_ADMIN")),
        // A pod with resources of its own shares them out.
        "resources": if spec.resources.is_some() { json!({}) } else { resources(&small) },
    });
    pull_policy(&mut container, settings);
    container
}

/// What the sidecar mounts.
pub(super) fn volumes(settings: &Settings) -> [Value; 2] {
    let admin = json!({"name": ADMIN_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}});
    [trust_volume(settings), admin]
}

/// The token and the roots, in one folder.
fn trust_volume(settings: &Settings) -> Value {
    let token =
        json!({"serviceAccountToken": {"path": TOKEN, "audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_SECONDS}});
    let sources = match settings.trust_from {
        TrustFrom::ConfigMap => vec![token, json!({"configMap": {"name": TRUST_CONFIG_MAP}})],
        TrustFrom::ClusterTrustBundle => {
            // How Envoy reads the files stays with the ConfigMap: it never changes, and is no secret.
            let items = [CA_FILE, TOKEN_FILE].map(|file| json!({"key": file, "path": file}));
            let files = json!({"configMap": {"name": TRUST_CONFIG_MAP, "items": items}});
            let roots = json!({"clusterTrustBundle": {"name": CLUSTER_TRUST_BUNDLE, "path": TRUST_BUNDLE}});
            vec![token, files, roots]
        }
    };
    json!({"name": VOLUME, "projected": {"defaultMode": 0o644, "sources": sources}})
}

fn field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}})
}

/// All that a pod may set for every container is set here: what the author wants for the app must break neither of ours.
fn security(spec: &PodSpec, user: u32, capability: Option<&str>) -> Value {
    let mut capabilities = json!({"drop": ["ALL"]});
    if let Some(capability) = capability {
        capabilities["add"] = json!([capability]);
    }
    let mut security = json!({
        "runAsUser": user,
        "runAsGroup": user,
        "runAsNonRoot": user != 0,
        "privileged": false,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": capabilities,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    // The app's own profile would not fit. On a node without AppArmor a profile may not be named at all.
    if spec.security_context.as_ref().is_some_and(|pod| pod.app_armor_profile.is_some()) {
        security["appArmorProfile"] = json!({"type": "RuntimeDefault"});
    }
    security
}

fn resources(of: &Resources) -> Value {
    let some = |cpu: &Option<String>, memory: &Option<String>| -> Map<String, Value> {
        let pairs = [("cpu", cpu), ("memory", memory)].into_iter();
        pairs.filter_map(|(name, quantity)| Some((name.to_owned(), quantity.clone()?.into()))).collect()
    };
    let pairs =
        [("requests", some(&of.cpu_request, &of.memory_request)), ("limits", some(&of.cpu_limit, &of.memory_limit))];
    pairs.into_iter().filter(|(_, map)| !map.is_empty()).map(|(name, map)| (name, Value::from(map))).collect()
}

fn pull_policy(container: &mut Value, settings: &Settings) {
    if let Some(policy) = &settings.image_pull_policy {
        container["imagePullPolicy"] = policy.as_str().into();
    }
}
