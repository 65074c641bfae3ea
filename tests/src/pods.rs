//! Processes of a stage, as many as its Deployment has pods: kwok's pods run nothing, so somebody has to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::product::Running;
use crate::release::Release;

const PODS: &str = "api/v1/pods";
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Follows the pods of a stage until it is dropped.
pub struct Pods {
    stop: Arc<AtomicBool>,
    at_work: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Pods {
    /// `start` begins a process under the name of a pod, and waits until it is ready. It is told to stop when the pod
    /// goes, and has to end well.
    pub fn follow(release: Release, stage: &'static str, start: impl Fn(&str) -> Running + Send + 'static) -> Self {
        let (stop, at_work) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&at_work));
        let thread = std::thread::spawn(move || {
            let mut running = BTreeMap::<String, Running>::new();
            while !stopped.load(Ordering::Relaxed) {
                let pods = names(&release, stage);
                let gone: Vec<Running> =
                    running.extract_if(.., |name, _| !pods.contains(name)).map(|(_, it)| it).collect();
                // Who is on its way out is not at work.
                counted.store(running.len(), Ordering::Relaxed);
                for mut process in gone {
                    assert_eq!(process.stop(), Some(0));
                }
                for pod in pods {
                    running.entry(pod).or_insert_with_key(|pod| start(pod));
                    counted.store(running.len(), Ordering::Relaxed);
                }
                std::thread::sleep(LOOK_AGAIN);
            }
        });
        Self { stop, at_work, thread: Some(thread) }
    }

    /// How many processes are at work: ready, and not on their way out.
    pub fn at_work(&self) -> usize {
        self.at_work.load(Ordering::Relaxed)
    }

    /// Whether every process has started and ended as it should.
    pub fn are_well(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
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
