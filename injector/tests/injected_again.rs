//! A pod that comes again: other webhooks and the API server's defaults have touched it since, before, or both.

#![allow(clippy::unwrap_used)] // Test code outside of test functions.

mod cases;

use cases::{Case, bootstrap, case, plain};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use smidge_injector::{PROXY, REDIRECT, Verdict};

fn names(pod: &Value) -> Vec<&str> {
    pod["spec"]["initContainers"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect()
}

fn is_settled(case: &Case, pod: &Value) {
    assert_eq!(case.with(pod.clone()).inject().verdict, Verdict::Unchanged, "{pod:#}");
}

/// What the API server writes into containers that say nothing.
fn with_defaults(mut pod: Value) -> Value {
    let spec = &mut pod["spec"];
    spec["dnsPolicy"] = "ClusterFirst".into();
    spec["terminationGracePeriodSeconds"] = spec.get("terminationGracePeriodSeconds").cloned().unwrap_or(json!(30));
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            container["terminationMessagePath"] = "/dev/termination-log".into();
            container["imagePullPolicy"] = "IfNotPresent".into();
            if let Some(security) = container.get_mut("securityContext") {
                security["procMount"] = "Default".into();
            }
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                let Some(probe) = container.get_mut(probe) else { continue };
                probe["successThreshold"] = 1.into();
                if let Some(grpc) = probe.get_mut("grpc") {
                    grpc["service"] = grpc.get("service").cloned().unwrap_or("".into());
                }
            }
        }
    }
    pod
}

#[test]
fn a_container_that_comes_later_gets_its_probes_and_its_hook() {
    let first = case("several_containers");
    let mut pod = first.injected().unwrap();
    let late = json!({"name": "late", "livenessProbe": {"tcpSocket": {"port": 6379}, "periodSeconds": 5}});
    pod["spec"]["containers"].as_array_mut().unwrap().push(late);
    let pod = first.with(pod).injected().unwrap();
    let late = &pod["spec"]["containers"][3];
    assert_eq!(late["livenessProbe"]["httpGet"]["path"], "/late/liveness");
    assert!(late["lifecycle"]["preStop"]["sleep"].is_object(), "{late}");
    let bootstrap = bootstrap(&pod).unwrap();
    for path in ["/late/liveness", "/web/readiness", "/cache/readiness"] {
        assert!(bootstrap.contains(path), "no {path} in {bootstrap}");
    }
    is_settled(&first, &pod);
}

#[test]
fn a_grpc_port_that_comes_later_may_move_the_others() {
    let first = case("grpc_probes");
    let mut pod = first.injected().unwrap();
    assert_eq!(pod["spec"]["containers"][0]["livenessProbe"]["grpc"]["port"], 15024);
    let late = json!({"name": "late", "livenessProbe": {"grpc": {"port": 8080}}});
    pod["spec"]["containers"].as_array_mut().unwrap().push(late);
    let pod = first.with(pod).injected().unwrap();
    for (index, port) in [(0, 15025), (1, 15023), (2, 15024)] {
        assert_eq!(pod["spec"]["containers"][index]["livenessProbe"]["grpc"]["port"], port, "{index}");
    }
    is_settled(&first, &pod);
}

#[test]
fn what_protects_our_containers_is_put_right_and_the_rest_is_left() {
    let first = plain();
    let mut pod = with_defaults(first.injected().unwrap());
    is_settled(&first, &pod);
    let proxy = &mut pod["spec"]["initContainers"][1];
    assert_eq!(proxy["name"], PROXY);
    proxy["image"] = "mirror.example/envoy:v1.40.0".into();
    proxy["securityContext"]["runAsUser"] = 1000.into();
    let pod = first.with(pod).injected().unwrap();
    let proxy = &pod["spec"]["initContainers"][1];
    assert_eq!(
        (&proxy["image"], &proxy["securityContext"]["runAsUser"]),
        (&json!("mirror.example/envoy:v1.40.0"), &json!(1337))
    );
    is_settled(&first, &pod);
}

#[test]
fn a_container_of_ours_that_was_taken_away_comes_back_to_its_place() {
    for gone in [REDIRECT, PROXY] {
        let first = case("own_init_containers");
        let mut pod = first.injected().unwrap();
        pod["spec"]["initContainers"].as_array_mut().unwrap().retain(|container| container["name"] != gone);
        let pod = first.with(pod).injected().unwrap();
        assert_eq!(names(&pod), [REDIRECT, PROXY, "fetch", "tail"]);
        is_settled(&first, &pod);
    }
}

#[test]
fn an_init_container_that_another_webhook_puts_first_stays_first() {
    let first = plain();
    let mut pod = first.injected().unwrap();
    pod["spec"]["initContainers"].as_array_mut().unwrap().insert(0, json!({"name": "secrets"}));
    assert_eq!(names(&pod), ["secrets", REDIRECT, PROXY]);
    is_settled(&first, &pod);
}

fn port() -> impl Strategy<Value = Value> {
    prop_oneof![
        (-1..70000i32).prop_map(Value::from),
        (8080..8083i32).prop_map(Value::from),
        (15020..15026i32).prop_map(Value::from),
        select(vec!["web", "none", "80"]).prop_map(Value::from),
    ]
}

fn call() -> impl Strategy<Value = Value> {
    let number = prop_oneof![8080..8083i32, 15020..15026i32];
    prop_oneof![
        (port(), ".{0,12}", select(vec!["HTTP", "HTTPS"]), select(vec!["", "192.0.2.1"])).prop_map(
            |(port, path, scheme, host)| {
                json!({"httpGet": {"port": port, "path": path, "scheme": scheme, "host": host,
                                   "httpHeaders": [{"name": "Host", "value": path}]}})
            }
        ),
        port().prop_map(|port| json!({"httpGet": {"port": port, "path": "/a/liveness"}})),
        port().prop_map(|port| json!({"tcpSocket": {"port": port}})),
        number.prop_map(|port| json!({"grpc": {"port": port}})),
        Just(json!({"exec": {"command": ["true"]}})),
        Just(json!({"tcpSocket": {"port": 80}, "grpc": {"port": 80}})),
        Just(json!({})),
    ]
}

fn container() -> impl Strategy<Value = Value> {
    let name = select(vec!["a", "b", "c", "$(POD_IP)", "/", PROXY, REDIRECT]);
    let probes =
        proptest::collection::hash_map(select(vec!["livenessProbe", "readinessProbe", "startupProbe"]), call(), 0..4);
    let hooks =
        proptest::option::of(proptest::collection::hash_map(select(vec!["postStart", "preStop"]), call(), 0..3));
    let restart = proptest::option::of(Just("Always"));
    (name, probes, hooks, restart, -5..70000i32).prop_map(|(name, probes, hooks, restart, port)| {
        let mut container = json!({"name": name, "ports": [{"name": "web", "containerPort": port}]});
        for (kind, mut probe) in probes {
            probe["periodSeconds"] = (port % 30).into();
            container[kind] = probe;
        }
        if let Some(hooks) = hooks {
            container["lifecycle"] = json!(hooks);
        }
        if let Some(restart) = restart {
            container["restartPolicy"] = restart.into();
        }
        container
    })
}

fn pod() -> impl Strategy<Value = Value> {
    let list = |range| proptest::collection::vec(container(), range);
    let annotation = select(vec!["smidge.dev/probes", "prometheus.io/port", "smidge.dev/exclude-inbound-ports"]);
    let text = select(vec![
        "{}",
        "{\"a/liveness\": {\"grpc\": {\"port\": 1}}}",
        "{\"a/liveness\": {\"httpGet\": {\"port\": 8}}}",
        "80",
    ]);
    let annotations = proptest::option::of(proptest::collection::hash_map(annotation, text, 0..3));
    let grace = proptest::option::of(-2..40i64);
    (list(0..4), proptest::option::of(list(0..4)), annotations, grace).prop_map(|(apps, init, annotations, grace)| {
        json!({
            "metadata": {"annotations": annotations},
            "spec": {"containers": apps, "initContainers": init, "terminationGracePeriodSeconds": grace},
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_pod_what_is_injected_is_left_alone(pod in pod(), late in container()) {
        let case = plain().with(pod);
        if let Some(mut pod) = case.injected() {
            is_settled(&case, &pod);
            is_settled(&case, &with_defaults(pod.clone()));
            pod["spec"]["containers"].as_array_mut().unwrap().push(late);
            if let Some(pod) = case.with(pod).injected() {
                is_settled(&case, &pod);
            }
        }
    }
}

#[test]
fn a_pod_keeps_the_roots_that_it_was_given() {
    for name in ["deployment", "cluster_trust_bundle"] {
        let pod = case(name).injected().unwrap();
        for other in ["deployment", "cluster_trust_bundle"] {
            let again = Case { settings: case(other).settings, ..case(name).with(pod.clone()) };
            assert_eq!(again.inject().verdict, Verdict::Unchanged, "{name}, then {other}");
        }
    }
}
