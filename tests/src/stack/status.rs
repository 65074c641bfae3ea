//! Asks every part of the stack how it is.

use std::fmt;
use std::net::TcpStream;

use serde::Serialize;

use super::state::{Part, State};
use crate::http;

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
