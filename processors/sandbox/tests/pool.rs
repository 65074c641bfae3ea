//! The pool against real workers. The executable is its own worker, so that it needs no other program.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use frameline_sandbox::{Fault, Limits, Pool, PoolSettings, serve};

const WORKER: &str = "worker";
const PARENT: &str = "parent";

fn main() -> ExitCode {
    let role = std::env::args().nth(1).unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match role.as_str() {
        WORKER => return worker(),
        PARENT => return runtime.block_on(parent()),
        _ => {}
    }
    macro_rules! tests {
        ($($name:ident),* $(,)?) => {
            $(runtime.block_on($name()); println!("test {} ... ok", stringify!($name));)*
        };
    }
    tests! {
        an_answer_comes_back_with_its_bytes,
        a_worker_is_used_again_until_it_is_old,
        a_worker_that_has_grown_large_is_replaced,
        what_kills_two_workers_is_given_up,
        what_kills_an_old_worker_goes_through_on_a_fresh_one,
        a_panic_is_told_with_its_words,
        too_much_memory_is_told_as_such,
        processor_time_and_time_by_the_clock_end_a_worker,
        an_answer_longer_than_the_limit_is_refused,
        nothing_outside_can_be_reached,
        deep_recursion_has_room,
        a_missing_program_is_the_machines_fault,
        a_worker_that_cannot_start_is_the_machines_fault,
        a_cancelled_call_and_a_dropped_pool_leave_no_process,
        workers_die_with_a_parent_that_is_killed,
    }
    ExitCode::SUCCESS
}

/// Does what the question says.
fn worker() -> ExitCode {
    serve(|| {
        let mut files = 0;
        let mut kept = Vec::new();
        Ok(move |question: String, body: &[u8]| {
            files += 1;
            let answer = match question.as_str() {
                "pid" => std::process::id().to_string(),
                "reverse" => return (String::new(), body.iter().rev().copied().collect()),
                "abort" => std::process::abort(),
                "abort-if-old" if files > 1 => std::process::abort(),
                "abort-if-old" => "fresh".to_owned(),
                "panic" => panic!("a broken picture"),
                "hoard" => {
                    kept.push(vec![1_u8; 64 << 20]);
                    kept.len().to_string()
                }
                "allocate" => std::hint::black_box(vec![1_u8; 4 << 30]).len().to_string(),
                "spin" => loop {
                    std::hint::spin_loop();
                },
                "sleep" => loop {
                    std::thread::sleep(Duration::from_secs(1));
                },
                "reach-outside" => reach_outside(),
                "recurse" => recurse(1_000_000).to_string(),
                other => panic!("no such question: {other}"),
            };
            (answer, Vec::new())
        })
    })
}

/// Names whatever could be reached.
fn reach_outside() -> String {
    let mut reached = Vec::new();
    if std::fs::File::open("/etc/hostname").is_ok() {
        reached.push("a file");
    }
    if std::fs::File::create("/tmp/frameline-sandbox-test").is_ok() {
        reached.push("a new file");
    }
    if std::net::UdpSocket::bind("127.0.0.1:0").is_ok() || std::net::TcpStream::connect("127.0.0.1:9").is_ok() {
        reached.push("a socket");
    }
    if std::process::Command::new("/bin/true").spawn().is_ok() {
        reached.push("a process");
    }
    if std::thread::Builder::new().spawn(|| ()).is_ok() {
        reached.push("a thread");
    }
    reached.join(", ")
}

fn recurse(depth: u64) -> u64 {
    let here = std::hint::black_box(depth);
    if here == 0 { 0 } else { 1 + recurse(here - 1) }
}

fn settings() -> PoolSettings {
    PoolSettings { args: vec![WORKER.to_owned()], workers: 2, ..PoolSettings::default() }
}

async fn ask(pool: &Pool, question: &str) -> Result<String, Fault> {
    pool.slot().await.call(&question, b"").await.map(|(answer, _)| answer)
}

async fn an_answer_comes_back_with_its_bytes() {
    let pool = Pool::new(settings()).unwrap();
    let body: Vec<u8> = (0..3 << 20).map(|index| (index % 251) as u8).collect();
    let (_, reversed): (String, _) = pool.slot().await.call(&"reverse", &body).await.unwrap();
    assert!(reversed.iter().rev().eq(&body));
}

async fn a_worker_is_used_again_until_it_is_old() {
    let pool = Pool::new(PoolSettings { recycle_files: 2, ..settings() }).unwrap();
    let (first, second) = (ask(&pool, "pid").await.unwrap(), ask(&pool, "pid").await.unwrap());
    assert_eq!(first, second);
    assert_ne!(first, ask(&pool, "pid").await.unwrap());
}

async fn a_worker_that_has_grown_large_is_replaced() {
    let pool = Pool::new(PoolSettings { recycle_rss_bytes: 100 << 20, ..settings() }).unwrap();
    for kept in ["1", "2", "1"] {
        assert_eq!(ask(&pool, "hoard").await.unwrap(), kept);
    }
}

async fn what_kills_two_workers_is_given_up() {
    let pool = Pool::new(settings()).unwrap();
    let fault = ask(&pool, "abort").await.unwrap_err();
    assert!(matches!(fault, Fault::Killed { signal: 6, .. }), "{fault}");
    assert!(ask(&pool, "pid").await.is_ok(), "the pool goes on");
}

async fn what_kills_an_old_worker_goes_through_on_a_fresh_one() {
    let pool = Pool::new(settings()).unwrap();
    let before = ask(&pool, "pid").await.unwrap();
    assert_eq!(ask(&pool, "abort-if-old").await.unwrap(), "fresh");
    assert_ne!(ask(&pool, "pid").await.unwrap(), before);
}

async fn a_panic_is_told_with_its_words() {
    let pool = Pool::new(settings()).unwrap();
    let fault = ask(&pool, "panic").await.unwrap_err();
    assert!(matches!(fault, Fault::Exited { code: 101, .. }), "{fault}");
    assert!(fault.to_string().contains("a broken picture"), "{fault}");
}

async fn too_much_memory_is_told_as_such() {
    let pool = Pool::new(settings()).unwrap();
    let fault = ask(&pool, "allocate").await.unwrap_err();
    assert!(matches!(fault, Fault::OutOfMemory { .. }), "{fault}");
}

async fn processor_time_and_time_by_the_clock_end_a_worker() {
    let limits = Limits { cpu: Duration::from_secs(1), wall: Duration::from_secs(20), ..Limits::default() };
    let pool = Pool::new(PoolSettings { limits: limits.clone(), ..settings() }).unwrap();
    let started = Instant::now();
    let fault = ask(&pool, "spin").await.unwrap_err();
    assert!(matches!(fault, Fault::Timeout { limit } if limit == limits.cpu), "{fault}");
    assert!(started.elapsed() < limits.wall, "a timeout is not tried again");

    let limits = Limits { wall: Duration::from_millis(300), ..limits };
    let pool = Pool::new(PoolSettings { limits: limits.clone(), ..settings() }).unwrap();
    let fault = ask(&pool, "sleep").await.unwrap_err();
    assert!(matches!(fault, Fault::Timeout { limit } if limit == limits.wall), "{fault}");
}

async fn an_answer_longer_than_the_limit_is_refused() {
    let limits = Limits { answer_bytes: 1_000, ..Limits::default() };
    let pool = Pool::new(PoolSettings { limits, ..settings() }).unwrap();
    let answered = pool.slot().await.call::<_, String>(&"reverse", &[0; 2_000]).await;
    assert!(matches!(answered, Err(Fault::Answer(_))), "{answered:?}");
}

async fn nothing_outside_can_be_reached() {
    let pool = Pool::new(settings()).unwrap();
    assert_eq!(ask(&pool, "reach-outside").await.unwrap(), "");
}

async fn deep_recursion_has_room() {
    let pool = Pool::new(settings()).unwrap();
    assert_eq!(ask(&pool, "recurse").await.unwrap(), "1000000");
}

async fn a_missing_program_is_the_machines_fault() {
    let pool = Pool::new(PoolSettings { program: "/nowhere".into(), ..settings() }).unwrap();
    let fault = ask(&pool, "pid").await.unwrap_err();
    assert!(matches!(fault, Fault::Spawn(_)), "{fault}");
}

async fn a_worker_that_cannot_start_is_the_machines_fault() {
    let pool = Pool::new(PoolSettings { program: "/bin/false".into(), ..settings() }).unwrap();
    let fault = ask(&pool, "pid").await.unwrap_err();
    assert!(matches!(fault, Fault::Spawn(_)), "{fault}");
}

async fn a_cancelled_call_and_a_dropped_pool_leave_no_process() {
    let pool = Pool::new(PoolSettings { workers: 1, ..settings() }).unwrap();
    let pid = ask(&pool, "pid").await.unwrap();
    let cancelled = tokio::time::timeout(Duration::from_millis(50), ask(&pool, "sleep")).await;
    assert!(cancelled.is_err());
    gone(&pid).await;
    let pid = ask(&pool, "pid").await.unwrap();
    drop(pool);
    gone(&pid).await;
}

/// Tells the worker's id and then keeps the worker busy, until it is killed.
async fn parent() -> ExitCode {
    let pool = Pool::new(PoolSettings { workers: 1, ..settings() }).unwrap();
    println!("{}", ask(&pool, "pid").await.unwrap());
    ask(&pool, "sleep").await.unwrap();
    ExitCode::FAILURE
}

async fn workers_die_with_a_parent_that_is_killed() {
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .arg(PARENT)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut pid = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut pid).unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    gone(pid.trim()).await;
}

/// Polls until the process has ended, or fails after ten seconds.
async fn gone(pid: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_running(pid) {
        assert!(Instant::now() < deadline, "process {pid} is still there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// An orphan may stay a zombie for ever where the first process of a container reaps none.
fn is_running(pid: &str) -> bool {
    let stat = std::fs::read_to_string(std::path::Path::new("/proc").join(pid).join("stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z"))
}
