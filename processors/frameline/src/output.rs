//! What commands print: a report is text for people, or the same as one line of JSON for programs.
//!
//! The JSON shapes are described in this crate's README.md, and the tests here hold them.

use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};

use anyhow::Result;
use serde::Serialize;

/// How to print.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Output {
    /// JSON, one document a line.
    pub(crate) json: bool,
}

impl Output {
    /// Prints one report.
    pub(crate) fn print<R: Serialize + Display>(self, report: &R) -> Result<()> {
        if self.json { line(&serde_json::to_string(report)?) } else { line(report) }
    }

    /// Whether progress may be drawn over itself.
    pub(crate) fn draws(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }
}

/// Writes a line to standard output. A closed pipe is an error for the caller, not a panic.
pub(crate) fn line(text: impl Display) -> Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}")?;
    stdout.flush()?;
    Ok(())
}

/// Writes a line to standard error, for a person who may be watching. Nobody there is no error.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A table with a heading: columns as wide as their widest cell, two blanks between them.
pub(crate) struct Table<const COLUMNS: usize> {
    heading: [&'static str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
}

impl<const COLUMNS: usize> Table<COLUMNS> {
    /// A table without rows.
    pub(crate) fn new(heading: [&'static str; COLUMNS]) -> Self {
        Self { heading, rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: [String; COLUMNS]) {
        self.rows.push(cells.map(|cell| one_line(&cell)));
    }
}

impl<const COLUMNS: usize> Display for Table<COLUMNS> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = self.heading.map(str::len);
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let line_of = |cells: &[&str]| {
            let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            padded.join("  ").trim_end().to_owned()
        };
        formatter.write_str(&line_of(&self.heading))?;
        for row in &self.rows {
            let cells: Vec<&str> = row.iter().map(String::as_str).collect();
            write!(formatter, "\n{}", line_of(&cells))?;
        }
        Ok(())
    }
}

/// Text that comes from files, safe for a terminal: one line, control characters told instead of sent.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// The beginning of a longer text: blanks and breaks run together, at most `limit` characters.
pub(crate) fn excerpt(text: &str, limit: usize) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = one_line(&words.join(" "));
    match text.char_indices().nth(limit) {
        Some((end, _)) => format!("{}…", text[..end].trim_end()),
        None => text,
    }
}

/// As a shell takes it for one word.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = word.chars().all(|character| character.is_ascii_alphanumeric() || "/._-+=:@%,".contains(character));
    if is_plain && !word.is_empty() { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// A count with its noun: `1 file`, `3 files`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// The examples under a heading of the README, in their order.
#[cfg(test)]
pub(crate) fn documented(heading: &str) -> Vec<serde_json::Value> {
    let readme = include_str!("../README.md");
    let section = readme.split("\n### ").find(|section| section.lines().next() == Some(heading)).unwrap();
    let blocks = section.split("```json").skip(1).map(|block| block.split("```").next().unwrap());
    blocks.map(|block| serde_json::from_str(block).unwrap()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_wide_as_its_cells_in_characters() {
        let mut table = Table::new(["stage", "lag"]);
        table.row(["für".to_owned(), "1".to_owned()]);
        table.row(["discover".to_owned(), "20".to_owned()]);
        assert_eq!(table.to_string(), "stage     lag\nfür       1\ndiscover  20");
    }

    #[test]
    fn a_name_cannot_move_the_cursor_or_break_the_line() {
        assert_eq!(one_line("a\nb\u{1b}[2Jc ü"), "a\\nb\\u{1b}[2Jc ü");
    }

    #[test]
    fn an_excerpt_counts_characters_and_keeps_to_one_line() {
        assert_eq!(excerpt("ein  Satz\nüber Öl", 30), "ein Satz über Öl");
        assert_eq!(excerpt("ääääää", 3), "äää…");
    }
}
