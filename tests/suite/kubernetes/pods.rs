//! Processes of a stage, as many as its Deployment has pods: kwok's pods run nothing, so somebody has to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::process::Running;

use super::release::Release;

const PODS: &str = "api/v1/pods";
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Follows the pods of a stage until it is dropped.
pub(super) struct Pods {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pods {
    /// `start` begins a process under the name of a pod. It is told to stop when the pod goes.
    pub(super) fn follow(
        namespace: &str,
        stage: &'static str,
        start: impl Fn(&str) -> Running + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, release) = (Arc::clone(&stop), Release { namespace: namespace.to_owned() });
        let thread = std::thread::spawn(move || {
            let mut running = BTreeMap::<String, Running>::new();
            while !stopped.load(Ordering::Relaxed) {
                let pods = names(&release, stage);
                let gone: Vec<String> = running.keys().filter(|name| !pods.contains(name)).cloned().collect();
                for mut process in gone.iter().filter_map(|name| running.remove(name)) {
                    assert_eq!(process.stop(), Some(0));
                }
                for pod in pods {
                    running.entry(pod).or_insert_with_key(|pod| start(pod));
                }
                std::thread::sleep(LOOK_AGAIN);
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its own failure is told by its panic.
            let _ = thread.join();
        }
    }
}

fn names(release: &Release, stage: &str) -> Vec<String> {
    let all = release.all(PODS);
    let of_stage = all.iter().filter(|pod| {
        let meta = &pod["metadata"];
        meta["labels"]["app.kubernetes.io/component"] == stage
            && meta["deletionTimestamp"].is_null()
            && pod["status"]["phase"] == "Running"
    });
    of_stage.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}
