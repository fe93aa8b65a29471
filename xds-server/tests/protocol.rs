//! The protocol's rules as scripts: what goes in, and what comes out.
//!
//! A line is a step. `+C a 1` publishes cluster `a` in version 1, `-C a` removes it, several steps of one publication
//! are joined by `,`. `C? a b -c` subscribes to a and b and unsubscribes from c; `C? a=1` says that the client has it.
//! `C ok` acknowledges the last response of that type, `C no` rejects it. After `=>` stand the responses that follow.

#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use envoy_types::pb::{envoy::service::discovery::v3::DeltaDiscoveryRequest, google::rpc};
use smidge_xds::{
    Change, Epoch, LayerChange, Name, ProxyChange, ProxyId, Resource, TypeUrl, Update, Version, WorkloadId,
};
use smidge_xds_server::{
    Counters, Limits,
    protocol::{Machine, Next, Response, StreamId},
};

fn type_url(letter: &str) -> TypeUrl {
    match letter {
        "S" => TypeUrl::Secret,
        "C" => TypeUrl::Cluster,
        "E" => TypeUrl::Endpoints,
        "L" => TypeUrl::Listener,
        "R" => TypeUrl::Route,
        other => panic!("no type {other:?}"),
    }
}

fn letter(type_url: TypeUrl) -> char {
    type_url.to_string().replace("ClusterLoadAssignment", "E").chars().next().unwrap()
}

fn resource(type_url: TypeUrl, name: &str, version: &str) -> Resource {
    Resource::new(type_url, name, &version.to_owned())
}

struct Script {
    machine: Machine,
    stream: StreamId,
    epoch: Epoch,
    nonces: BTreeMap<TypeUrl, u64>,
    versions: HashMap<Version, String>,
}

impl Script {
    fn new() -> Self {
        let proxy = ProxyId::from("web-0.shop");
        let mut machine = Machine::new(Limits::default(), Arc::new(Counters::default()), &[]);
        machine.publish(Update {
            epoch: Epoch(1),
            workloads: vec![(WorkloadId(0), LayerChange::Resources(Vec::new()))],
            proxies: vec![ProxyChange::Set(proxy.clone(), WorkloadId(0))],
            ..Update::default()
        });
        let stream = machine.open(&proxy).unwrap();
        Self { machine, stream, epoch: Epoch(1), nonces: BTreeMap::new(), versions: HashMap::new() }
    }

    fn run(&mut self, step: &str) -> String {
        let words: Vec<&str> = step.split_whitespace().collect();
        match words[..] {
            [t, "ok"] => self.answer(type_url(t), None),
            [t, "no"] => self.answer(type_url(t), Some("wrong")),
            [t, "no", ref why @ ..] => self.answer(type_url(t), Some(&why.join(" "))),
            [first, ref names @ ..] if first.ends_with('?') => self.subscribe(type_url(&first[..1]), names),
            _ => self.publish(step),
        }
        self.responses()
    }

    fn publish(&mut self, step: &str) {
        self.epoch = self.epoch.next();
        let shared = step.split(',').map(|change| {
            let words: Vec<&str> = change.split_whitespace().collect();
            let of_type = type_url(&words[0][1..]);
            if words[0].starts_with('-') {
                return Change::Remove(of_type, Name::from(words[1]));
            }
            let resource = resource(of_type, words[1], words[2]);
            self.versions.insert(resource.version, words[2].to_owned());
            Change::Set(Arc::new(resource))
        });
        let update = Update { shared: shared.collect(), ..Update::default() };
        self.machine.publish(Update { epoch: self.epoch, ..update });
    }

    fn subscribe(&mut self, of_type: TypeUrl, words: &[&str]) {
        let mut request = DeltaDiscoveryRequest { type_url: of_type.as_str().into(), ..Default::default() };
        for word in words {
            if let Some(name) = word.strip_prefix('-') {
                request.resource_names_unsubscribe.push(name.into());
            } else if let Some((name, version)) = word.split_once('=') {
                let version = resource(of_type, name, version).version.to_string();
                request.initial_resource_versions.insert(name.into(), version);
            } else {
                request.resource_names_subscribe.push((*word).into());
            }
        }
        self.machine.receive(self.stream, request).unwrap();
    }

    fn answer(&mut self, of_type: TypeUrl, error: Option<&str>) {
        let request = DeltaDiscoveryRequest {
            type_url: of_type.as_str().into(),
            response_nonce: self.nonces[&of_type].to_string(),
            error_detail: error.map(|message| rpc::Status { message: message.into(), ..Default::default() }),
            ..Default::default()
        };
        self.machine.receive(self.stream, request).unwrap();
    }

    fn responses(&mut self) -> String {
        let mut out = Vec::new();
        while let Next::Response(response) = self.machine.next(self.stream) {
            self.nonces.insert(response.type_url, response.nonce);
            out.push(self.print(&response));
        }
        out.join(", ")
    }

    fn print(&self, response: &Response) -> String {
        let set = response.resources.iter().map(|r| format!(" {}={}", r.name, self.versions[&r.version]));
        let removed = response.removed.iter().map(|name| format!(" -{name}"));
        format!("{}{}", letter(response.type_url), set.chain(removed).collect::<String>())
    }
}

#[track_caller]
fn check(script: &str) {
    let mut state = Script::new();
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (step, expected) = line.split_once("=>").unwrap_or((line, ""));
        assert_eq!(state.run(step.trim()), expected.trim(), "after {line:?}");
    }
}

#[test]
fn a_first_request_without_names_subscribes_to_all_clusters() {
    check("+C a 1\n C? => C a=1\n C ok\n +C b 1 => C b=1");
}

#[test]
fn a_first_request_without_names_subscribes_to_no_routes() {
    check("+R a 1\n R?\n R? a => R a=1");
}

#[test]
fn a_star_subscribes_to_all_of_any_type() {
    check("+R a 1\n R? * => R a=1\n R ok\n +R b 1 => R b=1\n R ok\n R? -*\n +R a 2");
}

#[test]
fn a_subscription_to_everything_is_answered_even_when_there_is_nothing() {
    check("C? => C\n C ok\n L? => L\n L ok");
}

#[test]
fn a_name_that_does_not_exist_is_told_to_be_absent_and_sent_when_it_appears() {
    check("E? a => E -a\n E ok\n +E a 1 => E a=1");
}

#[test]
fn a_name_that_is_asked_for_again_is_sent_again() {
    check("+E a 1\n E? a => E a=1\n E ok\n E? a => E a=1");
}

#[test]
fn a_name_that_is_unsubscribed_from_is_not_sent() {
    check("+E a 1\n E? a => E a=1\n E ok\n E? -a\n +E a 2");
}

#[test]
fn a_name_unsubscribed_from_beside_a_wildcard_is_sent_again() {
    check("+C a 1\n C? * a => C a=1\n C ok\n C? -a => C a=1\n C ok\n C? b => C -b\n C ok\n C? -b => C -b");
}

#[test]
fn a_reconnect_is_sent_nothing_when_nothing_changed() {
    check("+C a 1, +E a 1\n C? a=1\n E? a a=1\n L? x=1 => L -x");
}

#[test]
fn a_reconnect_is_sent_what_changed_and_told_what_is_gone() {
    check(
        "+C a 2, +C b 1\n C? a=1 b=1 gone=1 => C a=2\n C ok\n L? x=1 => L -x\n L ok\n R? r r=1 => R -r\n R ok => C -gone",
    );
}

#[test]
fn one_response_per_type_is_under_way_and_changes_meanwhile_are_sent_in_their_newest_form() {
    check("+C a 1\n C? => C a=1\n +C a 2\n +C a 3, +C b 1\n C ok => C a=3 b=1");
}

#[test]
fn a_stale_nonce_acknowledges_nothing() {
    let mut script = Script::new();
    script.run("+C a 1");
    script.run("C?");
    script.nonces.insert(TypeUrl::Cluster, 99);
    script.run("C ok");
    assert_eq!(script.run("+C a 2"), "", "the response under way is not acknowledged");
}

#[test]
fn a_changed_cluster_is_followed_at_once_by_its_unchanged_endpoints() {
    check("+C a 1, +E a 1\n C? => C a=1\n E? a => E a=1\n E ok\n C ok\n +C a 2 => C a=2, E a=1");
}

#[test]
fn a_route_waits_until_the_clusters_are_acknowledged() {
    check(
        "+C a 1, +E a 1, +R r 1
         C? => C a=1
         C ok
         R? r => R r=1
         R ok
         +C b 1, +E b 1, +R r 2 => C b=1
         E? b => E b=1
         E ok
         C ok => R r=2",
    );
}

#[test]
fn a_cluster_goes_after_the_routes_are_acknowledged() {
    check(
        "+C a 1, +C b 1, +R r 1
         C? => C a=1 b=1
         C ok
         L? => L
         L ok
         R? r => R r=1
         R ok
         -C b, +R r 2 => R r=2
         R ok => C -b",
    );
}

#[test]
fn after_a_rejection_resources_go_one_by_one_until_the_culprit_is_found() {
    check(
        "+C a 1, +C bad 1, +C z 1
         C? => C a=1 bad=1 z=1
         C no => C a=1
         C ok => C bad=1
         C no => C z=1
         C ok
         +C a 2 => C a=2
         C ok
         +C bad 2 => C bad=2
         C ok",
    );
}

#[test]
fn a_suspect_that_the_message_names_is_tried_first() {
    check(
        "+C a 1, +C bad 1, +C z 1
         C? => C a=1 bad=1 z=1
         C no cannot add bad: wrong => C bad=1
         C no cannot add bad: wrong => C a=1 z=1
         C ok",
    );
}

#[test]
fn listeners_come_after_secrets_and_clusters() {
    check(
        "+S s 1, +C a 1, +L l 1
         C? => C a=1
         C ok
         S? s => S s=1
         S ok
         L? => L l=1
         L ok
         +S s 2, +C a 2, +L l 2 => S s=2, C a=2
         S ok
         C ok => L l=2",
    );
}
