//! What has been seen of one kind: names only, enough to tell after a new list what has gone meanwhile.

use std::{collections::HashSet, mem};

use kube_runtime::watcher;
use smidge_compiler::{Event, Kind, ObjectRef};

use super::door::{Door, reference};
use crate::message::{Message, Source};

/// The names of the objects that are there.
pub(super) struct Seen<D> {
    kind: Kind,
    there: HashSet<ObjectRef>,
    /// What was there before the list that is being read.
    before: HashSet<ObjectRef>,
    is_listed: bool,
    is_missing: bool,
    door: std::marker::PhantomData<fn(D)>,
}

impl<D: Door> Seen<D> {
    pub(super) fn new(kind: Kind) -> Self {
        let door = std::marker::PhantomData;
        Self { kind, there: HashSet::new(), before: HashSet::new(), is_listed: false, is_missing: false, door }
    }

    /// What to tell the loop about an event of the watch.
    pub(super) fn take_in(&mut self, event: watcher::Event<D::Raw>) -> Vec<Message> {
        match event {
            watcher::Event::Init => {
                // A list that was broken off has not said that the rest is gone.
                self.before.extend(mem::take(&mut self.there));
                Vec::new()
            }
            watcher::Event::InitApply(raw) | watcher::Event::Apply(raw) => self.admit(raw),
            watcher::Event::InitDone => self.conclude_list(),
            watcher::Event::Delete(raw) => {
                let object = reference(self.kind, &raw);
                self.there.remove(&object);
                vec![Message::Event(Event::Delete(object))]
            }
        }
    }

    fn admit(&mut self, raw: D::Raw) -> Vec<Message> {
        let object = reference(self.kind, &raw);
        let messages = D::admit(&object, raw);
        self.before.remove(&object);
        self.there.insert(object);
        messages
    }

    /// What to tell the loop when the API server does not know the kind: there are no objects of it.
    pub(super) fn vanish(&mut self) -> Vec<Message> {
        self.before.extend(mem::take(&mut self.there));
        let is_news = !mem::replace(&mut self.is_missing, true);
        let missing = is_news.then_some(Message::Missing(self.kind, true));
        missing.into_iter().chain(self.conclude()).collect()
    }

    fn conclude_list(&mut self) -> Vec<Message> {
        let was_missing = mem::take(&mut self.is_missing);
        let known = was_missing.then_some(Message::Missing(self.kind, false));
        known.into_iter().chain(self.conclude()).collect()
    }

    fn conclude(&mut self) -> Vec<Message> {
        let gone = self.before.drain().map(|object| Message::Event(Event::Delete(object)));
        let listed = (!self.is_listed).then_some(Message::Listed(Source::Watch(self.kind)));
        self.is_listed = true;
        gone.chain(listed).collect()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{api::core::v1::Namespace, apimachinery::pkg::apis::meta::v1::ObjectMeta};
    use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};

    use super::{super::door::CoreObject, *};

    fn namespace(name: &str) -> Namespace {
        Namespace { metadata: ObjectMeta { name: Some(name.to_owned()), ..Default::default() }, ..Default::default() }
    }

    /// `+name`, `-name`, `listed`.
    fn check(events: Vec<watcher::Event<Namespace>>, expected: &str) {
        check_steps(events.into_iter().map(Some).collect(), expected);
    }

    /// `None`: the API server says that it does not know the kind.
    fn check_steps(steps: Vec<Option<watcher::Event<Namespace>>>, expected: &str) {
        let mut seen = Seen::<CoreObject<Namespace>>::new(Kind::Namespace);
        let tell = |message: Message| match message {
            Message::Event(Event::Apply(fact)) => format!("+{}", fact.object().name),
            Message::Event(Event::Delete(object)) => format!("-{}", object.name),
            Message::Listed(_) => "listed".to_owned(),
            Message::Missing(_, is_missing) => if is_missing { "missing" } else { "known" }.to_owned(),
            other => panic!("{other:?}"),
        };
        let step = |step| if let Some(event) = step { seen.take_in(event) } else { seen.vanish() };
        let told: Vec<_> = steps.into_iter().flat_map(step).map(tell).collect();
        assert_eq!(told.join(" "), expected);
    }

    #[test]
    fn a_watch_has_listed_when_its_first_list_is_through() {
        check(vec![Init, InitApply(namespace("a")), InitDone, Apply(namespace("b"))], "+a listed +b");
    }

    #[test]
    fn what_vanished_while_the_watch_was_lost_is_deleted_by_the_next_list() {
        let again = vec![Init, InitApply(namespace("b")), InitDone];
        let events = vec![Init, InitApply(namespace("a")), InitApply(namespace("b")), InitDone];
        check([events, again].concat(), "+a +b listed +b -a");
    }

    #[test]
    fn a_list_that_was_broken_off_deletes_nothing() {
        let events = vec![Init, InitApply(namespace("a")), InitDone, Init, Init, InitApply(namespace("a")), InitDone];
        check(events, "+a listed +a");
    }

    #[test]
    fn a_kind_that_is_missing_has_listed_and_is_known_when_it_is_installed() {
        let list = [Init, InitApply(namespace("a")), InitDone].map(Some);
        check_steps([vec![Some(Init), None, Some(Init), None], list.into()].concat(), "missing listed +a known");
    }

    #[test]
    fn the_objects_of_a_kind_that_is_taken_away_are_gone() {
        let list = [Init, InitApply(namespace("a")), InitDone].map(Some);
        check_steps([list.into(), vec![None, None]].concat(), "+a listed missing -a");
    }

    #[test]
    fn a_deleted_object_is_deleted_once() {
        let events = vec![Init, InitApply(namespace("a")), InitDone, Delete(namespace("a")), Init, InitDone];
        check(events, "+a listed -a");
    }
}
