//! A schema registry, with Apicurio: what its operator does, and what a stage does with the ids that it gives.

mod commands;
mod secured;
mod stage;

use std::sync::OnceLock;

use frameline_tests::apicurio::Apicurio;

use crate::process::Product;

/// A configuration with this registry; what follows goes into its section.
fn config(product: &Product, url: &str, more: &str) -> String {
    let file = product.file("registry.toml", format!("[schemas]\nregistry = \"{url}\"\n{more}"));
    file.to_str().unwrap().to_owned()
}

/// The registry that tests share, with our schemas in it. Somebody else was there before, so that no schema has the
/// id that it has in the files.
fn registry() -> &'static Apicurio {
    static READY: OnceLock<&'static Apicurio> = OnceLock::new();
    READY.get_or_init(|| {
        let registry = Apicurio::shared();
        registry.register("shop.Order", r#"{"type": "record", "name": "Order", "namespace": "shop", "fields": []}"#);
        let product = Product::new();
        let config = config(&product, &registry.url(), "");
        product.json(["schemas", "apply", "--execute", "--config", &config]);
        registry
    })
}
