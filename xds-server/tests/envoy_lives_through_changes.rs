//! A stock Envoy whose certificate, filters and server change under it.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

mod support;

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use envoy_types::pb::envoy::{
    config::{
        core::v3::{
            DataSource, ExtensionConfigSource, TransportSocket, TypedExtensionConfig, data_source::Specifier,
            transport_socket,
        },
        rbac::v3 as policy,
    },
    extensions::{
        filters::{
            http::rbac::v3::Rbac,
            network::http_connection_manager::v3::{HttpFilter, http_filter},
        },
        transport_sockets::tls::v3 as tls,
    },
};
use futures::stream::{BoxStream, StreamExt};
use smidge_xds::{Change, Name, ProxyId, Resource, TypeUrl};
use smidge_xds_server::{Limits, NoResolver, Resolve};
use support::{
    PROXY, TestServer, ads, cluster, endpoints,
    envoy::{fetch, start_envoy},
    listener_with, packed, route, set,
};
use tokio::{process::Child, sync::watch, time::timeout};
use tokio_stream::wrappers::WatchStream;

/// Gives every proxy a certificate for the name that is watched.
struct Certificates(watch::Sender<&'static str>);

impl Certificates {
    fn new(name: &'static str) -> (watch::Sender<&'static str>, Arc<Self>) {
        let names = watch::Sender::new(name);
        (names.clone(), Arc::new(Self(names)))
    }
}

impl Resolve for Certificates {
    fn names(&self) -> Vec<(TypeUrl, Name)> {
        vec![(TypeUrl::Secret, "workload".into())]
    }

    fn resolve(&self, _: &ProxyId, type_url: TypeUrl, name: &Name) -> BoxStream<'static, Arc<Resource>> {
        let name = name.clone();
        let certificate = move |host: &str| Arc::new(Resource::new(type_url, name.clone(), &certificate(host)));
        WatchStream::new(self.0.subscribe()).map(certificate).boxed()
    }
}

fn certificate(host: &str) -> tls::Secret {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    let inline = |pem| Some(DataSource { specifier: Some(Specifier::InlineString(pem)), ..Default::default() });
    let certificate = tls::TlsCertificate {
        certificate_chain: inline(made.cert.pem()),
        private_key: inline(made.signing_key.serialize_pem()),
        ..Default::default()
    };
    tls::Secret { name: "workload".into(), r#type: Some(tls::secret::Type::TlsCertificate(certificate)) }
}

/// TLS with the proxy's own certificate.
fn own_certificate() -> TransportSocket {
    let own = tls::SdsSecretConfig { name: "workload".into(), sds_config: Some(ads()) };
    let common = tls::CommonTlsContext { tls_certificate_sds_secret_configs: vec![own], ..Default::default() };
    let context = tls::DownstreamTlsContext { common_tls_context: Some(common), ..Default::default() };
    TransportSocket {
        name: "tls".into(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(packed(&context))),
    }
}

/// A filter whose configuration comes by ECDS.
fn discovered_filter() -> HttpFilter {
    let discovery = ExtensionConfigSource {
        config_source: Some(ads()),
        type_urls: vec![packed(&Rbac::default()).type_url],
        ..Default::default()
    };
    HttpFilter {
        name: "policy".into(),
        config_type: Some(http_filter::ConfigType::ConfigDiscovery(discovery)),
        ..Default::default()
    }
}

/// Lets everything through, or nothing.
fn filter_that(permits: bool) -> Change {
    let nobody = policy::Rbac { action: policy::rbac::Action::Allow.into(), ..Default::default() };
    let rules = Rbac { rules: (!permits).then_some(nobody), ..Default::default() };
    let extension = TypedExtensionConfig { name: "policy".into(), typed_config: Some(packed(&rules)) };
    set(TypeUrl::Extension, "policy", &extension)
}

/// A service whose listener has the proxy's certificate.
fn publish_service(server: &mut TestServer) {
    server.publish_proxy(PROXY);
    let socket = server.dir.path().join("web.sock");
    let listener = listener_with("web", &socket, "web", None, Some(own_certificate()));
    server.publish(vec![cluster("a", 1), endpoints("a"), route("web", Ok("first")), listener]);
}

/// Publishes such a service and waits until an Envoy has it.
async fn serve_an_envoy(server: &mut TestServer) -> Child {
    publish_service(server);
    let envoy = start_envoy(server.dir.path());
    server.until_synced().await;
    envoy
}

/// Asks Envoy's admin until its answer holds a text.
async fn admin_says(server: &TestServer, path: &str, text: &str) {
    let admin = server.dir.path().join("admin.sock");
    let mut last = String::new();
    let asking = async {
        while !last.contains(text) {
            last = fetch(&admin, path).await;
        }
    };
    if timeout(Duration::from_secs(10), asking).await.is_err() {
        panic!("{path} has no {text:?}: {last}");
    }
}

#[tokio::test]
async fn a_certificate_is_replaced_and_no_listener_changes() {
    let (names, certificates) = Certificates::new("first.example");
    let mut server = TestServer::start(Limits::default(), certificates);
    let _envoy = serve_an_envoy(&mut server).await;
    admin_says(&server, "/certs", "first.example").await;
    names.send_replace("second.example");
    admin_says(&server, "/certs", "second.example").await;
    admin_says(&server, "/stats", "listener_manager.listener_modified: 0\n").await;
    admin_says(&server, "/stats", "listener_manager.listener_added: 1\n").await;
}

#[tokio::test]
async fn a_filter_is_replaced_and_no_listener_changes() {
    let mut server = TestServer::start(Limits::default(), Arc::new(NoResolver));
    server.publish_proxy(PROXY);
    let web = server.dir.path().join("web.sock");
    let listener = listener_with("web", &web, "web", Some(discovered_filter()), None);
    server.publish(vec![filter_that(true), route("web", Ok("first")), listener]);
    let _envoy = start_envoy(server.dir.path());
    server.until_synced().await;
    assert!(fetch(&web, "/").await.ends_with("first"));
    server.publish(vec![filter_that(false)]);
    server.until_synced().await;
    assert!(fetch(&web, "/").await.starts_with("HTTP/1.1 403 "));
    admin_says(&server, "/stats", "listener_manager.listener_modified: 0\n").await;
}

/// As when Envoy comes to another replica, or the same one was restarted.
#[tokio::test]
async fn another_server_with_equal_content_sends_nothing_but_certificates() {
    let (_names, certificates) = Certificates::new("first.example");
    let mut server = TestServer::start(Limits::default(), certificates);
    let _envoy = serve_an_envoy(&mut server).await;

    let (_names, certificates) = Certificates::new("second.example");
    let mut server = server.replaced(certificates).await;
    publish_service(&mut server);
    server.until_synced().await;
    admin_says(&server, "/certs", "second.example").await;
    let counters = server.hub.counters();
    let sent = [&counters.resources, &counters.removals, &counters.nacks].map(|counter| counter.load(Relaxed));
    assert_eq!(sent, [1, 0, 0], "one certificate, no removal: {counters:?}");
}
