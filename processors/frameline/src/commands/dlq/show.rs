//! `frameline dlq show STAGE PARTITION:OFFSET`.

use std::fmt::{self, Write};

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use frameline_runtime::TopicPartition;
use frameline_runtime::dead_letter::PREFIX;
use frameline_runtime::dead_letter::letter::{Entry, Letter};
use frameline_runtime::log::LogError;
use frameline_schemas::{Message, SchemaIds};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::super::Context;
use super::DeadLetters;
use crate::cli::DlqShow;
use crate::error::Refusal;
use crate::output::one_line;
use crate::times;

/// So many bytes of what cannot be read are shown to people.
const SHOWN_BYTES: usize = 512;
/// A list of more numbers than this is summed up for people.
const SHOWN_NUMBERS: usize = 8;

#[derive(Debug, Serialize)]
struct Report {
    stage: &'static str,
    at: String,
    at_ms: i64,
    topic: String,
    class: &'static str,
    code: String,
    error: String,
    redrives: u32,
    redriven: bool,
    key: Option<String>,
    headers: Map<String, Value>,
    record: Option<&'static str>,
    decoded: Option<Message>,
    base64: String,
    #[serde(skip)]
    bytes: Vec<u8>,
}

pub(super) async fn run(context: Context, command: DlqShow) -> Result<()> {
    let (stage, place) = (command.stage, command.place);
    let letters = DeadLetters::open(&context, stage).await?;
    let partition = TopicPartition::new(frameline_topics::dead_letters(stage.as_str()), place.partition);
    let missing = || {
        let message = format!("{stage} has no dead letter at {place}");
        Refusal::new(message, format!("`frameline dlq list {stage}` tells where the last of each kind lies"))
    };
    let found = match letters.source.log.read(&partition, place.offset, 1).await {
        Err(LogError::OffsetOutOfRange { .. } | LogError::UnknownTopic(_) | LogError::Refused(_)) => Vec::new(),
        found => found?,
    };
    let found = found.into_iter().find(|record| record.offset == place.offset).ok_or_else(missing)?;
    let Entry::Letter(letter) = letters.read(place.partition, found).await? else { return Err(missing().into()) };
    let is_redriven = letters.redriven.contains(&place);
    context.output.print(&Report::of(stage.as_str(), *letter, letters.source.wire.ids(), is_redriven))
}

impl Report {
    fn of(stage: &'static str, letter: Letter, ids: &SchemaIds, redriven: bool) -> Self {
        let bytes = letter.record.value.as_deref().unwrap_or_default().to_vec();
        let decoded = Message::decode_by(ids, &bytes).ok();
        let header = |(name, value): (&str, &bytes::Bytes)| (name.to_owned(), Value::from(text_of(value)));
        Self {
            stage,
            at: letter.place.to_string(),
            at_ms: letter.at_ms,
            topic: letter.topic,
            class: letter.class.as_str(),
            code: letter.code,
            error: letter.error,
            redrives: letter.redrives,
            redriven,
            key: letter.record.key.as_deref().map(text_of),
            headers: letter.record.headers.iter().map(header).collect(),
            record: decoded.as_ref().map(Message::name),
            decoded,
            base64: STANDARD.encode(&bytes),
            bytes,
        }
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}.dlq {}, given up {}", self.stage, self.at, times::moment(self.at_ms))?;
        let redriven = if self.redriven { "; it has been redriven since" } else { "" };
        writeln!(formatter, "{} {}: {}", self.class, self.code, one_line(&self.error))?;
        writeln!(formatter, "redrives: {}{redriven}\n", self.redrives)?;
        writeln!(formatter, "key  {}", self.key.as_deref().map_or("none".to_owned(), one_line))?;
        for (name, value) in &self.headers {
            let name = name.strip_prefix(PREFIX).map_or(name.clone(), |name| format!("… {name}"));
            writeln!(formatter, "{name}  {}", one_line(value.as_str().unwrap_or_default()))?;
        }
        match (&self.record, &self.decoded) {
            (Some(record), Some(message)) => {
                let value = summed_up(serde_json::to_value(message).unwrap_or_default());
                let text = serde_json::to_string_pretty(&value).unwrap_or_default();
                write!(formatter, "\na {record} of {} bytes:\n{text}", self.bytes.len())
            }
            _ => write!(formatter, "\n{} bytes that are no record:\n{}", self.bytes.len(), hex(&self.bytes)),
        }
    }
}

/// The same with long lists of numbers told by their lengths.
fn summed_up(value: Value) -> Value {
    match value {
        Value::Array(values) if values.len() > SHOWN_NUMBERS => json!(format!("{} values", values.len())),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, summed_up(value))).collect(),
        value => value,
    }
}

/// Sixteen bytes a line, and what of them prints.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (index, line) in bytes.chunks(16).take(SHOWN_BYTES / 16).enumerate() {
        let numbers: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let letters: String =
            line.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
        // Writing to a string does not fail.
        let _ = writeln!(text, "{:04x}  {:47}  {letters}", 16 * index, numbers.join(" "));
    }
    if bytes.len() > SHOWN_BYTES {
        let _ = writeln!(text, "and {} bytes more; --json has them all", bytes.len() - SHOWN_BYTES);
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    fn report() -> Report {
        let headers = [("frameline-dlq-topic", "frames"), ("frameline-job", "7f3a")];
        Report {
            stage: "render",
            at: "0:12".to_owned(),
            at_ms: 1_700_000_000_000,
            topic: "frames".to_owned(),
            class: "permanent",
            code: "undecodable".to_owned(),
            error: "the first byte is 1".to_owned(),
            redrives: 1,
            redriven: false,
            key: Some("a key".to_owned()),
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect(),
            record: None,
            decoded: None,
            base64: "AWE=".to_owned(),
            bytes: vec![1, b'a'],
        }
    }

    #[test]
    fn the_shape_of_a_letter_is_kept() {
        assert_eq!([serde_json::to_value(report()).unwrap()].as_slice(), documented("dlq show"));
    }

    #[test]
    fn bytes_that_are_no_record_are_shown_as_numbers_and_letters() {
        let text = report().to_string();
        assert!(text.ends_with(&format!("0000  {:47}  .a", "01 61")), "{text}");
        assert!(text.contains("… topic  frames\n") && text.contains("frameline-job  7f3a\n"), "{text}");
        assert!(hex(&[0; 600]).ends_with("and 88 bytes more; --json has them all"));
    }

    #[test]
    fn a_vector_is_told_by_its_length() {
        let vector = json!({"text_vector": {"values": vec![0.5; 384]}, "frames": [1, 2]});
        assert_eq!(summed_up(vector), json!({"text_vector": {"values": "384 values"}, "frames": [1, 2]}));
    }
}
