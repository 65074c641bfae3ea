//! Alerts that fire when the fault is made, reach Alertmanager, and clear when it is mended: the chart's own rules, sixty
//! times as fast, and the routes of `compose/`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use frameline_tests::prometheus::{Alertmanager, Prometheus};

use crate::operate::site::screen;
use crate::process::{BROKEN_PICTURE, Product, Running, samples, until};

/// So many dead letters in a row halt a stage here.
const HALT_AFTER: usize = 12;

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
        let broken = |number| self.product.file(format!("{folder}/{number}.png"), BROKEN_PICTURE);
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

/// Who looks at the product, and who is told.
struct Watch {
    prometheus: Prometheus,
    alertmanager: Alertmanager,
}

impl Watch {
    fn start(addresses: &[String]) -> Self {
        let alertmanager = Alertmanager::of_compose().unwrap();
        Self { prometheus: super::prometheus(addresses, &[alertmanager.address()]), alertmanager }
    }

    /// The alerts about stages that fire, as `NAME STAGE`.
    fn firing(&self) -> BTreeSet<String> {
        let alerts = self.prometheus.alerts().unwrap().into_iter().filter(|alert| alert.state == "firing");
        alerts.filter_map(|alert| of_stage(&alert.labels)).collect()
    }

    /// Those that have arrived and are not over.
    fn told(&self) -> BTreeSet<String> {
        let notices = self.alertmanager.active().unwrap();
        assert!(notices.iter().all(|notice| notice.receivers.iter().any(|to| to.name == "nobody")), "{notices:?}");
        notices.iter().filter_map(|notice| of_stage(&notice.labels)).collect()
    }

    fn wait_for(&self, alert: &str) {
        until(&format!("{alert} fires"), || self.firing().contains(alert).then_some(()));
        until(&format!("Alertmanager is told of {alert}"), || self.told().contains(alert).then_some(()));
    }

    fn wait_for_none(&self) {
        until("no alert fires", || self.firing().is_empty().then_some(()));
        until("Alertmanager is told that all is over", || self.told().is_empty().then_some(()));
    }
}

/// How full the disk of this machine is does not matter.
fn of_stage(labels: &BTreeMap<String, String>) -> Option<String> {
    Some(format!("{} {}", labels["alertname"], labels.get("stage")?))
}

#[test]
fn alerts_fire_when_the_fault_is_made_and_clear_when_it_is_mended() {
    let site = Site::new();
    let addresses = [(); 3].map(|()| super::free_address());
    let [of_identify, of_render, of_others] = &addresses;
    let mut identify = site.run(&["identify"], of_identify);
    let mut render = site.run(&["render"], of_render);
    let mut others = site.run(&["validate", "embed", "index", "jobs"], of_others);
    let watch = Watch::start(&addresses);
    until("every stage is seen to be ready", || {
        let ready = watch.prometheus.query("count(frameline_ready == 1)").unwrap();
        ready.iter().any(|sample| sample.value == 6.0).then_some(())
    });
    site.add(&samples().join("screens"), &["--wait"]);
    assert_eq!((watch.firing(), watch.told()), Default::default(), "all is well");

    // Nobody runs a stage that has work.
    assert_eq!(render.stop(), Some(0));
    site.add_screen("An invoice", &[]);
    watch.wait_for("FramelineStageDown render");
    render = site.run(&["render"], of_render);
    watch.wait_for_none();

    // A folder of broken files, fewer than halt the stage.
    site.add_broken("some", HALT_AFTER - 2);
    watch.wait_for("FramelineDeadLetters identify");
    watch.wait_for_none();
    // One that goes through, so that they are in a row no more.
    site.add_screen("A receipt", &["--wait"]);

    // More than that.
    site.add_broken("many", HALT_AFTER + 2);
    watch.wait_for("FramelineStageHalted identify");
    assert_eq!(identify.stop(), Some(0));
    identify = site.run(&["identify"], of_identify);
    watch.wait_for_none();
    let stopped = [&mut identify, &mut render, &mut others].map(Running::stop);
    assert_eq!(stopped, [Some(0); 3]);
}
