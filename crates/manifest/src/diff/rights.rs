//! Who may do what on the API: roles compared by what they allow, bindings by whom they name.

use std::collections::BTreeSet;

use kiban_base::object::ObjectId;
use serde_json::Value;

use super::{Reason, Risk};

/// More pairs of old and new permissions than this are not compared: the change is taken for a grant.
const MAX_PAIRS: usize = 200_000;

/// Annotations that make a service account somebody at a cloud.
const IDENTITIES: [&str; 3] =
    ["eks.amazonaws.com/role-arn", "iam.gke.io/gcp-service-account", "azure.workload.identity/client-id"];

/// The label of a namespace that says what its pods may do, and its values from the strictest.
const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";
const LEVELS: [&str; 3] = ["restricted", "baseline", "privileged"];

/// What is allowed that was not before; `before` is null for a new object.
pub(super) fn granted(id: &ObjectId, before: &Value, after: &Value) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let mut say =
        |what: &'static str, about: Vec<String>| reasons.extend(Reason::of(Risk::GrantsRights, what, about));
    match (id.group.as_str(), id.kind.as_str()) {
        // A new role allows nobody anything until it is bound, but for one that is added to others by its labels.
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") if before.is_null() => {
            say("adds to other roles", aggregated(after));
        }
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => {
            say("allows", allowed(before, after));
            let was = aggregated(before);
            say("adds to other roles", aggregated(after).into_iter().filter(|l| !was.contains(l)).collect());
        }
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            let role =
                |of: &Value| format!("{} {}", text(&of["roleRef"]["kind"]), text(&of["roleRef"]["name"]));
            if before.is_object() && role(before) != role(after) {
                say("gives another role", vec![format!("{} -> {}", role(before), role(after))]);
            }
            let new: Vec<String> = subjects(after).difference(&subjects(before)).cloned().collect();
            let given = new.into_iter().map(|subject| format!("{} to {subject}", role(after)));
            say("gives a role", given.collect());
        }
        ("", "ServiceAccount") => {
            let of = |object: &Value, name: &str| {
                object["metadata"]["annotations"][name].as_str().map(str::to_owned)
            };
            let new = IDENTITIES
                .iter()
                .filter(|name| of(after, name).is_some() && of(after, name) != of(before, name));
            say("acts at the cloud as", new.filter_map(|name| of(after, name)).collect());
        }
        ("", "Namespace") if before.is_object() => {
            let rank = |of: &Value| {
                let level = of["metadata"]["labels"][POD_SECURITY].as_str().unwrap_or("privileged");
                (LEVELS.iter().position(|known| *known == level).unwrap_or(LEVELS.len()), level.to_owned())
            };
            let ((was, old), (is, new)) = (rank(before), rank(after));
            if is > was {
                say("lets its pods do more", vec![format!("{POD_SECURITY} {old} -> {new}")]);
            }
        }
        _ => {}
    }
    reasons
}

/// What is allowed once something that forbids is gone.
pub(super) fn unforbidden(id: &ObjectId) -> Option<Reason> {
    let forbids = matches!(
        (id.group.as_str(), id.kind.as_str()),
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration"
                | "ValidatingAdmissionPolicy"
                | "ValidatingAdmissionPolicyBinding"
        )
    );
    forbids.then(|| Reason::new(Risk::GrantsRights, "no longer forbids what it forbade", []))
}

fn text(of: &Value) -> &str {
    of.as_str().unwrap_or("?")
}

fn aggregated(role: &Value) -> Vec<String> {
    let labels = role["metadata"]["labels"].as_object().into_iter().flatten();
    let aggregate = |key: &&String| key.starts_with("rbac.authorization.k8s.io/aggregate-to-");
    labels.filter(|(key, value)| aggregate(key) && *value == "true").map(|(key, _)| key.clone()).collect()
}

fn subjects(binding: &Value) -> BTreeSet<String> {
    let list = binding["subjects"].as_array().into_iter().flatten();
    let name = |of: &Value| match of["namespace"].as_str() {
        Some(space) => format!("{} {space}/{}", text(&of["kind"]), text(&of["name"])),
        None => format!("{} {}", text(&of["kind"]), text(&of["name"])),
    };
    list.map(name).collect()
}

/// One permission: a verb on a resource of a group, or on a path; on one object where a name is said.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Permission {
    verb: String,
    group: String,
    resource: String,
    name: String,
    path: String,
}

fn permissions(role: &Value) -> BTreeSet<Permission> {
    let mut out = BTreeSet::new();
    let strings = |of: &Value| -> Vec<String> {
        of.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    for rule in role["rules"].as_array().into_iter().flatten() {
        let names = match strings(&rule["resourceNames"]) {
            names if names.is_empty() => vec![String::new()],
            names => names,
        };
        let (groups, resources) = (strings(&rule["apiGroups"]), strings(&rule["resources"]));
        let paths = strings(&rule["nonResourceURLs"]);
        for verb in strings(&rule["verbs"]) {
            for path in &paths {
                let empty = String::new;
                out.insert(Permission {
                    verb: verb.clone(),
                    group: empty(),
                    resource: empty(),
                    name: empty(),
                    path: path.clone(),
                });
            }
            for group in &groups {
                for resource in &resources {
                    for name in &names {
                        if out.len() > MAX_PAIRS {
                            return out;
                        }
                        out.insert(Permission {
                            verb: verb.clone(),
                            group: group.clone(),
                            resource: resource.clone(),
                            name: name.clone(),
                            path: String::new(),
                        });
                    }
                }
            }
        }
    }
    out
}

impl Permission {
    /// As the authorizer of the API reads them: `*` is all, `*/scale` that subresource of all.
    fn covers(&self, other: &Self) -> bool {
        let all = |mine: &str, theirs: &str| mine == "*" || mine == theirs;
        if !all(&self.verb, &other.verb) {
            return false;
        }
        if !other.path.is_empty() {
            let begins = self.path.strip_suffix('*').is_some_and(|begin| other.path.starts_with(begin));
            return self.path == other.path || begins;
        }
        let resource = all(&self.resource, &other.resource)
            || self
                .resource
                .strip_prefix("*/")
                .is_some_and(|sub| other.resource.rsplit_once('/').is_some_and(|(_, s)| s == sub));
        self.path.is_empty()
            && all(&self.group, &other.group)
            && resource
            && (self.name.is_empty() || self.name == other.name)
    }

    fn words(&self) -> String {
        if !self.path.is_empty() {
            return format!("{} {}", self.verb, self.path);
        }
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        let name = if self.name.is_empty() { String::new() } else { format!(" {}", self.name) };
        format!("{} {}{group}{name}", self.verb, self.resource)
    }
}

fn allowed(before: &Value, after: &Value) -> Vec<String> {
    let (old, new) = (permissions(before), permissions(after));
    if old.len().saturating_mul(new.len()) > MAX_PAIRS {
        let same = before["rules"] == after["rules"];
        return if same {
            Vec::new()
        } else {
            vec![format!("{} permissions, too many to compare", new.len())]
        };
    }
    new.iter().filter(|new| !old.iter().any(|old| old.covers(new))).map(Permission::words).collect()
}
