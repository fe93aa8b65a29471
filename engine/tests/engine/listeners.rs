//! Invariant 3: no SMI edit changes a listener (envoy.md, "What an update does to traffic", 2).

use proptest::{prelude::*, sample::Index};
use smidge_compiler::Kind;
use smidge_engine::Engine;
use smidge_xds::{Change, LayerChange, Name, TypeUrl, Update};

use crate::world::{FORMS, Slot, event, slots};

fn is_smi(slot: &Slot) -> bool {
    matches!(slot.0, Kind::TrafficSplit | Kind::TrafficTarget | Kind::HttpRouteGroup | Kind::TcpRoute)
}

fn edits() -> impl Strategy<Value = Vec<(Slot, Option<u8>)>> {
    let smi: Vec<Slot> = slots().into_iter().filter(is_smi).collect();
    let edit = (any::<Index>(), proptest::option::weighted(0.8, 0..FORMS));
    proptest::collection::vec(edit.prop_map(move |(index, form)| (*index.get(&smi), form)), 1..30)
}

fn listeners(update: &Update) -> Vec<&Name> {
    let own = update.workloads.iter().flat_map(|(_, change)| match change {
        LayerChange::Resources(changes) => &changes[..],
        LayerChange::Gone => &[],
    });
    update.shared.iter().chain(own).filter_map(listener).collect()
}

fn listener(change: &Change) -> Option<&Name> {
    let (type_url, name) = match change {
        Change::Set(resource) => (resource.type_url, &resource.name),
        Change::Remove(type_url, name) => (*type_url, name),
    };
    (type_url == TypeUrl::Listener).then_some(name)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_smi_edit_changes_a_listener(edits in edits(), forms in proptest::collection::vec(0..FORMS, slots().len())) {
        let mut engine = Engine::default();
        let all = slots().into_iter().zip(forms);
        let step = engine.apply(all.map(|(slot, form)| event(slot, Some(form))));
        prop_assert!(!listeners(&step.update).is_empty(), "there are listeners that could change");
        for (slot, form) in edits {
            let step = engine.apply([event(slot, form)]);
            prop_assert_eq!(listeners(&step.update), Vec::<&Name>::new(), "{:?} {:?}", slot, form);
        }
    }
}
