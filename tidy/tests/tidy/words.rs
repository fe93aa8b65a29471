//! Names say what a thing is, in the field's words; and some things are not written down at all.

use anyhow::Result;
use tidy::{Exceptions, Source, read, rust_sources, tracked};

use crate::report;

/// They say nothing, or are used for everything.
const EMPTY_WORDS: [&str; 8] = ["handler", "manager", "catalog", "context", "info", "util", "utils", "helpers"];

/// Verbs that do not say what is done.
const EMPTY_VERBS: [&str; 3] = ["process", "handle", "get"];

/// Marks of unfinished work. In halves, so that this file does not hold them.
const UNFINISHED: [(&str, &str); 6] =
    [("todo", "!("), ("dbg", "!("), ("unimplemented", "!("), ("#[ig", "nore"), ("FIX", "ME"), ("XX", "X ")];

/// Places of one machine.
const PLACES: [(&str, &str); 4] = [("/ro", "ot/"), ("/ho", "me/"), ("/wo", "rk/"), ("/tm", "p/wt")];

#[test]
fn names_are_the_fields_words() -> Result<()> {
    let exceptions = Exceptions::to("name")?;
    let mut complaints = Vec::new();
    for source in rust_sources()? {
        for (name, line) in &source.names {
            let Some(word) = empty_word(name) else { continue };
            if !exceptions.cover(&format!("{}::{name}", source.path)) {
                complaints.push(format!("{}:{line}: `{name}`: not `{word}`; say what it is or does", source.path));
            }
        }
    }
    complaints.extend(exceptions.unused());
    report(complaints);
    Ok(())
}

fn empty_word(name: &str) -> Option<String> {
    let words = words(name);
    let is_verb_of_function = name.starts_with(char::is_lowercase) && words.len() > 1;
    let verb = words.first().filter(|verb| is_verb_of_function && EMPTY_VERBS.contains(&verb.as_str()));
    verb.or_else(|| words.iter().find(|word| EMPTY_WORDS.contains(&word.as_str()))).cloned()
}

/// `PodFacts` and `pod_facts` are the words pod and facts.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = vec![String::new()];
    for letter in name.chars() {
        if (letter.is_uppercase() || letter == '_') && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| letter != '_') {
            word.extend(letter.to_lowercase());
        }
    }
    words
}

#[test]
fn nothing_is_left_unfinished() -> Result<()> {
    report(everywhere(&rust_sources()?, &UNFINISHED, "finish it, or file an issue"));
    Ok(())
}

#[test]
fn no_path_of_one_machine_is_written_down() -> Result<()> {
    let mut complaints = Vec::new();
    for path in tracked()?.into_iter().filter(|path| !path.ends_with(".lock") && !path.ends_with("go.sum")) {
        let text = read(&path)?.unwrap_or_default();
        for (first, second) in PLACES {
            let place = format!("{first}{second}");
            for (index, _) in text.lines().enumerate().filter(|(_, line)| line.contains(&place)) {
                complaints.push(format!("{path}:{}: `{place}` is a place of one machine", index + 1));
            }
        }
    }
    report(complaints);
    Ok(())
}

#[test]
fn tests_wait_for_conditions_not_for_time() -> Result<()> {
    let exceptions = Exceptions::to("sleep")?;
    let mut complaints = Vec::new();
    for source in rust_sources()?.iter().filter(|source| source.is_test()) {
        let sleeps: Vec<_> = source.code().filter(|(_, line)| line.contains(concat!("sle", "ep("))).collect();
        if !sleeps.is_empty() && !exceptions.cover(&source.path) {
            let told = |(line, _): &(usize, &str)| {
                format!("{}:{line}: wait for a condition (smidge_e2e::eventually)", source.path)
            };
            complaints.extend(sleeps.iter().map(told));
        }
    }
    complaints.extend(exceptions.unused());
    report(complaints);
    Ok(())
}

fn everywhere(sources: &[Source], halves: &[(&str, &str)], what_to_do: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        for (number, line) in source.text.lines().enumerate() {
            let found =
                halves.iter().map(|(first, second)| format!("{first}{second}")).find(|mark| line.contains(mark));
            complaints.extend(found.map(|mark| format!("{}:{}: `{mark}`: {what_to_do}", source.path, number + 1)));
        }
    }
    complaints
}
