//! Any events in batches of any size, as typed objects that refer to each other: everything compiles and translates, and
//! after each batch what the engine has made step by step is what a full compile makes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use smidge_compiler::testing::events;
use smidge_engine::Engine;

/// Events of one batch, at most.
const BATCH: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, bytes)) = bytes.split_first() else { return };
    let mut engine = Engine::default();
    for batch in events(bytes).chunks(usize::from(*first) % BATCH + 1) {
        engine.apply(batch.iter().cloned());
        let drift = engine.verify().keys;
        assert!(drift.is_empty(), "incremental differs from full at {drift:?} after {batch:#?}");
    }
});
