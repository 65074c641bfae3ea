//! What the image has in it: the steps of its Dockerfile in folders with Debian, as far as they go without a container
//! engine.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use frameline_tests::debian::{Root, obstacle, output, release};
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
/// What the image may have, with its base.
const MOST_BYTES: u64 = 250_000_000;

/// The instructions of a Dockerfile, each with its arguments.
struct Dockerfile(Vec<(String, String)>);

impl Dockerfile {
    fn read() -> Self {
        let text = fs::read_to_string(folder().join("Dockerfile")).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        let whole = lines.replace("\\\n", " ");
        let instructions = whole.lines().filter_map(|line| line.split_once(' '));
        Self(instructions.map(|(name, arguments)| (name.to_owned(), arguments.trim().to_owned())).collect())
    }

    /// The arguments of all instructions of this name.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(of, _)| of == name).map(|(_, arguments)| arguments.as_str())
    }

    /// Those of the only one.
    #[track_caller]
    fn only<'a>(&'a self, name: &'a str) -> &'a str {
        let all: Vec<&str> = self.all(name).collect();
        assert_eq!(all.len(), 1, "{name}: {all:?}");
        all[0]
    }

    /// A command in JSON, as the program is called by the engine.
    fn words(&self, name: &str) -> Vec<String> {
        let arguments = self.only(name);
        serde_json::from_str(&arguments[arguments.find('[').unwrap()..]).unwrap()
    }
}

#[test]
fn the_image_has_the_binary_with_its_models_on_debian_without_a_shell() {
    let dockerfile = Dockerfile::read();
    let [build, base] = dockerfile.all("FROM").collect::<Vec<_>>()[..] else { panic!("it has two stages") };
    let wanted = build.strip_suffix(" AS build").unwrap().rsplit('-').next().unwrap();
    let unlike = || {
        let here = release().unwrap();
        (here != wanted).then(|| format!("this machine has the libraries of {here}, not of {wanted}"))
    };
    if let Some(why) = obstacle().or_else(unlike) {
        println!("skipped: the_image_has_the_binary_with_its_models_on_debian_without_a_shell: {why}");
        return;
    }
    let built = Root::install(wanted, &BUILD).unwrap();
    let version = fs::read_to_string(built.place("/etc/debian_version")).unwrap();
    let major = version.split('.').next().unwrap().trim();
    assert!(base.starts_with(&format!("gcr.io/distroless/cc-debian{major}:")), "{base} on Debian {version}");

    run_all_but_cargo(&built, dockerfile.only("RUN"));
    let image = built.only(&BASE).unwrap();
    for arguments in dockerfile.all("COPY").filter(|arguments| arguments.starts_with("--from=build ")) {
        copy(arguments, &built, &image);
    }
    assert!(!image.place("/bin/sh").exists(), "it has a shell");
    has_the_binary(&built, &image);
    runs_as_its_user(&dockerfile, &image);
    let bytes = image.size_bytes().unwrap();
    assert!(bytes < MOST_BYTES, "the image has {bytes} bytes");
}

/// The binary is there already: what `cargo build` makes is the product that the tests are about.
fn run_all_but_cargo(built: &Root, run: &str) {
    let commands = run.split("&&").map(str::trim);
    let (cargo, others): (Vec<_>, Vec<_>) = commands.partition(|command| command.contains("cargo build"));
    let [cargo] = cargo[..] else { panic!("{run}") };
    let (_, target) = cargo.split_once("CARGO_TARGET_DIR=").unwrap();
    let program = built.place(&format!("{}/release/frameline", target.split(' ').next().unwrap()));
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::copy(super::program(), program).unwrap();
    for command in others {
        output(built.command("sh").args(["-c", command])).unwrap();
    }
}

/// `--from=build [--chown=UID:GID] SOURCE TARGET`.
fn copy(arguments: &str, built: &Root, image: &Root) {
    let (flags, paths): (Vec<&str>, Vec<&str>) = arguments.split(' ').partition(|word| word.starts_with("--"));
    let [source, target] = paths[..] else { panic!("{arguments}") };
    let (source, target) = (built.place(source), image.place(target));
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    output(Command::new("cp").arg("--archive").args([&source, &target])).unwrap();
    let owner = flags.iter().find_map(|flag| flag.strip_prefix("--chown=")).unwrap_or("0:0");
    output(Command::new("chown").args(["--recursive", owner]).arg(&target)).unwrap();
}

/// Without what only a debugger wants, and with its models.
fn has_the_binary(built: &Root, image: &Root) {
    let sections = output(built.command("readelf").args(["--sections", "--wide", "/out-frameline"])).unwrap();
    assert!(sections.contains(".text") && ![".symtab", ".debug_info"].iter().any(|name| sections.contains(name)));
    let program = fs::read(image.place("/usr/local/bin/frameline")).unwrap();
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../processors/models/files");
    for model in ["all-MiniLM-L6-v2.int8.onnx", "efficientnet-lite0.onnx"] {
        let bytes = fs::read(models.join(model)).unwrap();
        let piece = &bytes[bytes.len() / 2..][..64];
        assert!(program.windows(piece.len()).any(|window| window == piece), "{model} is not in the binary");
    }
}

/// As the engine starts it: its user, its variables, its programs by their names.
fn runs_as_its_user(dockerfile: &Dockerfile, image: &Root) {
    let user = dockerfile.only("USER");
    let variables = dockerfile.all("ENV").map(|variable| variable.split_once('=').unwrap());
    let variables: Vec<(&str, &str)> = variables.collect();
    let run = |words: &[String], more: &[&str]| {
        let mut command = image.command_as(user, &words[0]);
        output(command.args(&words[1..]).args(more).envs(variables.iter().copied())).unwrap()
    };
    let entry = dockerfile.words("ENTRYPOINT");
    assert!(run(&entry, &["--version"]).starts_with("frameline "));
    assert!(run(&dockerfile.words("HEALTHCHECK"), &["--help"]).contains("Usage: frameline health"));

    let data = image.place(variables.iter().find(|(name, _)| *name == "FRAMELINE_DATA").unwrap().1);
    let metadata = fs::metadata(&data).unwrap();
    assert_eq!(format!("{}:{}", metadata.uid(), metadata.gid()), user);
    assert_eq!(metadata.mode() & 0o777, 0o700);
    run(&entry, &["migrate", "--execute"]);
    assert!(data.join("jobs.db").is_file(), "its data is not where it is said to be");
}
