//! What the turns say: how long requests took, what the proxies added and used, and how ours compares to the floor.

use std::time::Duration;

/// One turn of one way.
pub(super) struct Turn {
    /// How long each request took.
    pub(super) took: Vec<Duration>,
    /// What both Envoys used.
    pub(super) cpu: Duration,
}

/// One way at one rate.
pub(super) struct Measured {
    pub(super) name: &'static str,
    pub(super) turns: Vec<Turn>,
}

impl Measured {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, turns: Vec::new() }
    }

    /// Of all requests, in microseconds.
    fn percentile(&self, percent: usize) -> f64 {
        percentile(self.turns.iter().flat_map(|turn| turn.took.iter().copied()).collect(), percent)
    }

    /// Microseconds of both Envoys for each request.
    fn cpu(&self) -> f64 {
        let requests: usize = self.turns.iter().map(|turn| turn.took.len()).sum();
        self.turns.iter().map(|turn| turn.cpu).sum::<Duration>().as_secs_f64() * 1e6 / requests as f64
    }
}

impl Turn {
    fn percentile(&self, percent: usize) -> f64 {
        percentile(self.took.clone(), percent)
    }

    fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() / self.took.len() as f64
    }
}

/// In microseconds.
fn percentile(mut took: Vec<Duration>, percent: usize) -> f64 {
    took.sort();
    took[(took.len() - 1) * percent / 100].as_secs_f64() * 1e6
}

/// One row for each way. The first is the one without a proxy, the second the floor that the others are compared to.
pub(super) fn print(rate: u32, measured: &[Measured]) {
    let [none, floor, ours @ ..] = measured else { return };
    println!(
        "\n{:<28} {:>8} {:>8} {:>10} {:>10} {:>8}",
        format!("{rate} a second, µs"),
        "p50",
        "p99",
        "added p50",
        "added p99",
        "CPU"
    );
    for way in measured {
        let [p50, p99] = [50, 99].map(|percent| way.percentile(percent));
        let [more50, more99] = [p50 - none.percentile(50), p99 - none.percentile(99)];
        println!("{:<28} {p50:>8.0} {p99:>8.0} {more50:>10.0} {more99:>10.0} {:>8.0}", way.name, way.cpu());
    }
    for way in ours {
        let at = |percent: usize| {
            compare(way, floor, none, |way, floor, _| way.percentile(percent) / floor.percentile(percent))
        };
        let added = compare(way, floor, none, |way, floor, none| {
            (way.percentile(50) - none.percentile(50)) / (floor.percentile(50) - none.percentile(50))
        });
        println!("{} ÷ {}, median of the rounds (quartiles):", way.name, floor.name);
        println!("  added p50 {added}, whole p50 {}, whole p99 {}", at(50), at(99));
        println!("  CPU {}", compare(way, floor, none, |way, floor, _| way.cpu() / floor.cpu()));
    }
}

/// A ratio in each round, which compares neighbours in time: the median and, in brackets, the quartiles.
fn compare(way: &Measured, floor: &Measured, none: &Measured, ratio: impl Fn(&Turn, &Turn, &Turn) -> f64) -> String {
    let rounds = way.turns.iter().zip(&floor.turns).zip(&none.turns);
    let mut ratios: Vec<f64> = rounds.map(|((way, floor), none)| ratio(way, floor, none)).collect();
    ratios.sort_by(f64::total_cmp);
    let quartile = |quarter: usize| ratios[(ratios.len() - 1) * quarter / 4];
    format!("{:.2} ({:.2}–{:.2})", quartile(2), quartile(1), quartile(3))
}
