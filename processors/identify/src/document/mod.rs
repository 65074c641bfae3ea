//! Documents: from markup to sections under headings, from sections to passages.

pub(crate) mod html;
pub(crate) mod markdown;
mod outline;
mod passages;
pub(crate) mod plain;

pub(crate) use outline::Section;
pub(crate) use passages::Splitter;
