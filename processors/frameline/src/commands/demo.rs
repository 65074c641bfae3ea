//! `frameline demo`: the shipped samples through all stages, three questions, and then a service like any other.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use frameline_runtime::driver::Status;
use frameline_stores::jobs::JobStore;
use serde::Serialize;
use uuid::Uuid;

use super::{Context, add, search};
use crate::cli;
use crate::error::Refusal;
use crate::output::{count, one_line, quoted};
use crate::progress::StageLines;
use crate::service::{Order, Service, stop_on_signals};
use crate::stages::Name;

/// Where the samples lay when this was built.
const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/samples");
const QUESTIONS: [&str; 3] = [
    "pay by card with expiry date and security code",
    "the page you were looking for is lost in space",
    "which typeface does the brand use",
];
const HITS: usize = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(100);

#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Event {
    Started { data: PathBuf, samples: PathBuf },
    Indexed { files: usize, unchanged: usize },
    Answer(Answer),
    Serving(Serving),
    Stopped,
}

#[derive(Debug, Serialize)]
struct Answer {
    question: &'static str,
    hits: Vec<search::Row>,
    #[serde(skip)]
    samples: PathBuf,
}

#[derive(Debug, Serialize)]
struct Serving {
    address: SocketAddr,
    add: String,
    search: String,
}

pub(super) async fn run(context: Context, command: cli::Demo) -> Result<()> {
    let stop = stop_on_signals()?;
    let samples = samples()?;
    let data = context.ports.data().root().to_owned();
    context.output.print(&Event::Started { data: data.clone(), samples: samples.clone() })?;

    let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let listen = command.listen.unwrap_or(any_port);
    let order = Order { stages: Name::ALL.to_vec(), alone: true, listen, instance: None };
    let mut service = Service::start(&context.ports, &context.loaded.config, &order, stop).await?;
    service.ready().await?;

    let (address, stages) = (service.address(), service.statuses());
    service.meanwhile(show(&context, &samples, &stages)).await?;
    let serving = Serving::of(address, &data);
    service.meanwhile(async { context.output.print(&Event::Serving(serving)) }).await?;
    service.run().await?;
    context.output.print(&Event::Stopped)
}

async fn show(context: &Context, samples: &Path, stages: &[Status]) -> Result<()> {
    let handed_over = add::hand_over(context, &[samples.to_owned()]).await?;
    // Files of an earlier run may still be on their way: those are followed too.
    let jobs: Vec<Uuid> = handed_over.iter().filter_map(|row| row.job).collect();
    let store = context.ports.jobs().await?;
    follow(context, store.as_ref(), &jobs, stages).await?;
    let unchanged = handed_over.iter().filter(|row| row.state == "unchanged").count();
    context.output.print(&Event::Indexed { files: handed_over.len() - unchanged, unchanged })?;

    let vectors = context.ports.vectors().await?;
    let blobs = context.ports.blobs()?;
    for question in QUESTIONS {
        let tenant = context.loaded.config.service.tenant.clone();
        let query = search::by_words(tenant, question, HITS).await?;
        let hits = search::answer(vectors.as_ref(), &blobs, &query).await?;
        context.output.print(&Event::Answer(Answer { question, hits, samples: samples.to_owned() }))?;
    }
    Ok(())
}

async fn follow(context: &Context, store: &dyn JobStore, jobs: &[Uuid], stages: &[Status]) -> Result<()> {
    let mut lines = StageLines::start(context.output, stages.len());
    loop {
        let unfinished = store.unfinished(jobs).await?.len();
        if unfinished == 0 {
            break;
        }
        lines.set(stages, jobs.len() - unfinished, jobs.len());
        tokio::time::sleep(LOOK_AGAIN).await;
    }
    lines.finish(stages);
    Ok(())
}

fn samples() -> Result<PathBuf> {
    std::fs::canonicalize(SAMPLES).map_err(|error| {
        let message = format!("the samples are not where they were when this was built, in {SAMPLES}");
        let help =
            "run it from a checkout with `cargo run --release -- demo`, or try `frameline up` and your own files";
        Refusal::new(message, help).because(error).into()
    })
}

impl Serving {
    fn of(address: SocketAddr, data: &Path) -> Self {
        let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("frameline"));
        let program = quoted(&program.to_string_lossy());
        let data = quoted(&data.to_string_lossy());
        Self {
            address,
            add: format!("{program} add ~/my-designs --wait --data {data}"),
            search: format!("{program} search 'what you look for' --data {data}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Started { data, samples } => {
                write!(formatter, "bringing in {}\ninto        {}", samples.display(), data.display())
            }
            Event::Indexed { files, unchanged } => {
                write!(formatter, "{} searchable, {unchanged} unchanged", count(*files, "new file"))
            }
            Event::Answer(answer) => answer.fmt(formatter),
            Event::Serving(serving) => serving.fmt(formatter),
            Event::Stopped => formatter.write_str("stopped"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\nquestion: {}", self.question)?;
        for (place, hit) in (1..).zip(&self.hits) {
            let file = Path::new(&hit.file).strip_prefix(&self.samples).unwrap_or(Path::new(&hit.file));
            let file = one_line(&file.to_string_lossy());
            write!(formatter, "\n  {place}. {:.2}  {file}  {} `{}`", hit.score, hit.kind, one_line(&hit.frame))?;
            if let Some(thumbnail) = &hit.thumbnail {
                write!(formatter, "\n           {thumbnail}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Serving {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "\nnow your own, from another terminal:\n  {}\n  {}", self.add, self.search)?;
        write!(formatter, "\nserving until Ctrl-C; probes and metrics at http://{}", self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn a_directory_with_blanks_can_be_pasted_into_a_shell() {
        assert_eq!(quoted("/tmp/a-b_c.d"), "/tmp/a-b_c.d");
        assert_eq!(quoted("/tmp/my data"), "'/tmp/my data'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn the_samples_are_found_in_a_checkout() {
        assert!(samples().unwrap().join("screens").is_dir());
    }

    #[test]
    fn the_shape_of_the_events_is_kept() {
        let serving = Serving {
            address: "127.0.0.1:40123".parse().unwrap(),
            add: "frameline add …".to_owned(),
            search: "frameline search …".to_owned(),
        };
        let events = [
            Event::Started {
                data: PathBuf::from("/home/me/.local/share/frameline/demo"),
                samples: PathBuf::from("/src/frameline/tests/samples"),
            },
            Event::Indexed { files: 26, unchanged: 0 },
            Event::Answer(Answer { question: "where", hits: Vec::new(), samples: PathBuf::new() }),
            Event::Serving(serving),
        ];
        assert_eq!(events.map(|event| serde_json::to_value(event).unwrap()).as_slice(), documented("demo"));
    }

    #[test]
    fn the_commands_that_it_prints_name_the_data_directory() {
        let serving = Serving::of("127.0.0.1:1".parse().unwrap(), Path::new("/my data"));
        assert!(serving.add.ends_with("add ~/my-designs --wait --data '/my data'"), "{}", serving.add);
    }
}
