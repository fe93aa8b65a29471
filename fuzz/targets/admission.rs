//! Any bytes as an AdmissionReview, and any bytes as the pod in one: there is an answer or an error, the patch applies to
//! the pod that was sent, and the pod that comes of it is left alone. The same bytes as a review of an SMI object have an answer too.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use smidge_injector::Settings;
use smidge_operator::webhook::{Labels, NamespaceLabels, Webhook, answer, mutate, validate};
use tokio::sync::watch;

static WEBHOOK: LazyLock<Webhook> = LazyLock::new(|| {
    let labels = Labels::from([("smidge.dev/inject".to_owned(), "enabled".to_owned())]);
    Webhook {
        settings: watch::Sender::new(Arc::new(Settings::default())).subscribe(),
        namespaces: watch::Sender::new(NamespaceLabels::from([("shop".to_owned(), labels)])).subscribe(),
        snapshot: watch::Sender::default().subscribe(),
        counters: Arc::default(),
    }
});

fuzz_target!(|bytes: &[u8]| {
    let _ = answer(&WEBHOOK, bytes);
    let (_, _) = (validate(None, bytes), mutate(bytes));
    let Ok(mut pod) = serde_json::from_slice::<Value>(bytes) else { return };
    if !(pod["metadata"].is_object() && pod["spec"].is_object()) {
        return;
    }
    let Some(patch) = judge(&pod) else { return };
    json_patch::patch(&mut pod, &patch).expect("the patch applies to the pod that was sent");
    assert_eq!(judge(&pod), None, "what is injected is left alone: {pod:#}");
});

/// The patch for a pod; `None` if there is none.
fn judge(pod: &Value) -> Option<json_patch::Patch> {
    let group = json!({"group": "", "version": "v1", "kind": "Pod", "resource": "pods"});
    let request = json!({
        "uid": "1", "kind": group, "resource": group, "namespace": "shop", "operation": "CREATE", "userInfo": {}, "object": pod,
    });
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let answer = answer(&WEBHOOK, review.to_string().as_bytes()).expect("a review of a pod has an answer");
    serde_json::from_slice(&answer.response?.patch?).ok()
}
