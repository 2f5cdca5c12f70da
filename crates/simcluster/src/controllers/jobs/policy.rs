//! The policies of a Job: what a failed pod means, and which successes are enough.
//!
//! Contract: Kubernetes pkg/controller/job (pod_failure_policy.go, success_policy.go).

use serde_json::{Value, json};

use super::indexes::Indexes;

/// What the failure policy says of one failed pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    /// The failure does not count.
    pub ignored: bool,
    /// The pod's index fails at once.
    pub fails_index: bool,
    /// The Job fails, for this reason.
    pub fails_job: Option<String>,
}

/// Applies the first rule of `podFailurePolicy` that matches a failed pod.
pub(super) fn judge(job: &Value, pod: &Value) -> Verdict {
    let rules = job["spec"]["podFailurePolicy"]["rules"].as_array().into_iter().flatten();
    for (number, rule) in rules.enumerate() {
        let Some(what) = matched(rule, pod) else { continue };
        let fails = || format!("{what} matching FailJob rule at index {number}");
        return match rule["action"].as_str() {
            Some("Ignore") => Verdict { ignored: true, ..Verdict::default() },
            Some("FailIndex") => Verdict { fails_index: true, ..Verdict::default() },
            Some("FailJob") => Verdict { fails_job: Some(fails()), ..Verdict::default() },
            _ => Verdict::default(),
        };
    }
    Verdict::default()
}

/// What of the pod a rule matches, in words.
fn matched(rule: &Value, pod: &Value) -> Option<String> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let name = format!("{}/{}", text(&pod["metadata"]["namespace"]), text(&pod["metadata"]["name"]));
    if rule["onExitCodes"].is_object() {
        let on = &rule["onExitCodes"];
        let lists = ["containerStatuses", "initContainerStatuses"];
        let mut all = lists.iter().flat_map(|l| pod["status"][l].as_array().into_iter().flatten());
        let code = |c: &Value| c["state"]["terminated"]["exitCode"].as_i64();
        let found = all.find(|c| {
            let named = on["containerName"].is_null() || on["containerName"] == c["name"];
            named && code(c).is_some_and(|code| code != 0 && in_values(on, code))
        })?;
        let code = code(found).unwrap_or(0);
        return Some(format!(
            "Container {} for pod {name} failed with exit code {code}",
            text(&found["name"])
        ));
    }
    let conditions = pod["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let wanted = rule["onPodConditions"].as_array()?.iter().find(|p| {
        let status = p["status"].as_str().unwrap_or("True");
        conditions.iter().any(|c| c["type"] == p["type"] && c["status"] == status)
    })?;
    Some(format!("Pod {name} has condition {}", text(&wanted["type"])))
}

fn in_values(on: &Value, code: i64) -> bool {
    let listed = on["values"].as_array().is_some_and(|v| v.contains(&json!(code)));
    if on["operator"] == "NotIn" { !listed } else { listed }
}

/// Whether the successes are enough by `successPolicy`: the message of the condition.
pub(super) fn enough(job: &Value, succeeded: &Indexes, completions: i64) -> Option<String> {
    let rules = job["spec"]["successPolicy"]["rules"].as_array()?;
    rules.iter().enumerate().find_map(|(number, rule)| {
        let listed = rule["succeededIndexes"].as_str();
        let of = super::indexes::parse(listed.unwrap_or_default(), completions);
        let got = if listed.is_some() { succeeded.intersection(&of).count() } else { succeeded.len() };
        let wanted = match rule["succeededCount"].as_u64() {
            Some(count) => usize::try_from(count).unwrap_or(usize::MAX),
            None => of.len(),
        };
        let met = got >= wanted && (listed.is_some() || rule["succeededCount"].is_u64());
        met.then(|| format!("Matched rules at index {number}"))
    })
}
