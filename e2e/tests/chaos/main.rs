//! What befalls a control plane in production, each under a constant load of which not one request may fail, and each with the
//! same end: no object is lost, every status is true, and somebody was told. In full by `make chaos`; in a short form without.

mod it_is_ended;
mod its_clock_jumps;
mod its_store_and_api_server_fail;
mod proxies_misbehave;
mod scene;
mod soak;
mod storm;
mod the_version_changes;
mod what_it_keeps_is_taken_away;

/// Is it the whole of it?
fn is_full() -> bool {
    std::env::var("SMIDGE_CHAOS").is_ok_and(|form| form == "full")
}

/// So much in the short form, so much in full.
fn amount<T>(short: T, full: T) -> T {
    if is_full() { full } else { short }
}
