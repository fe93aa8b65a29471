//! What the API server has at one moment, for whoever asks once: the watches' kinds, listed with the asker's rights in pages
//! and digested by the watches' own door, so that an answer knows what the mesh knows.

use std::{collections::BTreeSet, sync::Arc};

use futures::future::{BoxFuture, try_join_all};
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        core::v1::{Namespace, Pod, Service},
        discovery::v1::EndpointSlice,
    },
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, ListParams},
};
use serde::de::DeserializeOwned;
use smidge_compiler::{Digest, Event, Fact, Kind, ObjectRef};
use smidge_crds::{
    HTTPRouteGroup, IngressBackend, MeshConfig, Status, TCPRoute, TrafficSplit, TrafficTarget, UDPRoute,
};

use super::{
    KINDS,
    door::{CoreObject, CustomObject, Door, reference},
    missing::lacks,
};
use crate::message::Message;

/// How many objects an answer of the API server holds.
const PAGE: u32 = 500;

/// Which objects are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of all namespaces.
    Everything,
    /// Those of these namespaces, and what belongs to none.
    Namespaces(BTreeSet<String>),
}

/// What the API server has.
#[derive(Debug, Default)]
pub struct Listing {
    /// The facts about the objects, as the watches would tell them.
    pub facts: Vec<Fact>,
    /// What stands in the statuses that are ours to write.
    pub statuses: Vec<(ObjectRef, Arc<Status>)>,
    /// Objects that are not of our form, as of another CRD than ours: they count as absent.
    pub unreadable: Vec<ObjectRef>,
}

/// Why there is no listing.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The asker may not.
    #[error("you may not {verb} {resource}{} ({answer}); see `kubectl auth can-i {verb} {resource}{}`", place(namespace.as_ref()), flag(namespace.as_ref()))]
    Forbidden {
        /// `list` or `get`.
        verb: &'static str,
        /// Such as `trafficsplits.split.smi-spec.io`.
        resource: String,
        /// Where; `None`: in all namespaces.
        namespace: Option<String>,
        /// Whether fewer namespaces would do: not so for what belongs to none.
        is_namespaced: bool,
        /// What the API server said.
        answer: String,
    },
    /// There was no answer, or another one.
    #[error("cannot list {resource}: is the API server there?")]
    Failed {
        /// Such as `trafficsplits.split.smi-spec.io`.
        resource: String,
        /// Why.
        source: kube::Error,
    },
}

fn place(namespace: Option<&String>) -> String {
    namespace.map_or_else(|| " in all namespaces".to_owned(), |namespace| format!(" in namespace {namespace}"))
}

fn flag(namespace: Option<&String>) -> String {
    namespace.map_or_else(|| " -A".to_owned(), |namespace| format!(" -n {namespace}"))
}

/// Lists everything of the watches' kinds. A kind whose CRD is not installed has no objects.
///
/// # Errors
/// When the asker may not list a kind, or the API server does not answer.
pub async fn list(client: &Client, scope: &Scope) -> Result<Listing, ListError> {
    let namespaces: Vec<Option<&str>> = match scope {
        Scope::Everything => vec![None],
        Scope::Namespaces(names) => names.iter().map(|name| Some(name.as_str())).collect(),
    };
    let wanted = KINDS.into_iter().flat_map(|kind| {
        let of_none = if kind == Kind::MeshConfig { &[None][..] } else { &namespaces };
        of_none.iter().map(move |namespace| (kind, *namespace)).collect::<Vec<_>>()
    });
    let listings = try_join_all(wanted.map(|(kind, namespace)| of_kind(client, kind, namespace))).await?;
    let mut all = Listing::default();
    for listing in listings {
        all.facts.extend(listing.facts);
        all.statuses.extend(listing.statuses);
        all.unreadable.extend(listing.unreadable);
    }
    Ok(all)
}

fn of_kind<'a>(
    client: &'a Client,
    kind: Kind,
    namespace: Option<&'a str>,
) -> BoxFuture<'a, Result<Listing, ListError>> {
    match kind {
        Kind::Namespace => match namespace {
            None => Box::pin(listed::<CoreObject<Namespace>>(client, Api::all(client.clone()), kind, None)),
            Some(name) => Box::pin(one_namespace(client, name)),
        },
        Kind::Service => core::<Service>(client, kind, namespace),
        Kind::EndpointSlice => core::<EndpointSlice>(client, kind, namespace),
        Kind::Pod => core::<Pod>(client, kind, namespace),
        Kind::TrafficSplit => custom::<TrafficSplit>(client, kind, namespace),
        Kind::TrafficTarget => custom::<TrafficTarget>(client, kind, namespace),
        Kind::HttpRouteGroup => custom::<HTTPRouteGroup>(client, kind, namespace),
        Kind::TcpRoute => custom::<TCPRoute>(client, kind, namespace),
        Kind::UdpRoute => custom::<UDPRoute>(client, kind, namespace),
        Kind::IngressBackend => custom::<IngressBackend>(client, kind, namespace),
        Kind::MeshConfig => custom::<MeshConfig>(client, kind, None),
    }
}

fn core<'a, K>(client: &'a Client, kind: Kind, namespace: Option<&'a str>) -> BoxFuture<'a, Result<Listing, ListError>>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Digest + Clone + std::fmt::Debug,
    K: DeserializeOwned + Send + Sync + 'static,
{
    let api: Api<K> = match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    Box::pin(listed::<CoreObject<K>>(client, api, kind, namespace))
}

fn custom<'a, K>(
    client: &'a Client,
    kind: Kind,
    namespace: Option<&'a str>,
) -> BoxFuture<'a, Result<Listing, ListError>>
where
    K: Resource<DynamicType = ()> + Digest + DeserializeOwned + Send + 'static,
{
    let resource = ApiResource::erase::<K>(&());
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    Box::pin(listed::<CustomObject<K>>(client, api, kind, namespace))
}

async fn listed<D: Door>(
    client: &Client,
    api: Api<D::Raw>,
    kind: Kind,
    namespace: Option<&str>,
) -> Result<Listing, ListError>
where
    D::Raw: Clone + DeserializeOwned + std::fmt::Debug,
{
    let (mut listing, mut page) = (Listing::default(), ListParams::default().limit(PAGE));
    loop {
        let list = match api.list(&page).await {
            Ok(list) => list,
            Err(error) if is_absent(client, kind, &error).await => return Ok(listing),
            Err(error) => return Err(refusal(error, "list", kind, namespace)),
        };
        for raw in list.items {
            let object = reference(kind, &raw);
            listing.take_in(D::admit(&object, raw));
        }
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(listing),
        }
    }
}

/// Who may not list all namespaces may often look at an own one.
async fn one_namespace(client: &Client, name: &str) -> Result<Listing, ListError> {
    let api: Api<Namespace> = Api::all(client.clone());
    let found = api.get_opt(name).await.map_err(|error| refusal(error, "get", Kind::Namespace, Some(name)))?;
    Ok(Listing { facts: found.iter().map(Digest::digest).collect(), ..Listing::default() })
}

async fn is_absent(client: &Client, kind: Kind, error: &kube::Error) -> bool {
    let is_unknown = matches!(error, kube::Error::Api(status) if status.code == 404);
    match super::api_resource(kind).filter(|_| is_unknown) {
        Some(resource) => matches!(lacks(client, &resource).await, Ok(true)),
        None => false,
    }
}

fn refusal(error: kube::Error, verb: &'static str, kind: Kind, namespace: Option<&str>) -> ListError {
    let resource = resource(kind);
    match error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => ListError::Forbidden {
            verb,
            resource,
            namespace: namespace.map(str::to_owned),
            is_namespaced: kind != Kind::MeshConfig,
            answer: status.message,
        },
        source => ListError::Failed { resource, source },
    }
}

/// As rights name it.
fn resource(kind: Kind) -> String {
    match (super::api_resource(kind), kind) {
        (Some(resource), _) => format!("{}.{}", resource.plural, resource.group),
        (None, Kind::EndpointSlice) => "endpointslices.discovery.k8s.io".to_owned(),
        (None, kind) => format!("{}s", kind.as_str().to_lowercase()),
    }
}

impl Listing {
    fn take_in(&mut self, told: Vec<Message>) {
        for message in told {
            match message {
                Message::Event(Event::Apply(fact)) => self.facts.push(fact),
                Message::Event(Event::Delete(object)) => self.unreadable.push(object),
                Message::Observed(object, observed) => self.statuses.push((object, observed.status)),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_right_that_is_missing_and_where() {
        let answer = kube::core::Status { code: 403, message: "no".to_owned(), ..Default::default() };
        let said =
            |kind, namespace| refusal(kube::Error::Api(Box::new(answer.clone())), "list", kind, namespace).to_string();
        let splits = "you may not list trafficsplits.split.smi-spec.io in all namespaces (no); see `kubectl auth can-i list \
                      trafficsplits.split.smi-spec.io -A`";
        assert_eq!(said(Kind::TrafficSplit, None), splits);
        assert!(said(Kind::Pod, Some("shop")).starts_with("you may not list pods in namespace shop (no)"));
        assert!(said(Kind::EndpointSlice, None).starts_with("you may not list endpointslices.discovery.k8s.io in"));
    }
}
