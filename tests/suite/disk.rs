//! A disk that is full, and then is not any more.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::statvfs;

use crate::process::{Product, samples};

/// A file system in memory, unmounted in the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where this user may not mount one.
    fn mount(folder: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let size = format!("size={size}");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder).output();
        mounted.is_ok_and(|output| output.status.success()).then(|| Self(folder.to_owned()))
    }

    /// Takes all the space that is left.
    fn fill(&self) -> PathBuf {
        let space = statvfs(&self.0).unwrap();
        let filler = self.0.join("filler");
        // A little more than there is: it ends where the disk does.
        let bytes = vec![1; usize::try_from((space.f_bavail + 16) * space.f_bsize).unwrap()];
        assert_eq!(fs::write(&filler, bytes).unwrap_err().kind(), ErrorKind::StorageFull);
        filler
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a child of the service may still have something open.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_loses_nothing_and_is_over_once_there_is_space() {
    let product = Product::new();
    let Some(disk) = SmallDisk::mount(&product.data(), "64m") else {
        println!(
            "skipped: a_full_disk_is_told_loses_nothing_and_is_over_once_there_is_space: \
             this user may not mount a file system"
        );
        return;
    };
    let mut service = product.up();
    let first = samples().join("screens").join("checkout.svg");
    assert_eq!(product.json(["add", "--wait", first.to_str().unwrap()])["counts"]["done"], 1);

    let filler = disk.fill();
    let second = samples().join("exports").join("landing-hero.png");
    product.run(["add", second.to_str().unwrap()]).refuses(&["free some space"]);
    assert!(!product.found("card number").is_empty(), "what is indexed is found all the same");

    fs::remove_file(filler).unwrap();
    assert_eq!(product.json(["add", "--wait", second.to_str().unwrap()])["counts"]["done"], 1);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_service_does_not_start_on_a_full_disk_and_says_why() {
    let product = Product::new();
    let Some(disk) = SmallDisk::mount(&product.data(), "1m") else {
        println!(
            "skipped: a_service_does_not_start_on_a_full_disk_and_says_why: this user may not mount a file system"
        );
        return;
    };
    disk.fill();
    product.run(["up", "--listen", "127.0.0.1:0"]).refuses(&["free some space"]);
}
