//! `frameline lag`: how many records each stage has before it.

use std::fmt;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::Context;
use crate::output::Table;
use crate::stages::Name;

#[derive(Debug, Serialize)]
struct Report {
    stages: Vec<Row>,
    lag: i64,
}

#[derive(Debug, Serialize)]
struct Row {
    stage: &'static str,
    lag: i64,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Partition {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end: i64,
    lag: i64,
}

pub(super) async fn run(context: Context) -> Result<()> {
    context.needs_data()?;
    let log = context.ports.log().await?;
    let mut stages = Vec::new();
    for name in Name::ALL {
        let topics: Vec<String> = name.reads().iter().map(|topic| (*topic).to_owned()).collect();
        let lags = log.lag(name.as_str(), &topics).await.with_context(|| format!("the lag of {name}"))?;
        let partitions: Vec<_> = lags
            .into_iter()
            .map(|lag| Partition {
                lag: lag.records(),
                topic: lag.partition.topic.to_string(),
                partition: lag.partition.partition,
                committed: lag.committed,
                end: lag.high,
            })
            .collect();
        stages.push(Row {
            stage: name.as_str(),
            lag: partitions.iter().map(|partition| partition.lag).sum(),
            partitions,
        });
    }
    context.output.print(&Report { lag: stages.iter().map(|stage| stage.lag).sum(), stages })
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["stage", "lag", "partitions behind"]);
        for stage in &self.stages {
            let behind = stage.partitions.iter().filter(|partition| partition.lag > 0).count();
            table.row([
                stage.stage.to_owned(),
                stage.lag.to_string(),
                format!("{behind} of {}", stage.partitions.len()),
            ]);
        }
        table.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_a_stage_is_kept() {
        let partition = Partition { topic: "files".to_owned(), partition: 3, committed: None, end: 2, lag: 2 };
        let report = Report { stages: vec![Row { stage: "identify", lag: 2, partitions: vec![partition] }], lag: 2 };
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("lag"));
        assert!(report.to_string().contains("identify  2    1 of 1"), "{report}");
    }
}
