//! The tests' app as a user would deploy it: YAML for `kubectl apply`.

use super::Node;

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
