//! Objects written and read by the hundred: the API server's paths, without a kubectl for each.

use std::net::IpAddr;

use anyhow::{Context, Result};
use http::Request;
use kube::Client;
use serde_json::{Value, json};

use crate::objects::PodObject;

/// A client that speaks in paths, such as `/api/v1/namespaces/shop/pods`.
#[derive(Clone)]
pub struct Rest(Client);

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rest")
    }
}

impl Rest {
    /// By this client.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    /// POST; the answer is the object as it is now.
    pub async fn create(&self, path: &str, object: &Value) -> Result<Value> {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(serde_json::to_vec(object)?)?).await.with_context(|| format!("POST {path}: {object}"))
    }

    /// PATCH, by a merge patch.
    pub async fn merge(&self, path: &str, patch: &Value) -> Result<Value> {
        let request = Request::patch(path).header("content-type", "application/merge-patch+json");
        self.send(request.body(serde_json::to_vec(patch)?)?).await.with_context(|| format!("PATCH {path}: {patch}"))
    }

    /// DELETE, at once.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let request = Request::delete(path).header("content-type", "application/json");
        let now = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
        let deleted = self.send(request.body(serde_json::to_vec(&now)?)?).await;
        deleted.map(drop).with_context(|| format!("DELETE {path}"))
    }

    /// GET.
    pub async fn read(&self, path: &str) -> Result<Value> {
        self.send(Request::get(path).body(Vec::new())?).await.with_context(|| format!("GET {path}"))
    }

    /// The objects of a list.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let mut list = self.read(path).await?;
        Ok(list["items"].as_array_mut().map(std::mem::take).unwrap_or_default())
    }

    /// A pod that is Ready, as a kubelet reports it. Answers its uid.
    pub async fn add_pod(&self, pod: &PodObject<'_>) -> Result<String> {
        let pods = format!("/api/v1/namespaces/{}/pods", pod.namespace);
        let created = self.create(&pods, &pod.spec()).await?;
        self.merge(&format!("{pods}/{}/status", pod.name), &json!({"status": pod.status(true)})).await?;
        Ok(created["metadata"]["uid"].as_str().context("a pod has a uid")?.to_owned())
    }

    /// A meshed pod of that name without anything in it, Ready, and its token as its kubelet would ask for it.
    pub async fn add_proxy(&self, namespace: &str, name: &str, account: &str, ip: IpAddr) -> Result<String> {
        let (ips, ports) = ([ip], []);
        let pod = PodObject {
            namespace,
            name,
            service_account: account,
            app: account,
            ips: &ips,
            meshed: true,
            ports: &ports,
        };
        let uid = self.add_pod(&pod).await?;
        let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid});
        let spec = json!({"audiences": ["smidge-xds"], "expirationSeconds": 3600, "boundObjectRef": bound});
        let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
        let answer = self.create(&path, &asked).await?;
        Ok(answer["status"]["token"].as_str().context("no token")?.to_owned())
    }

    async fn send(&self, request: Request<Vec<u8>>) -> Result<Value> {
        Ok(self.0.request::<Value>(request).await?)
    }
}
