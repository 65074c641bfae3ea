//! A stage is put back while its Deployment is held still, with the ScaledObject of it; and what a failure in between
//! leaves.

use std::process::{Command, Stdio};
use std::sync::Arc;

use frameline_tests::control_plane::User;
use frameline_tests::helm::values;
use frameline_tests::pods::Pods;
use frameline_tests::release::Release;
use rustix::process::{Pid, Signal, kill_process};
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
        Ended::of(self.command(user, arguments).output().unwrap())
    }

    /// The same, to be started.
    fn command(&self, user: User, arguments: &[&str]) -> Command {
        let about = ["--kubernetes", "--namespace", &self.release.namespace, "--json"];
        let mut command = self.site.command(&[&["rewind", "validate"], arguments, &about].concat());
        command.env("KUBECONFIG", plane().kubeconfig(user));
        command
    }

    fn roles(&self) -> String {
        format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{}", self.release.namespace)
    }

    /// The operator may do all that a rewind needs, but not write on the ScaledObject.
    fn allow_all_but_pausing(&self) {
        let deployments = ["deployments", "deployments/scale"];
        let rules = json!([
            {"apiGroups": ["apps"], "resources": deployments, "verbs": ["get", "list", "patch"]},
            {"apiGroups": ["keda.sh"], "resources": ["scaledobjects"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        ]);
        let role = json!({"metadata": {"name": "all-but-pausing"}, "rules": rules});
        plane().post(&format!("{}/roles", self.roles()), &role).unwrap();
        self.allow("all-but-pausing");
    }

    /// The operator may do what this role says.
    fn allow(&self, role: &str) {
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "metadata": {"name": format!("operator-{role}")},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "operator"}],
        });
        plane().post(&format!("{}/rolebindings", self.roles()), &binding).unwrap();
        let may_look = || self.rewind(User::Operator, &["--resume"]).status == Some(0);
        until("the role holds", || may_look().then_some(()));
    }

    /// The Deployment says of itself that it is held, from so many replicas.
    fn mark(&self, replicas: Value) {
        let deployment = format!("/apis/apps/v1/namespaces/{}/deployments/{DEPLOYMENT}", self.release.namespace);
        plane().patch(&deployment, &json!({"metadata": {"annotations": {HELD: replicas}}})).unwrap();
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
fn one_that_ended_in_the_wait_or_after_the_move_goes_on_by_the_same_command() {
    let town = Town::new("goes-on");
    town.keep_a_pod();
    let mut command = town.command(User::Admin, &["--to-earliest", "--execute"]);
    let waiting = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it is held", || (town.stand() == held()).then_some(()));
    kill_process(Pid::from_raw(i32::try_from(waiting.id()).unwrap()).unwrap(), Signal::TERM).unwrap();
    let ended = Ended::of(waiting.wait_with_output().unwrap());
    assert_eq!(ended.status, Some(130), "{ended:?}");
    let back = "--kubernetes --config";
    for words in ["nothing was moved", "held at 0 replicas", "frameline-validate is paused", back, "--resume --execute"]
    {
        assert!(ended.err.contains(words), "`{words}` is missing in: {}", ended.err);
    }
    assert_eq!(town.stand(), held());

    // As a rewind leaves it that moved the stage, and was killed before it let go.
    town.let_the_pod_go();
    town.until_members(0);
    assert_eq!(town.site.ask(&["rewind", "validate", "--to-earliest", "--execute"])["executed"], true);
    let plan = answer(&town.rewind(User::Admin, &["--to-earliest"]));
    let left = (&plan["moves"], &plan["held"]["replicas"], &plan["held"]["before"]);
    assert_eq!(left, (&json!([]), &0.into(), &REPLICAS.into()), "{plan}");
    assert_eq!(town.stand(), held(), "a plan changes nothing");
    let done = town.rewind(User::Admin, &["--to-earliest", "--execute"]);
    assert!(done.err.contains("goes on with 2 replicas"), "{done:?}");
    let done = answer(&done);
    assert_eq!((&done["moves"], &done["held"]["before"]), (&json!([]), &Value::Null), "{done}");
    assert_eq!(town.stand(), free());
    town.until_members(2);
    town.site.settle();
}

#[test]
fn where_only_a_part_can_be_held_nothing_is_and_a_part_that_is_can_be_let_go() {
    let town = Town::new("in-part");
    town.allow_all_but_pausing();
    let told = town.rewind(User::Operator, &["--to-earliest", "--execute"]);
    refused(&told, &["does not let us write on the ScaledObject"]);
    assert!(!told.err.contains("held at 0 replicas"), "{told:?}");
    assert_eq!(town.stand(), free());

    // As one leaves it that was killed after its first step.
    town.mark(REPLICAS.to_string().into());
    let told = town.rewind(User::Operator, &["--to-earliest", "--execute"]);
    refused(&told, &["marked as held, and is to have 2 replicas all the same", "is not paused", "--resume --execute"]);
    assert_eq!(answer(&town.rewind(User::Operator, &["--resume", "--execute"]))["after"]["replicas"], REPLICAS);
    assert_eq!(town.stand(), free());
    let audit = town.site.ask(&["audit"]);
    let last = audit["records"].as_array().unwrap().last().unwrap();
    assert_eq!(last["outcome"], "done", "{audit}");
    assert!(last["command"].as_array().unwrap().contains(&"--resume".into()), "{audit}");
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

    // The role that the chart gives to its own pods is enough.
    town.allow("frameline-rewind");
    assert_eq!(answer(&town.rewind(User::Operator, &["--to-earliest", "--execute"]))["executed"], true);
    assert_eq!(town.stand(), free());
    let elsewhere = ["rewind", "embed", "--to-earliest", "--kubernetes", "--namespace", "nowhere"];
    let mut command = town.site.command(&elsewhere);
    let told = Ended::of(command.env("KUBECONFIG", plane().kubeconfig(User::Admin)).output().unwrap());
    refused(&told, &["nowhere", "app.kubernetes.io/component=embed", "--namespace"]);
}
