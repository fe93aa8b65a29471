//! The types → CustomResourceDefinitions, and these → YAML.
//!
//! What is the same for every version of a kind (short name, categories, columns, which version is stored, who
//! converts) stands here, not at each of the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition as Column, CustomResourceConversion, CustomResourceDefinition as Crd,
    CustomResourceDefinitionVersion as Version, ServiceReference, WebhookClientConfig, WebhookConversion,
};
use kube::CustomResourceExt;

use crate::{access, smidge, specs::http_route_group as http, specs::tcp_route as tcp, specs::udp_route as udp, split};

const SMI: &[&str] = &["smi", "smidge"];

/// The control plane's own namespace, as the manifests have it.
pub const CONTROL_PLANE: &str = "smidge-system";
/// The Service by which the API server asks the control plane.
pub const WEBHOOK_SERVICE: &str = "smidge-webhook";
/// The path of conversions.
pub const CONVERT: &str = "/convert";

/// Every CRD that Smidge brings.
pub fn all() -> Vec<Crd> {
    vec![
        traffic_target(),
        mesh_config(),
        ingress_backend(),
        http_route_group(),
        tcp_route(),
        udp_route(),
        traffic_split(),
    ]
}

/// The CRD as a YAML document.
pub fn to_yaml(crd: &Crd) -> Result<String, serde_yaml::ser::Error> {
    serde_yaml::to_string(crd)
}

/// The name of the file that holds the CRD: `<group>_<plural>.yaml`.
pub fn file_name(crd: &Crd) -> String {
    format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural)
}

fn traffic_split() -> Crd {
    let older = vec![
        split::v1alpha1::TrafficSplit::crd(),
        split::v1alpha2::TrafficSplit::crd(),
        split::v1alpha3::TrafficSplit::crd(),
    ];
    let columns = [("Root", "{spec}.service"), ("Backends", "{spec}.backends")];
    finished(older, split::v1alpha4::TrafficSplit::crd(), "ts", SMI, &columns)
}

fn traffic_target() -> Crd {
    let older = vec![access::v1alpha1::TrafficTarget::crd(), access::v1alpha2::TrafficTarget::crd()];
    let columns = [("Destination", "{spec}.destination.name")];
    finished(older, access::v1alpha3::TrafficTarget::crd(), "tt", SMI, &columns)
}

fn http_route_group() -> Crd {
    let older = vec![
        http::v1alpha1::HttpRouteGroup::crd(),
        http::v1alpha2::HttpRouteGroup::crd(),
        http::v1alpha3::HttpRouteGroup::crd(),
    ];
    finished(older, http::v1alpha4::HttpRouteGroup::crd(), "htr", SMI, &[])
}

fn tcp_route() -> Crd {
    let older = vec![tcp::v1alpha1::TcpRoute::crd(), tcp::v1alpha2::TcpRoute::crd(), tcp::v1alpha3::TcpRoute::crd()];
    finished(older, tcp::v1alpha4::TcpRoute::crd(), "tr", SMI, &[("Ports", "{spec}.matches.ports")])
}

fn udp_route() -> Crd {
    finished(vec![], udp::v1alpha4::UdpRoute::crd(), "ur", SMI, &[("Ports", "{spec}.matches.ports")])
}

fn mesh_config() -> Crd {
    let columns = [("Mode", "{spec}.mode"), ("Trust Domain", "{spec}.trustDomain")];
    finished(vec![], smidge::v1alpha1::MeshConfig::crd(), "mc", &["smidge"], &columns)
}

fn ingress_backend() -> Crd {
    let columns = [("Backends", "{spec}.backends[*].name"), ("Sources", "{spec}.sources[*].kind")];
    finished(vec![], smidge::v1alpha1::IngressBackend::crd(), "ib", &["smidge"], &columns)
}

/// The CRDs whose kinds have several versions, between which the control plane converts.
pub fn converted() -> impl Iterator<Item = Crd> {
    all().into_iter().filter(|crd| crd.spec.versions.len() > 1)
}

/// The version in which objects are stored.
pub fn stored_version(crd: &Crd) -> Option<&str> {
    crd.spec.versions.iter().find(|version| version.storage).map(|version| version.name.as_str())
}

/// One CRD from all versions of a kind. All are served; with the control plane away, the stored one still is.
fn finished(older: Vec<Crd>, stored: Crd, short: &str, categories: &[&str], columns: &[(&str, &str)]) -> Crd {
    let mut crd = stored;
    for version in &mut crd.spec.versions {
        version.served = true;
        version.storage = true;
    }
    for mut version in older.into_iter().rev().flat_map(|crd| crd.spec.versions) {
        version.served = true;
        version.storage = false;
        crd.spec.versions.push(version);
    }
    for version in &mut crd.spec.versions {
        version.additional_printer_columns = Some(printer_columns(version, columns));
    }
    crd.spec.names.short_names = Some(vec![short.to_owned()]);
    crd.spec.names.categories = Some(categories.iter().map(|&name| name.to_owned()).collect());
    crd.spec.conversion = Some(conversion(crd.spec.versions.len()));
    // Said aloud for CRDs from before `apiextensions.k8s.io/v1`, which may have it true: then nothing could be converted.
    crd.spec.preserve_unknown_fields = Some(false);
    crd
}

/// Who converts. The leader adds the `caBundle`.
fn conversion(versions: usize) -> CustomResourceConversion {
    if versions == 1 {
        return CustomResourceConversion { strategy: "None".to_owned(), webhook: None };
    }
    let service = ServiceReference {
        namespace: CONTROL_PLANE.to_owned(),
        name: WEBHOOK_SERVICE.to_owned(),
        path: Some(CONVERT.to_owned()),
        port: Some(443),
    };
    let client_config = WebhookClientConfig { service: Some(service), ..WebhookClientConfig::default() };
    let webhook =
        WebhookConversion { client_config: Some(client_config), conversion_review_versions: vec!["v1".to_owned()] };
    CustomResourceConversion { strategy: "Webhook".to_owned(), webhook: Some(webhook) }
}

/// What `kubectl get` answers: what the object is about, and whether it works.
fn printer_columns(version: &Version, own: &[(&str, &str)]) -> Vec<Column> {
    let spec = if has_spec(version) { ".spec" } else { "" };
    let own = own.iter().map(|(name, path)| column(name, "string", &path.replace("{spec}", spec)));
    let conditions = [("Accepted", "Accepted"), ("Resolved", "ResolvedRefs"), ("Programmed", "Programmed")];
    let works = conditions.map(|(name, condition)| {
        column(name, "string", &format!(".status.conditions[?(@.type==\"{condition}\")].status"))
    });
    own.chain(works).chain([column("Age", "date", ".metadata.creationTimestamp")]).collect()
}

fn column(name: &str, type_: &str, json_path: &str) -> Column {
    Column { name: name.to_owned(), type_: type_.to_owned(), json_path: json_path.to_owned(), ..Column::default() }
}

/// The first versions of some kinds have their fields beside `metadata`.
fn has_spec(version: &Version) -> bool {
    let schema = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    schema.and_then(|schema| schema.properties.as_ref()).is_some_and(|properties| properties.contains_key("spec"))
}
