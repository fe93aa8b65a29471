//! The same answer for programs: a value in, JSON or YAML out.

use std::io::Write;

use serde::Serialize;

use crate::args::reads::Shown;

/// Prints it, whole. (A table is its own command's matter: as one it is printed as YAML.)
pub(crate) fn write(value: &impl Serialize, form: Shown) -> anyhow::Result<()> {
    let text = match form {
        Shown::Json => serde_json::to_string_pretty(value)?,
        Shown::Yaml | Shown::Table => serde_yaml::to_string(value)?,
    };
    writeln!(std::io::stdout().lock(), "{}", text.trim_end())?;
    Ok(())
}
