//! `--status <file>`: all statuses, whole at any moment.

use std::{fs, path::PathBuf};

use anyhow::Context;
use serde::Serialize;
use smidge_crds::Status;
use smidge_operator::standalone::Statuses;

/// The file that is replaced with each change.
pub(crate) struct StatusFile(PathBuf);

#[derive(Serialize)]
struct Entry<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    name: &'a str,
    status: &'a Status,
}

impl StatusFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Puts the statuses in place of those of before; who reads meanwhile sees either.
    pub(crate) fn write(&self, statuses: &Statuses) -> anyhow::Result<()> {
        let entry = |(object, status)| {
            let object: &smidge_compiler::ObjectRef = object;
            let status: &std::sync::Arc<Status> = status;
            Entry { kind: object.kind.as_str(), namespace: &object.namespace, name: &object.name, status }
        };
        let entries: Vec<_> = statuses.iter().map(entry).collect();
        let is_json = self.0.extension().is_some_and(|extension| extension == "json");
        let text = if is_json { serde_json::to_string_pretty(&entries)? } else { serde_yaml::to_string(&entries)? };
        let temporary = self.0.with_extension(format!("{}.new", std::process::id()));
        let replace = fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &self.0));
        replace.with_context(|| format!("cannot write the statuses to {}", self.0.display()))
    }
}
