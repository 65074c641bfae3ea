//! `frameline worker STAGE`: the child process in which a stage opens files from outside.

use std::process::ExitCode;

use crate::cli::WorkerStage;

pub(crate) fn run(stage: WorkerStage) -> ExitCode {
    match stage {
        WorkerStage::Identify => frameline_identify::worker(),
        WorkerStage::Render => frameline_render::worker(),
    }
}
