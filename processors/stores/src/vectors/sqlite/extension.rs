//! What every connection that this process opens from now on can do: `sqlite-vec`, and a ranking of words of our own.

use std::ffi::{c_char, c_int};
use std::sync::OnceLock;

use super::worth;
use crate::vectors::VectorsError;

type Init = unsafe extern "C" fn(
    *mut libsqlite3_sys::sqlite3,
    *mut *mut c_char,
    *const libsqlite3_sys::sqlite3_api_routines,
) -> c_int;

/// Registers it, once.
pub(super) fn register() -> Result<(), VectorsError> {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        // SAFETY: the first function has this signature in C; its crate declares it without parameters. SQLite calls
        // both with valid ones on each new connection, and serialises the registration itself.
        unsafe {
            let vec = std::mem::transmute::<*const (), Init>(sqlite_vec::sqlite3_vec_init as *const ());
            match libsqlite3_sys::sqlite3_auto_extension(Some(vec)) {
                libsqlite3_sys::SQLITE_OK => libsqlite3_sys::sqlite3_auto_extension(Some(worth::init)),
                code => code,
            }
        }
    });
    if code == libsqlite3_sys::SQLITE_OK {
        return Ok(());
    }
    Err(VectorsError::Unavailable(format!("SQLite cannot be extended, and says {code}")))
}
