//! Debian in a folder: what images are made of. Root alone can make one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::commands::output;
use crate::server::{cache_folder, lock};

const DEBOOTSTRAP: &str = "/usr/sbin/debootstrap";

/// A root directory; removed when it is dropped.
pub struct Root {
    folder: TempDir,
}

/// Why none can be made on this machine; `None` where one can.
pub fn obstacle() -> Option<String> {
    if !Path::new(DEBOOTSTRAP).is_file() {
        return Some("debootstrap is not there; on Debian: apt-get install debootstrap".to_owned());
    }
    let separate = Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status();
    let may = separate.is_ok_and(|status| status.success());
    (!may).then(|| "this user may not mount anything".to_owned())
}

/// The release of this machine, such as `bookworm`.
///
/// # Errors
/// Where it does not say so.
pub fn release() -> Result<String> {
    let about = fs::read_to_string("/etc/os-release").context("/etc/os-release")?;
    let name = about.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    Ok(name.context("/etc/os-release names no release")?.trim_matches('"').to_owned())
}

impl Root {
    /// The smallest system of a release, with these packages, from where apt gets those of this machine.
    ///
    /// # Errors
    /// Where they cannot be had, with what was said.
    pub fn install(release: &str, packages: &[&str]) -> Result<Self> {
        let (_lock, fetched) = (lock("debian")?, cache_folder()?.join("debian"));
        fs::create_dir_all(&fetched)?;
        let root = Self::empty()?;
        // What it mounts goes when it ends, however that comes.
        let mut command = Command::new("unshare");
        command.args(["--mount", DEBOOTSTRAP, "--variant=minbase"]);
        command.arg(format!("--include={}", packages.join(","))).arg(format!("--cache-dir={}", fetched.display()));
        output(command.arg(release).arg(root.folder.path()).arg(mirror(release)?))?;
        Ok(root)
    }

    /// In the cache, for a folder for temporary files may keep programs from being run.
    fn empty() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("debian-root-").tempdir_in(cache_folder()?)?;
        Ok(Self { folder })
    }

    /// A root of its own with the files of these packages of it and no others: nothing of what installed them.
    ///
    /// # Errors
    /// Where one of them is not installed.
    pub fn only(&self, packages: &[&str]) -> Result<Self> {
        let root = Self::empty()?;
        let fetched = self.place("/var/cache/apt/archives");
        let files = fs::read_dir(&fetched)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        for package in packages {
            let is_of_package = |file: &&PathBuf| {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
            };
            let file = files.iter().find(is_of_package);
            let file = file.with_context(|| format!("{package} is not in {}", fetched.display()))?;
            output(Command::new("dpkg-deb").arg("--extract").arg(file).arg(root.folder.path()))?;
        }
        Ok(root)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What is at an absolute path in it.
    pub fn place(&self, path: &str) -> PathBuf {
        self.folder.path().join(path.trim_start_matches('/'))
    }
}

/// Where apt gets the packages of a release from, by its own configuration.
fn mirror(release: &str) -> Result<String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Created-By: Packages", "Component: main"]);
    let places = output(&mut command)?;
    let of_release = places.lines().find_map(|place| place.strip_prefix(release)?.strip_prefix(' '));
    let missing = || format!("apt has no mirror for {release}; see /etc/apt/sources.list");
    of_release.map(str::to_owned).with_context(missing)
}
