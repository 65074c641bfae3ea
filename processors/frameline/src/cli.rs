//! The command line: what can be said, and the help that goes with it.

mod operate;
mod put_back;
#[cfg(test)]
mod runbook;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use frameline_runtime::settings::duration;

pub(crate) use operate::{Audit, Canary, Cluster, Lag, Place, Rewind, RewindTarget};

pub(crate) use self::put_back::{About, DlqCommand, DlqList, DlqRedrive, DlqShow, Letters, Pace, Replay};
use crate::stages::Name;

const FIRST_STEPS: &str = "\
First steps:
  frameline demo                         see it work on the samples that it ships
  frameline up                           run all stages on this machine, until Ctrl-C
  frameline add ~/designs --wait         in another terminal: bring files in
  frameline search 'sign-in form'        find frames and passages by what they say
  frameline search --image shot.png      find frames by how they look";

/// Makes design files and documents searchable by what is in them.
///
/// Files go in at one end; at the other end every frame and every passage can be found, by words or by a
/// picture. One directory holds everything, nothing else needs to be installed.
#[derive(Debug, Parser)]
#[command(name = "frameline", version, after_help = FIRST_STEPS, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// The data directory; by default $FRAMELINE_DATA, $XDG_DATA_HOME/frameline or ~/.local/share/frameline
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The configuration, one TOML file; `frameline config show` lists what it may say
    #[arg(long, global = true, env = "FRAMELINE_CONFIG", value_name = "FILE", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON, one document a line, for other programs
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// How log lines look on standard error; $FRAMELINE_LOG says which are written
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, value_name = "FORMAT")]
    pub(crate) log: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// For programs, one object a line
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run all stages in this process, until Ctrl-C or SIGTERM
    #[command(after_help = "\
Examples:
  frameline up
  frameline up --data /srv/frameline --listen 0.0.0.0:8470
  frameline up --config kafka.toml            the log between the stages on Apache Kafka

While it runs, `add`, `search` and `jobs` work from other terminals, and HTTP answers on the address:
/healthz (alive), /readyz (each stage), /metrics (Prometheus).")]
    Up(Serve),
    /// Run only these stages in this process
    #[command(after_help = "\
Examples:
  frameline run identify render               two of the stages
  frameline run embed --listen 127.0.0.1:0    another on the same machine, on any free port")]
    Run(Run),
    /// Bring files and folders in
    #[command(after_help = "\
Examples:
  frameline add checkout.svg ~/designs        queue a file and a folder
  frameline add ~/designs --wait              and follow until each is searchable

Adding a file again that has not changed does nothing. Exit status 1 when a file failed; the output says why.")]
    Add(Add),
    /// Find frames and passages, by words or by a picture
    #[command(after_help = "\
Examples:
  frameline search how do I reset my password
  frameline search 'delivery address' --limit 3
  frameline search --image screenshot.png --json")]
    Search(Search),
    /// List what was added and how it went, or show one
    #[command(after_help = "\
Examples:
  frameline jobs                              the newest ones
  frameline jobs 7f3a                         one, by the start of its id")]
    Jobs(Jobs),
    /// Show how many records each stage has before it, for how long, and how fast they go
    #[command(after_help = "\
Examples:
  frameline lag                               all stages
  frameline lag render                        one, partition by partition
  frameline lag --watch --every 5s            again and again")]
    Lag(Lag),
    /// Put a stage back, so that it does records again; shows the plan, and does it with --execute
    #[command(after_help = operate::REWIND_EXAMPLES)]
    Rewind(Rewind),
    /// Find out whether everything is as it should be, and what to do where it is not
    #[command(after_help = "\
Example:
  frameline doctor                            exit status 1 when something does not work")]
    Doctor,
    /// Find out whether a service answers, for whoever starts it anew when it does not
    #[command(after_help = "\
Examples:
  frameline health                            exit status 1 when the service at service.listen is not alive
  frameline health --ready                    or is not ready: its stages warm, and in their groups")]
    Health(Health),
    /// Show what operators did: who, when, which command, and how it ended
    #[command(after_help = "\
Examples:
  frameline audit                             the newest 50 records
  frameline audit --limit 1000 --json         more of them, with their plans")]
    Audit(Audit),
    /// Plan to put records back on a stage's input while it runs; with --execute, do it
    #[command(after_help = "\
Examples:
  frameline replay embed --file ~/designs/checkout.svg             what would be put back
  frameline replay embed --file ~/designs/checkout.svg --execute
  frameline replay render --since 2026-11-22T14:00:00Z --until 2026-11-22T15:00:00Z --rate 50 --execute

Records of older revisions are left out, and so are copies that an earlier replay made. Doing it again is harmless.")]
    Replay(Replay),
    /// List, show and put back what the stages gave up
    #[command(
        subcommand,
        after_help = "\
Examples:
  frameline dlq list render                   what it gave up, and why
  frameline dlq redrive render --execute      once the cause is mended"
    )]
    Dlq(DlqCommand),
    /// Take a file out of the index
    #[command(after_help = "\
Example:
  frameline delete ~/designs/checkout.svg     as it was added; it need not exist any more")]
    Delete(Delete),
    /// See it work: bring the shipped samples in, answer three questions, keep serving
    #[command(after_help = "\
Example:
  frameline demo

It keeps to a data directory of its own, `demo` in the usual one, unless --data names another.")]
    Demo(Demo),
    /// Send a small drawn file through the whole chain every few minutes, and tell how long it takes
    #[command(after_help = operate::CANARY_EXAMPLES)]
    Canary(Canary),
    /// Check or show the configuration
    #[command(
        subcommand,
        after_help = "\
Examples:
  frameline config show                       every key, its value, and where that comes from
  frameline config check --config kafka.toml  before a service starts with it"
    )]
    Config(ConfigCommand),
    /// Compare the topics of the log in use with the ones that are needed
    #[command(
        subcommand,
        after_help = "\
Examples:
  frameline topics diff --config kafka.toml
  frameline topics apply --config kafka.toml --execute

Partitions of a topic that is there are never changed: the keys of its records would move."
    )]
    Topics(TopicsCommand),
    /// Compare the schema registry with the schemas of this version
    #[command(
        subcommand,
        after_help = "\
Examples:
  frameline schemas check                     exit status 1 when something is missing or refused
  frameline schemas apply --execute           before the first process of a new version starts"
    )]
    Schemas(SchemasCommand),
    /// Plan to bring the schema of files and jobs up to date; with --execute, do it
    #[command(after_help = "\
Examples:
  frameline migrate                            what is there, and what is missing
  frameline migrate --execute                  before the services of a new version start

It is about PostgreSQL, where jobs.url names one; a file in the data directory is brought up to date by whoever opens
it. Several may do it at the same time: the first one does it, and the others find it done.")]
    Migrate {
        /// Do it
        #[arg(long)]
        execute: bool,
    },
    /// Make the vector index anew
    #[command(
        subcommand,
        after_help = "\
Example:
  frameline vectors rebuild                   what would be done; --execute does it"
    )]
    Vectors(VectorsCommand),
    /// Print the completion script of a shell
    #[command(after_help = "\
Example:
  frameline completion bash > ~/.local/share/bash-completion/completions/frameline")]
    Completion {
        /// Which shell
        shell: Shell,
    },
    /// The child process of a stage that opens files from outside
    #[command(hide = true)]
    Worker {
        /// Which stage's
        stage: WorkerStage,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Serve {
    /// Address of /healthz, /readyz and /metrics; port 0 takes any free one [default: 127.0.0.1:8470]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Stable name of this process in the groups on Kafka; the host's name by default
    #[arg(long, env = "FRAMELINE_INSTANCE", value_name = "NAME", hide_env_values = true)]
    pub(crate) instance: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The stages
    #[arg(required = true, value_enum, value_name = "STAGE")]
    pub(crate) stages: Vec<Name>,
    #[command(flatten)]
    pub(crate) serve: Serve,
}

#[derive(Debug, Args)]
pub(crate) struct Health {
    /// Ask /readyz instead of /healthz
    #[arg(long)]
    pub(crate) ready: bool,
    /// Where the service answers [default: service.listen]
    #[arg(long, value_name = "ADDR")]
    pub(crate) address: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Follow the files until each is searchable, skipped or failed
    #[arg(long)]
    pub(crate) wait: bool,
    /// Give up following after this long, such as 90s or 10m; the work goes on
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = duration::parse)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Search {
    /// What to look for
    #[arg(required_unless_present = "image", conflicts_with = "image", value_name = "WORDS")]
    pub(crate) words: Vec<String>,
    /// Find what looks like this picture (PNG, JPEG, WebP, GIF)
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
    /// How many hits at most
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) limit: u16,
}

#[derive(Debug, Args)]
pub(crate) struct Jobs {
    /// The job's id, or as much of its start as makes it the only one
    pub(crate) id: Option<String>,
    /// How many of the newest to list
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The file, as it was added
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Address of /healthz, /readyz and /metrics; any free port by default
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Refuse unknown keys, wrong values and contradictions
    Check,
    /// Print every key with its value, default and unit
    Show,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SchemasCommand {
    /// Show what is registered, missing, or does not go with what is there
    Check,
    /// Plan the registration of what is missing; with --execute, do it
    Apply {
        /// Do it
        #[arg(long)]
        execute: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TopicsCommand {
    /// Show what is missing or different
    Diff,
    /// Plan the creation of what is missing; with --execute, do it
    Apply {
        /// Do it
        #[arg(long)]
        execute: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum VectorsCommand {
    /// Plan a rebuild from the files that were added; with --execute, do it
    #[command(after_help = "\
Examples:
  frameline vectors rebuild                    what would be done
  frameline vectors rebuild --execute          fill a new collection beside the live one, then switch to it

In the data directory the index is filled in place; one that was lost is made anew. Stopped, it goes on where it was
when asked again.")]
    Rebuild(Rebuild),
}

#[derive(Debug, Args)]
pub(crate) struct Rebuild {
    /// Do it
    #[arg(long)]
    pub(crate) execute: bool,
    /// In the data directory: also the files that the index has, as after a change of models or rules
    #[arg(long)]
    pub(crate) all: bool,
    /// In Qdrant: remove the old collection once the new one is live
    #[arg(long)]
    pub(crate) remove_old: bool,
    /// In Qdrant: switch although files of the live index did not come through
    #[arg(long)]
    pub(crate) leave_behind: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkerStage {
    Identify,
    Render,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_takes_json_and_a_data_directory() {
        for command in [
            "up",
            "run render",
            "add x",
            "search x",
            "jobs",
            "lag",
            "audit",
            "doctor",
            "health",
            "rewind render --to-earliest",
            "replay render --file x",
            "dlq list render",
            "dlq show render 0:12",
            "dlq redrive render",
            "delete x",
            "demo",
            "canary",
            "config show",
            "config check",
            "topics diff",
            "topics apply",
            "schemas check",
            "schemas apply",
            "migrate",
            "vectors rebuild",
        ] {
            let cli = parse(&format!("frameline {command} --json --data d")).unwrap();
            assert!(cli.common.json, "{command}");
            assert_eq!(cli.common.data, Some(PathBuf::from("d")), "{command}");
        }
    }

    #[test]
    fn the_help_of_every_command_has_an_example() {
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("  frameline {name}")), "no example of {name}: {help}");
        }
    }

    #[test]
    fn search_takes_words_or_a_picture_but_not_both_and_not_neither() {
        let Command::Search(search) = parse("frameline search two words --limit 3").unwrap().command else { panic!() };
        assert_eq!((search.words, search.limit), (vec!["two".to_owned(), "words".to_owned()], 3));
        assert!(parse("frameline search --image x.png").is_ok());
        assert!(parse("frameline search").is_err());
        assert!(parse("frameline search word --image x.png").is_err());
        assert!(parse("frameline search word --limit 0").is_err());
    }

    #[test]
    fn run_refuses_a_stage_that_does_not_exist_and_names_the_ones_that_do() {
        let text = parse("frameline run rendre").unwrap_err().to_string();
        assert!(text.contains("rendre") && text.contains("render"), "{text}");
    }

    #[test]
    fn a_timeout_is_written_as_a_person_writes_it() {
        let Command::Add(add) = parse("frameline add x --wait --timeout 90s").unwrap().command else { panic!() };
        assert_eq!(add.timeout, Some(Duration::from_secs(90)));
        assert!(parse("frameline add x --wait --timeout soon").is_err());
    }
}
