//! A rewind on Kubernetes: the Deployment is held still, the stage is put back, the Deployment is let go.
//!
//! A failure at any step says what stands how, and which command goes on and which goes back.

use std::time::Duration;

use anyhow::Result;
use frameline_runtime::log::operate::Operate;
use tokio::time::Instant;

use super::commands::Commands;
use super::report::Report;
use crate::error::{Interrupted, Refusal};
use crate::kubernetes::{Stand, Workload};
use crate::output::{count, note};
use crate::service::stop_on_signals;
use crate::stages::Name;

/// Between two looks at what is still there.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A stage that is held still.
pub(super) struct Hold<'a> {
    pub(super) workload: &'a Workload,
    pub(super) stage: Name,
    pub(super) commands: &'a Commands,
}

impl Hold<'_> {
    /// Does `work` while the stage stands still. A signal ends the wait for that; what comes after is finished.
    pub(super) async fn still(
        &self,
        log: &dyn Operate,
        patience: Duration,
        work: impl Future<Output = Result<Report>>,
    ) -> Result<Report> {
        let (stage, place) = (self.stage, self.workload.place());
        let stop = stop_on_signals()?;
        note(format!("holding {place} still"));
        if let Err(error) = self.workload.hold().await {
            return Err(self.unless_free("nothing was moved, for not all of it could be held", error).await);
        }
        let emptied = tokio::select! {
            emptied = self.until_empty(log, patience) => emptied,
            () = stop.cancelled() => return Err(self.interrupted().await.into()),
        };
        if let Err(error) = emptied {
            return Err(self.left("nothing was moved, for the stage did not come to rest", error).await);
        }
        let mut done = match work.await {
            Ok(done) => done,
            Err(error) => return Err(self.left(&format!("{stage} could not be put back"), error).await),
        };
        let stand = match self.workload.let_go().await {
            Ok(stand) => stand,
            Err(error) => return Err(self.not_let_go(&done, error).await),
        };
        note(format!("{place} goes on with {}", replicas(stand)));
        done.hold(place, stand);
        Ok(done)
    }

    /// Lets it go as it is.
    pub(super) async fn let_go(&self) -> Result<Stand> {
        match self.workload.let_go().await {
            Ok(stand) => Ok(stand),
            Err(error) => Err(self.unless_free(&format!("{} was not let go", self.workload.place()), error).await),
        }
    }

    /// Waits until no pod is there and no member is in the group: one that was killed stays until its session timeout.
    async fn until_empty(&self, log: &dyn Operate, patience: Duration) -> Result<()> {
        let (give_up, mut told) = (Instant::now() + patience, String::new());
        loop {
            let (pods, members) = (self.workload.pods().await?, log.members(self.stage.as_str()).await?);
            if pods == 0 && members.is_empty() {
                return Ok(());
            }
            let left = format!("{} and {}", count(pods, "pod"), count(members.len(), "member"));
            if Instant::now() >= give_up {
                let who = members.iter().map(|member| format!(": {member}")).collect::<String>();
                anyhow::bail!("after {} s there are still {left}{who}", patience.as_secs());
            }
            if told != left {
                note(format!("waiting for {left} to go"));
                told = left;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// The error alone where nothing of it is held.
    async fn unless_free(&self, what: &str, error: anyhow::Error) -> anyhow::Error {
        match self.workload.stand().await {
            Ok(stand) if stand.before.is_none() => error,
            _ => self.left(what, error).await,
        }
    }

    async fn left(&self, what: &str, error: anyhow::Error) -> anyhow::Error {
        let help = format!(
            "see to the cause and run the same again; or put {} back to work as it is: `{}`",
            self.stage,
            self.commands.resume()
        );
        let stands = self.stands().await;
        Refusal::new(format!("{what}; {stands}"), help).because(error).into()
    }

    async fn not_let_go(&self, done: &Report, error: anyhow::Error) -> anyhow::Error {
        let resume = self.commands.resume();
        let (moved, help) = match done.backup() {
            Some(backup) => (
                format!("was put back, where it was before is in {backup}"),
                format!("once the cause is gone: `{resume}`; to undo the move: `{}`", self.commands.undo(backup)),
            ),
            None => ("is there already".to_owned(), format!("once the cause is gone: `{resume}`")),
        };
        let (stage, stands) = (self.stage, self.stands().await);
        let message = format!("{stage} {moved}, and it could not be let go; {stands}");
        Refusal::new(message, help).because(error).into()
    }

    async fn interrupted(&self) -> Interrupted {
        let (stage, stands, resume) = (self.stage, self.stands().await, self.commands.resume());
        Interrupted(format!(
            "stopped before {stage} came to rest, and nothing was moved; {stands}; the same command goes on; back to \
             work as it is: `{resume}`"
        ))
    }

    /// How it stands now, as far as that can be seen.
    async fn stands(&self) -> String {
        let place = self.workload.place();
        let deployment = match self.workload.stand().await {
            Ok(Stand { replicas: 0, before: Some(_) }) => format!("{place} is held at 0 replicas"),
            Ok(stand @ Stand { before: Some(_), .. }) => {
                format!("{place} is marked as held, and is to have {} all the same", replicas(stand))
            }
            Ok(stand) => format!("{place} is not held, and is to have {}", replicas(stand)),
            Err(_) => format!("how {place} stands cannot be read"),
        };
        let Some(name) = &place.scaled_object else { return deployment };
        match self.workload.is_paused().await {
            Ok(true) => format!("{deployment}, and the ScaledObject {name} is paused"),
            Ok(false) => format!("{deployment}, and the ScaledObject {name} is not paused"),
            Err(_) => format!("{deployment}, and whether the ScaledObject {name} is paused cannot be read"),
        }
    }
}

fn replicas(stand: Stand) -> String {
    count(stand.replicas.unsigned_abs() as usize, "replica")
}
