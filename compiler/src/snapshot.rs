//! All facts at one moment, and the index that finds who depends on whom.

use std::{ops::Bound, sync::Arc};

use imbl::{HashMap, OrdMap, OrdSet};
use smidge_mesh::{PodName, ServiceAccountName, ServiceName, TrustBundle};

use crate::{
    Fact, Kind, ObjectRef,
    facts::{
        EndpointSliceFacts, IngressFacts, MeshConfigFacts, NamespaceFacts, PodFacts, PortRouteFacts, RouteGroupFacts,
        ServiceFacts, SplitFacts, TargetFacts,
    },
    link::{Link, links},
};

/// What happened. A closed set: one task owns the snapshot and drains these.
#[derive(Clone, Debug)]
pub enum Event {
    /// An object is there, or has changed.
    Apply(Fact),
    /// An object is gone.
    Delete(ObjectRef),
    /// The roots that vouch for identities are these now.
    TrustBundle(TrustBundle),
}

/// What an event did to the snapshot: the facts about one object before and after.
#[derive(Clone, Debug)]
pub enum Change {
    /// An object's facts. Never equal to each other.
    Object {
        /// Which.
        object: ObjectRef,
        /// Before; `None`: it is new.
        before: Option<Fact>,
        /// Now; `None`: it is gone.
        after: Option<Fact>,
    },
    /// The trust bundle.
    TrustBundle,
}

/// All facts at one moment. A clone is cheap: it shares what has not changed.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// In order, to go through a kind.
    facts: OrdMap<ObjectRef, Fact>,
    /// The same, to look one up: a compile does little else.
    lookup: HashMap<ObjectRef, Fact>,
    links: HashMap<Link, OrdSet<ObjectRef>>,
    trust_bundle: TrustBundle,
    defaults: Arc<MeshConfigFacts>,
}

impl Snapshot {
    /// Takes an event in; `None` when it changes nothing (the first cut-off).
    pub fn apply(&mut self, event: Event) -> Option<Change> {
        match event {
            Event::Apply(fact) => self.replace(fact.object(), Some(fact)),
            Event::Delete(object) => self.replace(object, None),
            Event::TrustBundle(bundle) => {
                let changes = self.trust_bundle != bundle;
                self.trust_bundle = bundle;
                changes.then_some(Change::TrustBundle)
            }
        }
    }

    fn replace(&mut self, object: ObjectRef, after: Option<Fact>) -> Option<Change> {
        if self.lookup.get(&object) == after.as_ref() {
            return None;
        }
        let before = match &after {
            Some(fact) => {
                self.facts.insert(object.clone(), fact.clone());
                self.lookup.insert(object.clone(), fact.clone())
            }
            None => {
                self.facts.remove(&object);
                self.lookup.remove(&object)
            }
        };
        self.relink(&object, before.as_ref(), after.as_ref());
        Some(Change::Object { object, before, after })
    }

    fn relink(&mut self, object: &ObjectRef, before: Option<&Fact>, after: Option<&Fact>) {
        let [before, after] = [before, after].map(|fact| fact.map(links).unwrap_or_default());
        for link in before.difference(&after) {
            let emptied = self.links.get_mut(link).is_some_and(|objects| {
                objects.remove(object);
                objects.is_empty()
            });
            if emptied {
                self.links.remove(link);
            }
        }
        for link in after.difference(&before) {
            self.links.entry(link.clone()).or_default().insert(object.clone());
        }
    }

    /// How many objects there are facts about.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Whether there are no facts.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// The facts about an object.
    pub fn fact(&self, object: &ObjectRef) -> Option<&Fact> {
        self.lookup.get(object)
    }

    /// Every object that there are facts about, by kind, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.facts.keys()
    }

    /// Every object whose status is ours to write.
    pub fn objects_with_status(&self) -> impl Iterator<Item = &ObjectRef> {
        self.objects().filter(|object| object.kind.has_status())
    }

    /// `metadata.generation` of an object whose status is ours.
    pub fn generation(&self, object: &ObjectRef) -> Option<i64> {
        self.fact(object)?.origin().generation
    }

    /// The roots that vouch for identities.
    pub fn trust_bundle(&self) -> &TrustBundle {
        &self.trust_bundle
    }

    /// Every Service, in and out of the mesh.
    pub fn services(&self) -> impl Iterator<Item = &ServiceFacts> {
        self.of_kind(Kind::Service, None).filter_map(|fact| match fact {
            Fact::Service(facts) => Some(&**facts),
            _ => None,
        })
    }

    /// Every Pod, in and out of the mesh.
    pub fn pods(&self) -> impl Iterator<Item = &PodFacts> {
        self.of_kind(Kind::Pod, None).filter_map(|fact| match fact {
            Fact::Pod(facts) => Some(&**facts),
            _ => None,
        })
    }

    /// What holds for the whole mesh.
    pub fn config(&self) -> &MeshConfigFacts {
        match self.fact(&ObjectRef::new(Kind::MeshConfig, "", "default")) {
            Some(Fact::MeshConfig(facts)) => facts,
            _ => &self.defaults,
        }
    }

    /// The facts of a kind, in one namespace or in all.
    pub(crate) fn of_kind(&self, kind: Kind, namespace: Option<&Arc<str>>) -> impl Iterator<Item = &Fact> {
        let namespace = namespace.cloned();
        let first = ObjectRef::new(kind, namespace.clone().unwrap_or_default(), "");
        self.facts
            .range((Bound::Included(first), Bound::Unbounded))
            .take_while(move |(object, _)| {
                object.kind == kind && namespace.as_ref().is_none_or(|namespace| *namespace == object.namespace)
            })
            .map(|(_, fact)| fact)
    }

    /// The objects that have a link.
    pub(crate) fn linked<'a>(&'a self, link: &Link) -> impl Iterator<Item = &'a ObjectRef> + use<'a> {
        self.links.get(link).into_iter().flatten()
    }

    /// How many objects have a link.
    pub(crate) fn count_linked(&self, link: &Link) -> usize {
        self.links.get(link).map_or(0, OrdSet::len)
    }
}

macro_rules! lookup {
    ($($(#[$doc:meta])* $function:ident $variant:ident $facts:ty;)*) => {
        impl Snapshot {
            $(
                $(#[$doc])*
                pub(crate) fn $function(&self, object: &ObjectRef) -> Option<&$facts> {
                    match self.fact(object)? {
                        Fact::$variant(facts) => Some(facts),
                        _ => None,
                    }
                }
            )*
        }
    };
}

lookup! {
    slice_at EndpointSlice EndpointSliceFacts;
    split_at TrafficSplit SplitFacts;
    target_at TrafficTarget TargetFacts;
    route_group_at HttpRouteGroup RouteGroupFacts;
    tcp_route_at TcpRoute PortRouteFacts;
    service_at Service ServiceFacts;
    pod_at Pod PodFacts;
    namespace_at Namespace NamespaceFacts;
    ingress_at IngressBackend IngressFacts;
}

impl Snapshot {
    /// The facts about a Service.
    pub fn service(&self, name: &ServiceName) -> Option<&ServiceFacts> {
        self.service_at(&ObjectRef::from(name))
    }

    /// The facts about a Pod.
    pub fn pod(&self, name: &PodName) -> Option<&PodFacts> {
        self.pod_at(&ObjectRef::from(name))
    }

    /// The facts about a Namespace.
    pub fn namespace(&self, name: &Arc<str>) -> Option<&NamespaceFacts> {
        self.namespace_at(&ObjectRef::new(Kind::Namespace, "", name.clone()))
    }

    /// The Pods of a service account.
    pub(crate) fn pods_of<'a>(&'a self, account: &ServiceAccountName) -> impl Iterator<Item = &'a PodFacts> + use<'a> {
        self.linked(&Link::Account(account.clone())).filter_map(|pod| self.pod_at(pod))
    }
}
