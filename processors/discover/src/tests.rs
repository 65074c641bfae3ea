use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use frameline_runtime::log::scan::{Scan, Span};
use frameline_runtime::log::sqlite::SqliteLog;
use frameline_runtime::log::{Membership, NewTopic, PartitionLag, Session, TopicState};
use frameline_runtime::{Output, Record, TopicPartition, headers};
use frameline_schemas::{Action, File, Head, Outcome, Progress, Step, decode};
use frameline_stores::jobs::{JobState, JobStore, SqliteJobs};

use super::*;

/// What becomes of the next append.
#[derive(Clone, Copy)]
enum Next {
    Taken,
    Lost,
    TakenButUnanswered,
}

/// A log that keeps what is appended, and fails on demand.
struct RecordingLog {
    appends: Mutex<Vec<Vec<Output>>>,
    next: Mutex<Next>,
}

#[async_trait]
impl Log for RecordingLog {
    async fn join(&self, _: Membership) -> Result<Session, LogError> {
        Err(LogError::Refused("nobody joins here".to_owned()))
    }

    async fn append(&self, outputs: Vec<Output>) -> Result<(), LogError> {
        let next = std::mem::replace(&mut *self.next.lock().unwrap(), Next::Taken);
        if !matches!(next, Next::Lost) {
            self.appends.lock().unwrap().push(outputs);
        }
        match next {
            Next::Taken => Ok(()),
            Next::Lost | Next::TakenButUnanswered => Err(LogError::Unavailable("it went away".to_owned())),
        }
    }

    async fn topics(&self) -> Result<Vec<TopicState>, LogError> {
        Ok(Vec::new())
    }

    async fn create_topic(&self, _: &NewTopic) -> Result<(), LogError> {
        Ok(())
    }

    async fn lag(&self, _: &str, _: &[String]) -> Result<Vec<PartitionLag>, LogError> {
        Ok(Vec::new())
    }

    async fn readable(&self, _: &[String]) -> Result<Vec<Span>, LogError> {
        Ok(Vec::new())
    }

    async fn read(&self, _: &TopicPartition, _: i64, _: usize) -> Result<Vec<Record>, LogError> {
        Ok(Vec::new())
    }

    async fn scan(&self, _: Vec<Span>) -> Result<Scan, LogError> {
        Err(LogError::Refused("nobody reads here".to_owned()))
    }
}

/// A folder to add from, and discovery over stores beside it.
struct Place {
    files: PathBuf,
    data: PathBuf,
    log: Arc<RecordingLog>,
    jobs: Arc<SqliteJobs>,
    discover: Discover,
    _folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        Self::with(DiscoverSettings { changing_pause: Duration::from_millis(1), ..DiscoverSettings::default() }).await
    }

    async fn with(settings: DiscoverSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let [files, data] = ["files", "data"].map(|name| root.join(name));
        for folder in [&files, &data] {
            fs::create_dir(folder).unwrap();
        }
        let log = Arc::new(RecordingLog { appends: Mutex::default(), next: Mutex::new(Next::Taken) });
        let jobs = Arc::new(SqliteJobs::open(&data.join("jobs.db")).await.unwrap());
        let blobs = Blobs::folder(&data.join("blobs")).unwrap();
        let discover = Discover::new(jobs.clone(), blobs, log.clone(), settings);
        Self { files, data, log, jobs, discover, _folder: folder }
    }

    fn write(&self, name: impl AsRef<OsStr>, text: &str) -> PathBuf {
        let path = self.files.join(Path::new(name.as_ref()));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    async fn add(&self, path: &Path) -> AddReport {
        self.discover.add(&[path.to_path_buf()], |_| {}).await.unwrap()
    }

    fn records(&self) -> Vec<File> {
        let appends = self.log.appends.lock().unwrap();
        appends.iter().flatten().map(|output| decode(output.value.as_deref().unwrap()).unwrap()).collect()
    }

    async fn fold(&self, head: &Head, stage: &str, step: Step, outcome: Outcome) {
        let progress = Progress {
            head: head.clone(),
            stage: stage.to_owned(),
            step,
            unit_id: None,
            outcome,
            reason_code: None,
            reason: None,
            frames: None,
            passages: None,
            at: 1,
            redrives: 0,
            redriven: false,
        };
        self.jobs.fold(&[progress]).await.unwrap();
    }
}

fn code(event: &AddEvent) -> &'static str {
    match &event.outcome {
        AddOutcome::Queued { .. } => "queued",
        AddOutcome::Unchanged { .. } => "unchanged",
        AddOutcome::Refused { code, .. } => code,
    }
}

#[tokio::test]
async fn a_folder_is_added_in_the_order_of_its_names_without_hidden_files_and_links() {
    let place = Place::new().await;
    for name in ["b.svg", "a/z.md", "a/.hidden", ".git/config", "c.png"] {
        place.write(name, name);
    }
    symlink(place.files.join("c.png"), place.files.join("link.png")).unwrap();
    symlink(&place.files, place.files.join("a/loop")).unwrap();
    let mut told = Vec::new();
    let report =
        place.discover.add(std::slice::from_ref(&place.files), |event| told.push(event.clone())).await.unwrap();

    let names = ["a/z.md", "b.svg", "c.png"].map(|name| place.files.join(name));
    assert_eq!(report.files.iter().map(|event| event.path.clone()).collect::<Vec<_>>(), names);
    assert_eq!((report.queued, report.unchanged, report.refused), (3, 0, 0));
    assert_eq!(told, report.files);
    let records = place.records();
    assert_eq!(
        records.iter().map(|record| record.head.file_name.clone()).collect::<Vec<_>>(),
        names.map(|path| path.display().to_string())
    );
    let blob = place.discover.blobs.get(records[0].content_uri.as_ref().unwrap()).await.unwrap();
    assert_eq!(blob, "a/z.md");
    assert_eq!(
        records[0].content_hash.as_deref(),
        Some(records[0].content_uri.as_ref().unwrap().rsplit('/').next().unwrap())
    );
}

#[tokio::test]
async fn what_is_named_itself_is_taken_hidden_or_linked_and_excluded_folders_are_not_entered() {
    let settings = |excluded| DiscoverSettings { excluded: vec![excluded], ..DiscoverSettings::default() };
    let place = Place::new().await;
    let hidden = place.write(".hidden.svg", "hidden");
    let link = place.data.join("link.svg");
    symlink(&hidden, &link).unwrap();
    let report = place.discover.add(&[hidden.clone(), link], |_| {}).await.unwrap();
    assert_eq!(report.files.iter().map(|event| event.path.clone()).collect::<Vec<_>>(), [hidden.clone(), hidden]);
    assert_eq!(place.jobs.jobs(10).await.unwrap().len(), 1, "it is one file");

    let place = Place::with(settings(place.files.clone())).await;
    let discover = Discover { settings: Arc::new(settings(place.data.clone())), ..place.discover.clone() };
    place.write("a.svg", "a");
    let parent = place.files.parent().unwrap().to_path_buf();
    assert_eq!(discover.add(&[parent], |_| {}).await.unwrap().files.len(), 1);
}

#[tokio::test]
async fn only_what_changed_or_failed_is_sent_again() {
    let place = Place::new().await;
    let path = place.write("a.svg", "first");
    let first = place.add(&path).await;
    let AddOutcome::Queued { job_id } = first.files[0].outcome else { panic!("{first:?}") };
    let again = place.add(&path).await;
    assert_eq!(again.files[0].outcome, AddOutcome::Unchanged { job_id });

    place.write("a.svg", "other");
    assert_eq!(place.add(&path).await.queued, 1);
    let head = place.records()[1].head.clone();
    assert_eq!(head.revision, 2);

    place.fold(&head, "identify", Step::File, Outcome::Failed).await;
    assert_eq!(place.add(&path).await.queued, 1);
    place.fold(&place.records()[2].head.clone(), "index", Step::End, Outcome::Done).await;
    assert_eq!(place.add(&path).await.unchanged, 1);
    assert_eq!(place.records().iter().map(|record| record.head.revision).collect::<Vec<_>>(), [1, 2, 3]);
}

#[tokio::test]
async fn a_record_carries_a_new_trace_its_origin_and_its_job() {
    let place = Place::new().await;
    place.write("a.svg", "a");
    place.write("b.svg", "b");
    place.add(&place.files).await;
    let appends = place.log.appends.lock().unwrap();
    let mut traces = Vec::new();
    for output in appends.iter().flatten() {
        let record: File = decode(output.value.as_deref().unwrap()).unwrap();
        assert_eq!(&*output.topic, "files");
        assert_eq!(output.key.as_deref(), Some(record.head.file_id.to_string().as_bytes()));
        assert_eq!(output.headers.text(headers::ORIGIN), Some("live"));
        assert_eq!(output.headers.text(headers::JOB), Some(record.head.job_id.to_string().as_str()));
        let trace = output.headers.text(headers::TRACEPARENT).unwrap();
        let parts: Vec<&str> = trace.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [2, 32, 16, 2]);
        assert!(parts.iter().all(|part| part.bytes().all(|digit| digit.is_ascii_hexdigit())), "{trace}");
        assert_eq!((parts[0], parts[3]), ("00", "01"));
        traces.push(parts[1].to_owned());
    }
    assert_ne!(traces[0], traces[1]);
}

#[tokio::test]
async fn names_that_are_no_text_or_no_line_are_told_apart_and_shown_on_one() {
    let place = Place::new().await;
    let names: [&[u8]; 3] = [b"two\nlines.svg", b"not-\xff-utf8.svg", b"not-\xfe-utf8.svg"];
    for name in names {
        place.write(OsStr::from_bytes(name), "text");
    }
    let report = place.add(&place.files).await;
    assert_eq!(report.queued, 3);
    let records = place.records();
    assert_eq!(records.iter().map(|record| record.head.file_id).collect::<HashSet<_>>().len(), 3);
    assert!(records.iter().all(|record| !record.head.file_name.contains('\n')));
    let path = place.files.join(OsStr::from_bytes(names[1]));
    assert_eq!(place.discover.delete(&path, |_| {}).await.unwrap().queued, 1);
}

#[tokio::test]
async fn pipes_sockets_devices_and_what_is_missing_are_refused_at_once_and_hold_up_nothing() {
    let place = Place::new().await;
    let pipe = place.files.join("pipe.svg");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    let _socket = std::os::unix::net::UnixListener::bind(place.files.join("socket.svg")).unwrap();
    place.write("z.svg", "z");
    let paths = [place.files.clone(), pipe, PathBuf::from("/dev/zero"), place.files.join("gone.svg")];
    let report =
        tokio::time::timeout(Duration::from_secs(20), place.discover.add(&paths, |_| {})).await.unwrap().unwrap();
    let mut codes: Vec<&str> = report.files.iter().map(code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["missing", "queued", "special", "special", "special", "special"]);
}

#[test]
fn what_this_user_may_not_read_is_refused_and_the_others_go_in() {
    // Root may read everything, so all threads that touch files become somebody else.
    let become_nobody = || {
        if rustix::process::geteuid().is_root() {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .on_thread_start(become_nobody)
        .enable_all()
        .build()
        .unwrap();
    let added = runtime.spawn(async {
        let place = Place::new().await;
        let secret = place.write("secret.svg", "secret");
        let closed = place.write("closed/a.svg", "a");
        place.write("open.svg", "open");
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(closed.parent().unwrap(), fs::Permissions::from_mode(0o000)).unwrap();
        let report = place.add(&place.files).await;
        fs::set_permissions(closed.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
        report
    });
    let report = runtime.block_on(added).unwrap();
    let mut codes: Vec<(&str, &str)> =
        report.files.iter().map(|event| (event.path.file_name().unwrap().to_str().unwrap(), code(event))).collect();
    codes.sort_unstable();
    assert_eq!(codes, [("closed", "unreadable"), ("open.svg", "queued"), ("secret.svg", "unreadable")]);
}

#[tokio::test]
async fn a_file_over_the_limit_gets_a_failed_job_with_the_reason_and_is_not_stored() {
    let place = Place::new().await;
    let path = place.files.join("large.png");
    fs::File::create(&path).unwrap().set_len(300_000_000).unwrap();
    for _ in 0..2 {
        let report = place.add(&path).await;
        let AddOutcome::Refused { job_id: Some(job_id), code: "too-large", reason } = &report.files[0].outcome else {
            panic!("{report:?}")
        };
        assert_eq!(reason, "it has 300.0 MB, and the limit is 200.0 MB");
        let job = place.jobs.job(&job_id.to_string()).await.unwrap().unwrap();
        assert_eq!(job.state, JobState::Failed);
        assert_eq!(job.trouble.unwrap().reason, *reason);
    }
    assert_eq!(place.jobs.jobs(10).await.unwrap().len(), 1);
    assert!(place.records().is_empty());
    assert!(!place.data.join("blobs/files").exists());
}

#[tokio::test]
async fn a_file_that_never_stops_changing_is_refused_after_all_attempts() {
    let path = Path::new("/proc/self/status");
    if !path.exists() {
        println!("skipped: a_file_that_never_stops_changing_is_refused_after_all_attempts: no /proc here");
        return;
    }
    // It claims to be empty and is not: as one that grows while it is read.
    let place = Place::new().await;
    let report = place.add(path).await;
    let AddOutcome::Refused { job_id: None, code: "still-changing", reason } = &report.files[0].outcome else {
        panic!("{report:?}")
    };
    assert!(reason.contains("in each of 3 readings"), "{reason}");
}

#[tokio::test]
async fn a_file_that_is_still_written_is_read_again_until_it_is_whole() {
    let place = Place::with(DiscoverSettings {
        changing_attempts: 10_000,
        changing_pause: Duration::from_millis(1),
        ..DiscoverSettings::default()
    })
    .await;
    let path = place.write("growing.txt", "");
    let is_written = Arc::new(AtomicBool::new(false));
    let writer = std::thread::spawn({
        let (path, is_written) = (path.clone(), is_written.clone());
        move || {
            for _ in 0..2_000 {
                use std::io::Write;
                fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&[b'x'; 1_000]).unwrap();
            }
            is_written.store(true, Ordering::SeqCst);
        }
    });
    loop {
        let ended_before = is_written.load(Ordering::SeqCst);
        place.add(&path).await;
        let last = place.records().pop().unwrap();
        let blob = place.discover.blobs.get(last.content_uri.as_ref().unwrap()).await.unwrap();
        assert_eq!(blob.len() as i64, last.size_bytes, "what is stored is what is told");
        if ended_before {
            assert_eq!(last.size_bytes, 2_000_000);
            break;
        }
    }
    writer.join().unwrap();
}

#[tokio::test]
async fn what_a_crash_or_an_absent_log_left_pending_is_sent_by_the_next_start_or_add() {
    for next in [Next::Lost, Next::TakenButUnanswered] {
        let place = Place::new().await;
        let path = place.write("a.svg", "a");
        *place.log.next.lock().unwrap() = next;
        let error = place.discover.add(std::slice::from_ref(&path), |_| {}).await.unwrap_err();
        assert!(matches!(error, DiscoverError::Log(LogError::Unavailable(_))), "{error}");
        assert_eq!(place.jobs.file_counts().await.unwrap().pending, 1);

        let restarted = Discover { ..place.discover.clone() };
        assert_eq!(restarted.resend_pending(Duration::ZERO).await.unwrap(), 1);
        assert_eq!(restarted.resend_pending(Duration::ZERO).await.unwrap(), 0);
        let records = place.records();
        assert!(records.iter().all(|record| *record == records[0]), "the same record, once or twice");

        *place.log.next.lock().unwrap() = next;
        place.write("a.svg", "b");
        place.discover.add(std::slice::from_ref(&path), |_| {}).await.unwrap_err();
        assert_eq!(place.add(&path).await.queued, 1);
        assert_eq!(place.records().pop().unwrap().head.revision, 2);
        assert_eq!(place.jobs.file_counts().await.unwrap().pending, 0);
    }
}

#[tokio::test]
async fn files_and_folders_are_deleted_as_the_catalogue_knows_them() {
    let place = Place::new().await;
    let path = place.write("a.svg", "a");
    for number in 0..100 {
        place.write(format!("folder/{number}.txt"), "text");
    }
    place.add(&place.files).await;
    fs::remove_dir_all(&place.files).unwrap();

    assert_eq!(place.discover.delete(&path, |_| {}).await.unwrap().queued, 1);
    let deletion = place.records().pop().unwrap();
    assert_eq!((deletion.action, deletion.head.revision, deletion.content_uri), (Action::Delete, 2, None));
    assert_eq!(place.discover.delete(&place.files.join("folder"), |_| {}).await.unwrap().queued, 100);
    for gone in [&path, &place.files] {
        let report = place.discover.delete(gone, |_| {}).await.unwrap();
        assert_eq!(report.files.iter().map(code).collect::<Vec<_>>(), ["unknown"]);
    }
    assert_eq!(place.jobs.file_counts().await.unwrap().files, 0);
}

#[tokio::test]
async fn a_deletion_that_did_not_reach_the_log_is_handed_over_when_it_is_asked_for_again() {
    for next in [Next::Lost, Next::TakenButUnanswered] {
        let place = Place::new().await;
        let path = place.write("folder/a.svg", "a");
        place.add(&path).await;
        for named in [path.clone(), place.files.join("folder")] {
            *place.log.next.lock().unwrap() = next;
            let error = place.discover.delete(&named, |_| {}).await.unwrap_err();
            assert!(matches!(error, DiscoverError::Log(LogError::Unavailable(_))), "{error}");
        }
        assert_eq!(place.discover.delete(&path, |_| {}).await.unwrap().queued, 1);
        let deletion = place.records().pop().unwrap();
        assert_eq!((deletion.action, deletion.head.revision), (Action::Delete, 2));
        assert_eq!(place.jobs.file_counts().await.unwrap().pending, 0);
    }
}

#[tokio::test]
async fn two_thousand_files_are_handed_over_in_bounded_pieces_and_the_second_time_not_at_all() {
    let place = Place::new().await;
    for number in 0..2_000 {
        place.write(format!("{}/{number}.txt", number % 7), &format!("text {number}"));
    }
    assert_eq!(place.add(&place.files).await.queued, 2_000);
    let pieces: Vec<usize> = place.log.appends.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!(pieces.iter().sum::<usize>(), 2_000);
    assert!(pieces.iter().all(|files| *files <= HAND_OVER_FILES), "{pieces:?}");
    assert_eq!(place.add(&place.files).await.unchanged, 2_000);
    assert_eq!(place.records().len(), 2_000);
}

#[tokio::test]
async fn what_is_added_is_read_from_the_embedded_log_in_the_order_of_each_files_revisions() {
    let place = Place::new().await;
    let log = Arc::new(SqliteLog::open(&place.data.join("log.db")).await.unwrap());
    let topic = NewTopic {
        name: frameline_topics::FILES.to_owned(),
        partitions: 3,
        replication: 1,
        retention: None,
        compacted: false,
        largest_message_bytes: 1 << 20,
    };
    log.create_topic(&topic).await.unwrap();
    let discover = Discover { log: log.clone(), ..place.discover.clone() };
    for round in 0..3 {
        for name in ["a.svg", "b.svg", "c.svg", "d.svg"] {
            place.write(name, &format!("round {round}"));
        }
        discover.add(std::slice::from_ref(&place.files), |_| {}).await.unwrap();
    }
    let mut revisions: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for partition in 0..topic.partitions {
        let partition = TopicPartition::new(frameline_topics::FILES, partition);
        for record in log.read(&partition, 0, 100).await.unwrap() {
            let file: File = decode(record.value.as_deref().unwrap()).unwrap();
            revisions.entry(file.head.file_name).or_default().push(file.head.revision);
        }
    }
    assert_eq!(revisions.into_values().collect::<Vec<_>>(), vec![vec![1, 2, 3]; 4]);
}
