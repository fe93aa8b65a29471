//! A client that behaves as Envoy does: everything of CDS and LDS, endpoints of its clusters, routes of its listeners;
//! a cluster is acknowledged when its endpoints have come; a response with anything bad is rejected whole.

use std::collections::{BTreeMap, BTreeSet};

use envoy_types::pb::{envoy::service::discovery::v3::DeltaDiscoveryRequest, google::rpc};
use prost::Message;
use smidge_xds::{Name, TypeUrl, Version};

use super::world::{Body, State, World, is_bad, names};
use crate::protocol::Response;

#[derive(Debug)]
struct Unanswered {
    response: Response,
    /// The clusters of it whose endpoints have not come yet.
    cold: BTreeSet<Name>,
}

#[derive(Debug, Default)]
pub(super) struct Client {
    has: BTreeMap<(TypeUrl, Name), (Version, Body)>,
    subscribed: BTreeSet<(TypeUrl, Name)>,
    unanswered: BTreeMap<TypeUrl, Unanswered>,
    /// Resources that it was ever sent.
    pub(super) delivered: usize,
}

impl Client {
    /// The first requests of a stream; it says what it has.
    pub(super) fn connect(&mut self) -> Vec<DeltaDiscoveryRequest> {
        let first = |type_url: TypeUrl| {
            let names = self.subscribed.iter().filter(|(t, _)| *t == type_url);
            let has = self.has.iter().filter(|((t, _), _)| *t == type_url);
            DeltaDiscoveryRequest {
                resource_names_subscribe: names.map(|(_, name)| name.to_string()).collect(),
                initial_resource_versions: has.map(|((_, n), (v, _))| (n.to_string(), v.to_string())).collect(),
                ..request(type_url)
            }
        };
        let asks = |t: &TypeUrl| is_wildcard(*t) || self.subscribed.iter().any(|(s, _)| s == t);
        [TypeUrl::Cluster, TypeUrl::Endpoints, TypeUrl::Listener, TypeUrl::Route]
            .into_iter()
            .filter(asks)
            .map(first)
            .collect()
    }

    pub(super) fn disconnect(&mut self) {
        self.unanswered.clear();
        // What was subscribed to because of a resource that was never accepted is forgotten with it.
        let named: BTreeSet<_> =
            TypeUrl::ALL.into_iter().flat_map(|t| self.names_of(t).into_iter().map(move |name| (t, name))).collect();
        self.subscribed.retain(|key| named.contains(key));
        let subscribed = &self.subscribed;
        self.has.retain(|key, _| is_wildcard(key.0) || subscribed.contains(key));
    }

    /// The names of a type that what it has makes it subscribe to.
    fn names_of(&self, type_url: TypeUrl) -> BTreeSet<Name> {
        let of = |t: TypeUrl| self.has.iter().filter(move |((other, _), _)| *other == t);
        match type_url {
            TypeUrl::Endpoints => of(TypeUrl::Cluster).map(|((_, name), _)| name.clone()).collect(),
            TypeUrl::Route => of(TypeUrl::Listener).filter_map(|(_, (_, body))| names(body)).map(Name::from).collect(),
            _ => BTreeSet::new(),
        }
    }

    /// Takes a response in; gives the subscriptions that follow from it.
    pub(super) fn deliver(&mut self, response: Response, world: &World) -> Vec<DeltaDiscoveryRequest> {
        self.delivered += response.resources.len();
        self.check_order(&response, world);
        let type_url = response.type_url;
        if type_url == TypeUrl::Endpoints {
            let clusters = self.unanswered.get_mut(&TypeUrl::Cluster);
            let cold = clusters.map(|unanswered| &mut unanswered.cold);
            if let Some(cold) = cold {
                cold.retain(|name| !mentions(&response, name));
            }
        }
        let rejected = is_rejected(&response);
        let wants: Vec<Name> = if rejected { Vec::new() } else { wanted_by(&response) };
        let cold = if type_url == TypeUrl::Cluster { wants.iter().cloned().collect() } else { BTreeSet::new() };
        let other = self.unanswered.insert(type_url, Unanswered { response, cold });
        assert!(other.is_none(), "two responses of one type are under way");
        let Some(follows) = follower(type_url) else { return Vec::new() };
        let new: Vec<Name> = wants.into_iter().filter(|n| self.subscribed.insert((follows, n.clone()))).collect();
        if new.is_empty() {
            return Vec::new();
        }
        let names = new.iter().map(Name::to_string).collect();
        vec![DeltaDiscoveryRequest { resource_names_subscribe: names, ..request(follows) }]
    }

    /// Make before break: a route comes after its cluster is acknowledged; a cluster goes after no route names it.
    fn check_order(&self, response: &Response, world: &World) {
        let routes = response.resources.iter().filter(|_| response.type_url == TypeUrl::Route);
        for cluster in routes.filter_map(|route| names_of_body(route).map(Name::from)) {
            let has = self.has.contains_key(&(TypeUrl::Cluster, cluster.clone()));
            assert!(has || world.was_bad(TypeUrl::Cluster, cluster.as_str()), "a route came before {cluster}");
        }
        let removed = response.removed.iter().filter(|_| response.type_url == TypeUrl::Cluster);
        for cluster in removed {
            let mut routes = self.has.iter().filter(|((t, _), _)| *t == TypeUrl::Route);
            let named = routes.find(|((_, route), (_, body))| {
                names(body) == Some(cluster.as_str())
                    && !world.was_bad(TypeUrl::Route, route.as_str())
                    && !world.was_bad(TypeUrl::Listener, route.as_str())
            });
            assert!(named.is_none(), "{cluster} went while {named:?} named it");
        }
    }

    /// Answers the n-th of the responses that can be answered now; the requests that are sent then.
    pub(super) fn answer(&mut self, which: usize) -> Vec<DeltaDiscoveryRequest> {
        let ready: Vec<_> = self.unanswered.iter().filter(|(_, u)| u.cold.is_empty()).map(|(t, _)| *t).collect();
        if ready.is_empty() {
            return Vec::new();
        }
        let type_url = ready[which % ready.len()];
        let Some(Unanswered { response, .. }) = self.unanswered.remove(&type_url) else { return Vec::new() };
        let mut answer = DeltaDiscoveryRequest { response_nonce: response.nonce.to_string(), ..request(type_url) };
        if is_rejected(&response) {
            answer.error_detail = Some(rpc::Status { message: "a bad one".into(), ..Default::default() });
            return vec![answer];
        }
        self.apply(response);
        let mut requests = vec![answer];
        requests.extend(follower(type_url).and_then(|follows| self.unsubscribe(follows)));
        requests
    }

    fn apply(&mut self, response: Response) {
        let type_url = response.type_url;
        for resource in response.resources {
            let body = body(&resource);
            if !is_wildcard(type_url) && !self.subscribed.contains(&(type_url, resource.name.clone())) {
                continue;
            }
            self.has.insert((type_url, resource.name.clone()), (resource.version, body));
        }
        for name in response.removed {
            self.has.remove(&(type_url, name));
        }
    }

    /// Unsubscribes from what nothing names any more, the responses under way included.
    fn unsubscribe(&mut self, type_url: TypeUrl) -> Option<DeltaDiscoveryRequest> {
        let mut named = self.names_of(type_url);
        for unanswered in self.unanswered.values().filter(|u| follower(u.response.type_url) == Some(type_url)) {
            named.extend(wanted_by(&unanswered.response));
        }
        let unused: Vec<_> =
            self.subscribed.iter().filter(|(t, name)| *t == type_url && !named.contains(name)).cloned().collect();
        for key in &unused {
            self.subscribed.remove(key);
            self.has.remove(key);
        }
        let names: Vec<_> = unused.iter().map(|(_, name)| name.to_string()).collect();
        (!names.is_empty()).then(|| DeltaDiscoveryRequest { resource_names_unsubscribe: names, ..request(type_url) })
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// The first difference between what it has and what it should have. What is bad now may be missing or old.
    pub(super) fn differs_from(&self, visible: &State) -> Option<String> {
        let interested = |(t, name): &(TypeUrl, Name)| is_wildcard(*t) || self.subscribed.contains(&(*t, name.clone()));
        for (key, body) in visible.iter().filter(|(key, body)| interested(key) && !is_bad(body)) {
            let has = self.has.get(key).map(|(_, body)| body);
            if has != Some(body) {
                return Some(format!("{key:?}: published {body:?}, has {has:?}"));
            }
        }
        let extra = self.has.keys().find(|key| !visible.contains_key(*key) && interested(key));
        extra.map(|key| format!("{key:?} is gone, but the client has it"))
    }
}

fn request(type_url: TypeUrl) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest { type_url: type_url.as_str().into(), ..Default::default() }
}

fn is_wildcard(type_url: TypeUrl) -> bool {
    matches!(type_url, TypeUrl::Cluster | TypeUrl::Listener)
}

/// The type that is subscribed to because of resources of this one.
fn follower(type_url: TypeUrl) -> Option<TypeUrl> {
    match type_url {
        TypeUrl::Cluster => Some(TypeUrl::Endpoints),
        TypeUrl::Listener => Some(TypeUrl::Route),
        _ => None,
    }
}

fn wanted_by(response: &Response) -> Vec<Name> {
    match response.type_url {
        TypeUrl::Cluster => response.resources.iter().map(|r| r.name.clone()).collect(),
        TypeUrl::Listener => response.resources.iter().filter_map(|r| names_of_body(r).map(Name::from)).collect(),
        _ => Vec::new(),
    }
}

fn is_rejected(response: &Response) -> bool {
    response.resources.iter().any(|resource| is_bad(&body(resource)))
}

fn mentions(response: &Response, name: &Name) -> bool {
    response.removed.contains(name) || response.resources.iter().any(|r| r.name == *name)
}

fn names_of_body(resource: &smidge_xds::Resource) -> Option<String> {
    names(&body(resource)).map(str::to_owned)
}

fn body(resource: &smidge_xds::Resource) -> Body {
    let any = resource.body().expect("encoded by Resource::new");
    String::decode(&*any.value).expect("encoded by the world")
}
