//! Reading spans to their ends, chunk by chunk.

use std::sync::Arc;

use tokio::sync::mpsc::Sender;

use super::assign::Slot;
use super::read::{self, Limits};
use super::store::Store;
use super::topics;
use crate::log::LogError;
use crate::log::scan::{Run, Scan, Span};

/// What is read at once.
const LIMITS: Limits = Limits { records: 512, bytes: 512 << 10 };

/// Starts a task that reads.
pub(super) async fn start(store: &Arc<Store>, spans: Vec<Span>) -> Result<Scan, LogError> {
    let mut parts = Vec::with_capacity(spans.len());
    for span in spans {
        let slot = topics::slot_of(store, &span.partition).await.map_err(|error| store.log_error(&error))?;
        let slot = slot.ok_or_else(|| LogError::UnknownTopic(span.partition.to_string()))?;
        parts.push((span, slot));
    }
    let (sender, scan) = Scan::channel();
    let store = Arc::clone(store);
    tokio::spawn(async move {
        for (span, slot) in parts {
            if let Err(error) = read(&store, &span, slot, &sender).await {
                // Nobody there is no error: whoever read has read enough.
                let _ = sender.send(Err(store.log_error(&error))).await;
                return;
            }
        }
    });
    Ok(scan)
}

async fn read(
    store: &Store,
    span: &Span,
    slot: Slot,
    sender: &Sender<Result<Run, LogError>>,
) -> Result<(), sqlx::Error> {
    let mut from = span.from;
    while from < span.to && !sender.is_closed() {
        let chunk = read::chunk(store.readers(), slot, from, span.to, LIMITS).await?;
        from = chunk.next;
        if chunk.records.is_empty() {
            break;
        }
        let run = Run { partition: span.partition.clone(), records: chunk.records };
        if sender.send(Ok(run)).await.is_err() {
            break;
        }
    }
    Ok(())
}
