//! Offers, and what stages tell of them.

use std::sync::Arc;

use frameline_schemas::{Kind, Outcome, Progress, Step, unit_id};
use frameline_stores::jobs::{Decision, FileContent, FileEntry, FilesAndJobs, Job, Offer, Offered};

pub(super) type Store = Arc<dyn FilesAndJobs>;

pub(super) fn offer(path: &[u8], what: Offered) -> Offer {
    Offer {
        tenant: "default".to_owned(),
        path: path.to_vec(),
        name: String::from_utf8_lossy(path).into_owned(),
        size_bytes: 5,
        modified_at_ms: 7,
        discovered_at_ms: 9,
        what,
    }
}

pub(super) fn content(path: &[u8], hash: &str) -> Offer {
    let uri = format!("blob:files/{hash}");
    offer(path, Offered::Content(FileContent { uri, hash: hash.to_owned() }))
}

pub(super) async fn decide(store: &Store, offer: Offer) -> Decision {
    store.offer(&[offer]).await.unwrap().pop().unwrap()
}

#[track_caller]
pub(super) fn sent(decision: Decision) -> FileEntry {
    let Decision::Send(entry) = decision else { panic!("{decision:?}") };
    entry
}

pub(super) fn told(entry: &FileEntry, stage: &str, step: Step, outcome: Outcome) -> Progress {
    Progress {
        head: entry.record().head,
        stage: stage.to_owned(),
        step,
        unit_id: (step == Step::Unit).then(|| unit_id(entry.file_id, Kind::Frame, 0)),
        outcome,
        reason_code: (outcome != Outcome::Done).then(|| "truncated".to_owned()),
        reason: (outcome != Outcome::Done).then(|| "the picture ends early".to_owned()),
        frames: None,
        passages: None,
        at: 20,
        redrives: 0,
        redriven: false,
    }
}

/// The end of a file, which ends its job.
pub(super) fn ended(entry: &FileEntry, at_ms: i64) -> Progress {
    Progress { at: at_ms, ..told(entry, "index", Step::End, Outcome::Done) }
}

pub(super) async fn job(store: &Store, entry: &FileEntry) -> Job {
    store.job(&entry.job_id().to_string()).await.unwrap().unwrap()
}
