//! What `smidge lint` says of pods, and of what makes pods: the same as the webhook, when they are created.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod command;

use std::{fs, path::Path};

use command::{MESH, lint};

#[test]
fn lint_tells_keys_of_pods_that_mean_nothing() {
    let deployment = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata:
      annotations:
        smidge.dev/exclude-outbound-port: \"25\"
    spec: {containers: [{name: app}]}
";
    let (code, text) = lint(&[("mesh.yaml", MESH), ("web.yaml", deployment)], &[]);
    let expected = "/web.yaml:8: warning Pod/shop/deployment/web \
                    spec.template.metadata.annotations[smidge.dev/exclude-outbound-port]: annotation \
                    smidge.dev/exclude-outbound-port is unknown and means nothing: do you mean \
                    smidge.dev/exclude-outbound-ports?\n";
    assert_eq!((code, text.as_str()), (Some(0), expected));
}

/// What the injector's own goldens say, each refusal and warning in its order.
fn expected_of(case: &Path) -> Vec<String> {
    let out: serde_json::Value = serde_yaml::from_str(&fs::read_to_string(case.join("out.yaml")).unwrap()).unwrap();
    let warnings = out["warnings"].as_array().into_iter().flatten();
    let said = out.get("refused").into_iter().chain(warnings).map(|said| said.as_str().unwrap().to_owned());
    // Of the namespace lint tells by a diagnostic of its own.
    said.filter(|said| !said.starts_with("pod-security.kubernetes.io/")).collect()
}

#[test]
fn lint_says_of_each_pod_what_the_webhook_would_say() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/inject");
    let namespace = MESH.split("---").next().unwrap();
    let mut told = 0;
    for case in fs::read_dir(cases).unwrap().map(|entry| entry.unwrap().path()) {
        let pod = fs::read_to_string(case.join("pod.yaml")).unwrap();
        let meshed = if pod.contains("kind: Namespace") { "" } else { namespace };
        let (code, findings) = lint(&[("namespace.yaml", meshed), ("pod.yaml", &pod)], &["-o", "json"]);
        let findings: Vec<serde_json::Value> = serde_json::from_str(&findings).unwrap();
        let of_pod =
            findings.iter().filter(|finding| finding["object"].as_str().is_some_and(|it| it.starts_with("Pod/")));
        let of_pod: Vec<_> = of_pod.collect();
        let message = |finding: &&serde_json::Value| {
            let message = finding["message"].as_str().unwrap();
            message.strip_prefix("the mesh refuses the pod: ").unwrap_or(message).to_owned()
        };
        let mut expected = expected_of(&case);
        let mut said: Vec<String> = of_pod.iter().map(message).collect();
        expected.sort();
        said.sort();
        assert_eq!(said, expected, "{}", case.display());
        let is_refused = of_pod.iter().any(|finding| finding["severity"] == "error");
        assert!(!is_refused || code == Some(1), "{}", case.display());
        told += said.len();
    }
    assert!(told > 15, "the goldens hold refusals and warnings: {told}");
}

const CRON_JOB: &str = "\
apiVersion: batch/v1
kind: CronJob
metadata: {name: backup, namespace: shop}
spec:
  jobTemplate:
    spec:
      template:
        metadata:
          labels: {smidge.dev/inject: enabled}
        spec:
          containers:
          - name: app
            securityContext: {capabilities: {add: [NET_ADMIN]}}
            ports: [{containerPort: 15001}]
";

#[test]
fn lint_judges_the_pods_of_what_makes_pods_where_they_join() {
    let [namespace, config] = [
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {smidge.dev/inject: enabled}}\n",
        "apiVersion: smidge.dev/v1alpha1\nkind: MeshConfig\nmetadata: {name: default}\nspec: {permitProxyBypass: true}\n",
    ];
    let unlabelled = namespace.replace(", labels: {smidge.dev/inject: enabled}", "");
    let silent = CRON_JOB.replace("smidge.dev/inject: enabled", "app: backup");
    let at = |severity: &str, said: &str| {
        format!("/job.yaml:10: {severity} Pod/shop/cronjob/backup spec.jobTemplate.spec.template.spec: {said}\n")
    };
    let refused = at(
        "error",
        "the mesh refuses the pod: container app adds the capability NET_ADMIN, with which it could go round the mesh: take it \
         away, let the pod stay outside (label smidge.dev/inject: disabled), or permit it for the whole mesh (permitProxyBypass \
         of the MeshConfig)",
    );
    let taken = at("warning", "container app, port 15001: the sidecar listens there, so the app cannot");
    let both = refused + &taken;
    let in_vain = at(
        "warning",
        "not injected: smidge.dev/inject: enabled on a pod counts only in a namespace with that label, which shop has not",
    );
    for (files, expected) in [
        (vec![("ns.yaml", namespace), ("job.yaml", CRON_JOB)], (Some(1), &both)),
        (vec![("ns.yaml", namespace), ("mesh.yaml", config), ("job.yaml", CRON_JOB)], (Some(0), &taken)),
        (vec![("ns.yaml", &unlabelled), ("job.yaml", CRON_JOB)], (Some(0), &in_vain)),
        (vec![("job.yaml", CRON_JOB)], (Some(1), &both)),
        (vec![("job.yaml", &silent)], (Some(0), &String::new())),
    ] {
        assert_eq!(lint(&files, &[]), (expected.0, expected.1.clone()), "{files:?}");
    }
}

#[test]
fn lint_tells_of_a_pod_that_cannot_be_read() {
    let pod = MESH.replace("[{name: app}]", "[{name: app, stdin: maybe}]");
    let (code, text) = lint(&[("mesh.yaml", &pod)], &[]);
    let expected = "/mesh.yaml:13: error Pod/shop/web-0 spec: it cannot be read as a pod, so it is not judged: invalid type: \
                    string \"maybe\", expected a boolean\n";
    assert_eq!((code, text.as_str()), (Some(1), expected));
}

#[test]
fn lint_reads_a_pod_as_loosely_as_the_api_server() {
    let container = "{name: app, command: null, resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 0.5}}, \
                     livenessProbe: {httpGet: {port: 80}}, readinessProbe: {tcpSocket: {port: http}}}";
    let pod = MESH.replace("{name: app}", container).replace("{name: web-0,", "{name: web-0, creationTimestamp: null,");
    assert_eq!(lint(&[("mesh.yaml", &pod)], &[]), (Some(0), String::new()));
}

#[test]
fn lint_says_nothing_of_a_pod_that_another_of_its_name_replaces() {
    let second = "apiVersion: v1\nkind: Pod\nmetadata: {name: web-0, namespace: shop}\nspec: {hostNetwork: true, containers: [{name: app}]}\n";
    let (code, text) = lint(&[("mesh.yaml", MESH), ("second.yaml", second)], &[]);
    assert!(
        code == Some(1) && text.lines().count() == 1 && text.contains("/second.yaml:1: error: Pod/shop/web-0 is in "),
        "{text}"
    );
}
