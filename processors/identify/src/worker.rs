//! The worker: a file in, its contents out.

use std::borrow::Cow;
use std::mem;
use std::process::ExitCode;

use frameline_sandbox::{Refusal, serve};
use serde::{Deserialize, Serialize};

use crate::contents::Contents;
use crate::document::{Splitter, html, markdown, plain};
use crate::settings::IdentifySettings;
use crate::sniff::{Kind, sniff};
use crate::{names, picture, svg};

/// What is asked about a file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Question {
    pub(crate) file_name: String,
    pub(crate) settings: IdentifySettings,
}

/// What is in it, or why it is not taken. The scenes travel beside it.
pub(crate) type Answer = Result<Contents, Refusal>;

/// The whole `main` of `frameline worker identify`.
pub fn worker() -> ExitCode {
    serve(|| {
        let splitter = Splitter::new(frameline_models::tokenizer()?);
        Ok(move |question: Question, bytes: &[u8]| {
            let mut answer = identify(&splitter, &question, bytes);
            let scenes = answer.as_mut().map(|contents| mem::take(&mut contents.scenes)).unwrap_or_default();
            (answer, scenes)
        })
    })
}

/// Names what is in a file.
pub(crate) fn identify(splitter: &Splitter, question: &Question, bytes: &[u8]) -> Answer {
    let Question { file_name, settings } = question;
    let (format, sections) = match sniff(bytes, file_name)? {
        Kind::Raster(format) => return picture::identify(bytes, format, file_name),
        Kind::Svg(text) => {
            let is_as_stored = matches!(text, Cow::Borrowed(_));
            return svg::identify(&text, is_as_stored, file_name, settings);
        }
        Kind::Markdown(text) => ("markdown", html::sections(&markdown::to_html(&text))),
        Kind::Html(text) => ("html", html::sections(&text)),
        Kind::Plain(text) => ("text", plain::sections(&text)),
    };
    let (passages, cuts) = splitter.passages(sections, &names::title_of(file_name), settings);
    if passages.is_empty() {
        return Err(Refusal::Empty);
    }
    Ok(Contents { format: format.to_owned(), passages, cuts, ..Contents::default() })
}
