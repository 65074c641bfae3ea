//! Alerts that fire when the fault is made, and clear when it is mended: the chart's own rules, sixty times as fast.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use frameline_tests::prometheus::Prometheus;
use frameline_tests::promql::Alert;

use crate::operate::site::screen;
use crate::process::{Product, Running, samples, until};

/// So many dead letters in a row halt a stage here.
const HALT_AFTER: usize = 12;
/// The head of a picture, and nothing behind it.
const BROKEN: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0";

struct Site {
    product: Product,
    config: String,
}

impl Site {
    fn new() -> Self {
        let product = Product::new();
        let settings = format!("[stages.identify]\nhalt_after = {HALT_AFTER}\n");
        let config = product.file("settings/frameline.toml", settings).to_str().unwrap().to_owned();
        Self { product, config }
    }

    fn run(&self, stages: &[&str], address: &str) -> Running {
        let more = ["--json", "--listen", address, "--config", self.config.as_str()];
        let arguments = [["run"].as_slice(), stages, &more].concat();
        Running::start(self.product.command(arguments))
    }

    /// Adds files that nobody can open.
    fn add_broken(&self, folder: &str, count: usize) {
        let broken = |number| self.product.file(format!("{folder}/{number}.png"), BROKEN);
        let files: Vec<PathBuf> = (0..count).map(broken).collect();
        self.add(files[0].parent().unwrap(), &[]);
    }

    /// Adds a file that is well.
    fn add_screen(&self, words: &str, more: &[&str]) {
        self.add(&self.product.file(format!("{words}.svg"), screen(words)), more);
    }

    fn add(&self, path: &Path, more: &[&str]) {
        let ended = self.product.run([["add", path.to_str().unwrap()].as_slice(), more].concat());
        assert_eq!(ended.status, Some(0), "{ended:?}");
    }
}

/// The alerts about stages that fire, as `NAME STAGE`. How full the disk of this machine is does not matter.
fn firing(prometheus: &Prometheus) -> BTreeSet<String> {
    let alerts = prometheus.alerts().unwrap().into_iter().filter(|alert| alert.state == "firing");
    let name = |alert: Alert| Some(format!("{} {}", alert.labels["alertname"], alert.labels.get("stage")?));
    alerts.filter_map(name).collect()
}

fn wait_for(prometheus: &Prometheus, alert: &str) {
    until(&format!("{alert} fires"), || firing(prometheus).contains(alert).then_some(()));
}

fn wait_for_none(prometheus: &Prometheus) {
    until("no alert fires", || firing(prometheus).is_empty().then_some(()));
}

#[test]
fn alerts_fire_when_the_fault_is_made_and_clear_when_it_is_mended() {
    let site = Site::new();
    let addresses = [(); 3].map(|()| super::free_address());
    let [of_identify, of_render, of_others] = &addresses;
    let mut identify = site.run(&["identify"], of_identify);
    let mut render = site.run(&["render"], of_render);
    let mut others = site.run(&["validate", "embed", "index", "jobs"], of_others);
    let prometheus = super::prometheus(&addresses);
    until("every stage is seen to be ready", || {
        let ready = prometheus.query("count(frameline_ready == 1)").unwrap();
        ready.iter().any(|sample| sample.value == 6.0).then_some(())
    });
    site.add(&samples().join("screens"), &["--wait"]);
    assert_eq!(firing(&prometheus), BTreeSet::new(), "all is well");

    // Nobody runs a stage that has work.
    assert_eq!(render.stop(), Some(0));
    site.add_screen("An invoice", &[]);
    wait_for(&prometheus, "FramelineStageDown render");
    render = site.run(&["render"], of_render);
    wait_for_none(&prometheus);

    // A folder of broken files, fewer than halt the stage.
    site.add_broken("some", HALT_AFTER - 2);
    wait_for(&prometheus, "FramelineDeadLetters identify");
    wait_for_none(&prometheus);
    // One that goes through, so that they are in a row no more.
    site.add_screen("A receipt", &["--wait"]);

    // More than that.
    site.add_broken("many", HALT_AFTER + 2);
    wait_for(&prometheus, "FramelineStageHalted identify");
    assert_eq!(identify.stop(), Some(0));
    identify = site.run(&["identify"], of_identify);
    wait_for_none(&prometheus);
    let stopped = [&mut identify, &mut render, &mut others].map(Running::stop);
    assert_eq!(stopped, [Some(0); 3]);
}
