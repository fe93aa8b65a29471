//! What the demo shows: a table that is drawn again on a terminal, plain lines elsewhere, and the summary.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{IsTerminal, Write as _, stdout},
    path::{Path, PathBuf},
    time::Instant,
};

use crate::{policy::Outcome, tally::Tally, verdict::Finding};

/// Where to look for what the demo does.
pub(crate) struct Screen {
    folder: PathBuf,
    begin: Instant,
    redraw: bool,
    sale_told: bool,
    note: String,
}

impl Screen {
    pub(crate) fn new(folder: &Path, begin: Instant) -> Self {
        let redraw = stdout().is_terminal();
        Self { folder: folder.into(), begin, redraw, sale_told: false, note: String::new() }
    }

    /// Says that the folder cannot be read at present; the last policy goes on to be expected.
    pub(crate) fn unreadable(&mut self, error: &anyhow::Error) {
        self.note = format!("cannot read the manifests: {error:#}");
    }

    /// Shows the present rates.
    pub(crate) fn draw(&mut self, tally: &mut Tally, apps: &[String]) {
        let rates = tally.rates(Instant::now());
        let text = if self.redraw { self.table(&rates, tally, apps) } else { self.lines(&rates, tally) };
        // Nobody is left to be told when the output is gone.
        let _ = write!(stdout(), "{text}").and_then(|()| stdout().flush());
        self.note.clear();
    }

    fn table(&self, rates: &Rates, tally: &Tally, apps: &[String]) -> String {
        // Home, and from there: each line to its end, then all below.
        let mut text = String::from("\x1b[H");
        let mut line = |args: std::fmt::Arguments<'_>| {
            let _ = writeln!(text, "{args}\x1b[K");
        };
        line(format_args!("The bookstore under Smidge, {:.0} s", self.begin.elapsed().as_secs_f64()));
        line(format_args!("{}", self.first_sale(tally)));
        line(format_args!(""));
        line(format_args!("{:<14} {:<16} {:>9} {:>8} {:>9}", "WHO", "ANSWERED BY", "CALLS/S", "SHARE", "EXPECTED"));
        for app in apps {
            for row in rows(app, rates, tally) {
                line(format_args!("{row}"));
            }
        }
        line(format_args!(""));
        line(format_args!("Edit and save, and watch the shares move:  {}", self.folder.join("split.yaml").display()));
        line(format_args!("Let the thief in, or the buyer not:        {}", self.folder.join("access.yaml").display()));
        line(format_args!("{}", self.note));
        text + "\x1b[J"
    }

    fn lines(&mut self, rates: &Rates, tally: &Tally) -> String {
        let mut text = String::new();
        if tally.first_sale.is_some() && !self.sale_told {
            self.sale_told = true;
            let _ = writeln!(text, "{}; edit {} to see the shares move", self.first_sale(tally), self.split());
        }
        let apps = rates.iter().map(|(app, outcomes)| {
            let sum: f64 = outcomes.values().sum();
            let shares = outcomes.iter().map(|(outcome, rate)| format!("{outcome} {:.0}%", 100.0 * rate / sum));
            format!("{app} {sum:.0}/s: {}", shares.collect::<Vec<_>>().join(", "))
        });
        let shares = apps.collect::<Vec<_>>().join(" | ");
        let _ = writeln!(text, "{:>4.0} s  {shares}", self.begin.elapsed().as_secs_f64());
        if !self.note.is_empty() {
            let _ = writeln!(text, "        {}", self.note);
        }
        text
    }

    fn split(&self) -> String {
        self.folder.join("split.yaml").display().to_string()
    }

    fn first_sale(&self, tally: &Tally) -> String {
        let sale = tally.first_sale.map(|at| format!("first book sold after {:.1} s", (at - self.begin).as_secs_f64()));
        sale.unwrap_or_else(|| "no book sold yet".into())
    }

    /// Shows, for each state of the policy, what was expected and what was seen.
    pub(crate) fn summary(&self, tally: &Tally, findings: &[Vec<Finding>]) {
        let mut text = format!("\n{}\n", self.first_sale(tally));
        for (index, period) in findings.iter().enumerate() {
            if findings.len() > 1 {
                let _ = writeln!(text, "\nPolicy {} of {}", index + 1, findings.len());
            }
            let _ =
                writeln!(text, "{:<14} {:<16} {:>13} {:>8} {:>9}", "WHO", "ANSWERED BY", "CALLS", "SHARE", "EXPECTED");
            for Finding { app, outcome, expected, seen, of, fits } in period {
                let share = percent(*seen as f64 / (*of).max(1) as f64);
                let calls = format!("{seen} of {of}");
                let verdict = if *fits { "fits" } else { "DOES NOT FIT" };
                let expected = percent(*expected);
                let outcome = outcome.to_string();
                let _ = writeln!(text, "{app:<14} {outcome:<16} {calls:>13} {share:>8} {expected:>9}  {verdict}");
            }
        }
        let _ = write!(stdout(), "{text}").and_then(|()| stdout().flush());
    }
}

type Rates = BTreeMap<String, BTreeMap<Outcome, f64>>;

/// One row for each way that this app's calls end.
fn rows(app: &str, rates: &Rates, tally: &Tally) -> Vec<String> {
    let Some(outcomes) = rates.get(app) else { return Vec::new() };
    let sum: f64 = outcomes.values().sum();
    let expected = tally.present().policy.expected(app);
    let row = |(outcome, rate): (&Outcome, &f64)| {
        let expected = percent(*expected.get(outcome).unwrap_or(&0.0));
        format!("{app:<14} {:<16} {rate:>9.1} {:>8} {expected:>9}", outcome.to_string(), percent(rate / sum))
    };
    outcomes.iter().map(row).collect()
}

fn percent(share: f64) -> String {
    format!("{:.1}%", 100.0 * share)
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Served(by) => f.write_str(by),
            Self::Denied => f.write_str("403 denied"),
            Self::Failed(0) => f.write_str("no answer"),
            Self::Failed(status) => write!(f, "failed: {status}"),
        }
    }
}
