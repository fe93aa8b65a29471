//! Any script of publications, answers, refusals and reconnects against the xDS protocol machine: no client is ever sent a
//! route without its cluster, and all converge on what is published.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| smidge_xds_server::exercise::drive(script));
