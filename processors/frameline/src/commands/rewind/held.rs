//! A rewind on Kubernetes: the Deployment is held still, the stage is put back, the Deployment is let go.
//!
//! A failure at any step says what stands how, and which command goes on and which goes back.

use std::time::Duration;

use anyhow::Result;
use frameline_runtime::log::operate::Operate;
use tokio::time::Instant;

use crate::error::Refusal;
use crate::kubernetes::Workload;
use crate::output::{count, note};
use crate::stages::Name;

/// Between two looks at what is still there.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Does `work` while the stage stands still.
pub(super) async fn still<T>(
    workload: &Workload,
    log: &dyn Operate,
    stage: Name,
    patience: Duration,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let place = workload.place();
    let back = format!("frameline rewind {stage} --kubernetes --namespace {} --resume --execute", place.namespace);
    let stands = |what: &str, error: anyhow::Error| {
        let message = format!("{what}; {place} is held at 0 replicas");
        let help = format!("see to the cause and run the same again; or put {stage} back to work as it is: `{back}`");
        anyhow::Error::from(Refusal::new(message, help).because(error))
    };
    note(format!("holding {place} still"));
    if let Err(error) = workload.hold().await {
        return match workload.stand().await {
            Ok(stand) if stand.before.is_none() => Err(error),
            _ => Err(stands("nothing was moved, for not all of it could be held", error)),
        };
    }
    let emptied = until_empty(workload, log, stage, patience).await;
    emptied.map_err(|error| stands("nothing was moved, for the stage did not come to rest", error))?;
    let done = work.await.map_err(|error| stands(&format!("{stage} could not be put back"), error))?;
    let let_go = workload.let_go().await.map_err(|error| {
        let message = format!("{stage} was put back, and {place} could not be let go");
        anyhow::Error::from(Refusal::new(message, format!("once the cause is gone: `{back}`")).because(error))
    })?;
    note(format!("{place} goes on with {}", count(let_go.replicas.unsigned_abs() as usize, "replica")));
    Ok(done)
}

/// Waits until no pod is there and no member is in the group: one that was killed stays until its session timeout.
async fn until_empty(workload: &Workload, log: &dyn Operate, stage: Name, patience: Duration) -> Result<()> {
    let (give_up, mut told) = (Instant::now() + patience, String::new());
    loop {
        let (pods, members) = (workload.pods().await?, log.members(stage.as_str()).await?);
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
