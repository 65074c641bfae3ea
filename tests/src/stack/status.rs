//! Asks every part of the stack how it is.

use std::collections::BTreeSet;
use std::fmt;
use std::net::TcpStream;

use serde::Serialize;

use super::state::{Part, State};
use crate::http;

/// Ends of a part that was never ready, after which nobody waits for it any longer.
const ENDS: u32 = 3;

/// What all parts answered.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether everything was started, and is well.
    pub ok: bool,
    /// Each of them.
    pub parts: Vec<Row>,
}

/// A part, and how it is.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What is known of it.
    #[serde(flatten)]
    pub part: Part,
    /// Whether it is as it should be.
    pub ok: bool,
    /// How it is, in a word or two.
    pub is: String,
}

impl Report {
    /// Asks all of them.
    pub fn of(state: &State) -> Self {
        let parts: Vec<Row> = state.parts.iter().map(Row::of).collect();
        Self { ok: state.complete && parts.iter().all(|row| row.ok), parts }
    }
}

/// The parts that were ready once, while somebody waits for all of them.
#[derive(Debug, Default)]
pub struct Sightings {
    ready: BTreeSet<String>,
}

impl Sightings {
    /// Takes in a report; gives a part that keeps falling and was never ready, where there is one.
    pub fn falling<'a>(&mut self, report: &'a Report) -> Option<&'a Part> {
        let ready = report.parts.iter().filter(|row| row.ok).map(|row| row.part.name.clone());
        self.ready.extend(ready);
        let parts = report.parts.iter().map(|row| &row.part);
        parts.filter(|part| !self.ready.contains(&part.name)).find(|part| part.ends() >= ENDS)
    }
}

impl Row {
    fn of(part: &Part) -> Self {
        let (ok, is) = match (&part.pid, &part.path) {
            (None, _) => (false, "ended".to_owned()),
            (Some(_), None) => match TcpStream::connect(&part.address) {
                Ok(_) => (true, "answers".to_owned()),
                Err(error) => (false, format!("does not answer: {error}")),
            },
            (Some(_), Some(path)) => match http::get(&part.address, path) {
                Ok((200, _)) => (true, "ready".to_owned()),
                Ok((status, _)) => (false, format!("not ready ({status})")),
                Err(error) => (false, format!("does not answer: {error:#}")),
            },
        };
        Self { part: part.clone(), ok, is }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.parts.iter().map(|row| row.part.name.len()).max().unwrap_or_default();
        for Row { part, is, .. } in &self.parts {
            let pid = part.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
            let url = if part.path.is_some() { format!("http://{}", part.address) } else { part.address.clone() };
            write!(formatter, "{:width$}  {url:23}  process {pid:>7}  {is}", part.name)?;
            if let Some(ended) = &part.ended {
                write!(formatter, "; started again {} times, before that it ended with {ended}", part.restarts)?;
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rows: &[(&str, bool, u32)]) -> Report {
        let row = |(name, ok, restarts): &(&str, bool, u32)| {
            let (name, ended) = ((*name).to_owned(), (*restarts > 0).then(|| "exit status: 1".to_owned()));
            let part = Part { name, pid: Some(7), address: String::new(), path: None, restarts: *restarts, ended };
            Row { part, ok: *ok, is: String::new() }
        };
        Report { ok: false, parts: rows.iter().map(row).collect() }
    }

    #[test]
    fn a_part_that_keeps_falling_is_told_from_one_that_was_ready_once() {
        let mut sightings = Sightings::default();
        assert!(sightings.falling(&report(&[("embed-0", true, 0), ("render-0", false, 2)])).is_none());
        let again = report(&[("embed-0", false, 9), ("render-0", false, 3)]);
        assert_eq!(sightings.falling(&again).map(|part| part.name.as_str()), Some("render-0"));
        assert!(sightings.falling(&report(&[("embed-0", false, 10), ("render-0", true, 3)])).is_none());
    }
}
