//! The shared libraries that a program of this machine loads, the loader among them, as `images/libraries.sh` names them for users'
//! images too.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::repository;

/// Where the libraries are; none for a static program.
pub(super) fn of(program: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new(repository().join("images/libraries.sh")).arg(program).output();
    let output = output.context("cannot run images/libraries.sh")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.lines().map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_their_loader_are_found_and_a_broken_program_is_told() {
        let own = of(&std::env::current_exe().unwrap()).unwrap();
        assert!(own.iter().all(|library| library.is_absolute() && library.exists()), "{own:?}");
        for name in ["libc.so", "ld-linux"] {
            assert!(own.iter().any(|library| library.to_string_lossy().contains(name)), "no {name} among {own:?}");
        }
        assert!(of(Path::new("/nowhere")).is_err());
    }
}
