//! How the C library hands out memory.

/// glibc gives threads arenas of their own, up to eight a core, and what one thread has freed another's arena does not
/// get. A service has a hundred threads, most of them librdkafka's and those of models: each arena grows to the most
/// that any of them ever had at once, and memory goes on growing for as long as these moments differ. With an arena a
/// core a service was seen to stay below 500 MiB that had gone past 800, and to be no slower.
///
/// Whoever sets `MALLOC_ARENA_MAX` is obeyed.
pub(crate) fn share_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if std::env::var_os("MALLOC_ARENA_MAX").is_none() {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        let arenas = libc::c_int::try_from(cores).unwrap_or(libc::c_int::MAX);
        // SAFETY: sets a number in the allocator, before there is a second thread.
        unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
    }
}
