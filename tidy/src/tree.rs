//! The files that git tracks, and their text.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::Source;

/// The root of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The paths of all files that are tracked, or new and not ignored, relative to the root.
pub fn tracked() -> Result<Vec<String>> {
    let mut git = Command::new("git");
    // The checkout may belong to another user than the one who tests, as in a container.
    git.args(["-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root());
    let output = git.output().context("git ls-files")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8(output.stdout)?;
    Ok(list.lines().filter(|path| root().join(path).is_file()).map(str::to_owned).collect())
}

/// A file's text; `None` when it is not text.
pub fn read(path: &str) -> Result<Option<String>> {
    let bytes = std::fs::read(root().join(path)).with_context(|| path.to_owned())?;
    Ok(String::from_utf8(bytes).ok())
}

/// Every tracked Rust file.
pub fn rust_sources() -> Result<Vec<Source>> {
    let rust = tracked()?.into_iter().filter(|path| path.ends_with(".rs"));
    rust.map(|path| {
        let text = read(&path)?.with_context(|| format!("{path} is not UTF-8"))?;
        Source::parse(path, text)
    })
    .collect()
}
