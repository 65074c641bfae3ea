//! The deployment on one machine: its files, and the same services as processes without containers.

mod files;
mod image;
mod running;

use std::path::{Path, PathBuf};

/// The product: `$FRAMELINE_BIN`, else what lies beside the stack's program.
fn program() -> PathBuf {
    let named = std::env::var_os("FRAMELINE_BIN").map(|named| std::path::absolute(named).unwrap());
    named.unwrap_or_else(|| Path::new(env!("CARGO_BIN_EXE_stack")).with_file_name("frameline"))
}
