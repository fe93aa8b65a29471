//! A gRPC client of the server, on its Unix socket.

use std::{path::PathBuf, time::Duration};

use envoy_types::pb::envoy::{
    config::core::v3::Node,
    service::discovery::v3::{
        DeltaDiscoveryRequest, DeltaDiscoveryResponse,
        aggregated_discovery_service_client::AggregatedDiscoveryServiceClient,
    },
};
use smidge_xds::TypeUrl;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{
    Status, Streaming,
    transport::{Channel, Endpoint},
};

use super::TestServer;

/// A client's stream: what it sends, and what comes.
pub(crate) struct Stream {
    pub(crate) channel: Channel,
    requests: mpsc::UnboundedSender<DeltaDiscoveryRequest>,
    pub(crate) responses: Streaming<DeltaDiscoveryResponse>,
}

impl Stream {
    pub(crate) async fn open(server: &TestServer, node: &str, first: TypeUrl, names: &[&str]) -> Result<Self, Status> {
        Self::open_at(server.socket(), node, first, names).await
    }

    pub(crate) async fn open_at(socket: PathBuf, node: &str, first: TypeUrl, names: &[&str]) -> Result<Self, Status> {
        let channel = Endpoint::from_shared(format!("unix:{}", socket.display())).unwrap().connect_lazy();
        let (requests, outbound) = mpsc::unbounded_channel();
        let node = Node { id: node.into(), ..Default::default() };
        requests.send(DeltaDiscoveryRequest { node: Some(node), ..subscribe(first, names) }).unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(channel.clone());
        let responses = client.delta_aggregated_resources(UnboundedReceiverStream::new(outbound)).await?.into_inner();
        Ok(Self { channel, requests, responses })
    }

    pub(crate) async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let next = timeout(Duration::from_secs(10), self.responses.message()).await.expect("a response in time");
        next.map(|response| response.expect("the stream goes on"))
    }

    pub(crate) fn send(&self, request: DeltaDiscoveryRequest) {
        self.requests.send(request).unwrap();
    }
}

pub(crate) fn subscribe(type_url: TypeUrl, names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: type_url.as_str().into(),
        resource_names_subscribe: names.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

pub(crate) fn acknowledge(response: &DeltaDiscoveryResponse) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        type_url: response.type_url.clone(),
        response_nonce: response.nonce.clone(),
        ..Default::default()
    }
}

pub(crate) fn names(response: &DeltaDiscoveryResponse) -> Vec<&str> {
    response.resources.iter().map(|resource| resource.name.as_str()).collect()
}
