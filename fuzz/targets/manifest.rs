//! Any text as manifests: YAML → facts → compile → translate. Nothing panics, and a text that replaces another ends in the
//! same mesh as the text alone. The two texts are separated by a line `=====`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smidge_compiler::Event;
use smidge_engine::Engine;
use smidge_operator::standalone::Manifests;

/// Put before every text, so that what the fuzzer writes finds a mesh to be in.
const MESH: &str = include_str!("mesh.yaml");

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (before, after) = text.split_once("\n=====\n").unwrap_or(("", text));
    let (before, after) = (manifests(before), manifests(after));

    let mut engine = Engine::default();
    engine.apply(before.events());
    let gone = before.events().into_iter().filter_map(|event| match event {
        Event::Apply(fact) => Some(Event::Delete(fact.object())),
        _ => None,
    });
    engine.apply(gone.chain(after.events()));
    let drift = engine.verify().keys;
    assert!(drift.is_empty(), "incremental differs from full at {drift:?}");
});

fn manifests(text: &str) -> Manifests {
    let mut manifests = Manifests::default();
    manifests.replace_text(&format!("{MESH}\n---\n{text}"));
    manifests
}
