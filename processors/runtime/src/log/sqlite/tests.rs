//! What only this log has: its file, its limits, its retention. The rest is in the contract that both logs pass.

use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::log::{Commit, CommitError, Event};
use crate::record::{Headers, Position};

const TOPIC: &str = "frames";
const PATIENCE: Duration = Duration::from_secs(20);

fn topic(partitions: i32) -> NewTopic {
    NewTopic {
        name: TOPIC.to_owned(),
        partitions,
        replication: 1,
        retention: None,
        compacted: false,
        largest_message_bytes: 1_000,
    }
}

fn output(key: &str, value: impl Into<Bytes>) -> Output {
    Output {
        topic: TOPIC.into(),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: Some(value.into()),
        headers: Headers::new(),
    }
}

fn membership() -> Membership {
    Membership {
        group: "render".to_owned(),
        instance: "one".to_owned(),
        topics: vec![TOPIC.to_owned()],
        session_timeout: Duration::from_secs(10),
        drain_deadline: Duration::from_secs(5),
    }
}

async fn fresh(topic: &NewTopic) -> (TempDir, SqliteLog) {
    let folder = tempfile::tempdir().unwrap();
    let log = SqliteLog::open(&folder.path().join("log.db")).await.unwrap();
    log.create_topic(topic).await.unwrap();
    (folder, log)
}

async fn next(session: &mut Session) -> Event {
    tokio::time::timeout(PATIENCE, session.events.recv()).await.expect("an event in time").expect("an open session")
}

/// Reads until the end of the partition is told.
async fn read_to_end(session: &mut Session) -> (Vec<Record>, i64) {
    let mut all = Vec::new();
    loop {
        match next(session).await {
            Event::Records { records, .. } => all.extend(records),
            Event::EndOfPartition { offset, .. } => return (all, offset),
            Event::Assigned(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn only() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

#[tokio::test]
async fn a_topic_keeps_its_partitions_and_takes_new_settings() {
    let (_folder, log) = fresh(&topic(3)).await;
    log.create_topic(&topic(3)).await.unwrap();
    let refused = log.create_topic(&topic(4)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "topic frames has 3 partitions and not 4; with another number its keys would move to other partitions"
    );
    log.create_topic(&NewTopic { largest_message_bytes: 10, ..topic(3) }).await.unwrap();
    assert!(log.append(vec![output("key", "more than seven")]).await.is_err());
    assert_eq!(log.topics().await.unwrap(), [TopicState { name: TOPIC.to_owned(), partitions: 3 }]);
}

#[tokio::test]
async fn an_output_that_is_too_large_is_named_and_nothing_is_written() {
    let (_folder, log) = fresh(&topic(1)).await;
    let session = log.join(membership()).await.unwrap();
    let outputs = vec![output("a", "small"), output("b", vec![0; 1_000])];
    let refused = session.member.commit(Arc::new(Commit { outputs, positions: vec![] })).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "output 1 to frames is refused: it has 1001 bytes, and the topic takes 1000 at most"
    );
    let unknown = vec![Output { topic: "nowhere".into(), ..output("a", "b") }];
    let refused = session.member.commit(Arc::new(Commit { outputs: unknown, positions: vec![] })).await.unwrap_err();
    assert!(matches!(refused, CommitError::Refused { output: 0, .. }), "{refused}");
    assert_eq!(log.lag("render", &[TOPIC.to_owned()]).await.unwrap()[0].high, 0);
}

#[tokio::test]
async fn large_batches_keep_their_order_and_their_headers() {
    let (_folder, log) = fresh(&topic(1)).await;
    let numbered = |number: usize| {
        let mut output = output("key", number.to_string());
        output.headers.push("number", number.to_string());
        output
    };
    log.append((0..1_234).map(numbered).collect()).await.unwrap();
    let records = log.read(&only(), 0, 2_000).await.unwrap();
    assert_eq!(records.len(), 1_234);
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record.offset, number as i64);
        assert_eq!(record.headers.text("number"), Some(number.to_string().as_str()));
    }
    assert_eq!(log.read(&only(), 1_230, 2).await.unwrap().len(), 2);
    assert_eq!(log.read(&only(), 0, 0).await.unwrap(), []);
}

#[tokio::test]
async fn one_read_takes_no_more_bytes_than_a_chunk_may_have() {
    let (_folder, log) = fresh(&NewTopic { largest_message_bytes: 1 << 20, ..topic(1) }).await;
    let large = || output("key", vec![7; 100 << 10]);
    log.append((0..10).map(|_| large()).collect()).await.unwrap();
    let mut session = log.join(membership()).await.unwrap();
    let mut chunks = Vec::new();
    while chunks.iter().sum::<usize>() < 10 {
        match next(&mut session).await {
            Event::Records { records, .. } => chunks.push(records.len()),
            Event::Assigned(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(chunks, [3, 3, 3, 1]);
}

#[tokio::test]
async fn records_go_when_their_retention_ends_and_readers_start_at_what_is_kept() {
    let (_folder, log) = fresh(&topic(1)).await;
    log.append((0..5_000).map(|_| output("key", "old")).collect()).await.unwrap();
    let mut session = log.join(membership()).await.unwrap();
    let position = Position { partition: only(), offset: 10, metadata: "done: 12".to_owned() };
    assert!(matches!(next(&mut session).await, Event::Assigned(_)));
    session.member.commit(Arc::new(Commit { outputs: vec![], positions: vec![position] })).await.unwrap();
    session.member.leave().await;
    assert_eq!(log.enforce_retention().await.unwrap(), 0, "this topic keeps its records for ever");

    tokio::time::sleep(Duration::from_millis(2)).await;
    log.create_topic(&NewTopic { retention: Some(Duration::ZERO), ..topic(1) }).await.unwrap();
    assert_eq!(log.enforce_retention().await.unwrap(), 5_000);
    log.create_topic(&NewTopic { retention: Some(Duration::from_secs(60)), ..topic(1) }).await.unwrap();
    log.append(vec![output("key", "new")]).await.unwrap();
    assert_eq!(log.enforce_retention().await.unwrap(), 0);

    let gone = log.read(&only(), 10, 1).await.unwrap_err();
    assert_eq!(gone.to_string(), "frames/0 has no offset 10; it has 5000 to 5001");
    let mut session = log.join(membership()).await.unwrap();
    let Event::Assigned(positions) = next(&mut session).await else { panic!("an assignment comes first") };
    assert_eq!(positions, [Position { partition: only(), offset: 5_000, metadata: String::new() }]);
    let (records, end) = read_to_end(&mut session).await;
    assert_eq!((records.len(), end), (1, 5_001));
}

#[tokio::test]
async fn a_compacted_topic_keeps_the_newest_of_each_key_and_readers_step_over_the_gaps() {
    let (_folder, log) = fresh(&NewTopic { compacted: true, ..topic(1) }).await;
    let outputs = (0..600).map(|number| output(if number < 300 { "a" } else { "b" }, number.to_string()));
    log.append(outputs.collect()).await.unwrap();
    assert_eq!(log.enforce_retention().await.unwrap(), 598);
    let mut session = log.join(membership()).await.unwrap();
    let (records, end) = read_to_end(&mut session).await;
    let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
    assert_eq!((offsets, end), (vec![299, 599], 600));
}

/// SQLite never goes below what there is already.
async fn limit_pages(log: &SqliteLog, pages: u32) {
    let mut transaction = log.store.begin().await.unwrap();
    let limit = sqlx::AssertSqlSafe(format!("pragma max_page_count = {pages}"));
    sqlx::query(limit).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_same_commit_goes_through_when_there_is_space() {
    let (_folder, log) = fresh(&topic(1)).await;
    let mut session = log.join(membership()).await.unwrap();
    assert!(matches!(next(&mut session).await, Event::Assigned(_)));
    limit_pages(&log, 1).await;
    let outputs = (0..500).map(|_| output("key", vec![0; 900])).collect();
    let positions = vec![Position { partition: only(), offset: 0, metadata: "here".to_owned() }];
    let commit = Arc::new(Commit { outputs, positions });
    let refused = session.member.commit(Arc::clone(&commit)).await.unwrap_err();
    assert!(matches!(&refused, CommitError::Unavailable(text) if text.contains("no space is left")), "{refused}");
    let lag = &log.lag("render", &[TOPIC.to_owned()]).await.unwrap()[0];
    assert_eq!((lag.high, lag.committed), (0, None));

    limit_pages(&log, 1_000_000).await;
    session.member.commit(commit).await.unwrap();
    let lag = &log.lag("render", &[TOPIC.to_owned()]).await.unwrap()[0];
    assert_eq!((lag.high, lag.committed), (500, Some(0)));
}

/// It does so when the disk is full.
#[tokio::test]
async fn the_log_goes_on_after_sqlite_took_a_transaction_back_by_itself() {
    let (_folder, log) = fresh(&topic(1)).await;
    let mut transaction = log.store.begin().await.unwrap();
    sqlx::query("rollback").execute(&mut *transaction).await.unwrap();
    assert!(transaction.commit().await.is_err());
    log.append(vec![output("key", "value")]).await.unwrap();
    assert_eq!(log.read(&only(), 0, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn many_may_make_the_file_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.db");
    let logs = futures::future::join_all((0..8).map(|_| SqliteLog::open(&file))).await;
    for log in logs {
        log.unwrap().create_topic(&topic(2)).await.unwrap();
    }
}

#[tokio::test]
async fn a_file_that_is_no_log_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log.db");
    let text = "a shopping list, and no database at all ".repeat(100);
    std::fs::write(&file, &text).unwrap();
    let refused = SqliteLog::open(&file).await.err().unwrap().to_string();
    assert!(refused.contains("log.db is damaged") && refused.contains("move it away"), "{refused}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);

    let other = folder.path().join("other.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&other).create_if_missing(true);
    let pool = sqlx::sqlite::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("create table recipes (name text)").execute(&pool).await.unwrap();
    pool.close().await;
    let refused = SqliteLog::open(&other).await.err().unwrap().to_string();
    assert!(refused.ends_with("other.db is no log of frameline; name another data directory"), "{refused}");
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_named() {
    let refused = SqliteLog::open(Path::new("/no/such/folder/log.db")).await.err().unwrap().to_string();
    assert!(refused.contains("/no/such/folder/log.db cannot be opened"), "{refused}");
}

#[tokio::test]
async fn members_of_a_group_read_the_same_topics() {
    let (_folder, log) = fresh(&topic(1)).await;
    log.create_topic(&NewTopic { name: "files".to_owned(), ..topic(1) }).await.unwrap();
    let _session = log.join(membership()).await.unwrap();
    let other = Membership { instance: "two".to_owned(), topics: vec!["files".to_owned()], ..membership() };
    let refused = log.join(other).await.err().unwrap().to_string();
    assert_eq!(refused, "one of group render reads frames, and this member would read files; stop the other one first");
    let nowhere = Membership { topics: vec!["nowhere".to_owned()], ..membership() };
    assert!(matches!(log.join(nowhere).await.err(), Some(LogError::UnknownTopic(name)) if name == "nowhere"));
}
