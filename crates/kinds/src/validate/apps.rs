//! Checks of workloads: Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers.

use kiban_base::names;
use serde_json::{Value, json};

use super::at::{At, dig, field, list, text};
use super::cause::{Causes, selector_text};
use super::claim::claim_spec;
use super::meta::{immutable, label_selector, selector_matches, selects_all};
use super::pod::template;
use super::rule::{self, Check, Rule, rule as r, run};
use super::same::same;

const MISMATCH: &str = "`selector` does not match template `labels`";
const ABOVE_REPLICAS: &str = "cannot be greater than status.replicas";

/// A whole number or a percentage, as rolling updates and disruption budgets take it.
pub(crate) fn int_or_percent(at: &At<'_, '_>, out: &mut Causes) {
    if at.value.is_string() {
        let text = at.str();
        let digits = text.strip_suffix('%').unwrap_or("");
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            let message = "a valid percent string must be a numeric string followed by an ending '%'";
            out.invalid(at, text, &names::regex_error(message, "[0-9]+%", &["1%", "93%"]));
        }
    } else {
        rule::not_negative(at, out);
    }
}

/// At most `100%`; plain numbers may be any.
pub(crate) fn at_most_all(at: &At<'_, '_>, out: &mut Causes) {
    if percent(at.value).is_some_and(|p| p > 100) {
        out.invalid(at, at, "must not be greater than 100%");
    }
}

fn percent(value: &Value) -> Option<i64> {
    value.as_str().and_then(|t| t.strip_suffix('%')).and_then(|digits| digits.parse().ok())
}

fn count(value: &Value) -> i64 {
    percent(value).or(value.as_i64()).unwrap_or(0)
}

fn selector(at: &At<'_, '_>, kind: &str, out: &mut Causes) {
    if !at.is_set() {
        return out.required(at, "");
    }
    label_selector(at, out);
    empty_selector(at, kind, out);
}

fn empty_selector(at: &At<'_, '_>, kind: &str, out: &mut Causes) {
    if at.is_set() && selects_all(at.value) {
        out.invalid(at, selector_text(at.value), &format!("empty selector is invalid for {kind}"));
    }
}

/// A template whose labels the selector has to match.
fn selected_template(spec: &At<'_, '_>, unclear: &str, kind: &str, out: &mut Causes) {
    let (selector, template_at) = (spec.get("selector"), spec.get("template"));
    let Some(matches) = selector_matches(selector.value, dig(template_at.value, "metadata.labels")) else {
        return out.invalid(selector, selector_text(selector.value), unclear);
    };
    if !matches {
        mismatch(&template_at, out);
    }
    template(&template_at, out);
    always_restarts(&template_at, kind, out);
}

fn mismatch(template: &At<'_, '_>, out: &mut Causes) {
    let meta = template.get("metadata");
    let labels = meta.get("labels");
    out.invalid(labels, &labels, MISMATCH);
}

fn always_restarts(template: &At<'_, '_>, kind: &str, out: &mut Causes) {
    let pod = template.get("spec");
    rule::one_of(&pod.get("restartPolicy"), &["Always"], out);
    let deadline = pod.get("activeDeadlineSeconds");
    if deadline.is_set() {
        out.forbidden(deadline, &format!("activeDeadlineSeconds in {kind} is not Supported"));
    }
}

/// The spec of a Deployment.
pub(crate) fn deployment(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    run(&[r("replicas", Check::NotNegative)], &spec, out);
    selector(&spec.get("selector"), "deployment", out);
    selected_template(&spec, "invalid label selector", "ReplicaSet", out);
    deployment_strategy(&spec.get("strategy"), out);
    run(
        &[
            r("minReadySeconds", Check::NotNegative),
            r("revisionHistoryLimit", Check::NotNegative),
            r("progressDeadlineSeconds", Check::NotNegative),
        ],
        &spec,
        out,
    );
    let deadline = spec.get("progressDeadlineSeconds");
    if let Some(seconds) = deadline.int()
        && seconds <= spec.get("minReadySeconds").int_or_zero()
    {
        out.invalid(deadline, seconds, "must be greater than minReadySeconds");
    }
}

fn deployment_strategy(at: &At<'_, '_>, out: &mut Causes) {
    let rolling = at.get("rollingUpdate");
    match at.get("type").str() {
        "Recreate" => {
            if rolling.is_set() {
                out.forbidden(rolling, "may not be specified when strategy `type` is 'Recreate'");
            }
        }
        "RollingUpdate" => {
            if !rolling.is_set() {
                return out.required(rolling, "this should be defaulted and never be nil");
            }
            let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            int_or_percent(&unavailable, out);
            int_or_percent(&surge, out);
            if count(unavailable.value) == 0 && count(surge.value) == 0 {
                out.invalid(unavailable, &unavailable, "may not be 0 when `maxSurge` is 0");
            }
            at_most_all(&unavailable, out);
        }
        _ => out.unsupported(at, at, &["Recreate", "RollingUpdate"]),
    }
}

/// The selector says which objects are a workload's own, for good.
pub(crate) fn immutable_selector(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let selector = spec.get("selector");
    if !same(dig(old, "spec.selector"), selector.value) {
        out.invalid(selector, selector_text(selector.value), "field is immutable");
    }
}

/// The spec of a ReplicaSet.
pub(crate) fn replica_set(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    run(&[r("replicas", Check::NotNegative), r("minReadySeconds", Check::NotNegative)], &spec, out);
    selector(&spec.get("selector"), "deployment", out);
    selected_template(&spec, "invalid label selector", "ReplicaSet", out);
}

/// The spec of a ReplicationController, whose selector is a plain map.
pub(crate) fn replication_controller(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    run(&[r("minReadySeconds", Check::NotNegative), r("selector", Check::Required)], &spec, out);
    run(&[r("replicas", Check::NotNegative)], &spec, out);
    let template_at = spec.get("template");
    if !template_at.is_set() {
        return out.required(template_at, "");
    }
    let labels = dig(template_at.value, "metadata.labels");
    if spec.get("selector").entries().any(|(key, value)| field(labels, key) != value.value) {
        mismatch(&template_at, out);
    }
    template(&template_at, out);
    always_restarts(&template_at, "ReplicationController", out);
}

/// The spec of a StatefulSet, whose pods may mount its claims beside their own volumes.
pub(crate) fn stateful_set(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let policy = spec.get("podManagementPolicy");
    match policy.str() {
        "" => out.required(policy, ""),
        "OrderedReady" | "Parallel" => {}
        other => out.invalid(policy, other, "must be 'OrderedReady' or 'Parallel'"),
    }
    stateful_strategy(&spec.get("updateStrategy"), out);
    let retention = spec.get("persistentVolumeClaimRetentionPolicy");
    if retention.is_set() {
        for name in ["whenDeleted", "whenScaled"] {
            rule::one_of(&retention.get(name), &["Retain", "Delete"], out);
        }
    }
    run(
        &[
            r("replicas", Check::NotNegative),
            r("minReadySeconds", Check::NotNegative),
            r("revisionHistoryLimit", Check::NotNegative),
        ],
        &spec,
        out,
    );
    let start = dig(spec.value, "ordinals.start");
    rule::not_negative(&At { value: start, path: spec.path.child("ordinals.start") }, out);
    selector(&spec.get("selector"), "statefulset", out);
    let (selector, template_at) = (spec.get("selector"), spec.get("template"));
    match selector_matches(selector.value, dig(template_at.value, "metadata.labels")) {
        None => out.invalid(selector, selector_text(selector.value), ""),
        Some(matches) => {
            if !matches && selector.is_set() {
                mismatch(&template_at, out);
            }
            let mountable = with_claims(&spec);
            template(&template_at.with(&mountable), out);
        }
    }
    always_restarts(&template_at, "StatefulSet", out);
    for claim in spec.get("volumeClaimTemplates").items() {
        claim_spec(&claim.get("spec"), out);
    }
}

/// The template as its pods will be: with a volume for each claim.
fn with_claims(spec: &At<'_, '_>) -> Value {
    let claims: Vec<&str> = list(field(spec.value, "volumeClaimTemplates"))
        .iter()
        .map(|c| text(dig(c, "metadata.name")))
        .collect();
    let mut template = field(spec.value, "template").clone();
    let own = list(dig(spec.value, "template.spec.volumes"));
    let volumes: Vec<Value> = own
        .iter()
        .filter(|volume| !claims.contains(&text(field(volume, "name"))))
        .cloned()
        .chain(
            claims.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": "claim"}})),
        )
        .collect();
    if let Some(pod) = template.get_mut("spec").and_then(Value::as_object_mut)
        && !claims.is_empty()
    {
        pod.insert("volumes".to_string(), Value::Array(volumes));
    }
    template
}

fn stateful_strategy(at: &At<'_, '_>, out: &mut Causes) {
    let rolling = at.get("rollingUpdate");
    match at.get("type").str() {
        "" => out.required(at, ""),
        "OnDelete" => {
            if rolling.is_set() {
                out.invalid(rolling, &rolling, "only allowed for updateStrategy 'RollingUpdate'");
            }
        }
        "RollingUpdate" => {
            rule::not_negative(&rolling.get("partition"), out);
            let unavailable = rolling.get("maxUnavailable");
            if unavailable.is_set() {
                int_or_percent(&unavailable, out);
                if count(unavailable.value) == 0 {
                    out.invalid(unavailable, &unavailable, "cannot be 0");
                }
                at_most_all(&unavailable, out);
            }
        }
        _ => out.invalid(at, at, "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

const STATEFUL_UPDATABLE: &[&str] = &[
    "replicas",
    "template",
    "updateStrategy",
    "minReadySeconds",
    "ordinals",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
];

/// What may change in a StatefulSet.
pub(crate) fn stateful_set_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let (spec, before) = (at.get("spec"), field(old, "spec"));
    let names = |value: &Value| -> Vec<String> {
        super::at::entries(value).map(|(name, _)| name.to_string()).collect()
    };
    let changed = names(spec.value).iter().chain(&names(before)).any(|name| {
        !STATEFUL_UPDATABLE.contains(&name.as_str()) && !same(field(before, name), field(spec.value, name))
    });
    if changed {
        let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                      'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                      'minReadySeconds' are forbidden";
        out.forbidden(spec, detail);
    }
}

/// The spec of a DaemonSet.
pub(crate) fn daemon_set(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let (selector, template_at) = (spec.get("selector"), spec.get("template"));
    label_selector(&selector, out);
    if selector_matches(selector.value, dig(template_at.value, "metadata.labels")) == Some(false) {
        mismatch(&template_at, out);
    }
    empty_selector(&selector, "daemonset", out);
    template(&template_at, out);
    always_restarts(&template_at, "DaemonSet", out);
    run(&[r("minReadySeconds", Check::NotNegative)], &spec, out);
    daemon_strategy(&spec.get("updateStrategy"), out);
    run(&[r("revisionHistoryLimit", Check::NotNegative)], &spec, out);
}

fn daemon_strategy(at: &At<'_, '_>, out: &mut Causes) {
    match at.get("type").str() {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = at.get("rollingUpdate");
            if !rolling.is_set() {
                return out.required(rolling, "");
            }
            let (unavailable, surge) = (rolling.get("maxUnavailable"), rolling.get("maxSurge"));
            for place in [&unavailable, &surge] {
                int_or_percent(place, out);
            }
            for place in [&unavailable, &surge] {
                at_most_all(place, out);
            }
            match (count(unavailable.value) != 0, count(surge.value) != 0) {
                (true, true) => {
                    out.invalid(surge, &surge, "may not be set when maxUnavailable is non-zero");
                }
                (false, false) => out.required(unavailable, "cannot be 0 when maxSurge is 0"),
                _ => {}
            }
        }
        _ => out.unsupported(at, at, &["RollingUpdate", "OnDelete"]),
    }
}

/// A ControllerRevision: a number and data, which never change.
pub(crate) fn controller_revision(at: &At<'_, '_>, out: &mut Causes) {
    let data = at.get("data");
    if !data.is_set() {
        out.required(data, "data is mandatory");
    }
    rule::not_negative(&at.get("revision"), out);
}

/// The data of a ControllerRevision stays.
pub(crate) fn controller_revision_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    immutable(field(old, "data"), &at.get("data"), out);
}

const DEPLOYMENT_STATUS: &[Rule] = &[
    r("observedGeneration", Check::NotNegative),
    r("replicas", Check::NotNegative),
    r("updatedReplicas", Check::NotNegative),
    r("readyReplicas", Check::NotNegative),
    r("availableReplicas", Check::NotNegative),
    r("unavailableReplicas", Check::NotNegative),
    r("collisionCount", Check::NotNegative),
];
const REPLICA_SET_STATUS: &[Rule] = &[
    r("replicas", Check::NotNegative),
    r("fullyLabeledReplicas", Check::NotNegative),
    r("readyReplicas", Check::NotNegative),
    r("availableReplicas", Check::NotNegative),
    r("observedGeneration", Check::NotNegative),
];
const STATEFUL_SET_STATUS: &[Rule] = &[
    r("replicas", Check::NotNegative),
    r("readyReplicas", Check::NotNegative),
    r("currentReplicas", Check::NotNegative),
    r("updatedReplicas", Check::NotNegative),
    r("availableReplicas", Check::NotNegative),
    r("observedGeneration", Check::NotNegative),
    r("collisionCount", Check::NotNegative),
];
const DAEMON_SET_STATUS: &[Rule] = &[
    r("currentNumberScheduled", Check::NotNegative),
    r("numberMisscheduled", Check::NotNegative),
    r("desiredNumberScheduled", Check::NotNegative),
    r("numberReady", Check::NotNegative),
    r("observedGeneration", Check::NotNegative),
    r("updatedNumberScheduled", Check::NotNegative),
    r("numberAvailable", Check::NotNegative),
    r("numberUnavailable", Check::NotNegative),
    r("collisionCount", Check::NotNegative),
];

fn status_of(rules: &[Rule], parts: &[&str], ready: &str, old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let status = at.get("status");
    run(rules, &status, out);
    let total = status.get("replicas").int_or_zero();
    for name in parts {
        let part = status.get(name);
        if part.int_or_zero() > total {
            out.invalid(part, part.int_or_zero(), ABOVE_REPLICAS);
        }
    }
    let available = status.get("availableReplicas");
    if !ready.is_empty() && available.int_or_zero() > status.get("readyReplicas").int_or_zero() {
        out.invalid(available, available.int_or_zero(), &format!("cannot be greater than {ready}"));
    }
    let (before, collisions) = (dig(old, "status.collisionCount"), status.get("collisionCount"));
    if before.as_i64().is_some_and(|before| collisions.int_or_zero() < before) {
        out.invalid(collisions, collisions.int_or_zero(), "cannot be decremented");
    }
}

/// The status of a Deployment.
pub(crate) fn deployment_status(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let parts = &["updatedReplicas", "readyReplicas", "availableReplicas"];
    status_of(DEPLOYMENT_STATUS, parts, "readyReplicas", old, at, out);
}

/// The status of a ReplicaSet or a ReplicationController.
pub(crate) fn replica_set_status(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let parts = &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    status_of(REPLICA_SET_STATUS, parts, "readyReplicas", old, at, out);
}

/// The status of a StatefulSet.
pub(crate) fn stateful_set_status(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let parts = &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    status_of(STATEFUL_SET_STATUS, parts, "status.readyReplicas", old, at, out);
}

/// The status of a DaemonSet.
pub(crate) fn daemon_set_status(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    status_of(DAEMON_SET_STATUS, &[], "", old, at, out);
}

/// Templates that name nothing but a pod: PodTemplates.
pub(crate) fn pod_template(at: &At<'_, '_>, out: &mut Causes) {
    template(&at.get("template"), out);
}
