//! The machine that this process is on.

/// Its name; in a pod, that of the pod.
pub(crate) fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
