//! The judge says what Envoy's own rules say: over every golden and over made-up meshes, its verdicts are held against the RBAC
//! policies and validation contexts that the translator makes of the same inbound sides.

use std::{collections::BTreeMap, fs, net::IpAddr, path::Path as File};

use ipnet::IpNet;
use proptest::prelude::*;
use serde_json::Value;
use smidge_compiler::{Snapshot, compile, manifest, testing};
use smidge_mesh::{Identity, Inbound, Mode, Protocol, Protocols, ServiceAccountName};

use super::{
    answer::{Question, answer},
    judge::{Asked, Call, Caller, Port, Verdict, judge},
    request::{Path, Request, parse_header},
    text,
};

/// Everything that a sidecar is given for its inbound side, as JSON.
type Printed = BTreeMap<String, Value>;

fn printed(inbound: &Inbound) -> Printed {
    let resources = smidge_translator::translate_inbound(inbound);
    let named = resources.iter().map(|resource| (resource.name.to_string(), smidge_printer::print(resource).unwrap()));
    named.collect()
}

fn is_whole(expression: &Value, text: &str) -> bool {
    let expression = expression["safeRegex"]["regex"].as_str().expect("an expression");
    regex::Regex::new(&format!("^(?:{expression})$")).unwrap().is_match(text)
}

/// `envoy.config.rbac.v3.Permission`.
fn permits(permission: &Value, request: &Request, port: u16) -> bool {
    let Path::Tidied(path) = &request.path else { return false };
    let (rule, value) = permission.as_object().unwrap().iter().next().expect("a rule");
    let rules = || value["rules"].as_array().into_iter().flatten();
    match rule.as_str() {
        "any" => true,
        "notRule" => !permits(value, request, port),
        "orRules" => rules().any(|rule| permits(rule, request, port)),
        "andRules" => rules().all(|rule| permits(rule, request, port)),
        "destinationPort" => value == &Value::from(port),
        "urlPath" => is_whole(&value["path"], path),
        "header" if value["name"] == ":method" => is_whole(&value["stringMatch"], &request.method),
        "header" => {
            let sent = request.headers.get(value["name"].as_str().unwrap());
            sent.is_some_and(|sent| is_whole(&value["stringMatch"], sent))
        }
        other => panic!("a permission that Envoy is not given: {other}"),
    }
}

/// `envoy.config.rbac.v3.Principal`.
fn is_meant(principal: &Value, caller: Caller<'_>) -> bool {
    let (rule, value) = principal.as_object().unwrap().iter().next().expect("an identifier");
    let ids = || value["ids"].as_array().into_iter().flatten();
    match (rule.as_str(), caller) {
        ("orIds", _) => ids().any(|id| is_meant(id, caller)),
        ("andIds", _) => ids().all(|id| is_meant(id, caller)),
        ("notId", _) => !is_meant(value, caller),
        ("authenticated", Caller::Known(identity)) => {
            value.get("principalName").is_none_or(|name| name["exact"] == identity.to_string())
        }
        ("authenticated", Caller::Outside(_)) => false,
        ("directRemoteIp", Caller::Known(_)) => false,
        ("directRemoteIp", Caller::Outside(ip)) => {
            let range =
                format!("{}/{}", value["addressPrefix"].as_str().unwrap(), value["prefixLen"].as_u64().unwrap_or(0));
            range.parse::<IpNet>().unwrap().contains(&ip)
        }
        (other, _) => panic!("a principal that Envoy is not given: {other}"),
    }
}

fn are_met(rules: &Value, caller: Caller<'_>, request: &Request, port: u16) -> bool {
    let policies = rules["policies"].as_object().into_iter().flat_map(|policies| policies.values());
    let list = |policy: &Value, field: &str| policy[field].as_array().cloned().unwrap_or_default();
    policies.into_iter().any(|policy| {
        list(policy, "principals").iter().any(|principal| is_meant(principal, caller))
            && list(policy, "permissions").iter().any(|permission| permits(permission, request, port))
    })
}

/// What the RBAC filter of a port's route does.
fn by_route(printed: &Printed, name: &str, caller: Caller<'_>, request: &Request, port: u16) -> Verdict {
    let host = &printed[&format!("inbound/{name}")]["virtualHosts"][0];
    let rbac = &host["typedPerFilterConfig"]["envoy.filters.http.rbac"]["rbac"];
    match (rbac.get("rules"), rbac.get("shadowRules")) {
        (Some(rules), _) if are_met(rules, caller, request, port) => Verdict::Permitted,
        (Some(_), _) => Verdict::Forbidden,
        (None, Some(rules)) if are_met(rules, caller, request, port) => Verdict::Permitted,
        (None, Some(_)) => Verdict::LetIn(Mode::Audit),
        (None, None) => Verdict::LetIn(Mode::Allow),
    }
}

/// Whether the handshake of a TCP connection is taken.
fn by_handshake(printed: &Printed, name: &str, identity: &Identity) -> bool {
    let secret = &printed[&format!("callers/{name}")]["validationContext"]["matchTypedSubjectAltNames"];
    let (id, matchers) = (identity.to_string(), secret.as_array().into_iter().flatten());
    matchers.into_iter().any(|one| {
        let matcher = &one["matcher"];
        matcher["exact"] == id || matcher["prefix"].as_str().is_some_and(|prefix| id.starts_with(prefix))
    })
}

fn stranger(inbound: &Inbound) -> Identity {
    let trust_domain = inbound.key.identity.trust_domain.clone();
    Identity { trust_domain, namespace: "nowhere".into(), service_account: "nobody".into() }
}

fn requests() -> Vec<Request> {
    let request = |method, path, headers: &[(String, String)]| {
        Request::new(Some(method), Some(&Path::parse(path).unwrap()), headers)
    };
    let plain = ["/", "/metrics/x", "/a", "/b/1", "/orders", "/c/a"].map(|path| request("GET", path, &[]));
    let others =
        [("POST", "/"), ("POST", "/metrics"), ("DELETE", "/a")].map(|(method, path)| request(method, path, &[]));
    let header = request("GET", "/a", &[parse_header("x-version=1").unwrap()]);
    plain.into_iter().chain(others).chain([header]).collect()
}

fn check(inbound: &Inbound) {
    let printed = printed(inbound);
    let named = inbound.grants.iter().flat_map(|grant| grant.sources.iter().cloned());
    let members = inbound.ingress.iter().flat_map(|grant| grant.members.identities.iter().cloned());
    let identities: Vec<_> = named.chain(members).take(3).chain([stranger(inbound)]).collect();
    let ports = inbound.key.ports.keys().copied().chain([8080, 13432, 9999]);
    for port in ports.map(|number| Port::of(inbound, Some(number))) {
        let number = port.number.unwrap();
        let name = port.declared.map_or("other".to_owned(), |_| number.to_string());
        for identity in &identities {
            let caller = Caller::Known(identity);
            let connection = judge(inbound, &Call { caller, port, asked: Asked::Connection });
            let told = format!("{identity} at {name} of {:?}", inbound.key);
            assert_eq!(connection.is_let_in(), by_handshake(&printed, &name, identity), "{told}");
            for request in requests().iter().filter(|_| port.protocol() != Protocol::Tcp) {
                let judged = judge(inbound, &Call { caller, port, asked: Asked::Request(request) });
                let envoy = by_route(&printed, &name, caller, request, number);
                let is_same = judged == envoy || (judged.is_let_in() && envoy == Verdict::LetIn(Mode::Allow));
                assert!(is_same, "{request}: {judged:?}, Envoy has {envoy:?}: {told}");
            }
        }
        check_outside(inbound, &printed, port, &name);
    }
}

/// Whom the chains let connect, the routes judge.
fn check_outside(inbound: &Inbound, printed: &Printed, port: Port, name: &str) {
    let addresses = ["10.1.0.1", "10.1.0.3", "192.168.4.7", "203.0.113.1"].map(|ip| ip.parse::<IpAddr>().unwrap());
    for caller in addresses.map(Caller::Outside) {
        for request in requests().iter().filter(|_| port.protocol() != Protocol::Tcp) {
            let judged = judge(inbound, &Call { caller, port, asked: Asked::Request(request) });
            let envoy = by_route(printed, name, caller, request, port.number.unwrap());
            let is_same = judged == envoy || (judged.is_let_in() && envoy == Verdict::LetIn(Mode::Allow));
            assert!(is_same || judged == Verdict::Closed, "{request} of {caller:?}: {judged:?}, Envoy has {envoy:?}");
        }
    }
}

fn is_long(protocols: &Protocols) -> bool {
    matches!(protocols, Protocols::Http(matches) if matches.len() > 20)
}

fn check_all(snapshot: &Snapshot) -> usize {
    let mesh = compile(snapshot);
    // Each question compiles the expressions that it meets: two hundred of them say no more than a few.
    let is_quick = |inbound: &&Inbound| inbound.grants.iter().all(|grant| !is_long(&grant.protocols));
    mesh.inbound.values().filter(is_quick).for_each(check);
    mesh.inbound.len()
}

#[test]
fn verdicts_on_every_golden_are_those_of_envoys_rules() {
    let root = File::new(env!("CARGO_MANIFEST_DIR")).join("../testdata");
    let folders = |path: &File| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let rules = folders(&root).into_iter().filter(|path| path.is_dir());
    let cases = rules.flat_map(|rule| folders(&rule)).map(|case| case.join("in.yaml")).filter(|text| text.exists());
    let judged: usize = cases.map(|case| check_all(&of(&fs::read_to_string(case).unwrap()))).sum();
    assert!(judged > 50, "{judged} inbound sides");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn verdicts_on_any_mesh_are_those_of_envoys_rules(bytes in prop::collection::vec(any::<u8>(), 0..1500)) {
        let mut snapshot = Snapshot::default();
        for event in testing::events(&bytes) {
            snapshot.apply(event);
        }
        check_all(&snapshot);
    }
}

fn of(text: &str) -> Snapshot {
    manifest::snapshot(manifest::read(text).0.into_values())
}

const SHOP: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {smidge.dev/inject: enabled}}}
---
apiVersion: v1
kind: Service
metadata: {name: orders, namespace: shop}
spec:
  selector: {app: orders}
  ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-sync, port: 7000}]
---
apiVersion: v1
kind: Pod
metadata: {name: orders, namespace: shop, labels: {app: orders}}
spec: {serviceAccountName: orders, containers: [{name: app}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop}
spec: {serviceAccountName: web, containers: [{name: app}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: api, namespace: shop}
spec: {matches: [{name: read, pathRegex: /orders, methods: [GET]}, {name: pay, pathRegex: /pay, methods: [POST]}]}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: reads, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: orders}
  rules: [{kind: HTTPRouteGroup, name: api, matches: [read]}]
  sources: [{kind: ServiceAccount, name: web}]
";

/// `who [METHOD /path] [port]` → what is said, without colours.
fn says(mesh: &str, from: &str, request: Option<(&str, &str)>, port: Option<u16>) -> (bool, String) {
    let request = request.map(|(method, path)| Request::new(Some(method), Some(&Path::parse(path).unwrap()), &[]));
    let account = |name: &str| ServiceAccountName::new("shop", name);
    let answer = answer(&of(mesh), &Question { from: account(from), to: account("orders"), port, request });
    (answer.allowed, anstream::adapter::strip_str(&text(&answer)).to_string())
}

#[test]
fn an_answer_names_the_match_that_permits_the_request() {
    let expected = "allowed: shop/web may GET /orders/1 at shop/orders on port 8080 (http), by TrafficTarget/shop/reads \
                    (HTTPRouteGroup/shop/api match read)\n";
    assert_eq!(says(SHOP, "web", Some(("GET", "/orders/1?x=1")), Some(8080)), (true, expected.to_owned()));
}

#[test]
fn an_answer_says_what_is_missing() {
    let (is_allowed, said) = says(SHOP, "web", Some(("POST", "/pay")), Some(8080));
    let expected = "denied: shop/web may not POST /pay at shop/orders on port 8080 (http), and gets HTTP 403: \
                    TrafficTarget/shop/reads names both, and opens other requests only: GET /orders…\n";
    assert_eq!((is_allowed, said.as_str()), (false, expected));
    let (_, said) = says(SHOP, "web", None, Some(7000));
    assert!(
        said.contains("the connection is closed: TrafficTarget/shop/reads names both, and opens HTTP requests"),
        "{said}"
    );
    let (_, said) = says(SHOP, "thief", None, Some(8080));
    assert!(
        said.contains("TrafficTarget reads of shop/orders has other sources only: add shop/thief to them"),
        "{said}"
    );
    assert!(said.contains("no pod runs as shop/thief"), "{said}");
    let (_, said) = says(&SHOP.replace("TrafficTarget", "Other"), "web", None, Some(8080));
    assert!(said.contains("no TrafficTarget in namespace shop has shop/orders as its destination"), "{said}");
}

#[test]
fn without_a_request_every_port_is_told_of_and_what_may_be_called() {
    let (is_allowed, said) = says(SHOP, "web", None, None);
    let first = "allowed: shop/web may call shop/orders on port 8080 (http), by TrafficTarget/shop/reads \
                 (HTTPRouteGroup/shop/api match read: GET /orders…)";
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((is_allowed, lines.len(), lines[0]), (true, 2, first));
    assert!(
        lines[1].starts_with("denied: shop/web may not open TCP connections to shop/orders on port 7000 (tcp)"),
        "{said}"
    );
}

#[test]
fn a_mode_that_lets_in_is_told_of() {
    let audit = SHOP.replace("smidge.dev/inject: enabled", "smidge.dev/inject: enabled, smidge.dev/mode: audit");
    let (is_allowed, said) = says(&audit, "thief", Some(("GET", "/")), Some(8080));
    assert!(is_allowed && said.contains("mode audit lets it in and logs it, mode deny would refuse it"), "{said}");
}

#[test]
fn a_service_port_is_not_mistaken_for_a_port_of_the_pods() {
    let (_, said) = says(SHOP, "web", None, Some(80));
    assert!(said.contains("note: --port is the pods' own; port 80 is Service orders.shop's"), "{said}");
}

#[test]
fn where_nothing_is_enforced_nothing_is_denied() {
    let pod = "metadata: {name: orders, namespace: shop, labels: {app: orders}}";
    let outside = "metadata: {name: orders, namespace: shop, labels: {app: orders, smidge.dev/inject: disabled}}";
    let (is_allowed, said) = says(&SHOP.replace(pod, outside), "thief", Some(("GET", "/")), Some(8080));
    assert!(is_allowed && said.contains("have no sidecar, so nothing is enforced there"), "{said}");
    assert!(!said.contains("denied"), "{said}");
    let second = SHOP.to_owned()
        + "---\n"
        + &format!(
            "{{apiVersion: v1, kind: Pod, {}, spec: {{serviceAccountName: orders, containers: [{{name: app}}]}}}}",
            outside.replace("name: orders,", "name: other,")
        );
    let (is_allowed, said) = says(&second, "thief", Some(("GET", "/")), Some(8080));
    assert!(is_allowed && said.contains("no sidecar") && said.contains("denied: "), "{said}");
}

#[test]
fn every_address_of_a_caller_without_a_sidecar_is_judged() {
    let outsiders = "
---
{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: shop, labels: {smidge.dev/inject: disabled}}, spec: {serviceAccountName: probe, containers: [{name: app}]}, status: {podIPs: [{ip: 10.1.0.1}, {ip: 10.2.0.1}]}}
---
{apiVersion: smidge.dev/v1alpha1, kind: IngressBackend, metadata: {name: edge, namespace: shop}, spec: {backends: [{name: orders, port: {number: 80}}], sources: [{kind: IPRange, cidr: 10.1.0.0/16}]}}
";
    let (is_allowed, said) = says(&(SHOP.to_owned() + outsiders), "probe", Some(("GET", "/")), Some(8080));
    assert!(is_allowed && said.contains("allowed: shop/probe at 10.1.0.1 may GET /"), "{said}");
    assert!(said.contains("denied: shop/probe at 10.2.0.1 may not GET /"), "{said}");
}
