//! How a container ended that runs again by now: nothing stands in its way any more, and yet it is to be told.

use kiban_kube::client::Cluster;
use kiban_kube::diagnose::LogOf;
use kiban_kube::diagnose::fetch::{LINES, lines};
use serde_json::Value;

use crate::verdict::Fault;

/// Adds to a fault without a log how the container ended that was started again most often.
pub(super) async fn add(cluster: &Cluster, fault: &mut Fault, pods: &[Value]) {
    let Some((words, log)) = worst(pods) else { return };
    fault.message = format!("{}: {words}", fault.message);
    fault.lines = lines(cluster, &log, LINES).await;
}

fn worst(pods: &[Value]) -> Option<(String, LogOf)> {
    let staying = pods.iter().filter(|pod| pod["metadata"].get("deletionTimestamp").is_none());
    let all = staying.flat_map(|pod| {
        let statuses = ["initContainerStatuses", "containerStatuses"];
        let statuses = statuses.into_iter().filter_map(|field| pod["status"][field].as_array());
        statuses.flatten().map(move |status| (pod, status))
    });
    let ended = all.filter(|(_, status)| status["lastState"]["terminated"].is_object());
    let (pod, status) = ended.max_by_key(|(_, status)| status["restartCount"].as_u64())?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (name, container) = (text(&pod["metadata"]["name"]), text(&status["name"]));
    let last = &status["lastState"]["terminated"];
    let code = last["exitCode"].as_i64().unwrap_or_default();
    let how = match last["reason"].as_str() {
        Some("OOMKilled") => "was killed for want of memory (OOMKilled)".to_owned(),
        Some("Error") | None => format!("ended with exit code {code}"),
        Some(reason) => format!("ended with exit code {code} ({reason})"),
    };
    let words = format!("pod/{name} (container {container}): it {how}");
    let log = LogOf { namespace: text(&pod["metadata"]["namespace"]), pod: name, container, previous: true };
    Some((words, log))
}
