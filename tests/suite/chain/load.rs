//! Many files at once: everything is bounded, everything ends.

use frameline_tests::processes::resident_mib;

use crate::process::{Product, samples, until};

#[test]
fn two_thousand_small_files_at_once_end_with_flat_memory_and_no_lag() {
    let product = Product::new();
    let mut service = product.up();
    let idle_mib = resident_mib(service.pid()).unwrap();
    let mut last = product.file("note-0.md", "");
    for number in 0..2_000 {
        let text = format!("# Note {number}\n\nThe {number}th otter files its report about kelp.\n");
        last = product.file(format!("note-{number}.md"), text);
    }
    let mut adding =
        product.command(["add".as_ref(), last.parent().unwrap().as_os_str(), "--wait".as_ref(), "--json".as_ref()]);
    // A file and no pipe: the report is larger than what a pipe holds.
    let told = product.data().with_file_name("report.json");
    let mut adding = adding.stdout(std::fs::File::create(&told).unwrap()).spawn().unwrap();
    let mut most_mib = idle_mib;
    until("add --wait has ended", || {
        most_mib = most_mib.max(resident_mib(service.pid()).unwrap());
        adding.try_wait().unwrap()
    });
    let report: serde_json::Value = serde_json::from_slice(&std::fs::read(&told).unwrap()).unwrap();
    assert_eq!(report["counts"]["done"], 2_000, "{}", report["counts"]);
    until("every group's lag is zero", || (product.json(["lag"])["lag"] == 0).then_some(()));
    println!("resident: idle {idle_mib:.0} MiB, at most {most_mib:.0} MiB");
    assert!(idle_mib < 500.0, "idle {idle_mib:.0} MiB");
    assert!(most_mib < 1_200.0, "at most {most_mib:.0} MiB");

    let again = product.json(["add", samples().join("screens").to_str().unwrap(), "--wait"]);
    assert!(again["counts"]["failed"].is_null(), "{again}");
    assert_eq!(service.stop(), Some(0));
}
