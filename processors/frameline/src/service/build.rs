//! Each stage over its ports.

use std::sync::Arc;

use anyhow::Result;
use frameline_embed::{Embed, ImageModel, TextModel};
use frameline_identify::Identify;
use frameline_index::Index;
use frameline_jobs::Jobs;
use frameline_render::Render;
use frameline_runtime::driver::Status;
use frameline_validate::Validate;

use super::Starter;
use crate::config::Config;
use crate::ports::Ports;
use crate::stages::Name;
use crate::tampering::Flaky;

/// Starts one stage.
pub(super) async fn start(
    name: Name,
    ports: &Ports,
    config: &Config,
    starter: &mut Starter<'_>,
    status: Status,
) -> Result<()> {
    match name {
        Name::Identify => {
            let settings = config.identify.clone();
            let pool = settings.pool();
            starter.start(name, Identify::new(ports.blobs()?, settings, pool)?, status);
        }
        Name::Render => {
            let settings = &config.render;
            starter.start(name, Render::new(ports.blobs()?, settings.longest_side_px, settings.pool())?, status);
        }
        Name::Validate => starter.start(name, Validate::new(ports.blobs()?, config.validate.clone()), status),
        Name::Embed => {
            let (text, image) = (Arc::new(TextModel::new()?), Arc::new(ImageModel::new()));
            let stage = Embed::new(ports.blobs()?, text, image, &config.embed.settings());
            match ports.tampering().model_failures {
                None => starter.start(name, stage, status),
                Some(every) => starter.start(name, Flaky::new(stage, every), status),
            }
        }
        Name::Index => starter.start(name, Index::new(ports.vectors().await?), status),
        Name::Jobs => starter.start(name, Jobs::new(ports.jobs().await?), status),
    }
    Ok(())
}
