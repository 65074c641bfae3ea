//! The contract on the embedded log, and what only a file can have: several processes, kills, damage.

mod processes;

use std::path::PathBuf;

use frameline_runtime::log::LogError;
use frameline_runtime::log::sqlite::SqliteLog;
use tempfile::TempDir;

use super::*;

contract!(Embedded::new());

/// A log file in a folder of its own.
struct Embedded {
    folder: TempDir,
}

impl Embedded {
    async fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("log.db")
    }
}

#[async_trait]
impl Fixture for Embedded {
    async fn operate(&self) -> Arc<dyn Operate> {
        Arc::new(SqliteLog::open(&self.file()).await.unwrap())
    }

    fn session_timeout(&self) -> Duration {
        Duration::from_secs(2)
    }
}

/// A log whose process has ended: the file alone, and the name of its topic of 3,000 records.
async fn file_alone() -> (Embedded, String) {
    let fixture = Embedded::new().await;
    let topic = unique("topic");
    processes::start(&fixture, &["fill", &topic]).finish().await;
    for beside in ["log.db-wal", "log.db-shm"] {
        // They are gone already if the last connection had the time to close.
        let _ = std::fs::remove_file(fixture.folder.path().join(beside));
    }
    (fixture, topic)
}

fn assert_says_damaged(error: &LogError) {
    let text = error.to_string();
    assert!(text.contains("log.db is damaged") && text.contains("move it away"), "{text}");
}

#[tokio::test]
async fn a_file_with_a_damaged_beginning_is_refused() {
    let (fixture, _) = file_alone().await;
    let mut bytes = std::fs::read(fixture.file()).unwrap();
    bytes[..200].fill(0x5a);
    std::fs::write(fixture.file(), bytes).unwrap();
    assert_says_damaged(&SqliteLog::open(&fixture.file()).await.err().unwrap());
}

#[tokio::test]
async fn a_file_that_was_cut_is_refused() {
    let (fixture, _) = file_alone().await;
    let bytes = std::fs::read(fixture.file()).unwrap();
    std::fs::write(fixture.file(), &bytes[..bytes.len() / 2]).unwrap();
    assert_says_damaged(&SqliteLog::open(&fixture.file()).await.err().unwrap());
}

#[tokio::test]
async fn damage_within_the_records_is_told_to_readers() {
    let (fixture, topic) = file_alone().await;
    let mut bytes = std::fs::read(fixture.file()).unwrap();
    // The tables' own pages come first; behind them are records alone.
    let records = bytes.len() / 4;
    bytes[records..].fill(0x5a);
    std::fs::write(fixture.file(), bytes).unwrap();
    let log = SqliteLog::open(&fixture.file()).await.unwrap();
    assert_says_damaged(&log.read(&TopicPartition::new(topic.as_str(), 0), 0, 3_000).await.unwrap_err());
    let log: Arc<dyn Log> = Arc::new(log);
    let mut member = follower::Follower::join(&log, fixture.membership("group", "one", &topic)).await;
    member.until("the news", |member| member.unavailable.is_some()).await;
    assert!(member.unavailable.unwrap().contains("log.db is damaged"));
}
