//! The redirect rules and the resources meet in three numbers.

#![allow(clippy::unwrap_used)] // Test code outside of test functions.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use smidge_injector::{APP_DSCP, INBOUND_PORT, OUTBOUND_PORT};
use smidge_mesh::{Base, Identity, Inbound, Mode, Mtls, Telemetry, TrustBundle, TrustDomain, WorkloadKey};
use smidge_printer::print;
use smidge_translator::{translate_base, translate_inbound};
use smidge_xds::{Resource, TypeUrl};

fn printed(resources: &[Resource], type_url: TypeUrl, name: &str) -> Value {
    let is_it = |resource: &&Resource| resource.type_url == type_url && resource.name.as_str() == name;
    print(resources.iter().find(is_it).unwrap()).unwrap()
}

fn port(listener: &Value) -> &Value {
    &listener["address"]["socketAddress"]["portValue"]
}

#[test]
fn listeners_stand_where_connections_are_redirected_to() {
    let base = translate_base(&Base::default());
    assert_eq!(port(&printed(&base, TypeUrl::Listener, "outbound")), OUTBOUND_PORT);
    let identity =
        Identity { trust_domain: TrustDomain::default(), namespace: "shop".into(), service_account: "cart".into() };
    let inbound = translate_inbound(&Inbound {
        key: WorkloadKey {
            identity,
            ports: BTreeMap::new(),
            mode: Mode::Deny,
            mtls: Mtls::Strict,
            openings: BTreeSet::new(),
        },
        grants: Vec::new(),
        ingress: Vec::new(),
        trust_bundle: TrustBundle::default(),
        telemetry: Telemetry::default(),
    });
    assert_eq!(port(&printed(&inbound, TypeUrl::Listener, "inbound")), INBOUND_PORT);
}

#[test]
fn calls_to_the_app_bear_the_mark_that_is_not_redirected() {
    let inbound = printed(&translate_base(&Base::default()), TypeUrl::Cluster, "inbound");
    for option in inbound["upstreamBindConfig"]["socketOptions"].as_array().unwrap() {
        assert_eq!(option["intValue"], (APP_DSCP << 2).to_string());
    }
}
