//! A file system in memory, of a size that is soon used up.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system; unmounted in the end.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one of `size`, such as `64m`, over a folder; `None` where this user may not.
    ///
    /// # Errors
    /// Where there is no such folder, and none can be made.
    pub fn mount(folder: &Path, size: &str) -> io::Result<Option<Self>> {
        fs::create_dir_all(folder)?;
        let size = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        Ok(mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned())))
    }

    /// Takes all the space that is left, until the file that it gives is removed.
    ///
    /// # Errors
    /// Where it fails with anything but a full disk.
    pub fn fill(&self) -> io::Result<PathBuf> {
        let filler = self.0.join("filler");
        let mut grown = vec![0; 1 << 20];
        let mut file = fs::File::create(&filler)?;
        // Ever smaller pieces, down to the last page.
        while !grown.is_empty() {
            match file.write_all(&grown) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => grown.truncate(grown.len() / 2),
                Err(error) => return Err(error),
            }
        }
        Ok(filler)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a child of the service may still have something open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
