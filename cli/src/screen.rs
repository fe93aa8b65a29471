//! Statuses for people: a table that is drawn again on a terminal, a line for each change elsewhere.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, Stdout, Write, stdout},
    sync::Arc,
};

use smidge_compiler::ObjectRef;
use smidge_operator::standalone::{Problem, Statuses};
use smidge_report::{Row, table};

/// To the upper left corner, and what was below is gone.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// What was shown last.
pub(crate) struct Screen {
    out: Stdout,
    shown: BTreeMap<ObjectRef, Row>,
    problems: Arc<[Problem]>,
}

impl Screen {
    pub(crate) fn new() -> Self {
        Self { out: stdout(), shown: BTreeMap::new(), problems: Arc::from([]) }
    }

    /// Shows what has changed since the last call.
    pub(crate) fn show(&mut self, statuses: &Statuses, problems: &Arc<[Problem]>) -> std::io::Result<()> {
        let rows = statuses.iter().map(|(object, status)| (object.clone(), Row::of(object, status))).collect();
        let text = match self.out.is_terminal() {
            true => draw(&rows, problems),
            false => self.changes(&rows, problems),
        };
        self.shown = rows;
        self.problems = Arc::clone(problems);
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn changes(&self, rows: &BTreeMap<ObjectRef, Row>, problems: &[Problem]) -> String {
        let changed =
            rows.iter().filter(|(object, row)| self.shown.get(*object) != Some(*row)).map(|(_, row)| line(row));
        let gone =
            self.shown.keys().filter(|object| !rows.contains_key(*object)).map(|object| format!("{object} gone\n"));
        let wrong = problems.iter().filter(|problem| !self.problems.contains(problem)).map(|p| format!("{p}\n"));
        wrong.chain(changed).chain(gone).collect()
    }
}

fn draw(rows: &BTreeMap<ObjectRef, Row>, problems: &[Problem]) -> String {
    let rows: Vec<Row> = rows.values().cloned().collect();
    let problems: String = problems.iter().map(|problem| format!("{problem}\n")).collect();
    format!("{CLEAR}{}{problems}", table(&rows))
}

fn line(row: &Row) -> String {
    let Row { object, accepted, resolved_refs, programmed, proxies, message } = row;
    let verdicts = format!("Accepted={accepted} ResolvedRefs={resolved_refs} Programmed={programmed}");
    format!("{object} {verdicts} proxies={proxies} {message}").trim_end().to_owned() + "\n"
}
