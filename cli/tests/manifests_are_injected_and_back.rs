//! `smidge inject -f` and `uninject -f`: manifests in, the same with sidecars out, and back to what they were.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod command;

use command::{folder, smidge};
use serde_json::Value;

/// What makes pods, in a list and beside what makes none; a Service, a namespace outside the mesh.
const SHOP: &str = "\
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata: {name: web, namespace: shop}
  spec:
    template:
      spec:
        terminationGracePeriodSeconds: 3
        containers: [{name: app, image: a, readinessProbe: {httpGet: {path: /, port: 8080}}}]
- apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: shop}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: shop}
spec: {jobTemplate: {spec: {template: {metadata: {labels: {app: nightly}}, spec: {containers: [{name: app, image: a}]}}}}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: outside}}
---
{apiVersion: v1, kind: Pod, metadata: {name: alone, namespace: outside}, spec: {containers: [{name: app, image: a}]}}
---
{apiVersion: smidge.dev/v1alpha1, kind: MeshConfig, metadata: {name: default}, spec: {sidecar: {image: own/envoy:1}}}
";

/// What the command makes of a text: its exit code, the documents on standard output, what it says beside them.
fn made(command: &str, text: &str) -> (Option<i32>, Vec<Value>, String) {
    let folder = folder(&[("in.yaml", text)]);
    let output = smidge(&[command, "-f", folder.path().to_str().unwrap()]);
    let documents = serde_yaml::from_multiple(&String::from_utf8(output.stdout).unwrap()).unwrap();
    (output.status.code(), documents, String::from_utf8(output.stderr).unwrap())
}

fn yaml(documents: &[Value]) -> String {
    documents.iter().map(|document| format!("---\n{}\n", serde_yaml::to_string(document).unwrap())).collect()
}

fn sidecar(pod: &Value) -> &Value {
    &pod["spec"]["initContainers"][1]
}

#[test]
fn what_is_injected_comes_back_as_it_was() {
    let before: Vec<Value> = serde_yaml::from_multiple(SHOP).unwrap();
    let (code, injected, said) = made("inject", SHOP);
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let deployment = &injected[0]["items"][0]["spec"]["template"];
    let job = &injected[1]["spec"]["jobTemplate"]["spec"]["template"];
    for pod in [deployment, job] {
        assert_eq!((&sidecar(pod)["name"], &sidecar(pod)["image"]), (&"smidge-proxy".into(), &"own/envoy:1".into()));
    }
    assert_eq!(injected[2..], before[2..], "what is outside the mesh or makes no pods stays as it is");
    assert_eq!(made("inject", &yaml(&injected)).1, injected, "once is enough");
    let (code, after, said) = made("uninject", &yaml(&injected));
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_eq!(after, before);
}

#[test]
fn what_cannot_be_injected_or_taken_out_is_told_and_stays() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: root}, spec: {containers: [{name: app, securityContext: {privileged: true}}]}}";
    let (code, documents, said) = made("inject", pod);
    assert_eq!((code, documents), (Some(1), Vec::new()));
    assert!(said.starts_with("error: Pod root: the mesh refuses the pod:") && said.contains("is privileged"), "{said}");
    let (code, _, said) = made("inject", "{kind: Deployment, metadata: {name: odd}, spec: {template: foo}}");
    assert!(code == Some(1) && said.contains("Deployment odd: what stands where a pod is described"), "{said}");
    let (_, mut injected, _) = made("inject", &SHOP.replace("kind: CronJob", "kind: Other"));
    injected[0]["items"][0]["spec"]["template"]["spec"]["initContainers"][1]["name"] = "renamed".into();
    let (code, documents, said) = made("uninject", &yaml(&injected));
    assert_eq!((code, documents), (Some(1), injected));
    assert!(said.contains("error: Deployment web: what smidge inject put in was edited since"), "{said}");
}
