//! `frameline search WORDS | --image FILE`.

use std::fmt;
use std::path::Path;

use anyhow::{Context as _, Result};
use frameline_embed::{ImageModel, TextModel};
use frameline_schemas::Kind;
use frameline_stores::blobs::Blobs;
use frameline_stores::vectors::{Hit, Query, Vectors};
use serde::Serialize;
use uuid::Uuid;

use super::Context;
use crate::cli;
use crate::error::Refusal;
use crate::output::{excerpt, one_line};

/// Characters of a hit's text that a person is shown.
const SNIPPET: usize = 160;

#[derive(Debug, Serialize)]
struct Report {
    hits: Vec<Row>,
}

/// A hit, as every command tells it.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) file: String,
    pub(super) frame: String,
    pub(super) kind: &'static str,
    pub(super) score: f32,
    pub(super) why: Vec<&'static str>,
    pub(super) page: Option<i32>,
    /// A path, or the URL of an object.
    pub(super) thumbnail: Option<String>,
    pub(super) snippet: String,
    pub(super) file_id: Uuid,
    pub(super) unit_id: Uuid,
}

pub(super) async fn run(context: Context, command: cli::Search) -> Result<()> {
    context.needs_data()?;
    let limit = usize::from(command.limit);
    let tenant = context.loaded.config.service.tenant.clone();
    let query = match &command.image {
        Some(image) => by_picture(tenant, image, limit).await?,
        None => by_words(tenant, &command.words.join(" "), limit).await?,
    };
    let vectors = context.ports.vectors().await?;
    let hits = answer(vectors.as_ref(), &context.ports.blobs()?, &query).await?;
    context.output.print(&Report { hits })
}

/// The hits of a query, best first.
pub(super) async fn answer(vectors: &dyn Vectors, blobs: &Blobs, query: &Query) -> Result<Vec<Row>> {
    let hits = vectors.search(query).await.context("the index cannot be searched")?;
    Ok(hits.into_iter().map(|hit| Row::of(hit, blobs)).collect())
}

/// What is asked for with words: the words themselves, and what they mean.
pub(super) async fn by_words(tenant: String, words: &str, limit: usize) -> Result<Query> {
    let words = words.trim().to_owned();
    if words.is_empty() {
        return Err(
            Refusal::new("there is nothing to search for", "say some words: frameline search sign-in form").into()
        );
    }
    let text = words.clone();
    let vector = tokio::task::spawn_blocking(move || embedded_text(&text)).await??;
    Ok(Query { tenant, words: Some(words), text_vector: Some(vector), image_vector: None, limit })
}

async fn by_picture(tenant: String, image: &Path, limit: usize) -> Result<Query> {
    let path = image.to_owned();
    let vector = tokio::task::spawn_blocking(move || embedded_picture(&path)).await??;
    Ok(Query { tenant, words: None, text_vector: None, image_vector: Some(vector), limit })
}

fn embedded_text(words: &str) -> Result<Vec<f32>> {
    let vectors = TextModel::new()?.embed(&[words])?;
    vectors.into_iter().next().context("the text model gave no vector")
}

fn embedded_picture(path: &Path) -> Result<Vec<f32>> {
    let refused = |error: anyhow::Error| {
        let message = format!("the picture {} cannot be searched for", path.display());
        Refusal::new(message, "give a PNG, JPEG, WebP or GIF that can be opened").because(error)
    };
    let bytes = std::fs::read(path).map_err(|error| refused(error.into()))?;
    Ok(ImageModel::new().embed_encoded(&bytes).map_err(|error| refused(error.into()))?)
}

impl Row {
    fn of(hit: Hit, blobs: &Blobs) -> Self {
        Self {
            thumbnail: hit.thumbnail.as_deref().and_then(|uri| blobs.address(uri)),
            file: hit.file,
            frame: hit.frame,
            kind: match hit.kind {
                Kind::Frame => "frame",
                Kind::Passage => "passage",
            },
            score: hit.score,
            why: hit.why.into_iter().map(|why| why.as_str()).collect(),
            page: hit.page,
            snippet: hit.snippet,
            file_id: hit.file_id,
            unit_id: hit.unit_id,
        }
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.2}  {}", self.score, one_line(&self.file))?;
        if let Some(page) = self.page {
            write!(formatter, ", page {page}")?;
        }
        write!(formatter, "\n      {} `{}`, by {}", self.kind, excerpt(&self.frame, 80), self.why.join(" and "))?;
        if let Some(thumbnail) = &self.thumbnail {
            write!(formatter, "\n      {thumbnail}")?;
        }
        let snippet = excerpt(&self.snippet, SNIPPET);
        if !snippet.is_empty() {
            write!(formatter, "\n      {snippet}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.hits.is_empty() {
            return formatter.write_str("nothing found");
        }
        for (place, hit) in self.hits.iter().enumerate() {
            if place > 0 {
                formatter.write_str("\n\n")?;
            }
            hit.fmt(formatter)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::documented;

    #[test]
    fn the_shape_of_a_hit_is_kept() {
        let row = Row {
            file: "/d/checkout.svg".to_owned(),
            frame: "Payment".to_owned(),
            kind: "frame",
            score: 0.5,
            why: vec!["lexical", "text"],
            page: Some(2),
            thumbnail: Some("/b/t.webp".to_owned()),
            snippet: "card number".to_owned(),
            file_id: Uuid::nil(),
            unit_id: Uuid::nil(),
        };
        let report = Report { hits: vec![row] };
        assert_eq!([serde_json::to_value(&report).unwrap()].as_slice(), documented("search"));
        let text = report.to_string();
        assert!(text.contains("0.50  /d/checkout.svg, page 2\n      frame `Payment`, by lexical and text"), "{text}");
    }
}
