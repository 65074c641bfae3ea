//! One drawn file on its way: handed over, and looked for until a search finds it.

use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use frameline_discover::AddOutcome;
use frameline_runtime::seldom::Seldom;
use frameline_stores::jobs::JobState;
use frameline_stores::vectors::Query;
use uuid::Uuid;

use super::drawing;
use crate::commands::Context;

/// Between two searches.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The word is in one file alone.
const HITS: usize = 3;

/// Where the drawn files lie: always in the same place, so that each is a newer revision of the one before, which with
/// it leaves the index.
pub(super) struct Flight<'a> {
    context: &'a Context,
    path: PathBuf,
    timeout: Duration,
}

/// Why a file was not found.
#[derive(Debug)]
pub(super) enum Miss {
    /// It could not be handed over.
    Refused(anyhow::Error),
    /// Its job ended, and not well.
    Failed(String),
    /// It was not there in time.
    Late(Duration),
}

/// What a look brought.
enum Seen {
    Found,
    Failed(String),
    OnItsWay,
}

impl<'a> Flight<'a> {
    /// Files of this name in the data directory.
    pub(super) fn new(context: &'a Context, name: &str, timeout: Duration) -> Result<Self> {
        let folder = context.ports.data().root().join("canary");
        fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        Ok(Self { context, path: folder.join(name), timeout })
    }

    /// How long a new file took to be found.
    pub(super) async fn fly(&self) -> Result<Duration, Miss> {
        tokio::time::timeout(self.timeout, self.follow()).await.unwrap_or(Err(Miss::Late(self.timeout)))
    }

    /// Hands over that the file is gone.
    pub(super) async fn clear_away(&self) {
        let removed = async {
            fs::remove_file(&self.path)?;
            self.context.ports.discover().await?.delete(&self.path, |_| {}).await?;
            anyhow::Ok(())
        };
        if let Err(error) = removed.await {
            tracing::warn!(%error, file = %self.path.display(), "the drawn file stays in the index");
        }
    }

    async fn follow(&self) -> Result<Duration, Miss> {
        let (word, begun) = (drawing::new_word(), Instant::now());
        let job = self.hand_over(&word).await.map_err(Miss::Refused)?;
        let mut trouble = Seldom::default();
        loop {
            match self.look(&word, job).await {
                Ok(Seen::Found) => return Ok(begun.elapsed()),
                Ok(Seen::Failed(why)) => return Err(Miss::Failed(why)),
                Ok(Seen::OnItsWay) => {}
                // The work goes on while a store is away for a moment.
                Err(error) => {
                    if let Some(left_out) = trouble.say(Instant::now()) {
                        tracing::warn!(error = format!("{error:#}"), left_out, "the drawn file cannot be looked for");
                    }
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    async fn hand_over(&self, word: &str) -> Result<Uuid> {
        fs::write(&self.path, drawing::svg(word))
            .with_context(|| format!("{} cannot be written", self.path.display()))?;
        let discover = self.context.ports.discover().await?;
        let report = discover.add(std::slice::from_ref(&self.path), |_| {}).await?;
        match report.files.into_iter().next().map(|event| event.outcome) {
            Some(AddOutcome::Queued { job_id } | AddOutcome::Unchanged { job_id }) => Ok(job_id),
            Some(AddOutcome::Refused { reason, .. }) => bail!(reason),
            None => bail!("{} was passed over", self.path.display()),
        }
    }

    async fn look(&self, word: &str, job: Uuid) -> Result<Seen> {
        let ports = &self.context.ports;
        let tenant = self.context.loaded.config.service.tenant.clone();
        let query = Query { tenant, words: Some(word.to_owned()), limit: HITS, ..Query::default() };
        let hits = ports.vectors().await?.search(&query).await?;
        if hits.iter().any(|hit| hit.snippet.contains(word)) {
            return Ok(Seen::Found);
        }
        let job = ports.jobs().await?.job(&job.to_string()).await?;
        Ok(match job.filter(|job| matches!(job.state, JobState::Failed | JobState::Skipped)) {
            None => Seen::OnItsWay,
            Some(job) => Seen::Failed(match job.trouble {
                Some(trouble) => format!("{}: {}", trouble.stage, trouble.reason),
                None => "a newer one has taken its place; is another canary at work on these files?".to_owned(),
            }),
        })
    }
}

impl Miss {
    /// All reasons, for counting.
    pub(super) const REASONS: [&str; 3] = ["refused", "failed", "late"];

    /// Which of them it is.
    pub(super) fn reason(&self) -> &'static str {
        let [refused, failed, late] = Self::REASONS;
        match self {
            Miss::Refused(_) => refused,
            Miss::Failed(_) => failed,
            Miss::Late(_) => late,
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Refused(error) => write!(formatter, "it could not be handed over: {error:#}"),
            Miss::Failed(why) => write!(formatter, "it failed on its way: {why}"),
            Miss::Late(waited) => write!(formatter, "not within {} s", waited.as_secs_f64()),
        }
    }
}
