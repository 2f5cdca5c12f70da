//! Gathers the evidence about a workload from a cluster, and the last lines of the logs that tell more.

use serde_json::Value;

use super::{Diagnosis, Evidence, LogOf, diagnose};
use crate::client::{ApiError, Cluster, encode};
use crate::object::{group_of, text_at};

/// How many lines of a log are fetched.
pub const LINES: usize = 20;

/// The longest part of a log that is read, in bytes.
const MAX_LOG: usize = 64 * 1024;

/// How many logs are fetched for one diagnosis.
const MAX_LOGS: usize = 3;

/// What is listed once for all workloads of a namespace.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// ReplicaSets and ControllerRevisions.
    pub revisions: Vec<Value>,
    /// Pods.
    pub pods: Vec<Value>,
    /// Events.
    pub events: Vec<Value>,
    /// Claims.
    pub claims: Vec<Value>,
}

/// Diagnoses one workload. What may not be listed is left out: the diagnosis is then poorer, never wrong.
///
/// # Errors
/// No answer from the API server.
pub async fn of(cluster: &Cluster, workload: &Value) -> Result<Diagnosis, ApiError> {
    let surroundings = Surroundings::fetch(cluster, workload).await?;
    let mut diagnosis = diagnose(&surroundings.evidence(workload, cluster));
    logs(cluster, &mut diagnosis).await;
    Ok(diagnosis)
}

impl Surroundings {
    /// Lists what may belong to a workload.
    ///
    /// # Errors
    /// No answer from the API server.
    pub async fn fetch(cluster: &Cluster, workload: &Value) -> Result<Self, ApiError> {
        let namespace = encode(text_at(workload, &["metadata", "namespace"]).unwrap_or(""));
        let labels = selector(workload);
        let core = format!("/api/v1/namespaces/{namespace}");
        let apps = format!("/apis/apps/v1/namespaces/{namespace}");
        let kind = text_at(workload, &["kind"]).unwrap_or("");
        let revisions = match (group_of(workload), kind) {
            ("apps", "Deployment") => Some(format!("{apps}/replicasets")),
            ("apps", "DaemonSet" | "StatefulSet") => Some(format!("{apps}/controllerrevisions")),
            _ => None,
        };
        let mut found = Self::default();
        if let Some(path) = revisions {
            found.revisions = list(cluster, &path, &labels).await?;
        }
        // An item of a list states no kind, which the rules read.
        let is_revision_kind = if kind == "Deployment" { "ReplicaSet" } else { "ControllerRevision" };
        name_kind(&mut found.revisions, "apps/v1", is_revision_kind);
        if kind != "Pod" {
            found.pods = list(cluster, &format!("{core}/pods"), &labels).await?;
        }
        name_kind(&mut found.pods, "v1", "Pod");
        found.events = list(cluster, &format!("{core}/events"), "").await?;
        if workload.to_string().contains("persistentVolumeClaim") || kind == "StatefulSet" {
            found.claims = list(cluster, &format!("{core}/persistentvolumeclaims"), "").await?;
            name_kind(&mut found.claims, "v1", "PersistentVolumeClaim");
        }
        Ok(found)
    }

    /// The evidence about a workload of this namespace.
    pub fn evidence<'a>(&'a self, workload: &'a Value, cluster: &Cluster) -> Evidence<'a> {
        let Self { revisions, pods, events, claims } = self;
        Evidence { workload, revisions, pods, events, claims, now: cluster.clock().now() }
    }
}

fn name_kind(objects: &mut [Value], api_version: &str, kind: &str) {
    for object in objects.iter_mut().filter_map(Value::as_object_mut) {
        object.entry("apiVersion").or_insert_with(|| api_version.into());
        object.entry("kind").or_insert_with(|| kind.into());
    }
}

/// The workload's selector as a query; empty where it has none of equalities.
fn selector(workload: &Value) -> String {
    let labels = workload["spec"]["selector"]["matchLabels"].as_object();
    let pairs = labels.into_iter().flatten().filter_map(|(k, v)| Some(format!("{k}={}", v.as_str()?)));
    let text = pairs.collect::<Vec<_>>().join(",");
    if text.is_empty() { text } else { format!("labelSelector={}", encode(&text)) }
}

async fn list(cluster: &Cluster, path: &str, selector: &str) -> Result<Vec<Value>, ApiError> {
    match crate::watch::list(cluster, path, selector).await {
        Ok((items, _)) => Ok(items),
        Err(e) if e.is_forbidden() || e.is_not_found() => {
            tracing::debug!(path, error = %e, "left out of a diagnosis");
            Ok(Vec::new())
        }
        Err(e) => Err(e),
    }
}

/// Fetches the logs that the findings name. One that cannot be had is left out.
pub async fn logs(cluster: &Cluster, diagnosis: &mut Diagnosis) {
    let wanted = diagnosis.findings.iter_mut().filter(|f| f.log.is_some()).take(MAX_LOGS);
    for finding in wanted {
        let Some(of) = finding.log.clone() else { continue };
        finding.lines = lines(cluster, &of, LINES).await;
    }
}

/// The last lines of a container's log; of the life before this one where that is asked for and there is
/// one. Empty where it cannot be had.
pub async fn lines(cluster: &Cluster, of: &LogOf, count: usize) -> Vec<String> {
    let path = format!(
        "/api/v1/namespaces/{}/pods/{}/log?container={}&tailLines={count}&limitBytes={MAX_LOG}",
        encode(&of.namespace),
        encode(&of.pod),
        encode(&of.container)
    );
    let previous = format!("{path}&previous=true");
    let mut text = match of.previous {
        true => cluster.text(&previous, MAX_LOG).await,
        false => cluster.text(&path, MAX_LOG).await,
    };
    if of.previous && text.as_ref().map_or(true, |t| t.trim().is_empty()) {
        text = cluster.text(&path, MAX_LOG).await;
    }
    let text = text.unwrap_or_else(|error| {
        tracing::debug!(%error, pod = of.pod, "log could not be read");
        String::new()
    });
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().skip(lines.len().saturating_sub(count)).map(|l| (*l).to_owned()).collect()
}
