//! What operators did: who, when, with which command, by which plan, and how it ended.
//!
//! The records lie in the topic `audit` of the log itself, as JSON. Nobody can change one afterwards, and whichever
//! machine a command was given on, there is one place to look. What is done is told twice: before, with its plan,
//! and after, with its outcome. A command that was killed in between shows as one that never ended.

use anyhow::{Context, Result};
use bytes::Bytes;
use frameline_runtime::log::Log;
use frameline_runtime::moment::now_ms;
use frameline_runtime::{Headers, Output};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::host;

/// What was done, or is about to be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The same before and after.
    pub(crate) id: Uuid,
    /// Milliseconds since 1970.
    pub(crate) at_ms: i64,
    /// The user and the machine.
    pub(crate) who: String,
    /// The arguments, as they were given.
    pub(crate) command: Vec<String>,
    /// What was planned; its shape is the command's own.
    pub(crate) plan: Value,
    /// How far it is.
    pub(crate) outcome: Outcome,
    /// Why it failed.
    pub(crate) reason: Option<String>,
}

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// It begins.
    Begun,
    /// It is done.
    Done,
    /// It failed, maybe with a part of it done.
    Failed,
}

/// Does `work` and tells of it, before and after. What cannot be told of is not begun.
pub(crate) async fn audited<T>(
    log: &dyn Log,
    plan: &impl Serialize,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let mut entry = Entry {
        id: Uuid::now_v7(),
        at_ms: now_ms(),
        who: who(),
        command: std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect(),
        plan: serde_json::to_value(plan)?,
        outcome: Outcome::Begun,
        reason: None,
    };
    tell(log, &entry).await.context("nothing was done, for it could not be put on record")?;
    let result = work.await;
    entry.at_ms = now_ms();
    (entry.outcome, entry.reason) = match &result {
        Ok(_) => (Outcome::Done, None),
        Err(error) => (Outcome::Failed, Some(format!("{error:#}"))),
    };
    let told = tell(log, &entry).await;
    let value = result?;
    told.context("it was done, and that could not be put on record")?;
    Ok(value)
}

/// What can be read of the records, and what cannot.
#[derive(Debug, Serialize)]
pub(crate) struct Records {
    /// The newest ones, oldest first.
    pub(crate) records: Vec<Entry>,
    /// How many, of all, are by somebody else or by a version that says more than this one knows.
    pub(crate) unreadable: u64,
}

/// The newest `limit` records.
pub(crate) async fn newest(log: &dyn Log, limit: usize) -> Result<Records> {
    let spans = log.readable(&[frameline_topics::AUDIT.to_owned()]).await?;
    let mut scan = log.scan(spans).await?;
    let (mut records, mut unreadable) = (Vec::new(), 0);
    while let Some(run) = scan.next().await.context("the records of the audit")? {
        for record in &run.records {
            match serde_json::from_slice(record.value.as_deref().unwrap_or_default()) {
                Ok(entry) => records.push(entry),
                Err(_) => unreadable += 1,
            }
        }
        records.drain(..records.len().saturating_sub(limit));
    }
    Ok(Records { records, unreadable })
}

async fn tell(log: &dyn Log, entry: &Entry) -> Result<()> {
    let value = Bytes::from(serde_json::to_vec(entry)?);
    let output = Output {
        topic: frameline_topics::AUDIT.into(),
        key: Some(Bytes::copy_from_slice(entry.id.to_string().as_bytes())),
        value: Some(value),
        headers: Headers::new(),
    };
    Ok(log.append(vec![output]).await?)
}

/// The user, by the name in the environment or else by number, and the machine.
fn who() -> String {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = named("SUDO_USER").or_else(|| named("USER")).or_else(|| named("LOGNAME"));
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    format!("{user}@{}", host::name())
}
