//! What acknowledgements cost: `cargo run --release -p smidge-report --example report_time [proxies] [objects]`.
//!
//! Every proxy acknowledges one publication after another; after each, the objects that it is news for are looked at.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use smidge_engine::{Audience, Effect, Placement};
use smidge_report::{Acknowledgements, Standing, Subject};
use smidge_xds::{Epoch, ProxyId, Version, WorkloadId};

const ROUNDS: u64 = 100;

fn main() {
    let mut sizes = std::env::args().skip(1).map(|size| size.parse().expect("a number"));
    let proxies = (0..sizes.next().unwrap_or(2_000)).map(|number| ProxyId::from(format!("pod-{number}.ns")));
    let proxies: Vec<ProxyId> = proxies.collect();
    let objects: Vec<Effect> = (1..=sizes.next().unwrap_or(1_000)).map(effect).collect();
    let mut acks = Acknowledgements::default();
    for (workload, proxy) in (0..).zip(&proxies) {
        let (workload, key) = (WorkloadId(workload % 100), Version::default());
        let placement = Placement { workload, key, ready: true, since: Epoch(1) };
        acks.place(proxy, Some(placement));
    }

    let all = Epoch(objects.len() as u64);
    let start = Instant::now();
    acks.report(all, proxies.iter().map(|proxy| (proxy.clone(), Some(Standing::default()))));
    let first = look(&mut acks, &objects);
    println!("first report: {:?}, {first} objects looked at", start.elapsed());

    let (mut worst, mut looked, start) = (Duration::ZERO, 0, Instant::now());
    for epoch in (all.0 + 1)..=(all.0 + ROUNDS) {
        let round = Instant::now();
        let behind = Standing { behind_since: Some(Epoch(epoch)), ..Standing::default() };
        acks.report(Epoch(epoch), proxies.iter().map(|proxy| (proxy.clone(), Some(behind.clone()))));
        acks.report(Epoch(epoch), proxies.iter().map(|proxy| (proxy.clone(), Some(Standing::default()))));
        looked += look(&mut acks, &objects);
        worst = worst.max(round.elapsed());
    }
    let average = start.elapsed() / ROUNDS as u32;
    println!("a publication that every proxy acknowledges and no object waits for:");
    println!("on average {average:?}, at worst {worst:?}, {looked} objects looked at in all");
}

/// Each object's effect changed in a publication of its own; every third concerns some workloads only.
fn effect(number: u64) -> Effect {
    let audience = match number % 3 {
        0 => Audience::Workloads([WorkloadId((number % 100) as u32)].into()),
        _ => Audience::Everyone,
    };
    Effect { generation: 1, diagnostics: [].into(), epoch: Epoch(number), version: Version::default(), audience }
}

fn look(acks: &mut Acknowledgements, objects: &[Effect]) -> usize {
    let news = acks.take_news();
    let concerned: Vec<&Effect> =
        objects.iter().filter(|effect| acks.concern(&news, &Subject::TrustBundle, effect)).collect();
    concerned.iter().for_each(|effect| drop(acks.tally(&Subject::TrustBundle, effect, BTreeSet::new)));
    concerned.len()
}
