//! SDS: whom to believe, and who one is.

use envoy_types::pb::envoy::{
    config::core::v3::{DataSource, data_source::Specifier},
    extensions::transport_sockets::tls::v3::{
        CertificateValidationContext, Secret, SubjectAltNameMatcher, TlsCertificate, secret,
        subject_alt_name_matcher::SanType,
    },
    r#type::matcher::v3::StringMatcher,
};
use smidge_mesh::{self as mesh, Principal};
use smidge_xds::{Resource, TypeUrl};

use crate::{
    envoy::{exactly, starting_with},
    name,
};

/// No certificate of ours has it: without any matcher Envoy would take every certificate of the root.
const NOBODY: &str = "smidge:nobody";

/// `peers/…`: who may prove to be the server of a Service, for its own endpoints and for its TCP connections.
pub fn translate_peers(peers: &mesh::Peers) -> Vec<Resource> {
    vec![
        any_of(name::peers(&peers.service), peers.own.iter().map(Principal::from), &peers.trust_bundle),
        any_of(name::peers_tcp(&peers.service), peers.tcp.iter().map(Principal::from), &peers.trust_bundle),
    ]
}

/// The SDS resource `workload`: the proxy's own certificate, with its chain, and key, both in PEM.
/// It holds a private key: never log it, never share it between streams.
pub fn workload_certificate(chain_pem: &str, key_pem: &str) -> Resource {
    let certificate = TlsCertificate {
        certificate_chain: Some(inline(chain_pem)),
        private_key: Some(inline(key_pem)),
        ..Default::default()
    };
    resource(name::WORKLOAD.to_owned(), secret::Type::TlsCertificate(certificate))
}

/// Any identity of the trust domain.
pub(crate) fn trust(domain: &mesh::TrustDomain, bundle: &mesh::TrustBundle) -> Resource {
    anybody(name::TRUST.to_owned(), domain, bundle)
}

/// As [`trust`], by another name.
pub(crate) fn anybody(name: String, domain: &mesh::TrustDomain, bundle: &mesh::TrustBundle) -> Resource {
    let prefix = format!("spiffe://{}/ns/", domain.as_str());
    validation(name, bundle, vec![uri(starting_with(prefix))])
}

/// Any of these principals; of none, nobody.
pub(crate) fn any_of(
    name: String,
    principals: impl Iterator<Item = Principal>,
    bundle: &mesh::TrustBundle,
) -> Resource {
    let mut permitted: Vec<_> = principals.map(|principal| named(&principal)).collect();
    if permitted.is_empty() {
        permitted.push(uri(exactly(NOBODY)));
    }
    validation(name, bundle, permitted)
}

fn named(principal: &Principal) -> SubjectAltNameMatcher {
    let san_type = if principal.is_uri() { SanType::Uri } else { SanType::Dns };
    let matcher = Some(exactly(principal.as_str()));
    SubjectAltNameMatcher { san_type: san_type.into(), matcher, ..Default::default() }
}

fn validation(name: String, bundle: &mesh::TrustBundle, permitted: Vec<SubjectAltNameMatcher>) -> Resource {
    let context = CertificateValidationContext {
        trusted_ca: Some(inline(&bundle.0)),
        match_typed_subject_alt_names: permitted,
        ..Default::default()
    };
    resource(name, secret::Type::ValidationContext(context))
}

fn uri(matcher: StringMatcher) -> SubjectAltNameMatcher {
    SubjectAltNameMatcher { san_type: SanType::Uri.into(), matcher: Some(matcher), ..Default::default() }
}

fn inline(text: &str) -> DataSource {
    DataSource { specifier: Some(Specifier::InlineString(text.to_owned())), ..Default::default() }
}

fn resource(name: String, r#type: secret::Type) -> Resource {
    let secret = Secret { name: name.clone(), r#type: Some(r#type) };
    Resource::new(TypeUrl::Secret, name, &secret)
}
