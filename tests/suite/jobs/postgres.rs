//! What only a server can do: be away, be killed, be busy with others, want a password, be of another version.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use frameline_runtime::secret::Secret;
use frameline_schemas::{Outcome, Progress, Step};
use frameline_stores::jobs::postgres::{PostgresSettings, TlsMode};
use frameline_stores::jobs::{FileEntry, FilesAndJobs, Job, JobState, JobStore, Offer, PostgresJobs, StoreError};
use frameline_tests::postgres::{PASSWORD, Postgres};
use frameline_tests::proxy::{Proxy, Weather};
use frameline_tests::tls::Certificates;

use super::entries::{content, decide, ended, job, sent, told};
use super::following::hears_of;
use super::store::everything;

/// A database of the test's own.
pub(super) struct Side {
    settings: PostgresSettings,
    store: Arc<PostgresJobs>,
}

impl Side {
    /// Orders that are tried.
    pub(super) const CASES: u32 = 12;

    async fn at(server: &Postgres) -> Self {
        let settings = settings(server.database());
        PostgresJobs::migrate(&settings).await.unwrap();
        let store = Arc::new(PostgresJobs::open(&settings).await.unwrap());
        Self { settings, store }
    }
}

impl super::Side for Side {
    async fn open() -> Self {
        Self::at(Postgres::shared()).await
    }

    fn store(&self) -> Arc<dyn FilesAndJobs> {
        self.store.clone()
    }

    async fn once_more(&self) -> Arc<dyn FilesAndJobs> {
        Arc::new(PostgresJobs::open(&self.settings).await.unwrap())
    }
}

pub(super) fn settings(url: String) -> PostgresSettings {
    PostgresSettings {
        url,
        password: Secret::default(),
        tls: TlsMode::default(),
        ca_file: Default::default(),
        connections: 3,
        connect_timeout: Duration::from_secs(10),
        timeout: Duration::from_secs(60),
    }
}

fn database(settings: &PostgresSettings) -> &str {
    settings.url.rsplit('/').next().unwrap()
}

#[track_caller]
fn unavailable<T: std::fmt::Debug>(result: Result<T, StoreError>, words: &[&str]) {
    let error = result.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    says(&error, words);
}

/// Waiting alone would bring nothing.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, StoreError>, words: &[&str]) {
    let error = result.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    says(&error, words);
}

#[track_caller]
fn says(error: &StoreError, words: &[&str]) {
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)) && !text.contains(PASSWORD), "{words:?} in: {text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn migrations_are_taken_once_however_many_take_them_at_the_same_time() {
    let server = Postgres::shared();
    let settings = settings(server.database());
    let refused = PostgresJobs::open(&settings).await.unwrap_err();
    assert!(matches!(refused, StoreError::Older { found: 0, .. }), "{refused}");
    let all = futures::future::join_all((0..8).map(|_| PostgresJobs::migrate(&settings))).await;
    for schema in all {
        let schema = schema.unwrap();
        assert_eq!(schema.version, schema.known());
    }
    let taken = server.sql(database(&settings), "select count(*) = max(version) from frameline_migrations");
    assert_eq!(taken, "t");
    PostgresJobs::open(&settings).await.unwrap();
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_left_alone() {
    let server = Postgres::shared();
    let settings = Side::at(server).await.settings;
    server.sql(database(&settings), "insert into frameline_migrations (version, name) values (99, 'later')");
    for refused in [PostgresJobs::open(&settings).await.map(drop), PostgresJobs::migrate(&settings).await.map(drop)] {
        let error = refused.unwrap_err();
        assert!(matches!(error, StoreError::Newer { found: 99, .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_folding_and_started_again_it_has_lost_nothing() {
    let server = Postgres::start();
    let side = Side::at(&server).await;
    let store: Arc<dyn FilesAndJobs> = side.store.clone();
    let offers: Vec<Offer> = (0..60).map(|number| content(format!("/{number}").as_bytes(), "h")).collect();
    let entries: Vec<FileEntry> = store.offer(&offers).await.unwrap().into_iter().map(sent).collect();
    let of = |entry: &FileEntry| [told(entry, "validate", Step::Unit, Outcome::Skipped), ended(entry, 20)];
    let progress: Vec<Progress> = entries.iter().flat_map(of).collect();
    let (folded, mut so_far) = tokio::sync::watch::channel(0);
    let folding = tokio::spawn({
        let (store, progress) = (store.clone(), progress.clone());
        async move {
            let mut refused = 0;
            for piece in progress.chunks(2) {
                // As the stage does it: what is unavailable is tried again.
                while let Err(error) = store.fold(piece).await {
                    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
                    refused += 1;
                }
                folded.send_modify(|folded| *folded += 1);
            }
            refused
        }
    });
    for kill_at in [10, 30] {
        so_far.wait_for(|folded| *folded >= kill_at).await.unwrap();
        server.kill();
        tokio::task::block_in_place(|| server.resume().unwrap());
    }
    let refused = folding.await.unwrap();
    println!("refused while it was away: {refused}");
    let jobs = everything(&store).await;
    let is_whole = |job: &Job| job.state == JobState::Done && job.stages["validate"].skipped == 1;
    assert!(jobs.iter().all(|(job, _)| is_whole(job)), "{jobs:?}");
    assert_eq!(jobs.len(), 60);
    store.fold(&progress).await.unwrap();
    assert_eq!(everything(&store).await, jobs);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_follows_is_told_to_look_when_the_server_is_back() {
    let server = Postgres::start();
    let side = Side::at(&server).await;
    let store: Arc<dyn FilesAndJobs> = side.store.clone();
    let entry = sent(decide(&store, content(b"/a.svg", "h")).await);
    let mut readers = [store.changes().await.unwrap(), store.changes().await.unwrap()];
    server.kill();
    tokio::task::block_in_place(|| server.resume().unwrap());
    store.fold(&[ended(&entry, 20)]).await.unwrap();
    for reader in &mut readers {
        hears_of(reader, entry.job_id()).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_away_or_silent_is_unavailable_until_it_is_back() {
    let server = Postgres::shared();
    let proxy = Proxy::start().unwrap();
    proxy.lead_to(server.port());
    let direct = Side::at(server).await.settings;
    let url = direct.url.replace(&server.port().to_string(), &proxy.port().to_string());
    let short = Duration::from_millis(600);
    let settings = PostgresSettings { url, connect_timeout: short, timeout: short, ..direct };
    let store = PostgresJobs::open(&settings).await.unwrap();
    let store: Arc<dyn FilesAndJobs> = Arc::new(store);
    let entry = sent(decide(&store, content(b"/a.svg", "h")).await);
    for (weather, words) in
        [(Weather::Stalled, ["jobs.", "127.0.0.1"]), (Weather::Cut, ["cannot be used", "127.0.0.1"])]
    {
        proxy.set(weather);
        unavailable(store.fold(&[ended(&entry, 20)]).await, &words);
        unavailable(PostgresJobs::open(&settings).await, &["127.0.0.1"]);
        proxy.set(Weather::Fair);
        let back = async { while store.fold(&[ended(&entry, 20)]).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(60), back).await.expect("it goes on");
    }
    assert_eq!(job(&store, &entry).await.state, JobState::Done);
}

/// Somebody else's transaction takes the rows of two jobs the other way round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_with_somebody_else_is_tried_again() {
    let server = Postgres::start();
    let side = Side::at(&server).await;
    let store: Arc<dyn FilesAndJobs> = side.store.clone();
    let mut entries = Vec::new();
    for path in [b"/a.svg", b"/b.svg"] {
        entries.push(sent(decide(&store, content(path, "h")).await));
    }
    entries.sort_by_key(FileEntry::job_id);
    let first: Vec<Progress> = entries.iter().map(|entry| told(entry, "render", Step::Unit, Outcome::Failed)).collect();
    store.fold(&first).await.unwrap();
    let touch = |entry: &FileEntry| format!("update facts set stage = stage where job_id = '{}'", entry.job_id());
    // It notices no deadlock itself, so that ours is the one that is given up.
    let script = format!(
        "set deadlock_timeout = '10min'; {}; select pg_notify('frameline_jobs', 'held'); do $$ begin \
         loop exit when exists (select from pg_locks where not granted); perform pg_sleep(0.01); end loop; end $$; {}",
        touch(&entries[1]),
        touch(&entries[0]),
    );
    let mut command = server.psql(database(&side.settings), &script).unwrap();
    let mut other = command.stdout(Stdio::null()).spawn().unwrap();
    let held = "select count(*) from pg_stat_activity where query like 'set deadlock_timeout%' and state = 'active' \
         and pid in (select pid from pg_locks where relation = 'facts'::regclass and mode = 'RowExclusiveLock')";
    let wait = || (server.sql(database(&side.settings), held) == "1").then_some(());
    tokio::task::block_in_place(|| crate::process::until("the other one has its row", wait));
    let again: Vec<Progress> = entries.iter().map(|entry| told(entry, "render", Step::Unit, Outcome::Done)).collect();
    store.fold(&again).await.unwrap();
    let ended = tokio::task::spawn_blocking(move || other.wait().unwrap()).await.unwrap();
    assert!(ended.success(), "{ended}");
    let deadlocks = "select deadlocks from pg_stat_database where datname = current_database()";
    let wait = || (server.sql(database(&side.settings), deadlocks) == "1").then_some(());
    tokio::task::block_in_place(|| crate::process::until("the deadlock is counted", wait));
    for entry in &entries {
        assert_eq!(job(&store, entry).await.stages["render"].done, 1);
    }
}

/// Who waits for a lock that is never given back is sent away by the server, so no connection is left waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_somebody_keeps_locked_uses_up_no_connection() {
    let server = Postgres::shared();
    let direct = Side::at(server).await.settings;
    let name = database(&direct).to_owned();
    let settings = PostgresSettings { connections: 2, timeout: Duration::from_secs(2), ..direct };
    let store: Arc<dyn FilesAndJobs> = Arc::new(PostgresJobs::open(&settings).await.unwrap());
    let entry = sent(decide(&store, content(b"/a.svg", "h")).await);
    let lock = entry.file_id.as_u64_pair().0.cast_signed();
    let script = format!("select pg_advisory_lock({lock}), pg_sleep(3600)");
    let mut other = server.psql(&name, &script).unwrap().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let of_other = format!("from pg_stat_activity where query = '{script}'");
    let held = format!(
        "select count(*) from pg_locks where locktype = 'advisory' and granted and pid in (select pid {of_other})"
    );
    let wait = || (server.sql(&name, &held) == "1").then_some(());
    tokio::task::block_in_place(|| crate::process::until("the other one has the lock", wait));
    for _ in 0..4 {
        unavailable(store.fold(&[ended(&entry, 20)]).await, &["keeps a file locked", "pg_locks"]);
    }
    assert_eq!(job(&store, &entry).await.state, JobState::Queued);
    server.sql(&name, &format!("select pg_terminate_backend(pid) {of_other}"));
    tokio::task::spawn_blocking(move || other.wait().unwrap()).await.unwrap();
    store.fold(&[ended(&entry, 20)]).await.unwrap();
    assert_eq!(job(&store, &entry).await.state, JobState::Done);
}

/// A machine that is gone closes no connection: of its fold the server hears nothing more, in the middle of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_locks_of_a_fold_that_fell_silent_are_given_back() {
    let server = Postgres::shared();
    let proxy = Proxy::start().unwrap();
    proxy.lead_to(server.port());
    let side = Side::at(server).await;
    let name = database(&side.settings).to_owned();
    let store: Arc<dyn FilesAndJobs> = side.store.clone();
    let entry = sent(decide(&store, content(b"/a.svg", "h")).await);
    let url = side.settings.url.replace(&server.port().to_string(), &proxy.port().to_string());
    let settings = PostgresSettings { url, timeout: Duration::from_secs(12), ..side.settings.clone() };
    let gone = PostgresJobs::open(&settings).await.unwrap();

    let script = "begin; lock table facts in share row exclusive mode; select pg_sleep(3600)";
    let mut other = server.psql(&name, script).unwrap().stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let is_there = |what: &str| {
        let wait = || (server.sql(&name, &format!("select count(*) > 0 from {what}")) == "t").then_some(());
        tokio::task::block_in_place(|| crate::process::until(what, wait));
    };
    is_there("pg_locks where relation = 'facts'::regclass and mode = 'ShareRowExclusiveLock' and granted");
    let progress = [told(&entry, "render", Step::Unit, Outcome::Failed)];
    // It stays open to the end: what is closed would be heard of.
    let folding = tokio::spawn({
        let gone = gone.clone();
        async move { gone.fold(&progress).await }
    });
    is_there("pg_locks where relation = 'facts'::regclass and mode = 'RowExclusiveLock' and not granted");
    proxy.set(Weather::Stalled);
    server.sql(&name, "select pg_terminate_backend(pid) from pg_stat_activity where query like 'begin; lock table%'");
    tokio::task::spawn_blocking(move || other.wait().unwrap()).await.unwrap();
    is_there("pg_stat_activity where datname = current_database() and state = 'idle in transaction'");

    store.fold(&[ended(&entry, 20)]).await.unwrap();
    assert_eq!(job(&store, &entry).await.state, JobState::Done);
    unavailable(folding.await.unwrap(), &["jobs.timeout"]);
    drop(gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_lets_in_and_a_wrong_one_is_told_without_being_shown() {
    let server = Postgres::shared();
    let name = database(&settings(server.database())).to_owned();
    let right = PostgresSettings { password: Secret::new(PASSWORD), ..settings(server.url_with_login(&name)) };
    PostgresJobs::migrate(&right).await.unwrap();
    let about = PostgresJobs::open(&right).await.unwrap().about().await.unwrap();
    assert!(about.connections >= 1 && about.connections < about.connections_limit, "{about:?}");
    let wrong = PostgresSettings { password: Secret::new("wrong"), ..right.clone() };
    refused(PostgresJobs::open(&wrong).await, &["does not let us in", "jobs.password"]);
    let nowhere = PostgresSettings { url: server.url_with_login("nowhere"), ..right };
    refused(PostgresJobs::open(&nowhere).await, &["there is no such database", "jobs.url"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_is_spoken_and_the_server_is_looked_at_as_it_is_asked_for() {
    let certificates = Certificates::new().unwrap();
    let server = Postgres::with_tls(&certificates);
    let name = database(&settings(server.database())).to_owned();
    let with = |tls, ca: &str, url: String| PostgresSettings {
        password: Secret::new(PASSWORD),
        tls,
        ca_file: if ca.is_empty() { Default::default() } else { certificates.file(ca) },
        ..settings(url)
    };
    let url = server.url_with_login(&name);
    PostgresJobs::migrate(&with(TlsMode::VerifyFull, "ca.pem", url.clone())).await.unwrap();
    let by_name = url.replace("127.0.0.1", "localhost");
    for (tls, ca, url) in
        [(TlsMode::Prefer, "", &url), (TlsMode::Require, "", &url), (TlsMode::VerifyCa, "ca.pem", &by_name)]
    {
        PostgresJobs::open(&with(tls, ca, url.clone())).await.unwrap_or_else(|error| panic!("{tls}: {error}"));
    }
    for (tls, ca, url, words) in [
        (TlsMode::Disable, "", &url, "does not let us in"),
        (TlsMode::VerifyFull, "other-ca.pem", &url, "jobs.ca_file"),
        (TlsMode::VerifyFull, "ca.pem", &by_name, "jobs.tls"),
        (TlsMode::VerifyCa, "none.pem", &url, "none.pem"),
    ] {
        refused(PostgresJobs::open(&with(tls, ca, url.clone())).await, &[words]);
    }
}
