//! What certificates cost: `cargo run --release -p smidge-operator --example sign_time [certificates]`.
//!
//! One thread makes keys and signs, as a replica does for its proxies; printed is the time for 1,000 of them.

use std::{hint::black_box, time::Instant};

use smidge_mesh::{Identity, TrustDomain};
use smidge_operator::identity::{LIFETIME, Root};

fn main() {
    let count: u32 = std::env::args().nth(1).map_or(10_000, |count| count.parse().expect("a number"));
    let root = Root::generate(LIFETIME).expect("a root");
    let trust_domain = TrustDomain::default();
    let identity = Identity { trust_domain, namespace: "shop".into(), service_account: "web".into() };
    let start = Instant::now();
    for _ in 0..count {
        black_box(root.issue(&identity).expect("a certificate"));
    }
    println!("{:?} per 1,000 certificates, on one core", start.elapsed() / count * 1000);
}
