//! What the connections of the index can do beyond SQLite: `sqlite-vec`, and a ranking of words of our own.

use std::ffi::{c_char, c_int};
use std::io;
use std::sync::OnceLock;

use sqlx::SqliteConnection;

use super::worth;
use crate::vectors::VectorsError;

type Init = unsafe extern "C" fn(
    *mut libsqlite3_sys::sqlite3,
    *mut *mut c_char,
    *const libsqlite3_sys::sqlite3_api_routines,
) -> c_int;

/// Registers `sqlite-vec` for every connection that this process opens from now on, once. It touches no file.
pub(super) fn register() -> Result<(), VectorsError> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        // SAFETY: the function has this signature in C; its crate declares it without parameters. SQLite calls it with
        // valid ones on each new connection, and serialises the registration itself.
        unsafe {
            let vec = std::mem::transmute::<*const (), Init>(sqlite_vec::sqlite3_vec_init as *const ());
            libsqlite3_sys::sqlite3_auto_extension(Some(vec))
        }
    });
    if code == libsqlite3_sys::SQLITE_OK {
        return Ok(());
    }
    Err(VectorsError::Unavailable(format!("SQLite cannot be extended, and says {code}")))
}

/// Gives a connection the ranking of words. That one is not for every connection: it asks for FTS5 by a statement, and
/// so reads the file's schema, which may be damaged, locked, or on a disk that is full.
pub(super) async fn rank_words(connection: &mut SqliteConnection) -> sqlx::Result<()> {
    // Whatever is wrong with the file is wrong here, with a code that callers know.
    sqlx::query("select 1 from sqlite_schema limit 1").fetch_optional(&mut *connection).await?;
    let mut handle = connection.lock_handle().await?;
    // SAFETY: the handle is locked, so nobody else uses the connection meanwhile.
    let code = unsafe { worth::init(handle.as_raw_handle().as_ptr()) };
    if code == libsqlite3_sys::SQLITE_OK {
        return Ok(());
    }
    Err(sqlx::Error::Io(io::Error::other(format!("SQLite takes no ranking of words, and says {code}"))))
}
