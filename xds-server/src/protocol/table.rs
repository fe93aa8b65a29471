//! Everything that is published, by interned name, and who wants to hear of it.
//!
//! Names are numbered per type, so that a set of names is a bitmap; a number that nothing refers to is used again.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use roaring::RoaringBitmap;
use smidge_xds::{Epoch, Name, Resource, TypeUrl, Version, WorkloadId};

use super::StreamId;

/// The number of a name within its type.
pub(super) type Id = u32;

/// A resource in a layer.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) resource: Arc<Resource>,
    /// The publication that last changed it.
    pub(super) changed: Epoch,
}

/// All that is known of one name.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) name: Option<Name>,
    pub(super) shared: Option<Held>,
    /// How many workload layers have a resource of this name.
    pub(super) layers: u32,
    /// The streams that subscribe to it by name.
    pub(super) interested: RoaringBitmap,
    /// It is resolved for each proxy and never looked for in a layer.
    pub(super) resolved: bool,
}

/// The names of one type.
#[derive(Debug, Default)]
pub(super) struct Table {
    ids: HashMap<Name, Id>,
    entries: Vec<Entry>,
    free: Vec<Id>,
    /// The names that the shared layer has.
    pub(super) present: RoaringBitmap,
    /// The streams that subscribe to everything.
    pub(super) wildcard: RoaringBitmap,
}

impl Table {
    pub(super) fn id(&self, name: &str) -> Option<Id> {
        self.ids.get(name).copied()
    }

    pub(super) fn entry(&self, id: Id) -> &Entry {
        &self.entries[id as usize]
    }

    pub(super) fn entry_mut(&mut self, id: Id) -> &mut Entry {
        &mut self.entries[id as usize]
    }

    pub(super) fn name(&self, id: Id) -> Name {
        self.entry(id).name.clone().unwrap_or_else(|| Name::from(""))
    }

    pub(super) fn intern(&mut self, name: &str) -> Id {
        if let Some(id) = self.id(name) {
            return id;
        }
        let id = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            (self.entries.len() - 1) as Id
        });
        let name = Name::from(name);
        self.entry_mut(id).name = Some(name.clone());
        self.ids.insert(name, id);
        id
    }

    /// Enters a stream as one that subscribes to a name.
    pub(super) fn add_interest(&mut self, id: Id, stream: StreamId) {
        let interested = &mut self.entry_mut(id).interested;
        // Streams tend to be numbered one after the other, and all of them to want the same: as runs, thousands take a few
        // bytes. A bitmap turns into runs only when told to.
        if interested.insert(stream) && interested.len().is_power_of_two() {
            interested.optimize();
        }
    }

    /// How many names are interned.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Forgets the names that no layer has, no stream subscribes to, and that are not `in_use`.
    pub(super) fn forget_unused(&mut self, in_use: &RoaringBitmap) {
        for (id, entry) in self.entries.iter_mut().enumerate() {
            let id = id as Id;
            let unused = entry.shared.is_none() && entry.layers == 0 && entry.interested.is_empty() && !entry.resolved;
            if unused
                && !in_use.contains(id)
                && let Some(name) = entry.name.take()
            {
                self.ids.remove(&name);
                self.free.push(id);
            }
        }
    }
}

/// The resources of one workload.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) resources: BTreeMap<(TypeUrl, Id), Held>,
    /// The streams of the proxies that see it.
    pub(super) streams: RoaringBitmap,
}

impl Layer {
    /// Its resources of one type.
    pub(super) fn of_type(&self, type_url: TypeUrl) -> impl Iterator<Item = (Id, &Held)> {
        self.resources.range((type_url, 0)..=(type_url, Id::MAX)).map(|((_, id), held)| (*id, held))
    }
}

/// Both layers of all proxies.
#[derive(Debug, Default)]
pub(super) struct Published {
    tables: [Table; TypeUrl::ALL.len()],
    pub(super) layers: HashMap<WorkloadId, Layer>,
}

impl Published {
    pub(super) fn table(&self, type_url: TypeUrl) -> &Table {
        &self.tables[type_url as usize]
    }

    pub(super) fn table_mut(&mut self, type_url: TypeUrl) -> &mut Table {
        &mut self.tables[type_url as usize]
    }

    /// What a proxy of this workload sees under a name: its workload's resource, else the shared one.
    pub(super) fn find(&self, workload: WorkloadId, type_url: TypeUrl, id: Id) -> Option<&Held> {
        let entry = self.table(type_url).entry(id);
        if entry.layers > 0 {
            let own = self.layers.get(&workload).and_then(|layer| layer.resources.get(&(type_url, id)));
            return own.or(entry.shared.as_ref());
        }
        entry.shared.as_ref()
    }

    /// The version of what a proxy of this workload sees under a name.
    pub(super) fn version(&self, workload: WorkloadId, type_url: TypeUrl, id: Id) -> Option<Version> {
        self.find(workload, type_url, id).map(|held| held.resource.version)
    }

    /// All names of a type that a proxy of this workload sees.
    pub(super) fn visible(&self, workload: WorkloadId, type_url: TypeUrl) -> RoaringBitmap {
        let mut ids = self.table(type_url).present.clone();
        if let Some(layer) = self.layers.get(&workload) {
            ids.extend(layer.of_type(type_url).map(|(id, _)| id));
        }
        ids
    }

    /// Changes the shared layer. The name's number, if anything changed.
    pub(super) fn change_shared(&mut self, change: smidge_xds::Change, epoch: Epoch) -> Option<(TypeUrl, Id)> {
        match change {
            smidge_xds::Change::Set(resource) => {
                let type_url = resource.type_url;
                let table = self.table_mut(type_url);
                let id = table.intern(resource.name.as_str());
                let same = table.entry(id).shared.as_ref().is_some_and(|h| h.resource.version == resource.version);
                if same {
                    return None;
                }
                table.entry_mut(id).shared = Some(Held { resource, changed: epoch });
                table.present.insert(id);
                Some((type_url, id))
            }
            smidge_xds::Change::Remove(type_url, name) => {
                let table = self.table_mut(type_url);
                let id = table.id(name.as_str())?;
                table.entry_mut(id).shared.take()?;
                table.present.remove(id);
                Some((type_url, id))
            }
        }
    }

    /// Changes a workload's layer. The name's number, if anything changed.
    pub(super) fn change_layer(
        &mut self,
        workload: WorkloadId,
        change: smidge_xds::Change,
        epoch: Epoch,
    ) -> Option<(TypeUrl, Id)> {
        match change {
            smidge_xds::Change::Set(resource) => {
                let (type_url, version) = (resource.type_url, resource.version);
                let id = self.table_mut(type_url).intern(resource.name.as_str());
                let layer = self.layers.entry(workload).or_default();
                let old = layer.resources.insert((type_url, id), Held { resource, changed: epoch });
                if old.is_none() {
                    self.table_mut(type_url).entry_mut(id).layers += 1;
                }
                old.is_none_or(|held| held.resource.version != version).then_some((type_url, id))
            }
            smidge_xds::Change::Remove(type_url, name) => {
                let id = self.table(type_url).id(name.as_str())?;
                self.layers.get_mut(&workload)?.resources.remove(&(type_url, id))?;
                self.table_mut(type_url).entry_mut(id).layers -= 1;
                Some((type_url, id))
            }
        }
    }

    /// Drops a workload's layer.
    pub(super) fn drop_layer(&mut self, workload: WorkloadId) {
        for (type_url, id) in self.layers.remove(&workload).unwrap_or_default().resources.into_keys() {
            self.table_mut(type_url).entry_mut(id).layers -= 1;
        }
    }

    /// The names that two workloads see differently.
    pub(super) fn difference(&self, old: WorkloadId, new: WorkloadId) -> Vec<(TypeUrl, Id)> {
        let keys = |workload| self.layers.get(&workload).into_iter().flat_map(|layer| layer.resources.keys().copied());
        let differs = |key: &(TypeUrl, Id)| self.version(old, key.0, key.1) != self.version(new, key.0, key.1);
        let mut ids: Vec<_> = keys(old).chain(keys(new)).filter(differs).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}
