//! The values that the README shows.

use std::fs;
use std::path::Path;

use frameline_tests::helm::{documents, render};

use super::{configurations, is_taken};
use crate::process::Product;

/// The blocks of YAML in a section.
fn blocks(readme: &str, heading: &str) -> Vec<String> {
    let section = readme.split("\n## ").find(|section| section.lines().next() == Some(heading)).unwrap();
    let blocks = section.split("```yaml\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_values_of_the_readme_are_taken_by_the_chart_and_by_the_product() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let blocks = blocks(&fs::read_to_string(readme).unwrap(), "Install on Kubernetes");
    assert_eq!(blocks.len(), 4, "what all have in common, then Strimzi, MSK, Confluent Cloud");
    let product = Product::new();
    let (common, kafkas) = blocks.split_first().unwrap();
    let common = product.file("common.yaml", common);
    for kafka in kafkas {
        let values = product.file("kafka.yaml", kafka);
        let yaml = render(&[&common, &values], &[]).unwrap();
        configurations(&documents(&yaml).unwrap()).iter().for_each(|(_, toml)| is_taken(&product, toml));
    }
}
