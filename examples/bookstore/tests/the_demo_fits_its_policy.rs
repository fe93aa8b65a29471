//! The demo, run whole for a few seconds with the real control plane and stock Envoys; needs root.

#![allow(clippy::unwrap_used, reason = "clippy knows tests by their attribute, not what they share")]

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A copy of the example's manifests, to be edited without harm.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap().flatten() {
        if entry.path().extension().is_some_and(|ending| ending == "yaml") {
            fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
    }
    folder
}

fn demo(folder: &Path, time: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bookstore-demo"));
    command.arg(folder).args(["--for", time]).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn the_buyer_gets_its_shares_and_the_thief_403() {
    let output = demo(folder().path(), "8s").output().unwrap();
    let text = text(&output);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("first book sold after"), "{text}");
    assert!(text.lines().any(|line| line.starts_with("bookthief") && line.contains("403 denied")), "{text}");
}

#[test]
fn an_edit_of_the_split_moves_the_shares() {
    let folder = folder();
    let mut demo = demo(folder.path(), "12s").spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    // A line each second: enough of them for the first policy to be judged.
    let before: Vec<_> = lines.by_ref().filter(|line| line.contains("bookbuyer ")).take(4).collect();
    let split = folder.path().join("split.yaml");
    let edited = fs::read_to_string(&split).unwrap().replace("weight: 90", "weight: 0");
    fs::write(&split, edited).unwrap();
    let text: String = before.into_iter().chain(lines).map(|line| line + "\n").collect();
    let output = demo.wait_with_output().unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let second = text.split_once("Policy 2 of 2").unwrap_or_else(|| panic!("{text}")).1;
    let buyer = second.lines().find(|line| line.starts_with("bookbuyer")).unwrap();
    assert!(buyer.contains("bookstore-v2") && buyer.contains("100.0%"), "{text}");
}

/// Paths are beyond what the demo expects from the manifests: taking one away is how it can be made to measure a misfit.
#[test]
fn what_does_not_fit_fails() {
    let folder = folder();
    let access = folder.path().join("access.yaml");
    let edited = fs::read_to_string(&access).unwrap().replace("pathRegex: /books-bought", "pathRegex: /none");
    fs::write(&access, edited).unwrap();
    let output = demo(folder.path(), "6s").output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("DOES NOT FIT"), "{text}");
}
