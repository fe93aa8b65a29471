//! The exceptions that are granted, one a line: `<rule> <path>[::<function>]: <reason>`. One that nothing needs any more is an
//! error too, so that the list only holds what is true.

use std::cell::RefCell;
use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use crate::read;

const PATH: &str = "tidy/exceptions.txt";

/// The exceptions to one rule.
#[derive(Debug)]
pub struct Exceptions {
    rule: String,
    granted: BTreeSet<String>,
    used: RefCell<BTreeSet<String>>,
}

impl Exceptions {
    /// Reads the exceptions to `rule`.
    pub fn to(rule: &str) -> Result<Exceptions> {
        let text = read(PATH)?.context("the exceptions are not UTF-8")?;
        let mut granted = BTreeSet::new();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (what, reason) = line.split_once(": ").with_context(|| format!("{PATH}: no reason in `{line}`"))?;
            let (its_rule, place) = what.split_once(' ').with_context(|| format!("{PATH}: no place in `{line}`"))?;
            ensure!(reason.split(' ').count() >= 4, "{PATH}: that is hardly a reason: `{line}`");
            if its_rule == rule {
                granted.insert(place.to_owned());
            }
        }
        Ok(Exceptions { rule: rule.to_owned(), granted, used: RefCell::default() })
    }

    /// Is `place` (a path, or `path::function`) excepted?
    pub fn cover(&self, place: &str) -> bool {
        let covered = self.granted.contains(place);
        if covered {
            self.used.borrow_mut().insert(place.to_owned());
        }
        covered
    }

    /// What was granted but covered nothing.
    pub fn unused(&self) -> Vec<String> {
        let stale = |place: &String| format!("{PATH}: `{} {place}` is not needed any more", self.rule);
        self.granted.difference(&self.used.borrow()).map(stale).collect()
    }
}
