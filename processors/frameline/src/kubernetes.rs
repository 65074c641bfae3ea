//! The Deployment of a stage on Kubernetes, with the ScaledObject of KEDA that scales it: held still, and let go again.
//!
//! What there was before is written on the Deployment itself. So whoever comes next, from whatever machine, can see
//! that it is held and let it go, also where the one who held it is gone.

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use kube::config::KubeConfigOptions;
use kube::{Client, Config, ResourceExt as _};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::Cluster;
use crate::error::Refusal;
use crate::host;
use crate::stages::Name;

/// On a Deployment that is held: how many replicas it had.
const HELD: &str = "frameline.dev/replicas-before-hold";
/// KEDA scales to so many and does no more: <https://keda.sh/docs/2.20/concepts/scaling-deployments/>.
const PAUSED_AT: &str = "autoscaling.keda.sh/paused-replicas";
/// KEDA does no more, wherever it stands.
const PAUSED: &str = "autoscaling.keda.sh/paused";

/// A stage's Deployment.
pub(crate) struct Workload {
    deployments: Api<Deployment>,
    pods: Api<Pod>,
    scaled_objects: Api<DynamicObject>,
    place: Place,
}

/// Where it is, and what scales it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Place {
    /// The namespace.
    pub(crate) namespace: String,
    /// The Deployment.
    pub(crate) deployment: String,
    /// The ScaledObject, where there is one.
    pub(crate) scaled_object: Option<String>,
}

/// How a Deployment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Stand {
    /// Replicas that are wanted.
    pub(crate) replicas: i32,
    /// Replicas that there were before it was held; `None` where it is not.
    pub(crate) before: Option<i32>,
}

impl Workload {
    /// Finds it by the labels of the chart.
    pub(crate) async fn of(stage: Name, cluster: &Cluster) -> Result<Self> {
        let config = match &cluster.kube_context {
            None => Config::infer().await.context("no kubeconfig, and this is no pod")?,
            Some(context) => {
                let options = KubeConfigOptions { context: Some(context.clone()), ..KubeConfigOptions::default() };
                Config::from_kubeconfig(&options).await.with_context(|| format!("the context {context}"))?
            }
        };
        let namespace = cluster.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("the client for the Kubernetes API cannot be made")?;
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), &namespace);
        let deployment = only(&deployments, stage, cluster.release.as_deref(), &namespace).await?;
        let kind = GroupVersionKind::gvk("keda.sh", "v1alpha1", "ScaledObject");
        let scaled_objects = Api::namespaced_with(client.clone(), &namespace, &ApiResource::from_gvk(&kind));
        let scaled_object = scaler_of(&scaled_objects, &deployment).await?;
        let pods = Api::namespaced(client, &namespace);
        Ok(Self { deployments, pods, scaled_objects, place: Place { namespace, deployment, scaled_object } })
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// How it stands.
    pub(crate) async fn stand(&self) -> Result<Stand> {
        let deployment = asked(self.deployments.get(&self.place.deployment).await, "read the Deployment")?;
        stand_of(&deployment)
    }

    /// How many pods of it have not ended.
    pub(crate) async fn pods(&self) -> Result<usize> {
        Ok(self.pod_names().await?.len())
    }

    async fn pod_names(&self) -> Result<Vec<String>> {
        let deployment = asked(self.deployments.get(&self.place.deployment).await, "read the Deployment")?;
        let selector = deployment.spec.and_then(|spec| spec.selector.match_labels).unwrap_or_default();
        let labels: Vec<String> = selector.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let pods = self.pods.list(&ListParams::default().labels(&labels.join(","))).await;
        let has_ended = |pod: &&Pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            matches!(phase, Some("Succeeded" | "Failed"))
        };
        let pods = asked(pods, "list the pods")?;
        Ok(pods.iter().filter(|pod| !has_ended(pod)).map(|pod| pod.name_any()).collect())
    }

    /// Has it scaled to zero, and nobody scale it up again. One that is held already stays so.
    pub(crate) async fn hold(&self) -> Result<()> {
        self.refuse_own_pod().await?;
        let stand = self.stand().await?;
        if stand.before.is_none() {
            self.refuse_paused().await?;
            self.annotate(json!(stand.replicas.to_string())).await?;
        }
        if let Err(error) = self.pause(json!("0")).await {
            if stand.before.is_none() {
                // Nothing stands still yet. Where the mark stays, whoever tells of the failure finds it.
                let _ = self.annotate(Value::Null).await;
            }
            return Err(error);
        }
        self.scale(0).await
    }

    /// Lets it go, with as many replicas as there were.
    pub(crate) async fn let_go(&self) -> Result<Stand> {
        let stand = self.stand().await?;
        let Some(before) = stand.before else {
            let message = format!("{} is not held", self.place);
            return Err(Refusal::new(message, "there is nothing to put back to work").into());
        };
        // As long as KEDA is paused at zero it would scale down again. Where it never was, no right to it is needed.
        if self.is_paused().await? {
            self.pause(Value::Null).await?;
        }
        self.scale(before).await?;
        self.annotate(Value::Null).await?;
        Ok(Stand { replicas: before, before: None })
    }

    /// Whether the ScaledObject is paused at some number of replicas.
    pub(crate) async fn is_paused(&self) -> Result<bool> {
        let Some(name) = &self.place.scaled_object else { return Ok(false) };
        let scaled_object = asked(self.scaled_objects.get(name).await, "read the ScaledObject")?;
        Ok(scaled_object.annotations().contains_key(PAUSED_AT))
    }

    /// Whoever runs in a pod of it would be ended by it.
    async fn refuse_own_pod(&self) -> Result<()> {
        let own = host::name();
        if !self.pod_names().await?.contains(&own) {
            return Ok(());
        }
        let message = format!("this is {own}, a pod of {}, which has to end for it", self.place);
        Err(Refusal::new(message, "run it in the pod of another stage").into())
    }

    /// A ScaledObject that somebody else has paused is not ours to let go.
    async fn refuse_paused(&self) -> Result<()> {
        let Some(name) = &self.place.scaled_object else { return Ok(()) };
        let scaled_object = asked(self.scaled_objects.get(name).await, "read the ScaledObject")?;
        let annotations = scaled_object.annotations();
        let Some((key, value)) = [PAUSED, PAUSED_AT].iter().find_map(|key| annotations.get_key_value(*key)) else {
            return Ok(());
        };
        let message = format!("somebody has paused the ScaledObject {name}: {key} is {value}");
        let help = format!(
            "ask who did; `kubectl --namespace {} annotate scaledobject {name} {key}-` takes it away",
            self.place.namespace
        );
        Err(Refusal::new(message, help).into())
    }

    async fn annotate(&self, replicas: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { HELD: replicas } } }));
        let patched = self.deployments.patch(&self.place.deployment, &PatchParams::default(), &patch).await;
        asked(patched, "write on the Deployment").map(drop)
    }

    async fn pause(&self, replicas: Value) -> Result<()> {
        let Some(name) = &self.place.scaled_object else { return Ok(()) };
        let patch = Patch::Merge(json!({ "metadata": { "annotations": { PAUSED_AT: replicas } } }));
        let patched = self.scaled_objects.patch(name, &PatchParams::default(), &patch).await;
        asked(patched, "write on the ScaledObject").map(drop)
    }

    async fn scale(&self, replicas: i32) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        let scaled = self.deployments.patch_scale(&self.place.deployment, &PatchParams::default(), &patch).await;
        asked(scaled, "scale the Deployment").map(drop)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the Deployment {}/{}", self.namespace, self.deployment)
    }
}

/// The only Deployment of the stage.
async fn only(deployments: &Api<Deployment>, stage: Name, release: Option<&str>, namespace: &str) -> Result<String> {
    let mut labels = format!("app.kubernetes.io/name=frameline,app.kubernetes.io/component={stage}");
    if let Some(release) = release {
        labels += &format!(",app.kubernetes.io/instance={release}");
    }
    let found = asked(deployments.list_metadata(&ListParams::default().labels(&labels)).await, "list Deployments")?;
    let names: Vec<String> = found.iter().map(|deployment| deployment.name_any()).collect();
    match names.as_slice() {
        [only] => Ok(only.clone()),
        [] => {
            let message = format!("the namespace {namespace} has no Deployment labelled {labels}");
            Err(Refusal::new(message, "name the one of the release: --namespace NAME, --release NAME").into())
        }
        several => {
            let message = format!("the namespace {namespace} has several for {stage}: {}", several.join(", "));
            Err(Refusal::new(message, "name the release of the chart: --release NAME").into())
        }
    }
}

/// Who scales the Deployment; nobody where KEDA is not installed.
async fn scaler_of(scaled_objects: &Api<DynamicObject>, deployment: &str) -> Result<Option<String>> {
    let all = match scaled_objects.list(&ListParams::default()).await {
        Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(None),
        all => asked(all, "list ScaledObjects")?,
    };
    let scales = |object: &&DynamicObject| {
        let target = &object.data["spec"]["scaleTargetRef"];
        target["name"] == deployment && target["kind"].as_str().is_none_or(|kind| kind == "Deployment")
    };
    Ok(all.iter().find(scales).map(|object| object.name_any()))
}

fn stand_of(deployment: &Deployment) -> Result<Stand> {
    // The API fills in the default, which is one.
    let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let before = deployment.annotations().get(HELD).map(|text| text.parse()).transpose();
    let before = before.with_context(|| format!("the annotation {HELD} of {} is no number", deployment.name_any()))?;
    Ok(Stand { replicas, before })
}

/// What the API answered, or what it did not let us do, in its own words.
fn asked<T>(answer: kube::Result<T>, what: &str) -> Result<T> {
    answer.map_err(|error| match error {
        kube::Error::Api(status) if status.is_forbidden() => {
            let help =
                "whoever rewinds needs get, list and patch on deployments, deployments/scale, scaledobjects and pods";
            Refusal::new(format!("the Kubernetes API does not let us {what}: {}", status.message), help).into()
        }
        kube::Error::Api(status) => anyhow::anyhow!("the Kubernetes API did not {what}: {}", status.message),
        error => anyhow::Error::new(error).context(format!("cannot {what}")),
    })
}
