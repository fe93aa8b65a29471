//! The compiled value of each key and the resources that were translated from it.

use std::{collections::BTreeMap, sync::Arc};

use smidge_xds::Resource;

use crate::{
    Counters,
    layer::{Layer, Owner},
};

/// A compiled value with its resources.
#[derive(Debug)]
struct Cached<V> {
    value: V,
    resources: Vec<Arc<Resource>>,
}

/// The values of one compile function.
#[derive(Debug)]
pub(crate) struct Cache<K, V> {
    entries: BTreeMap<K, Cached<V>>,
    owner: fn(K) -> Owner,
    translate: fn(&V) -> Vec<Resource>,
}

impl<K: Ord + Clone, V: PartialEq> Cache<K, V> {
    pub(crate) fn new(owner: fn(K) -> Owner, translate: fn(&V) -> Vec<Resource>) -> Self {
        Self { entries: BTreeMap::new(), owner, translate }
    }

    pub(crate) fn value(&self, key: &K) -> Option<&V> {
        self.entries.get(key).map(|cached| &cached.value)
    }

    pub(crate) fn resources(&self, key: &K) -> &[Arc<Resource>] {
        self.entries.get(key).map_or(&[], |cached| &cached.resources)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, cached)| (key, &cached.value))
    }

    /// Takes a value that was compiled just now; `None`: the key means nothing any more. Translates it when it is not
    /// the old one. Returns whether any resource changed, and the old value.
    pub(crate) fn refresh(
        &mut self,
        key: &K,
        value: Option<V>,
        layer: &mut Layer,
        counters: &mut Counters,
    ) -> Refreshed<V> {
        counters.compiled += 1;
        if self.value(key) == value.as_ref() {
            counters.equal_values += 1;
            return Refreshed::Same;
        }
        let old = self.entries.remove(key);
        let before = old.as_ref().map_or(&[][..], |old| &old.resources);
        let after = value.as_ref().map(self.translate).unwrap_or_default();
        let resources = layer.replace(&(self.owner)(key.clone()), before, after, counters);
        let same = is_same(before, &resources);
        if let Some(value) = value {
            self.entries.insert(key.clone(), Cached { value, resources });
        }
        if same { Refreshed::Same } else { Refreshed::Changed(old.map(|old| old.value)) }
    }
}

/// What became of a key.
pub(crate) enum Refreshed<V> {
    /// None of its resources changed.
    Same,
    /// Some did; the value before.
    Changed(Option<V>),
}

/// Whether two lists of resources are the same ones: an unchanged resource is kept, not copied.
pub(crate) fn is_same(before: &[Arc<Resource>], after: &[Arc<Resource>]) -> bool {
    before.len() == after.len() && before.iter().zip(after).all(|(a, b)| Arc::ptr_eq(a, b))
}
