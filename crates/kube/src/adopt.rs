//! Taking objects over from the tools that had them: kubectl's client-side apply, Helm, Flux, Argo CD.
//!
//! What moves is ownership: the fields that such a tool owns in `managedFields` become this program's,
//! so that a field that is no longer rendered goes away, as kubectl's own migration does for client-side
//! apply. What the tools left in labels and annotations of the object itself is removed only where it
//! would make them act on it again; pod templates are never touched, so no pod restarts.

pub(crate) mod live;

use std::fmt;

use serde_json::{Value, json};

use crate::fields::{self, Set};
use crate::object::{ObjectId, group_of, text_at};
use crate::request::{Adopt, MANAGER, Options};

/// A tool that applied objects before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tool {
    /// `kubectl apply` from the client's side, `kubectl create` and `kubectl edit` included.
    Kubectl,
    /// Helm, whichever way it applies.
    Helm,
    /// Flux: kustomize-controller and helm-controller.
    Flux,
    /// Argo CD.
    ArgoCd,
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kubectl => "kubectl",
            Self::Helm => "Helm",
            Self::Flux => "Flux",
            Self::ArgoCd => "Argo CD",
        })
    }
}

/// What taking an object over did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Adopted {
    /// The managers whose fields are now this program's.
    pub from: Vec<String>,
    /// Annotations and labels of theirs that were removed.
    pub removed: Vec<String>,
    /// What of theirs stays, and why that does no harm.
    pub remains: Vec<String>,
}

/// An object of another tool that still points at what is to be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveController {
    /// Which tool.
    pub tool: Tool,
    /// Its object: `kustomization.kustomize.toolkit.fluxcd.io/orders in flux-system`.
    pub controller: String,
    /// One of the objects that it points at.
    pub object: ObjectId,
}

impl fmt::Display for LiveController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} still applies {} ({})", self.controller, self.object, self.tool)
    }
}

/// Managers by tool and operation. Contract: their own names; Flux and Argo CD apply from the server's
/// side or the client's, as they are set up, and so does Helm since version 4.
const MANAGERS: &[(Tool, &str, Option<&str>)] = &[
    (Tool::Kubectl, "kubectl-client-side-apply", Some("Update")),
    (Tool::Kubectl, "kubectl-create", Some("Update")),
    (Tool::Kubectl, "kubectl-replace", Some("Update")),
    (Tool::Kubectl, "kubectl", Some("Apply")),
    (Tool::Helm, "helm", None),
    (Tool::Flux, "kustomize-controller", None),
    (Tool::Flux, "helm-controller", None),
    (Tool::ArgoCd, "argocd-controller", None),
];

/// What a tool finds its own objects by, or what it would apply again.
const TRACKING: &[(&str, &str)] = &[
    ("annotations", "kubectl.kubernetes.io/last-applied-configuration"),
    ("annotations", "meta.helm.sh/release-name"),
    ("annotations", "meta.helm.sh/release-namespace"),
    ("labels", "kustomize.toolkit.fluxcd.io/name"),
    ("labels", "kustomize.toolkit.fluxcd.io/namespace"),
    ("annotations", "kustomize.toolkit.fluxcd.io/checksum"),
    ("labels", "helm.toolkit.fluxcd.io/name"),
    ("labels", "helm.toolkit.fluxcd.io/namespace"),
    ("annotations", "argocd.argoproj.io/tracking-id"),
    ("annotations", "argocd.argoproj.io/installation-id"),
];

/// Whose fields are taken over, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Every tool of the table, or kubectl's client-side apply alone.
    all: bool,
}

/// The policy of an apply; none where nothing is taken over.
pub(crate) fn policy(options: &Options) -> Option<Policy> {
    match options.adopt {
        Adopt::No if !options.force_conflicts => None,
        adopt => Some(Policy { all: adopt != Adopt::No }),
    }
}

impl Policy {
    /// The tool whose entry of `managedFields` this is, where it is to be taken over.
    fn tool(self, entry: &Value) -> Option<Tool> {
        let text = |field: &str| text_at(entry, &[field]).unwrap_or("");
        let (manager, operation) = (text("manager"), text("operation"));
        if !text("subresource").is_empty() {
            return None;
        }
        let row = MANAGERS.iter().find(|(_, name, op)| *name == manager && op.is_none_or(|o| o == operation));
        row.filter(|(_, name, _)| self.all || *name == "kubectl-client-side-apply").map(|(tool, ..)| *tool)
    }

    /// True where a manager of that name is one of a tool's that is taken over.
    pub(crate) fn covers(self, manager: &str) -> bool {
        self.all && MANAGERS.iter().any(|(_, name, _)| *name == manager)
    }
}

/// A change of ownership.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Migration {
    /// The JSON patch, upon the revision of the object that it was made for.
    pub(crate) patch: Value,
    /// What it does, for people.
    pub(crate) adopted: Adopted,
}

/// How an object is taken over that is to become `desired`; none where there is nothing to take.
pub(crate) fn migration(policy: Policy, live: &Value, desired: &Value) -> Option<Migration> {
    let (mut ours, mut rest) = (Set::new(), Vec::new());
    let mut api_version = Value::Null;
    let mut adopted = Adopted::default();
    for entry in fields::entries(live) {
        let tool = policy.tool(entry);
        if tool.is_none() && !is_ours(entry) {
            rest.push(entry.clone());
            continue;
        }
        if api_version.is_null() || is_ours(entry) {
            api_version = entry["apiVersion"].clone();
        }
        let mut taken = entry["fieldsV1"].as_object().cloned().unwrap_or_default();
        if let Some(tool) = tool.filter(|_| policy.all && has_pods(live)) {
            let left = spare_template(&mut taken, desired);
            let told = fields_told(&left).into_iter().filter(|field| !is_defaulted(field));
            adopted.remains.extend(
                told.map(|field| format!("{field} stays {tool}'s: to take it away would restart the pods")),
            );
            if !left.is_empty() {
                let mut kept = entry.clone();
                kept["fieldsV1"] = Value::Object(left);
                rest.push(kept);
            }
        }
        if tool.is_some() && !fields::is_hollow(&taken) {
            adopted.from.push(text_at(entry, &["manager"]).unwrap_or("").to_owned());
        }
        fields::unite(&mut ours, &taken);
    }
    let removals = tracking(policy, live, desired, &mut ours, &mut adopted);
    if adopted.from.is_empty() && removals.is_empty() {
        return None;
    }
    rest.push(json!({
        "manager": MANAGER,
        "operation": "Apply",
        "apiVersion": api_version,
        "fieldsType": "FieldsV1",
        "fieldsV1": ours,
    }));
    adopted.from.sort();
    adopted.from.dedup();
    adopted.remains.sort();
    adopted.remains.dedup();
    let mut patch = vec![
        json!({"op": "replace", "path": "/metadata/managedFields", "value": rest}),
        // A replace and no test: then a changed object is a conflict, and no invalid request.
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]}),
    ];
    patch.extend(removals);
    Some(Migration { patch: Value::Array(patch), adopted })
}

fn is_ours(entry: &Value) -> bool {
    let text = |field: &str| text_at(entry, &[field]).unwrap_or("");
    text("manager") == MANAGER && text("operation") == "Apply" && text("subresource").is_empty()
}

/// Workloads whose pods are made anew when `spec.template` changes.
fn has_pods(object: &Value) -> bool {
    matches!(
        (group_of(object), text_at(object, &["kind"]).unwrap_or("")),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet") | ("batch", "Job")
    )
}

/// Takes out of a set what it owns of the pod template and `desired` does not state; returns that.
fn spare_template(taken: &mut Set, desired: &Value) -> Set {
    let Some(Value::Object(spec)) = taken.get_mut("f:spec") else { return Set::new() };
    let Some(Value::Object(template)) = spec.get_mut("f:template") else { return Set::new() };
    let left = fields::split_missing(template, desired.get("spec").and_then(|s| s.get("template")));
    // An empty set would say that the whole of it is owned.
    if !left.is_empty() && template.is_empty() {
        spec.remove("f:template");
    }
    if !left.is_empty() && spec.is_empty() {
        taken.remove("f:spec");
    }
    if left.is_empty() {
        return Set::new();
    }
    let wrap = |key: &str, below: Set| Set::from_iter([(key.to_owned(), Value::Object(below))]);
    wrap("f:spec", wrap("f:template", left))
}

/// Fields of a pod template that the API server fills in, and that a client-side apply therefore owns
/// without having set them: not worth a word.
const DEFAULTED: &[&str] = &[
    "apiVersion",
    "defaultMode",
    "dnsPolicy",
    "failureThreshold",
    "imagePullPolicy",
    "periodSeconds",
    "protocol",
    "resources",
    "restartPolicy",
    "scheme",
    "schedulerName",
    "securityContext",
    "serviceAccount",
    "successThreshold",
    "terminationGracePeriodSeconds",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "timeoutSeconds",
];

fn is_defaulted(path: &str) -> bool {
    path.rsplit('.').next().is_some_and(|last| DEFAULTED.contains(&last))
}

/// The leaves of a set as paths, for people.
fn fields_told(set: &Set) -> Vec<String> {
    let mut out = Vec::new();
    fields::leaves(set, "", &mut out);
    out
}

/// What the tools find the object by goes, unless it is rendered: the steps of the patch.
fn tracking(
    policy: Policy,
    live: &Value,
    desired: &Value,
    ours: &mut Set,
    adopted: &mut Adopted,
) -> Vec<Value> {
    let mut steps = Vec::new();
    for (place, key) in TRACKING.iter().filter(|_| policy.all) {
        let of = |object: &Value| text_at(object, &["metadata", place, key]).map(String::from);
        let Some(value) = of(live).filter(|_| of(desired).is_none()) else { continue };
        steps.push(json!({"op": "remove", "path": format!("/metadata/{place}/{}", key.replace('/', "~1"))}));
        fields::remove(ours, &["metadata", place, key]);
        adopted.removed.push((*key).to_owned());
        if *key == "meta.helm.sh/release-name" {
            adopted.remains.push(format!(
                "Helm's record of release {value:?}: helm uninstall would delete this object; delete the record alone (kubectl delete secret -l owner=helm,name={value})"
            ));
        }
    }
    steps
}

#[cfg(test)]
mod tests;
