//! Log lines, on standard error: standard output belongs to results. And traces, to where the configuration says.

mod export;
mod otlp;

use std::io;

use tracing_subscriber::EnvFilter;

use crate::cli::{Command, LogFormat};
pub(crate) use export::Exporter;

/// Starts logging. Services tell what they do, commands only what is wrong; `$FRAMELINE_LOG` overrides both.
pub(crate) fn start(format: LogFormat, command: &Command) {
    let usual = match command {
        Command::Up(_) | Command::Run(_) | Command::Canary(_) => {
            "info,tract=warn,librdkafka=warn,object_store=warn,sqlx_core=error"
        }
        _ => "warn,tract=error,usvg=error,sqlx_core=error",
    };
    let filter = EnvFilter::try_from_env("FRAMELINE_LOG").unwrap_or_else(|_| EnvFilter::new(usual));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    match format {
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
