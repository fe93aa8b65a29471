//! The cluster that is measured: Services, their pods and the pods of the load clients as objects on a real API server,
//! and the changes that are made to them.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Instant,
};

use anyhow::Result;
use futures::{StreamExt, TryStreamExt};
use kube::Client;
use serde_json::{Value, json};
use smidge_e2e::{
    Rest,
    objects::{self, PodObject, Port},
};
use smidge_xds::TypeUrl;

/// The namespace of everything.
pub const NAMESPACE: &str = "bench";

const PORT: Port<'static> = Port { name: "http", port: 80, target: 8080 };
const ENDPOINTS: usize = 2;
/// How many requests are under way while the cluster is filled.
const CONCURRENT: usize = 32;
const SPLITS: &str = "/apis/split.smi-spec.io/v1alpha4/namespaces/bench/trafficsplits";
const TARGETS: &str = "/apis/access.smi-spec.io/v1alpha3/namespaces/bench/traffictargets";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/bench/endpointslices";

/// One kind of change.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// The weights of a split.
    Route,
    /// An endpoint comes or goes.
    Endpoint,
    /// Who may call the pods of one Service account.
    Access,
}

/// Writes the objects.
#[derive(Clone)]
pub struct Cluster {
    rest: Rest,
    services: usize,
}

impl Cluster {
    /// Fills the API server: a namespace, Services with two endpoints each, a split for every tenth of them, one
    /// TrafficTarget, and the pods of the clients.
    ///
    /// # Errors
    /// When the API server refuses an object.
    pub async fn fill(client: Client, services: usize, clients: usize) -> Result<Self> {
        let cluster = Self { rest: Rest::new(client), services };
        cluster.rest.create("/api/v1/namespaces", &objects::namespace(NAMESPACE, &[])).await?;
        let each = |n| cluster.add_service(n);
        futures::stream::iter(0..services).map(each).buffer_unordered(CONCURRENT).try_collect::<()>().await?;
        let each = |n| cluster.add_pod(client_pod(n), "client".to_owned(), pod_address(services * ENDPOINTS + n));
        futures::stream::iter(0..clients).map(each).buffer_unordered(CONCURRENT).try_collect::<()>().await?;
        let routes = objects::tcp_route(NAMESPACE, "http", &[PORT.target]);
        cluster.rest.create("/apis/specs.smi-spec.io/v1alpha4/namespaces/bench/tcproutes", &routes).await?;
        let access = objects::target(NAMESPACE, "access", &service_name(0), &["client"], &[("TCPRoute", "http")]);
        cluster.rest.create(TARGETS, &access).await?;
        Ok(cluster)
    }

    /// Makes a change, each `round` another; returns when the API server has answered.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn make(&self, change: Change, round: usize) -> Result<Instant> {
        let (path, patch) = match change {
            Change::Route => {
                let n = self.root(round);
                (format!("{SPLITS}/{}", service_name(n)), self.split(n, 1 + round as u32 % 49))
            }
            Change::Endpoint => {
                let n = round % self.services;
                // Each time another slice changes, and each slice in turn loses an endpoint and gets it back.
                let endpoints = if (round / self.services).is_multiple_of(2) { 1 } else { ENDPOINTS };
                (format!("{SLICES}/{}-v4", service_name(n)), slice(n, endpoints))
            }
            Change::Access => {
                let sources = ["client", "auditor"].map(|name| json!({"kind": "ServiceAccount", "name": name}));
                let sources = &sources[..1 + (round + 1) % 2];
                (format!("{TARGETS}/access"), json!({"spec": {"sources": sources}}))
            }
        };
        self.rest.merge(&path, &patch).await?;
        Ok(Instant::now())
    }

    /// The resource by which a client sees that change.
    pub fn awaited(&self, change: Change, round: usize) -> (TypeUrl, String) {
        let service = |n| format!("{NAMESPACE}/{}/{}", service_name(n), PORT.port);
        match change {
            Change::Route => (TypeUrl::Route, service(self.root(round))),
            Change::Endpoint => (TypeUrl::Endpoints, format!("{}/http", service(round % self.services))),
            Change::Access => (TypeUrl::Route, format!("inbound/{}", PORT.target)),
        }
    }

    /// Every tenth Service is the root of a split.
    fn root(&self, round: usize) -> usize {
        round * 10 % self.services
    }

    fn split(&self, n: usize, weight: u32) -> Value {
        let (root, other) = (service_name(n), service_name((n + 1) % self.services));
        objects::split(NAMESPACE, &root, &root, &[(&root, 100 - weight), (&other, weight)])
    }

    async fn add_service(&self, n: usize) -> Result<()> {
        let name = service_name(n);
        self.rest
            .create("/api/v1/namespaces/bench/serviceaccounts", &objects::service_account(NAMESPACE, &name))
            .await?;
        let mut service = objects::service(NAMESPACE, &name, &name, &[PORT], None);
        service["spec"]["ipFamilyPolicy"] = json!("SingleStack");
        self.rest.create("/api/v1/namespaces/bench/services", &service).await?;
        for index in 0..ENDPOINTS {
            self.add_pod(server_pod(n, index), name.clone(), pod_address(n * ENDPOINTS + index)).await?;
        }
        self.rest.create(SLICES, &slice(n, ENDPOINTS)).await?;
        if n.is_multiple_of(10) {
            self.rest.create(SPLITS, &self.split(n, 50)).await?;
        }
        Ok(())
    }

    async fn add_pod(&self, name: String, account: String, ip: IpAddr) -> Result<()> {
        let pod = PodObject {
            namespace: NAMESPACE,
            name: &name,
            service_account: &account,
            app: &account,
            ips: &[ip],
            meshed: true,
            ports: &[],
        };
        self.rest.add_pod(&pod).await.map(drop)
    }
}

/// The pod of a load client.
pub fn client_pod(n: usize) -> String {
    format!("client-{n}")
}

/// A pod behind a Service.
pub fn server_pod(n: usize, index: usize) -> String {
    format!("service-{n}-{index}")
}

fn service_name(n: usize) -> String {
    format!("service-{n}")
}

/// In 10.128.0.0/9, where the API server puts no Service.
fn pod_address(n: usize) -> IpAddr {
    Ipv4Addr::from(0x0A80_0001 + n as u32).into()
}

fn slice(n: usize, endpoints: usize) -> Value {
    let pods: Vec<_> = (0..endpoints).map(|i| (server_pod(n, i), pod_address(n * ENDPOINTS + i))).collect();
    let pods: Vec<_> = pods.iter().map(|(name, ip)| (name.as_str(), *ip)).collect();
    objects::endpoint_slice(NAMESPACE, &service_name(n), &[PORT], true, &pods)
}
