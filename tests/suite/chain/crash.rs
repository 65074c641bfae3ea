//! `kill -9` at random moments of an ingest, and starting again, ends in the state of an undisturbed run.

use std::time::Duration;

use frameline_tests::kafka::Broker;

use crate::chain::state::EndState;
use crate::process::{Product, Running, samples, until};

const KILLS: usize = 20;

fn start(product: &Product, config: &[&str]) -> Running {
    let arguments = ["up", "--json", "--listen", "127.0.0.1:0"].into_iter().chain(config.iter().copied());
    Running::start(product.command(arguments))
}

fn add(product: &Product, config: &[&str], wait: bool) {
    let samples = samples();
    let arguments =
        ["add", samples.to_str().unwrap()].into_iter().chain(wait.then_some("--wait")).chain(config.iter().copied());
    let added = product.run(arguments);
    assert_eq!(added.status, Some(0), "{added:?}");
}

fn undisturbed(product: &Product, config: &[&str]) -> EndState {
    let mut service = start(product, config);
    add(product, config, true);
    settled(product, config);
    assert_eq!(service.stop(), Some(0));
    EndState::of(product, config)
}

fn settled(product: &Product, config: &[&str]) {
    until("every group's lag is zero", || {
        let arguments = ["lag"].into_iter().chain(config.iter().copied());
        (product.json(arguments)["lag"] == 0).then_some(())
    });
}

fn killed(product: &Product, config: &[&str], seed: u64) -> EndState {
    add(product, config, false);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..KILLS {
        let service = start(product, config);
        // Not a wait for anything: the moment of the kill is what varies.
        std::thread::sleep(Duration::from_millis(random.u64(0..1_500)));
        drop(service);
    }
    let mut service = start(product, config);
    add(product, config, true);
    settled(product, config);
    assert_eq!(service.stop(), Some(0));
    EndState::of(product, config)
}

#[test]
fn killed_at_twenty_moments_it_ends_as_if_undisturbed_embedded() {
    let (calm, stormy) = (Product::new(), Product::new());
    let expected = undisturbed(&calm, &[]);
    assert!(expected.units() > 100);
    assert_eq!(killed(&stormy, &[], 11), expected);
}

#[test]
fn killed_at_twenty_moments_it_ends_as_if_undisturbed_on_kafka() {
    let states = [false, true].map(|storm| {
        let (broker, product) = (Broker::start(), Product::new());
        let file = product.file("kafka.toml", broker.product_settings());
        let config = ["--config", file.to_str().unwrap()];
        if storm { killed(&product, &config, 12) } else { undisturbed(&product, &config) }
    });
    assert!(states[0].units() > 100);
    assert_eq!(states[0], states[1]);
}
