//! What is said of each kind of object, over one small mesh.

use smidge_compiler::manifest;

use super::{Asked, describe, text};
use crate::seen::Seen;

const SHOP: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {smidge.dev/inject: enabled}}}
---
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {clusterIP: 10.0.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-sync, port: 7000}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web-v2, namespace: shop}, spec: {clusterIP: 10.0.0.2, selector: {app: web, v: '2'}, ports: [{name: http, port: 80, targetPort: 8080}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop, labels: {app: web, v: '1'}}, spec: {serviceAccountName: web, containers: [{name: app}]}, status: {podIP: 10.1.0.1, conditions: [{type: Ready, status: 'True'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-2, namespace: shop, labels: {app: web, v: '2'}}, spec: {serviceAccountName: web, containers: [{name: app}]}, status: {podIP: 10.1.0.2, conditions: [{type: Ready, status: 'True'}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: cart, namespace: shop, labels: {smidge.dev/inject: disabled}}, spec: {serviceAccountName: cart, containers: [{name: app}]}}
---
{apiVersion: split.smi-spec.io/v1alpha4, kind: TrafficSplit, metadata: {name: canary, namespace: shop}, spec: {service: web, backends: [{service: web, weight: 90}, {service: web-v2, weight: 10}]}}
---
{apiVersion: split.smi-spec.io/v1alpha4, kind: TrafficSplit, metadata: {name: ab, namespace: shop}, spec: {service: web, backends: [{service: web-v2, weight: 1}], matches: [{kind: HTTPRouteGroup, name: api}]}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: HTTPRouteGroup, metadata: {name: api, namespace: shop}, spec: {matches: [{name: read, pathRegex: /orders, methods: [GET]}, {name: any}]}}
---
{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {name: sync, namespace: shop}, spec: {matches: {ports: [7000]}}}
---
{apiVersion: access.smi-spec.io/v1alpha3, kind: TrafficTarget, metadata: {name: reads, namespace: shop}, spec: {destination: {kind: ServiceAccount, name: web}, rules: [{kind: HTTPRouteGroup, name: api, matches: [read]}], sources: [{kind: ServiceAccount, name: cart}, {kind: ServiceAccount, name: desk, namespace: office}]}}
---
{apiVersion: smidge.dev/v1alpha1, kind: IngressBackend, metadata: {name: edge, namespace: shop}, spec: {backends: [{name: web, port: {number: 80}, routes: [{name: api, matches: [read]}]}], sources: [{kind: IPRange, cidr: 10.0.0.0/8}]}}
";

/// What is said, without colours.
fn said(object: &str) -> String {
    let snapshot = manifest::snapshot(manifest::read(SHOP).0.into_values());
    let seen = Seen { snapshot, ..Seen::default() };
    let subject = Asked::parse(object).unwrap().find(&seen.snapshot, "shop", false);
    match subject {
        Ok(subject) => anstream::adapter::strip_str(&text(&describe(&seen, &subject))).to_string(),
        Err(error) => error.to_string(),
    }
}

fn check(object: &str, lines: &[&str]) {
    let said = said(object);
    for line in lines {
        assert!(said.lines().any(|said| said.trim() == *line), "{object}: no line {line:?} in\n{said}");
    }
}

#[test]
fn a_split_says_for_which_calls_and_which_shares() {
    check(
        "ts/canary",
        &[
            "TrafficSplit/shop/canary",
            "Service web.shop, by its cluster IP or as web, web.shop, web.shop.svc, web.shop.svc.cluster.local",
            "port 80 (http): 90 % to web.shop (2 ready endpoints), 10 % to web-v2.shop (1 ready endpoint)",
        ],
    );
    check(
        "trafficsplits.split.smi-spec.io/ab",
        &[
            "port 80 (http), GET /orders…, every request: 100 % to web-v2.shop (1 ready endpoint)",
            "requests that fit none of these go on to the next split of the Service, else to its own endpoints; so do TCP connections",
        ],
    );
}

#[test]
fn access_is_told_from_both_ends() {
    check("tt/reads", &["GET /orders… on every port (HTTPRouteGroup/shop/api match read)", "office/desk (no pod)"]);
    let permitted = "office/desk, shop/cart: GET /orders… on every port (TrafficTarget/shop/reads)";
    check("sa/web", &["spiffe://cluster.local/ns/shop/sa/web", "2 pods in the mesh", permitted]);
    check(
        "sa/cart",
        &["1 pod, 1 without a sidecar", "shop/web: GET /orders… on every port (TrafficTarget/shop/reads)"],
    );
    check(
        "ingressbackend/edge",
        &["port 80 of Service web.shop: GET /orders…", "whoever calls without mTLS from 10.0.0.0/8"],
    );
}

#[test]
fn a_pod_says_who_it_is_and_what_is_in_its_way() {
    check(
        "web-2",
        &[
            "spiffe://cluster.local/ns/shop/sa/web",
            "Service web-v2.shop",
            "TrafficSplit/shop/canary gives web-v2.shop a share of the calls of web.shop (weight 10)",
            "callers outside the mesh on port 8080: IngressBackend/shop/edge",
            "anybody else: refused (mode deny): HTTP 403, TCP closed",
        ],
    );
    let outside = said("pod/cart");
    assert!(
        outside.contains("outside the mesh, without identity; nothing is enforced here: it was made before"),
        "{outside}"
    );
}

#[test]
fn services_and_routes_are_described() {
    check(
        "svc/web",
        &["in the mesh, at 10.0.0.1", "port 7000 (tcp): 2 ready endpoints", "IngressBackend/shop/edge: port 80"],
    );
    check("htr/api", &["read: GET /orders…", "any: every request", "TrafficTarget/shop/reads", "TrafficSplit/shop/ab"]);
    let unused = said("tr/sync");
    assert!(unused.contains("port 7000 of the destination's pods") && unused.contains("info SMI0307"), "{unused}");
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    assert_eq!(said("ts/cannary"), "there is no TrafficSplit/shop/cannary; there are: ab, canary");
    assert!(
        Asked::parse("deployment/web").unwrap_err().starts_with("there is no kind \"deployment\"; there are: pod, ")
    );
}
