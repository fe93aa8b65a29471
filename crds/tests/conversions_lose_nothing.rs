//! Any object, over any path of versions, comes back equal; what is stale or forged is dropped; nothing panics.

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Map, Value, json};
use smidge_crds::convert;

type AnyFields = fn(u8) -> BoxedStrategy<Value>;

/// A kind's group, its name, and how many versions it has.
type Kind = (&'static str, &'static str, u8);
const SPLIT: Kind = ("split.smi-spec.io", "TrafficSplit", 4);
const TARGET: Kind = ("access.smi-spec.io", "TrafficTarget", 3);
const ROUTES: Kind = ("specs.smi-spec.io", "HTTPRouteGroup", 4);
const TCP: Kind = ("specs.smi-spec.io", "TCPRoute", 4);

fn api_version((group, _, _): Kind, alpha: u8) -> String {
    format!("{group}/v1alpha{alpha}")
}

fn has_spec((_, kind, _): Kind, alpha: u8) -> bool {
    match kind {
        "TrafficSplit" => true,
        "TrafficTarget" => alpha >= 2,
        _ => alpha >= 3,
    }
}

/// An object as the API server stores it: `fields` where the version has them.
fn object(kind: Kind, alpha: u8, fields: Value, annotation: Option<String>, status: bool) -> Value {
    let mut object = json!({"apiVersion": api_version(kind, alpha), "kind": kind.1, "metadata": {"name": "x"}});
    if let Some(annotation) = annotation {
        object["metadata"]["annotations"] = json!({"example.org/note": annotation});
    }
    if status {
        object["status"] = json!({"proxies": {"total": 3, "acknowledged": 2, "rejected": 0}});
    }
    match fields {
        fields if has_spec(kind, alpha) => object["spec"] = fields,
        fields => object.as_object_mut().expect("an object").extend(fields.as_object().cloned().unwrap_or_default()),
    }
    object
}

fn without_nothing(members: Vec<(&str, Option<Value>)>) -> Value {
    Value::Object(
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>(),
    )
}

fn word() -> impl Strategy<Value = String> {
    "[a-c]{1,2}"
}

fn quantity() -> impl Strategy<Value = Value> {
    prop_oneof![
        "[0-9]{1,6}".prop_map(Value::from),
        "[0-9]{1,3}(\\.[0-9]{1,4})?(n|u|m|k|M|G|T|P|E|Ki|Ei|e[0-9]|e-[0-9])?".prop_map(Value::from),
        (0u32..100_000).prop_map(Value::from),
    ]
}

fn split(alpha: u8) -> BoxedStrategy<Value> {
    let weight = if alpha == 1 { quantity().boxed() } else { (0u32..30_000_000).prop_map(Value::from).boxed() };
    let backend = (word(), weight).prop_map(|(service, weight)| json!({"service": service, "weight": weight}));
    let matches = vec(word().prop_map(|name| json!({"kind": "HTTPRouteGroup", "name": name})), 0..3);
    (word(), vec(backend, 0..5), option::of(matches))
        .prop_map(move |(service, backends, matches)| {
            let matches = matches.filter(|_| alpha >= 3).map(Value::from);
            without_nothing(vec![
                ("service", Some(service.into())),
                ("backends", Some(backends.into())),
                ("matches", matches),
            ])
        })
        .boxed()
}

fn target(alpha: u8) -> BoxedStrategy<Value> {
    let port = match alpha {
        1 => prop_oneof![(1u16..).prop_map(Value::from), (1u16..).prop_map(|port| port.to_string().into())].boxed(),
        _ => (1u16..).prop_map(Value::from).boxed(),
    };
    let subject = |port: BoxedStrategy<Option<Value>>| {
        (word(), option::of(word()), port).prop_map(|(name, namespace, port)| {
            let namespace = namespace.map(Value::from);
            without_nothing(vec![("name", Some(name.into())), ("namespace", namespace), ("port", port)])
        })
    };
    let port = if alpha < 3 { option::of(port).boxed() } else { Just(None).boxed() };
    let rule = word().prop_map(|name| json!({"kind": "TCPRoute", "name": name}));
    let sources = option::of(vec(subject(Just(None).boxed()), 0..3));
    (subject(port), option::of(vec(rule, 0..3)), sources)
        .prop_map(move |(destination, rules, sources)| {
            let rules = (if alpha == 1 { "specs" } else { "rules" }, rules.map(Value::from));
            without_nothing(vec![("destination", Some(destination)), rules, ("sources", sources.map(Value::from))])
        })
        .boxed()
}

fn routes(alpha: u8) -> BoxedStrategy<Value> {
    let headers = prop_oneof![
        vec((word(), word()).prop_map(|(name, regex)| json!({name: regex})), 0..3).prop_map(Value::from),
        (word(), word()).prop_map(|(name, regex)| json!({name: regex})),
    ];
    let one = (word(), option::of(word()), option::of(headers)).prop_map(move |(name, path, headers)| {
        let headers = headers.filter(|_| alpha > 1);
        without_nothing(vec![("name", Some(name.into())), ("pathRegex", path.map(Value::from)), ("headers", headers)])
    });
    vec(one, 0..5).prop_map(|matches| json!({"matches": matches})).boxed()
}

fn tcp(alpha: u8) -> BoxedStrategy<Value> {
    let matches = option::of(vec(1u16.., 0..3)).prop_map(|ports| match ports {
        Some(ports) => json!({"matches": {"ports": ports}}),
        None => json!({}),
    });
    if alpha == 4 { matches.boxed() } else { Just(json!({})).boxed() }
}

fn any_object() -> impl Strategy<Value = (Kind, Value)> {
    let kinds: [(Kind, AnyFields); 4] = [(SPLIT, split), (TARGET, target), (ROUTES, routes), (TCP, tcp)];
    select(kinds.to_vec())
        .prop_flat_map(|(kind, fields)| (Just((kind, fields)), 1..=kind.2))
        .prop_flat_map(|((kind, fields), alpha)| {
            (Just((kind, alpha)), fields(alpha), option::of(word()), any::<bool>())
        })
        .prop_map(|((kind, alpha), fields, annotation, status)| (kind, object(kind, alpha, fields, annotation, status)))
}

/// Any JSON, but with the words in it that conversions look for.
fn any_json() -> impl Strategy<Value = Value> {
    let words = [
        "spec",
        "metadata",
        "annotations",
        "matches",
        "backends",
        "weight",
        "service",
        "destination",
        "port",
        "headers",
        "rules",
        "specs",
        "apiVersion",
        "kind",
        "conversion.smidge.dev/port",
        "conversion.smidge.dev/headers",
        "conversion.smidge.dev/weights",
        "conversion.smidge.dev/matches",
        "1e9",
        "0000000000000000:[1]",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        select(words.to_vec()).prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let member = (select(words.to_vec()).prop_map(str::to_owned), inner.clone());
        prop_oneof![
            vec(inner, 0..5).prop_map(Value::from),
            vec(member, 0..8).prop_map(|m| Value::Object(m.into_iter().collect()))
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn any_object_over_any_path_of_versions_comes_back_equal(
        (kind, object) in any_object(),
        path in vec(1u8..=4, 1..6),
    ) {
        let mut there = object.clone();
        for alpha in path.into_iter().filter(|&alpha| alpha <= kind.2) {
            there = convert(there, &api_version(kind, alpha));
            prop_assert_eq!(&there["apiVersion"], &json!(api_version(kind, alpha)));
            prop_assert_eq!(there["metadata"]["name"].as_str(), Some("x"));
            prop_assert_eq!(there.get("status"), object.get("status"));
        }
        let back = convert(there, object["apiVersion"].as_str().unwrap());
        prop_assert_eq!(back, object);
    }

    #[test]
    fn a_conversion_is_total(
        mut json in any_json(),
        kind in select(vec![SPLIT, TARGET, ROUTES, TCP]),
        (from, to) in (1u8..=5, 1u8..=5),
    ) {
        convert(json.clone(), &api_version(kind, to));
        if let Some(object) = json.as_object_mut() {
            object.insert("apiVersion".to_owned(), api_version(kind, from).into());
            object.insert("kind".to_owned(), kind.1.into());
            let there = convert(json.clone(), &api_version(kind, to));
            convert(there, &api_version(kind, from));
        }
    }
}

fn check(kind: Kind, from: (u8, Value), to: (u8, Value)) -> Value {
    let converted = convert(object(kind, from.0, from.1, None, false), &api_version(kind, to.0));
    let fields = if has_spec(kind, to.0) { converted["spec"].clone() } else { fields_beside_metadata(&converted) };
    assert_eq!(fields, to.1, "{converted:#}");
    converted
}

fn fields_beside_metadata(object: &Value) -> Value {
    let mut fields = object.clone();
    for name in ["apiVersion", "kind", "metadata", "status"] {
        fields.as_object_mut().expect("an object").remove(name);
    }
    fields
}

#[test]
fn smi_1_v1alpha1_weights_become_whole_in_the_same_ratios() {
    let from =
        json!({"service": "s", "backends": [{"service": "a", "weight": "500m"}, {"service": "b", "weight": "1"}]});
    let to = json!({"service": "s", "backends": [{"service": "a", "weight": 1}, {"service": "b", "weight": 2}]});
    check(SPLIT, (1, from), (4, to));
}

#[test]
fn smi_1_weights_that_were_changed_meanwhile_win_over_the_carried_ones() {
    let from =
        json!({"service": "s", "backends": [{"service": "a", "weight": "500m"}, {"service": "b", "weight": "1"}]});
    let mut stored = convert(object(SPLIT, 1, from, None, false), &api_version(SPLIT, 4));
    stored["spec"]["backends"][0]["weight"] = json!(7);
    let back = convert(stored, &api_version(SPLIT, 1));
    assert_eq!(back["spec"]["backends"][0]["weight"], "7");
    assert_eq!(back["spec"]["backends"][1]["weight"], "2");
    assert_eq!(back["metadata"], json!({"name": "x"}), "nothing stale is carried on");
}

#[test]
fn smi_1_a_rollout_tool_that_writes_weights_in_v1alpha1_leaves_matches_alone() {
    let fields = json!({"service": "s", "backends": [{"service": "a", "weight": 1}], "matches": [{"kind": "HTTPRouteGroup", "name": "beta"}]});
    let mut old = convert(object(SPLIT, 4, fields.clone(), None, false), &api_version(SPLIT, 1));
    assert_eq!(old["spec"].get("matches"), None);
    old["spec"]["backends"][0]["weight"] = json!("50");
    let back = convert(old.clone(), &api_version(SPLIT, 4));
    assert_eq!(back["spec"]["matches"], fields["matches"]);

    old["spec"]["service"] = json!("other");
    assert_eq!(convert(old, &api_version(SPLIT, 4))["spec"].get("matches"), None, "they belonged to the former root");
}

#[test]
fn smi_1_a_port_is_shown_by_the_versions_that_have_it_and_known_to_the_stored_one() {
    let v1 = json!({"destination": {"kind": "ServiceAccount", "name": "a", "port": 8080}, "specs": [], "sources": []});
    let v2 = json!({"destination": {"kind": "ServiceAccount", "name": "a", "port": 8080}, "rules": [], "sources": []});
    let v3 = json!({"destination": {"kind": "ServiceAccount", "name": "a"}, "rules": [], "sources": []});
    let stored = check(TARGET, (1, v1), (3, v3));
    assert_eq!(convert(stored.clone(), &api_version(TARGET, 2))["spec"], v2);
    assert_eq!(port_of(&stored), Some(8080));

    let mut edited = stored.clone();
    edited["spec"]["destination"]["name"] = json!("b");
    assert_eq!(port_of(&edited), None, "it belonged to the former destination");
}

#[test]
fn smi_1_a_forged_port_is_dropped() {
    for port in ["0", "65536", "\"http\"", "null", "[80]", "{", "-1"] {
        let fields = json!({"destination": {"kind": "ServiceAccount", "name": "a", "port": 8080}});
        let mut stored = convert(object(TARGET, 2, fields, None, false), &api_version(TARGET, 3));
        let annotation = &mut stored["metadata"]["annotations"]["conversion.smidge.dev/port"];
        *annotation = annotation.as_str().unwrap().replace("8080", port).into();
        assert_eq!(port_of(&stored), None, "{port}");
        let back = convert(stored, &api_version(TARGET, 2));
        assert_eq!(back["spec"]["destination"].get("port"), None, "{port}");
    }
}

#[test]
fn smi_1_a_v1alpha1_client_that_adds_a_match_leaves_the_headers_of_the_others_alone() {
    let fields = json!({"matches": [{"name": "a", "headers": {"cookie": "beta"}}, {"name": "a"}, {"name": "b"}]});
    let mut old = convert(object(ROUTES, 4, fields, None, false), &api_version(ROUTES, 1));
    assert_eq!(old["matches"], json!([{"name": "a"}, {"name": "a"}, {"name": "b"}]));
    old["matches"].as_array_mut().unwrap().push(json!({"name": "c"}));
    let back = convert(old, &api_version(ROUTES, 4));
    let expected = json!([{"name": "a", "headers": {"cookie": "beta"}}, {"name": "a"}, {"name": "b"}, {"name": "c"}]);
    assert_eq!(back["spec"]["matches"], expected);
}

#[test]
fn what_is_carried_and_what_the_author_has_annotated_are_together_what_the_api_server_admits() {
    const ADMITTED: usize = 256 * 1024;
    let headers: Vec<_> =
        (0..60).map(|at| json!({"name": format!("m{at}"), "headers": [{"x": "a".repeat(2_000)}]})).collect();
    for own in [0, 100_000, 150_000, ADMITTED - 100] {
        let note = Some("n".repeat(own));
        let group = object(ROUTES, 4, json!({"matches": headers}), note.clone(), false);
        let old = convert(group.clone(), &api_version(ROUTES, 1));
        let annotations = old["metadata"]["annotations"].as_object().unwrap();
        let size: usize = annotations.iter().map(|(name, value)| name.len() + value.as_str().unwrap().len()).sum();
        assert!(size <= ADMITTED, "{size}");
        assert_eq!(annotations["example.org/note"].as_str(), note.as_deref());
        assert_eq!(convert(old, &api_version(ROUTES, 4)) == group, own <= 100_000, "{own}");
    }
}

#[test]
fn an_unknown_kind_version_or_group_comes_back_as_it_is() {
    let object = object(SPLIT, 2, json!({"service": "s"}), None, false);
    for to in ["split.smi-spec.io/v1alpha5", "split.smi-spec.io/v1", "specs.smi-spec.io/v1alpha4", "v1", ""] {
        assert_eq!(convert(object.clone(), to), object, "{to}");
    }
}

fn port_of(stored: &Value) -> Option<u16> {
    serde_json::from_value::<smidge_crds::TrafficTarget>(stored.clone()).expect("a target").port()
}
