//! Statuses as a table, for people without a cluster.

use smidge_compiler::ObjectRef;
use smidge_crds::Status;

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which object.
    pub object: String,
    /// `True`, `False`, `Unknown`, or `-` before anything is known.
    pub accepted: String,
    /// Likewise.
    pub resolved_refs: String,
    /// Likewise.
    pub programmed: String,
    /// `2/3`, and how many rejected it.
    pub proxies: String,
    /// What is most worth reading: the message of the first condition that is not True.
    pub message: String,
}

impl Row {
    /// The line about an object.
    pub fn of(object: &ObjectRef, status: &Status) -> Self {
        let of_type = |type_| status.conditions.iter().find(|c| c.type_ == type_);
        let cell = |type_| of_type(type_).map_or("-".to_owned(), |c| c.status.clone());
        let proxies = status.proxies.map_or("-".to_owned(), |p| match p.rejected {
            0 => format!("{}/{}", p.acknowledged, p.total),
            rejected => format!("{}/{}, {rejected} rejected", p.acknowledged, p.total),
        });
        let trouble = status.conditions.iter().find(|c| c.status != "True");
        let accepted = of_type("Accepted").filter(|c| c.message.contains("note:"));
        let message = trouble.or(accepted).map_or(String::new(), |c| format!("{}: {}", c.reason, c.message));
        Self {
            object: object.to_string(),
            accepted: cell("Accepted"),
            resolved_refs: cell("ResolvedRefs"),
            programmed: cell("Programmed"),
            proxies,
            message: message.replace(char::is_control, " "),
        }
    }

    fn cells(&self) -> [&str; 6] {
        [&self.object, &self.accepted, &self.resolved_refs, &self.programmed, &self.proxies, &self.message]
    }
}

const HEAD: [&str; 6] = ["OBJECT", "ACCEPTED", "RESOLVEDREFS", "PROGRAMMED", "PROXIES", "MESSAGE"];

/// The table, with its head, each column as wide as it needs.
pub fn table(rows: &[Row]) -> String {
    let lines: Vec<[&str; 6]> = std::iter::once(HEAD).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    let line = |cells: &[&str; 6]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    lines.iter().map(line).collect()
}
