//! `worth(words, WEIGHTS)`: how a row's words match, as [`crate::vectors::rank`] measures it. FTS5's own `bm25` gives a word
//! that half of all rows have next to nothing, and measures lengths by the mean of what is there: of a question of common
//! words it would choose other candidates than another index does, and the ranking behind it could not mend that.
//!
//! WEIGHTS are those of the phrases of the query, in their order, as `f32` in little-endian.

use std::ffi::{CStr, c_int, c_void};

use libsqlite3_sys as sqlite;

use crate::vectors::rank::{FILE_WEIGHT, NAME_WEIGHT, TEXT_WEIGHT, saturated};

const NAME: &CStr = c"worth";
/// Of the columns of `words`, in their order.
const COLUMN_WEIGHTS: [f32; 3] = [NAME_WEIGHT, FILE_WEIGHT, TEXT_WEIGHT];

/// Gives a connection the function.
///
/// # Safety
/// A connection that is open, and that nobody else uses meanwhile.
pub(super) unsafe fn init(connection: *mut sqlite::sqlite3) -> c_int {
    // SAFETY: this is how FTS5 hands out its interface, see "Extending FTS5": the statement fills the pointer that is
    // bound to it, and the interface lives as long as the connection.
    unsafe {
        let mut api: *mut sqlite::fts5_api = std::ptr::null_mut();
        let mut statement = std::ptr::null_mut();
        let sql = c"select fts5(?1)";
        let prepared = sqlite::sqlite3_prepare_v2(connection, sql.as_ptr(), -1, &mut statement, std::ptr::null_mut());
        if prepared != sqlite::SQLITE_OK {
            return prepared;
        }
        let place = (&raw mut api).cast::<c_void>();
        sqlite::sqlite3_bind_pointer(statement, 1, place, c"fts5_api_ptr".as_ptr(), None);
        sqlite::sqlite3_step(statement);
        sqlite::sqlite3_finalize(statement);
        let create = if api.is_null() { None } else { (*api).xCreateFunction };
        let Some(create) = create else { return sqlite::SQLITE_ERROR };
        create(api, NAME.as_ptr(), std::ptr::null_mut(), Some(worth), None)
    }
}

/// The function, for one row.
unsafe extern "C" fn worth(
    api: *const sqlite::Fts5ExtensionApi,
    row: *mut sqlite::Fts5Context,
    result: *mut sqlite::sqlite3_context,
    count: c_int,
    arguments: *mut *mut sqlite::sqlite3_value,
) {
    // SAFETY: FTS5 calls it with its own interface, a row that it is at, and `count` arguments.
    unsafe {
        let weights = if count == 1 { weights_of(*arguments) } else { Vec::new() };
        match (Row { api: &*api, row }).worth(&weights) {
            Ok(worth) => sqlite::sqlite3_result_double(result, f64::from(worth)),
            Err(code) => sqlite::sqlite3_result_error_code(result, code),
        }
    }
}

/// # Safety
/// `value` is a value that SQLite gave, and still has.
unsafe fn weights_of(value: *mut sqlite::sqlite3_value) -> Vec<f32> {
    // SAFETY: the blob is read first, and its length then, as SQLite asks for.
    let bytes = unsafe {
        let blob = sqlite::sqlite3_value_blob(value).cast::<u8>();
        let length = usize::try_from(sqlite::sqlite3_value_bytes(value)).unwrap_or(0);
        if blob.is_null() { &[][..] } else { std::slice::from_raw_parts(blob, length) }
    };
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// A row that FTS5 is at.
struct Row<'a> {
    api: &'a sqlite::Fts5ExtensionApi,
    row: *mut sqlite::Fts5Context,
}

impl Row<'_> {
    fn worth(&self, weights: &[f32]) -> Result<f32, c_int> {
        let mut places = vec![0.0; weights.len()];
        for instance in 0..self.instances()? {
            let (phrase, column) = self.instance(instance)?;
            let column_weight = COLUMN_WEIGHTS.get(column).copied().unwrap_or(0.0);
            if let Some(places) = places.get_mut(phrase) {
                *places += column_weight;
            }
        }
        let tokens = self.tokens()?;
        let found = weights.iter().zip(places).filter(|(_, places)| *places > 0.0);
        Ok(found.map(|(weight, places)| weight * saturated(places, tokens)).sum())
    }

    fn instances(&self) -> Result<c_int, c_int> {
        let call = self.api.xInstCount.ok_or(sqlite::SQLITE_ERROR)?;
        let mut count = 0;
        // SAFETY: the interface's own function, with the row that it was given for.
        done(unsafe { call(self.row, &mut count) })?;
        Ok(count)
    }

    /// The phrase and the column of one of its instances.
    fn instance(&self, number: c_int) -> Result<(usize, usize), c_int> {
        let call = self.api.xInst.ok_or(sqlite::SQLITE_ERROR)?;
        let (mut phrase, mut column, mut offset) = (0, 0, 0);
        // SAFETY: as above.
        done(unsafe { call(self.row, number, &mut phrase, &mut column, &mut offset) })?;
        let place = |number: c_int| usize::try_from(number).map_err(|_| sqlite::SQLITE_CORRUPT);
        Ok((place(phrase)?, place(column)?))
    }

    /// How many tokens it has in all columns.
    fn tokens(&self) -> Result<usize, c_int> {
        let call = self.api.xColumnSize.ok_or(sqlite::SQLITE_ERROR)?;
        let mut tokens = 0;
        // SAFETY: as above.
        done(unsafe { call(self.row, -1, &mut tokens) })?;
        Ok(usize::try_from(tokens).unwrap_or(0))
    }
}

fn done(code: c_int) -> Result<(), c_int> {
    if code == sqlite::SQLITE_OK { Ok(()) } else { Err(code) }
}
