//! What operators do, on both logs: commands beside a service.

mod dead_letters;
mod replay;
mod rewind;
pub(crate) mod site;
mod watching;
