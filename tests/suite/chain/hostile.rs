//! Files that are made to do harm, and accidents: each ends with a reason, its neighbours are indexed.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::chain::samples_of_others;
use crate::process::{Product, samples};

const LONGEST: Duration = Duration::from_secs(45);

/// Adds one file and gives its state and reason.
fn outcome(product: &Product, file: &std::path::Path) -> (String, String) {
    let begun = Instant::now();
    let ended = product
        .command([std::ffi::OsStr::new("add"), file.as_os_str(), "--wait".as_ref(), "--json".as_ref()])
        .output()
        .unwrap();
    assert!(begun.elapsed() < LONGEST + Duration::from_secs(15), "{} took {:?}", file.display(), begun.elapsed());
    let report: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let told = &report["files"][0];
    (told["state"].as_str().unwrap_or_default().to_owned(), told["reason"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn hostile_files_end_with_a_reason_and_harm_nobody() {
    let Some(folder) = samples_of_others("hostile_files_end_with_a_reason_and_harm_nobody") else { return };
    let product = Product::new();
    let mut service = product.up();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder.join("hostile")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files {
        let (state, reason) = outcome(&product, file);
        println!("{}: {state}: {reason}", file.file_name().unwrap().to_string_lossy());
        let harmless = ["huge-viewport.svg", "use-cycle.svg", "xxe.svg"];
        let is_harmless = harmless.iter().any(|name| file.ends_with(name));
        assert!(
            ["skipped", "failed"].contains(&state.as_str()) || (is_harmless && state == "done"),
            "{}: {state}",
            file.display()
        );
        assert!(state == "done" || reason.len() > 8, "{}: no reason", file.display());
    }
    let neighbour = samples().join("screens").join("sign-in.svg");
    assert_eq!(outcome(&product, &neighbour).0, "done");
    assert!(product.found("sign in")[0].ends_with("sign-in.svg"));
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn accidents_are_told_and_their_neighbours_go_through() {
    let product = Product::new();
    let mut service = product.up();
    let picture = std::fs::read(samples().join("exports").join("landing-hero.png")).unwrap();
    let empty = product.file("empty.svg", "");
    let truncated = product.file("truncated.png", &picture[..picture.len() / 2]);
    let newline = product.file("two\nlines.md", "# Lines\n\nThe quokka smiles at the newline.\n");
    let not_utf8 = std::ffi::OsString::from_vec(b"caf\xe9-menu.txt".to_vec());
    let not_utf8 = product.file(PathBuf::from(not_utf8), "The axolotl orders a flat white.\n");
    let latin_1 = product.file("latin-1.txt", b"Die Gr\xf6\xdfe der Schaltfl\xe4che f\xfcr Armadillo-Nutzer.\n");
    let utf_16: Vec<u8> = [0xfeff_u16]
        .into_iter()
        .chain("Pangolin settings in UTF-16".encode_utf16())
        .flat_map(u16::to_le_bytes)
        .collect();
    let utf_16 = product.file("utf-16.txt", utf_16);

    let large = product.file("large.txt", "");
    std::fs::File::options().write(true).open(&large).unwrap().set_len(300 << 20).unwrap();

    for (file, word) in [(&empty, "empty"), (&truncated, ""), (&large, "limit")] {
        let (state, reason) = outcome(&product, file);
        assert!(["skipped", "failed", "refused"].contains(&state.as_str()), "{}: {state}: {reason}", file.display());
        assert!(reason.contains(word), "{}: {reason}", file.display());
    }
    let readable = [
        (&newline, "quokka", "lines.md"),
        (&not_utf8, "axolotl", "menu.txt"),
        (&latin_1, "Größe Schaltfläche", "latin-1.txt"),
        (&utf_16, "pangolin", "utf-16.txt"),
    ];
    for (file, words, name) in readable {
        assert_eq!(outcome(&product, file).0, "done", "{}", file.display());
        let found = product.found(words);
        assert!(found[0].ends_with(name), "{words}: {found:?}");
    }
    assert_eq!(service.stop(), Some(0));
}
