//! The house in order: what reviews would otherwise say again and again. Each rule says what to do when it is broken.

mod lengths;
mod map;
mod purity;
mod words;

/// Fails with all complaints at once.
fn report(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
