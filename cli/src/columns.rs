//! Tables for people: rows of cells in, aligned text out. What pods and Envoys say of themselves may hold anything, so no
//! control character gets to the terminal.

use anstyle::Style;

use crate::paint::painted;

/// Under a head, each column as wide as its widest cell. A cell that is empty shows as `-`.
pub(crate) fn columns<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    styled(head, rows, |_| None)
}

/// The same with a style for some cells.
pub(crate) fn styled<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    style: impl Fn(&str) -> Option<Style>,
) -> String {
    let head = head.map(str::to_owned);
    let rows: Vec<[String; N]> = std::iter::once(head).chain(rows).map(|row| row.map(|cell| shown(&cell))).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| {
            let padded = format!("{cell:<width$}");
            style(cell).map(|style| painted(style, &padded)).unwrap_or(padded)
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn shown(cell: &str) -> String {
    if cell.is_empty() { "-".to_owned() } else { plain(cell) }
}

/// Text of others as one line that does nothing to a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "longer"], ["", "\u{1b}[2Jx"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(["NAME", "X"], rows), "NAME  X\na     longer\n-      [2Jx\n");
    }
}
