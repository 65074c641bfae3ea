//! What an operator sees of the product at work: metrics, traces, log lines.

mod exposition;
mod logs;
mod metrics;
mod receiver;
mod traces;

use crate::process::{BROKEN_PICTURE, Product, Running};

/// Two artboards, so that there are several frames to a file.
const SCREENS: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" width="900" height="300">
  <g id="Sign in"><rect width="400" height="300" fill="#f4f1ea"/><rect x="40" y="60" width="320" height="60" fill="#2f5d50"/>
  <text x="60" y="100" font-size="28" fill="white">Sign in with a passkey</text></g>
  <g id="Receipt"><rect x="450" width="400" height="300" fill="#e0e7ff"/><circle cx="600" cy="150" r="70" fill="#e07a5f"/>
  <text x="470" y="40" font-size="28">Receipt of the order</text></g></svg>"##;

/// What the service answers at a path.
fn get(service: &Running, path: &str) -> (u16, String) {
    let address = service.ready["address"].as_str().unwrap();
    frameline_tests::http::get(address, path).unwrap()
}

/// A configuration of the product, and all stages started under it.
fn up_with(product: &Product, settings: &str, more: &[&str]) -> Running {
    let config = product.file("settings/frameline.toml", settings);
    let arguments = ["up", "--json", "--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()];
    Running::start(product.command(arguments.iter().chain(more)))
}
