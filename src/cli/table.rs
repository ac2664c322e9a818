//! Lists as aligned columns, for people.

use super::output::say;

/// Rows below their headings, each column as wide as its widest cell.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

/// A longer cell is cut: what somebody wrote must not push the other columns off the screen.
const CELL_MAX: usize = 60;

impl Table {
    /// A table with these headings.
    pub(super) fn new(headings: &[&str]) -> Table {
        Table { rows: vec![headings.iter().map(|heading| heading.to_uppercase()).collect()] }
    }

    /// Adds a row; an empty cell is shown as `-`.
    pub(super) fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|cell| shown(cell.as_ref())).collect());
    }

    /// The lines.
    pub(super) fn lines(&self) -> Vec<String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width =
            |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
            cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        self.rows.iter().map(line).collect()
    }

    /// Prints it; `nothing` where it has no row.
    pub(super) fn print(&self, nothing: &str) {
        match self.rows.len() {
            0 | 1 => say(nothing),
            _ => self.lines().iter().for_each(|line| say(line)),
        }
    }
}

/// Text from a database on somebody's terminal: one line, no control characters.
fn shown(text: &str) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match clean.trim() {
        "" => "-".into(),
        text if text.chars().count() > CELL_MAX => text.chars().take(CELL_MAX - 1).chain(['…']).collect(),
        text => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_nothing_moves_the_cursor() {
        let mut table = Table::new(&["name", "note"]);
        table.row(["lab-07", "first\u{1b}[2Jrow"]);
        table.row(["x", ""]);
        assert_eq!(table.lines(), ["NAME    NOTE", "lab-07  first [2Jrow", "x       -"]);
        table.row(["y".repeat(500), "z".into()]);
        assert!(table.lines()[3].chars().count() < 70, "{:?}", table.lines());
    }
}
