//! Plain questions, each with the file that answers it.

use std::path::Path;

use crate::chain::samples_of_others;
use crate::process::{Product, samples};

/// Over the samples that the repository ships: question, file, and the frame where the file has several.
const SHIPPED: [(&str, &str, &str); 15] = [
    ("where do customers type their credit card number?", "checkout.svg", "Payment"),
    ("where is the discount code entered?", "checkout.svg", "Cart"),
    ("screen that says thank you and shows the order number", "checkout.svg", "Order confirmation"),
    ("where can I switch to dark mode or larger text?", "settings.svg", "Appearance"),
    ("where can someone delete their account or export their data?", "settings.svg", "Privacy"),
    ("asking for permission to send reminders in the evening", "onboarding.svg", ""),
    ("an astronaut lost in space", "error-page.svg", ""),
    ("hero picture for the landing page", "landing-hero.png", ""),
    ("photo of the green teapot", "green-teapot-product-photo.jpg", ""),
    ("a record player with album art", "music-player.svg", ""),
    ("which customers have not paid on time?", "invoice-list.svg", ""),
    ("when are expense reports due?", "handbook.md", ""),
    ("wie groß müssen Berührungsflächen sein?", "leitfaden-barrierefreiheit.md", ""),
    ("how long can deleted files be recovered?", "privacy-faq.html", ""),
    ("why did the retired sailor struggle with the checkout?", "interview-notes.txt", ""),
];

/// Over the samples of others.
const OTHERS: [(&str, &str); 15] = [
    ("connect to a power source before you install", "apps__installer__Warnings__no-battery.svg"),
    ("take a screenshot of the current window with a delay", "apps__simple-screenshot.svg"),
    ("contact card with birthday, phone and relationship status", "UserAccounts.svg"),
    ("mail client with a list of messages and notes to self", "apps__geary__messagelist2.svg"),
    ("create a project or import one from launchpad", "apps__project_manager__devkit2.svg.2011_05_15_23_10_21.0.svg"),
    ("download the 32 bit or 64 bit version by torrent", "web__Frontpage__downloads.svg"),
    ("community question and answer page", "web__Answers__AnswersIndividual.svg"),
    ("account page with payment method and storage plan", "web__io__profile_blank.svg"),
    ("safe and secure, speedy, full of features", "communication__print__Luna__tabledisplay.svg"),
    ("a cat", "cat.jpg"),
    ("a bouncing ball", "ball.png"),
    ("hand-drawn whiteboard with end-to-end encryption", "excalidraw-README.md"),
    ("how to build a PDF viewer with HTML5 and run it in the browser", "pdfjs-README.md"),
    ("developer's certificate of origin", "penpot-contributing.md"),
    ("how do I report a bug in a penpot file?", "penpot-contributing.md"),
];

/// Asks every question; prints those that are not answered first; gives how many are first and in the top three.
fn ask<'a>(product: &Product, questions: impl Iterator<Item = (&'a str, &'a str, &'a str)>) -> (usize, usize) {
    let (mut first, mut top_three) = (0, 0);
    for (question, file, frame) in questions {
        let hits = product.json(["search", question, "--limit", "5"]);
        let answers = |hit: &serde_json::Value| {
            let name = Path::new(hit["file"].as_str().unwrap()).file_name().unwrap().to_string_lossy().into_owned();
            name == file && (frame.is_empty() || hit["frame"].as_str().unwrap().contains(frame))
        };
        let place = hits["hits"].as_array().unwrap().iter().position(answers);
        first += usize::from(place == Some(0));
        top_three += usize::from(place.is_some_and(|place| place < 3));
        if place != Some(0) {
            let found: Vec<_> = hits["hits"]
                .as_array()
                .unwrap()
                .iter()
                .map(|hit| (&hit["file"], &hit["frame"], &hit["score"]))
                .collect();
            println!("{question}: {file} {frame} is at {place:?} of {found:?}");
        }
    }
    println!("{first} first, {top_three} in the top three");
    (first, top_three)
}

#[test]
fn plain_questions_find_the_shipped_samples() {
    let product = Product::new();
    let mut service = product.up();
    let added = product.json(["add", samples().to_str().unwrap(), "--wait"]);
    assert!(added["counts"]["failed"].is_null(), "{added}");
    let (first, top_three) = ask(&product, SHIPPED.into_iter());
    assert!(first >= 11 && top_three >= 13, "{first} first, {top_three} in the top three of 15");
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn plain_questions_find_the_samples_of_others() {
    let Some(folder) = samples_of_others("plain_questions_find_the_samples_of_others") else { return };
    let product = Product::new();
    let mut service = product.up();
    let paths = ["svg", "raster", "text"].map(|kind| folder.join(kind).to_string_lossy().into_owned());
    let added = product.json(["add", &paths[0], &paths[1], &paths[2], "--wait"]);
    assert!(added["counts"]["failed"].is_null(), "{added}");
    let (first, top_three) = ask(&product, OTHERS.into_iter().map(|(question, file)| (question, file, "")));
    assert!(first >= 11 && top_three >= 13, "{first} first, {top_three} in the top three of 15");
    assert_eq!(service.stop(), Some(0));
}
