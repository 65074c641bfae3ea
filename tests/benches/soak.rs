//! The whole chain with its log on Kafka at half of what it can do, for an hour: `--minutes N` for less. Memory has
//! to stay flat, nothing may fail or be tried again, and what is left to do is nothing in the end.
//!
//! What it can do is measured first, by files that are added at once. Then the same files are changed a few at a time,
//! over and over: the index has as many of them at the end as at the beginning, so what grows is a leak.

mod load;
mod watch;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use frameline_tests::kafka::Broker;
use tempfile::TempDir;

use self::load::Load;
use self::watch::{Sight, Watch};
use crate::contest::{Better, Contest, Scores};
use crate::service::{Service, command};

/// Until here caches fill up; it is left out of the comparison.
const WARM_UP_SHARE: f64 = 0.2;
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How long the rest may take once nothing more comes.
const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn run(minutes: usize) -> anyhow::Result<Vec<(Contest, Scores)>> {
    let broker = Broker::start();
    let folder = TempDir::new()?;
    let (data, config) = (folder.path().join("data"), folder.path().join("frameline.toml"));
    fs::write(&config, broker.product_settings())?;
    let product = |name: &str| {
        let mut command = command(&data, name)?;
        command.arg("--config").arg(&config);
        anyhow::Ok(command)
    };
    let service = Service::start(product("up")?)?;
    let mut load = Load::new(folder.path().join("files"))?;
    let watch = Watch { service: &service, product: &product };

    let capacity = load.all_at_once(&product)?;
    watch.until_idle(PATIENCE)?;
    eprintln!("{capacity:.1} files/s at once; {:.1} files/s for {minutes} minutes", capacity / 2.0);
    let begun = Instant::now();
    let end = begun + Duration::from_secs(60) * u32::try_from(minutes)?;
    let sights = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch.look_until(end, LOOK_INTERVAL));
        let fed = load.feed_until(end, capacity / 2.0, &product);
        let sights = watching.join().map_err(|_| anyhow::anyhow!("the watcher panicked"))?;
        fed.and(sights)
    })?;
    let (changed, fed_for) = (load.changed(), begun.elapsed());
    watch.until_idle(PATIENCE)?;
    watch.nothing_failed(load.files() + changed)?;
    service.stop()?;
    contests(&sights, changed as f64 / fed_for.as_secs_f64(), capacity / 2.0)
}

/// Memory of the last part of the time against the first, and the load against what was meant.
fn contests(sights: &[Sight], load: f64, meant: f64) -> anyhow::Result<Vec<(Contest, Scores)>> {
    let warm = &sights[(sights.len() as f64 * WARM_UP_SHARE) as usize..];
    let third = warm.len() / 3;
    ensure!(third > 0, "too short to compare anything");
    let (first, last) = (median_mib(&warm[..third])?, median_mib(&warm[warm.len() - third..])?);
    let memory = Contest {
        name: "soak-memory",
        against: "the first third of the time",
        unit: "MiB",
        better: Better::Less,
        goal: 0.95,
    };
    let rate = Contest {
        name: "soak-load",
        against: "half of what it can do",
        unit: "files/s",
        better: Better::More,
        goal: 0.9,
    };
    let scores = |ours, other| {
        let mut scores = Scores::default();
        scores.add(ours, other);
        scores
    };
    Ok(vec![(memory, scores(last, first)), (rate, scores(load, meant))])
}

fn median_mib(sights: &[Sight]) -> anyhow::Result<f64> {
    let mut resident: Vec<f64> = sights.iter().map(|sight| sight.resident_mib).collect();
    resident.sort_by(f64::total_cmp);
    resident.get(resident.len() / 2).copied().context("nothing was seen")
}
