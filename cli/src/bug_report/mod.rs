//! `smidge bug-report`: what those who look for a fault ask for, in one archive. Secrets and ConfigMaps are never read, and all
//! that is read goes through [`redaction`] before it is written.

mod gather;
mod redaction;

use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use jiff::Timestamp;
use smidge_operator::cluster::connect;

use crate::{args::reads::BugReport, seen::runtime};
use redaction::clean;

/// The files of the archive, by name; what could not be had is told in one of them.
#[derive(Debug, Default)]
struct Archive {
    files: BTreeMap<String, String>,
    failures: Vec<String>,
}

impl Archive {
    /// Adds a file; nothing gets in without being cleaned.
    fn add(&mut self, name: impl Into<String>, text: &str) {
        self.files.insert(name.into(), clean(text));
    }

    /// Adds a file, or the reason why there is none.
    fn add_or_tell<E: Into<anyhow::Error>>(&mut self, name: &str, text: Result<String, E>) {
        match text {
            Ok(text) => self.add(name, &text),
            Err(error) => self.failures.push(format!("{name}: {:#}", error.into())),
        }
    }

    /// Writes all files into one folder of a tar archive.
    fn write(&self, to: &Path, folder: &str, now: Timestamp) -> anyhow::Result<()> {
        // Whoever else is on this machine need not read it.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
        let file = file.with_context(|| format!("cannot create {} (-o names another file)", to.display()))?;
        let mut tar = tar::Builder::new(file);
        for (name, text) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o600);
            header.set_mtime(u64::try_from(now.as_second()).unwrap_or_default());
            tar.append_data(&mut header, format!("{folder}/{name}"), text.as_bytes())?;
        }
        tar.into_inner()?.flush().with_context(|| format!("cannot write {}", to.display()))
    }
}

pub(crate) fn run(args: &BugReport) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        let (client, address) = connect().await?;
        let now = Timestamp::now();
        let folder = format!("smidge-bug-report-{}", now.strftime("%Y%m%d-%H%M%S"));
        let to = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{folder}.tar")));
        let mut archive = Archive::default();
        client.apiserver_version().await.with_context(|| format!("the API server {address} does not answer"))?;
        gather::all(&client, args, &mut archive).await;
        let failures = archive.failures.join("\n");
        archive.add("what-could-not-be-had.txt", if failures.is_empty() { "nothing" } else { &failures });
        archive.write(&to, &folder, now)?;
        archive.failures.iter().for_each(|failure| eprintln!("! {failure}"));
        println!("✓ wrote {} ({} files); look through it before you give it away", to.display(), archive.files.len());
        Ok(ExitCode::SUCCESS)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_gets_into_the_archive_without_being_cleaned() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("report.tar");
        let mut archive = Archive::default();
        archive.add("logs/one.log", "authorization: Bearer planted-secret\nfine");
        archive.write(&to, "report", Timestamp::UNIX_EPOCH).unwrap();
        let bytes = std::fs::read(&to).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("report/logs/one.log") && text.contains("fine") && !text.contains("planted"), "{text}");
        let again = archive.write(&to, "report", Timestamp::UNIX_EPOCH).unwrap_err();
        assert!(again.to_string().contains("-o names another file"), "what is there is not overwritten");
    }
}
