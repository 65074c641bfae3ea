//! The image, built by its Dockerfile and run. Its bases are put together of Debian's packages, and the binary that the
//! tests are about takes the place of what `cargo build` would make.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use frameline_tests::buildah::{self, Container, Engine};
use frameline_tests::debian::{self, Root};
use frameline_tests::stack::compose::folder;

/// What `gcr.io/distroless/cc-debian12` is made of: `base/config.bzl` and `cc/config.bzl` in its repository.
const BASE: [&str; 11] = [
    "base-files",
    "netbase",
    "tzdata",
    "media-types",
    "ca-certificates",
    "libc6",
    "libssl3",
    "gcc-12-base",
    "libgcc-s1",
    "libgomp1",
    "libstdc++6",
];
/// Beside them, the image that Rust is in has what strips a binary.
const BUILD: [&str; 9] = [
    "binutils",
    "ca-certificates",
    "libgcc-s1",
    "libgomp1",
    "libssl3",
    "libstdc++6",
    "media-types",
    "netbase",
    "tzdata",
];
/// Stands where Cargo is in that image: wants the workspace around it, and to be asked for the product alone.
const CARGO: &str = r#"#!/bin/sh -e
[ "$*" = "build --release --locked --package frameline" ]
sed -n 's/^members = \[\(.*\)\]$/\1/p' Cargo.toml | tr -d '" ' | tr , '\n' | while read -r member; do
    ls $member/Cargo.toml
done
install -D /frameline "$CARGO_TARGET_DIR/release/frameline"
"#;
/// The image under test.
const IMAGE: &str = "localhost/frameline:test";
/// What it may have, with its base.
const MOST_BYTES: u64 = 250_000_000;

#[test]
fn the_image_has_the_binary_with_its_models_on_debian_without_a_shell() {
    let dockerfile = fs::read_to_string(folder().join("Dockerfile")).unwrap();
    let bases: Vec<&str> = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")).collect();
    let [build, base] = bases[..] else { panic!("it has two stages: {bases:?}") };
    let build = build.strip_suffix(" AS build").unwrap();
    let release = build.rsplit('-').next().unwrap();
    let unlike = || {
        let here = debian::release().unwrap();
        (here != release).then(|| format!("this machine has the libraries of {here}, not of {release}"))
    };
    if let Some(why) = debian::obstacle().or_else(buildah::obstacle).or_else(unlike) {
        println!("skipped: the_image_has_the_binary_with_its_models_on_debian_without_a_shell: {why}");
        return;
    }
    let engine = Engine::new().unwrap();
    take_bases(&engine, release, build, base);
    engine.build(&folder().join("Dockerfile"), &folder().join(".."), IMAGE).unwrap();

    let container = engine.container(IMAGE).unwrap();
    assert!(!container.place("/bin/sh").exists(), "it has a shell");
    has_the_binary(&container);
    runs_as_its_user(&engine, &container);
    let bytes = container.size_bytes().unwrap();
    assert!(bytes < MOST_BYTES, "the image has {bytes} bytes");
}

/// The two images that the Dockerfile begins from.
fn take_bases(engine: &Engine, release: &str, build: &str, base: &str) {
    let debian = Root::install(release, &BUILD).unwrap();
    let version = fs::read_to_string(debian.place("/etc/debian_version")).unwrap();
    let major = version.split('.').next().unwrap().trim();
    assert!(base.starts_with(&format!("gcr.io/distroless/cc-debian{major}:")), "{base} on Debian {version}");
    engine.take(debian.only(&BASE).unwrap().folder(), base).unwrap();

    fs::copy(super::program(), debian.place("/frameline")).unwrap();
    let cargo = debian.place("/usr/local/bin/cargo");
    fs::write(&cargo, CARGO).unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    engine.take(debian.folder(), &format!("docker.io/library/{build}")).unwrap();
}

/// Without what only a debugger wants, and with its models.
fn has_the_binary(container: &Container<'_>) {
    let program = fs::read(container.place("/usr/local/bin/frameline")).unwrap();
    let has = |piece: &[u8]| program.windows(piece.len()).any(|window| window == piece);
    assert!(has(b".text\0") && !has(b".symtab\0") && !has(b".debug_info\0"), "it is not stripped");
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../processors/models/files");
    for model in ["all-MiniLM-L6-v2.int8.onnx", "efficientnet-lite0.onnx"] {
        let bytes = fs::read(models.join(model)).unwrap();
        assert!(has(&bytes[bytes.len() / 2..][..64]), "{model} is not in the binary");
    }
}

/// As the engine starts it: its user, its variables, its programs by their names.
fn runs_as_its_user(engine: &Engine, container: &Container<'_>) {
    let config = engine.config(IMAGE).unwrap();
    let entry: Vec<&str> = config.entrypoint.iter().map(String::as_str).collect();
    let run = |more: &[&str]| container.run(&[&entry, more].concat()).unwrap();
    assert!(run(&["--version"]).starts_with("frameline "));
    let check: Vec<&str> = config.healthcheck.test.iter().map(String::as_str).collect();
    assert_eq!(check[0], "CMD");
    assert!(container.run(&[&check[1..], &["--help"]].concat()).unwrap().contains("Usage: frameline health"));

    let data = config.env.iter().find_map(|variable| variable.strip_prefix("FRAMELINE_DATA=")).unwrap();
    let data = container.place(data);
    let metadata = fs::metadata(&data).unwrap();
    assert_eq!(format!("{}:{}", metadata.uid(), metadata.gid()), config.user);
    assert_ne!(metadata.uid(), 0, "it runs as root");
    assert_eq!(metadata.mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(data.parent().unwrap()).unwrap().uid(), 0);
    run(&["migrate", "--execute"]);
    let jobs = fs::metadata(data.join("jobs.db")).expect("its data is where it is said to be");
    assert_eq!(jobs.uid(), metadata.uid());
}
