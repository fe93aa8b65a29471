//! The tests' app as a user would deploy it: YAML for `kubectl apply`.

use super::Node;

/// What lets the service account `source` call `destination`: routes of this kind and spec under the name of the destination, and a
/// TrafficTarget by them.
pub fn permission(namespace: &str, source: &str, destination: &str, kind: &str, spec: &str) -> String {
    let name = format!("{source}-to-{destination}-{}", kind.to_ascii_lowercase());
    format!(
        r"
apiVersion: specs.smi-spec.io/v1alpha4
kind: {kind}
metadata: {{name: {destination}, namespace: {namespace}}}
spec: {spec}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  destination: {{kind: ServiceAccount, name: {destination}, namespace: {namespace}}}
  sources: [{{kind: ServiceAccount, name: {source}, namespace: {namespace}}}]
  rules: [{{kind: {kind}, name: {destination}}}]
"
    )
}

/// [`permission`] to call every path by every method.
pub fn every_route(namespace: &str, source: &str, destination: &str) -> String {
    let spec = "{matches: [{name: any, pathRegex: '.*', methods: ['*']}]}";
    permission(namespace, source, destination, "HTTPRouteGroup", spec)
}

/// A service account, a Deployment of the tests' app and a Service of both address families, all of one name. Its ports: `http` 80,
/// `tcp-echo` 90, `tcp-banner` 91 (the server speaks first), `grpc` 93. The container is called `app`; the app names itself
/// by its pod's name.
pub fn app(namespace: &str, name: &str, replicas: u32) -> String {
    let image = Node::image("testapp");
    format!(
        r#"
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {name}, namespace: {namespace}}}
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  selector: {{app: {name}}}
  ipFamilyPolicy: PreferDualStack
  ports:
  - {{name: http, port: 80, targetPort: 8080}}
  - {{name: tcp-echo, port: 90, targetPort: 9000}}
  - {{name: tcp-banner, port: 91, targetPort: 9100}}
  - {{name: grpc, port: 93, targetPort: 8082}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      serviceAccountName: {name}
      terminationGracePeriodSeconds: 5
      containers:
      - name: app
        image: "{image}"
        imagePullPolicy: IfNotPresent
        command: [testapp, serve, --name, $(POD), --http, "8080", --http, "8082", --tcp, "9000", --banner, "9100"]
        env: [{{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]
        readinessProbe: {{httpGet: {{path: /, port: 8080}}, periodSeconds: 1}}
"#
    )
}
