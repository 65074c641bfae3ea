//! A stage is put back while its Deployment is held still, with the ScaledObject of it; and what a failure in between
//! leaves.

use std::sync::Arc;

use frameline_tests::control_plane::User;
use frameline_tests::helm::values;
use frameline_tests::pods::Pods;
use frameline_tests::release::Release;
use serde_json::{Value, json};

use super::release::{plane, release};
use crate::operate::site::{Site, path};
use crate::process::{Ended, Running, samples, until};

const DEPLOYMENT: &str = "frameline-validate";
const REPLICAS: i64 = 2;
const HELD: &str = "frameline.dev/replicas-before-hold";
const PAUSED: &str = "autoscaling.keda.sh/paused-replicas";

/// A release whose `validate` runs in processes that follow its pods, beside the other stages.
struct Town {
    release: Release,
    site: Arc<Site>,
    _pods: Pods,
    _others: Running,
}

impl Town {
    fn new(namespace: &str) -> Self {
        let release = release(namespace);
        // The topics are those of the broker that the processes work on.
        release.apply("install", &values("production"), &["topics.mode=none"]);
        let town = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{DEPLOYMENT}/scale");
        plane().patch(&town, &json!({"spec": {"replicas": REPLICAS}})).unwrap();
        let site = Arc::new(Site::kafka());
        let others = site.serve(&["identify", "render", "embed", "index", "jobs"]);
        let of_pods = Arc::clone(&site);
        let start = move |pod: &str| {
            let arguments = ["run", "validate", "--json", "--listen", "127.0.0.1:0", "--instance", pod];
            Running::start(of_pods.command(&arguments))
        };
        let pods = Pods::follow(release.clone(), "validate", start);
        let town = Self { release, site, _pods: pods, _others: others };
        town.until_members(2);
        let file = samples().join("screens/checkout.svg");
        assert_eq!(town.site.ask(&["add", "--wait", path(&file)])["counts"]["done"], 1);
        town.site.settle();
        town
    }

    fn until_members(&self, count: usize) {
        let members = || self.site.ask(&["lag", "validate"])["stages"][0]["members"].as_array().unwrap().len();
        until("the members are there", || (members() == count).then_some(()));
    }

    /// A rewind on Kubernetes, as this user.
    fn rewind(&self, user: User, arguments: &[&str]) -> Ended {
        let about = ["--kubernetes", "--namespace", &self.release.namespace, "--json"];
        let mut command = self.site.command(&[&["rewind", "validate"], arguments, &about].concat());
        Ended::of(command.env("KUBECONFIG", plane().kubeconfig(user)).output().unwrap())
    }

    /// Replicas that are wanted, those from before that are written down, and at how many KEDA is paused.
    fn stand(&self) -> (Value, Value, Value) {
        let deployment = self.release.one("apis/apps/v1/deployments", DEPLOYMENT);
        let scaled = self.release.one("apis/keda.sh/v1alpha1/scaledobjects", DEPLOYMENT);
        (
            deployment["spec"]["replicas"].clone(),
            deployment["metadata"]["annotations"][HELD].clone(),
            scaled["metadata"]["annotations"][PAUSED].clone(),
        )
    }

    /// One more pod of the Deployment, which no node takes and no controller keeps: it is there until it is let go.
    fn keep_a_pod(&self) {
        let all = self.release.all("api/v1/pods");
        let is_of_stage = |pod: &&Value| pod["metadata"]["labels"]["app.kubernetes.io/component"] == "validate";
        let pod = all.iter().find(is_of_stage).unwrap();
        let (mut labels, mut spec) = (pod["metadata"]["labels"].clone(), pod["spec"].clone());
        labels.as_object_mut().unwrap().remove("pod-template-hash");
        spec.as_object_mut().unwrap().remove("nodeName");
        spec["nodeSelector"] = json!({"kubernetes.io/hostname": "nowhere"});
        let metadata = json!({"name": "stays", "labels": labels});
        let pods = format!("/api/v1/namespaces/{}/pods", self.release.namespace);
        plane().post(&pods, &json!({"metadata": metadata, "spec": spec})).unwrap();
    }

    fn let_the_pod_go(&self) {
        plane().delete(&format!("/api/v1/namespaces/{}/pods/stays", self.release.namespace)).unwrap();
    }
}

fn free() -> (Value, Value, Value) {
    (REPLICAS.into(), Value::Null, Value::Null)
}

fn held() -> (Value, Value, Value) {
    (0.into(), REPLICAS.to_string().into(), "0".into())
}

/// It was not done, and this is said of it.
#[track_caller]
fn refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.status, Some(1), "{ended:?}");
    for word in words {
        assert!(ended.err.contains(word), "`{word}` is missing in: {}", ended.err);
    }
}

fn answer(ended: &Ended) -> Value {
    assert_eq!(ended.status, Some(0), "{ended:?}");
    serde_json::from_str(&ended.out).unwrap()
}

#[test]
fn a_stage_is_held_still_put_back_and_let_go() {
    let town = Town::new("rewind");
    let (state, units) = (town.site.state(), town.site.records("units").len());
    let plan = answer(&town.rewind(User::Admin, &["--to-earliest"]));
    let place = json!({
        "namespace": "rewind", "deployment": DEPLOYMENT, "scaled_object": DEPLOYMENT, "replicas": REPLICAS, "before": null,
    });
    assert_eq!((&plan["executed"], &plan["held"]), (&false.into(), &place), "{plan}");
    assert_eq!(town.stand(), free(), "a plan changes nothing");

    let done = town.rewind(User::Admin, &["--to-earliest", "--execute"]);
    let told = ["holding the Deployment rewind/frameline-validate still", "waiting for", "goes on with 2 replicas"];
    assert!(told.iter().all(|words| done.err.contains(words)), "{done:?}");
    let done = answer(&done);
    assert_eq!((&done["executed"], &done["moves"]), (&true.into(), &plan["moves"]), "{done}");
    assert_eq!(town.stand(), free());
    town.until_members(2);
    town.site.settle();
    assert!(town.site.records("units").len() > units, "nothing was done again");
    assert_eq!(town.site.state(), state);
    let audit = town.site.ask(&["audit"]);
    let outcomes: Vec<&Value> = audit["records"].as_array().unwrap().iter().map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes, ["begun", "done"]);
}

#[test]
fn a_failure_in_between_says_what_stands_still_and_how_to_go_on_and_back() {
    let town = Town::new("failure");
    town.keep_a_pod();
    let failed = town.rewind(User::Admin, &["--to-earliest", "--execute", "--within", "3s"]);
    refused(&failed, &["did not come to rest", " pod", "held at 0 replicas", "--resume --execute"]);
    assert_eq!(town.stand(), held());
    assert_eq!(town.site.ask(&["lag", "validate"])["lag"], 0, "nothing was moved");

    // Back.
    let shown = answer(&town.rewind(User::Admin, &["--resume"]));
    assert_eq!((&shown["before"], &shown["executed"]), (&json!({"replicas": 0, "before": REPLICAS}), &false.into()));
    assert_eq!(town.stand(), held());
    town.let_the_pod_go();
    assert_eq!(answer(&town.rewind(User::Admin, &["--resume", "--execute"]))["after"]["replicas"], REPLICAS);
    assert_eq!(town.stand(), free());
    refused(&town.rewind(User::Admin, &["--resume", "--execute"]), &["is not held"]);
    town.until_members(2);

    // On.
    town.keep_a_pod();
    refused(&town.rewind(User::Admin, &["--to-earliest", "--execute", "--within", "3s"]), &["did not come to rest"]);
    town.let_the_pod_go();
    assert_eq!(answer(&town.rewind(User::Admin, &["--to-earliest", "--execute"]))["executed"], true);
    assert_eq!(town.stand(), free());
    town.site.settle();
}

#[test]
fn what_somebody_else_has_paused_and_what_is_not_allowed_is_left_alone() {
    let town = Town::new("refusals");
    refused(
        &town.rewind(User::Operator, &["--to-earliest", "--execute"]),
        &["does not let us", "deployments", "scaledobjects"],
    );
    assert_eq!(town.stand(), free());
    let scaled = format!("/apis/keda.sh/v1alpha1/namespaces/refusals/scaledobjects/{DEPLOYMENT}");
    let paused = |value: Value| json!({"metadata": {"annotations": {PAUSED: value}}});
    plane().patch(&scaled, &paused("1".into())).unwrap();
    let told = town.rewind(User::Admin, &["--to-earliest", "--execute"]);
    refused(&told, &["somebody has paused the ScaledObject", "kubectl"]);
    assert_eq!(town.stand(), (REPLICAS.into(), Value::Null, "1".into()));
    plane().patch(&scaled, &paused(Value::Null)).unwrap();
    let elsewhere = ["rewind", "embed", "--to-earliest", "--kubernetes", "--namespace", "nowhere"];
    let mut command = town.site.command(&elsewhere);
    let told = Ended::of(command.env("KUBECONFIG", plane().kubeconfig(User::Admin)).output().unwrap());
    refused(&told, &["nowhere", "app.kubernetes.io/component=embed", "--namespace"]);
}
