//! `sqlite-vec` for every connection that this process opens from now on.

use std::ffi::{c_char, c_int};
use std::sync::OnceLock;

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
        // SAFETY: the function has this signature in C; its crate declares it without parameters. SQLite calls it
        // with valid ones on each new connection, and serialises the registration itself.
        unsafe {
            let init = std::mem::transmute::<*const (), Init>(sqlite_vec::sqlite3_vec_init as *const ());
            libsqlite3_sys::sqlite3_auto_extension(Some(init))
        }
    });
    if code == libsqlite3_sys::SQLITE_OK {
        return Ok(());
    }
    Err(VectorsError::Unavailable(format!("sqlite-vec cannot be registered with SQLite, which says {code}")))
}
