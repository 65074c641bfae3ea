//! How much memory an add takes, however much is added. A process of its own, so that its peak is the add's.
#![allow(clippy::unwrap_used)]

use std::fs::{self, File};
use std::sync::Arc;

use frameline_discover::{Discover, DiscoverSettings};
use frameline_runtime::log::sqlite::SqliteLog;
use frameline_runtime::log::{Log, NewTopic};
use frameline_stores::blobs::Blobs;
use frameline_stores::jobs::SqliteJobs;

const PEAK_MIB: u64 = 128;

#[tokio::test]
async fn a_file_of_200_mb_and_2_000_small_ones_are_added_within_128_mib() {
    if !fs::exists("/proc/self/status").unwrap() {
        println!("skipped: a_file_of_200_mb_and_2_000_small_ones_are_added_within_128_mib: no /proc here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let [files, data] = ["files", "data"].map(|name| folder.path().join(name));
    fs::create_dir(&files).unwrap();
    fs::create_dir(&data).unwrap();
    File::create(files.join("large.png")).unwrap().set_len(200_000_000).unwrap();
    for number in 0..2_000 {
        fs::write(files.join(format!("{number}.txt")), format!("text {number}")).unwrap();
    }

    let log = SqliteLog::open(&data.join("log.db")).await.unwrap();
    let topic = NewTopic {
        name: "files".to_owned(),
        partitions: 4,
        replication: 1,
        retention: None,
        compacted: false,
        largest_message_bytes: 1 << 20,
    };
    log.create_topic(&topic).await.unwrap();
    let jobs = SqliteJobs::open(&data.join("jobs.db")).await.unwrap();
    let blobs = Blobs::folder(&data.join("blobs")).unwrap();
    let discover = Discover::new(Arc::new(jobs), blobs, Arc::new(log), DiscoverSettings::default());

    let report = discover.add(std::slice::from_ref(&files), |_| {}).await.unwrap();
    assert_eq!(report.queued, 2_001);
    let peak_mib = peak_mib();
    assert!(peak_mib < PEAK_MIB, "{peak_mib} MiB");
}

fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}
