//! A disk that is full, and then is not any more.

use std::fs;

use frameline_tests::disk::SmallDisk;

use crate::process::{Product, samples};

#[test]
fn a_full_disk_is_told_loses_nothing_and_is_over_once_there_is_space() {
    let product = Product::new();
    let Some(disk) = SmallDisk::mount(&product.data(), "64m").unwrap() else {
        println!(
            "skipped: a_full_disk_is_told_loses_nothing_and_is_over_once_there_is_space: \
             this user may not mount a file system"
        );
        return;
    };
    let mut service = product.up();
    let first = samples().join("screens").join("checkout.svg");
    assert_eq!(product.json(["add", "--wait", first.to_str().unwrap()])["counts"]["done"], 1);

    let filler = disk.fill().unwrap();
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
    let Some(disk) = SmallDisk::mount(&product.data(), "1m").unwrap() else {
        println!(
            "skipped: a_service_does_not_start_on_a_full_disk_and_says_why: this user may not mount a file system"
        );
        return;
    };
    disk.fill().unwrap();
    product.run(["up", "--listen", "127.0.0.1:0"]).refuses(&["free some space"]);
}
