//! Who may do what: roles and bindings evaluated over a state of the cluster.
//!
//! Contract: Kubernetes plugin/pkg/auth/authorizer/rbac and pkg/registry/rbac/validation.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};

use crate::kind::KindId;
use crate::kind::well_known::{CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING};
use crate::object::{Key, Stored};
use crate::store::State;

mod cover;
pub mod defaults;
#[cfg(test)]
mod tests;

pub use cover::{covers, show};

/// The group whose members may do everything.
pub const MASTERS: &str = "system:masters";
/// The group of everybody whose name is known, and of those whose is not.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of callers without a name.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The name of those without one.
pub const ANONYMOUS: &str = "system:anonymous";

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct User {
    /// Name.
    pub name: String,
    /// Unique id, where there is one.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// What else is known.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    /// Whether they are a member.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// The user of a service account.
    pub fn service_account(namespace: &str, name: &str, uid: &str) -> Self {
        Self {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            uid: uid.to_owned(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{namespace}"),
                AUTHENTICATED.to_owned(),
            ],
            extra: BTreeMap::new(),
        }
    }

    /// As `authentication.k8s.io` shows them.
    pub fn to_value(&self) -> Value {
        let mut out = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            out["uid"] = self.uid.clone().into();
        }
        if !self.extra.is_empty() {
            out["extra"] = json!(self.extra);
        }
        out
    }
}

/// What is asked to be done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Action {
    /// `get`, `list`, …
    pub verb: String,
    /// API group.
    pub group: String,
    /// Plural, with its subresource after a slash.
    pub resource: String,
    /// Namespace; empty for all, and for kinds without.
    pub namespace: String,
    /// One object's name.
    pub name: String,
    /// A path that is no resource; then the rest but the verb is empty.
    pub path: String,
}

impl Action {
    /// The words for it in a refusal, after the user's name.
    pub fn describe(&self) -> String {
        if !self.path.is_empty() {
            return format!("cannot {} path \"{}\"", self.verb, self.path);
        }
        let place = match self.namespace.as_str() {
            "" => "at the cluster scope".to_owned(),
            namespace => format!("in the namespace \"{namespace}\""),
        };
        format!("cannot {} resource \"{}\" in API group \"{}\" {place}", self.verb, self.resource, self.group)
    }
}

/// One rule of a role.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rule {
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
    /// API groups, or `*`.
    pub groups: Vec<String>,
    /// Plurals, `plural/subresource`, `*/subresource`, or `*`.
    pub resources: Vec<String>,
    /// Names; empty for all.
    pub names: Vec<String>,
    /// Paths, with a `*` at the end for all below.
    pub urls: Vec<String>,
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let texts = |key: &str| -> Vec<String> {
            rule[key].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            verbs: texts("verbs"),
            groups: texts("apiGroups"),
            resources: texts("resources"),
            names: texts("resourceNames"),
            urls: texts("nonResourceURLs"),
        }
    }

    /// The rules of a role.
    pub fn all_of(role: &Value) -> Vec<Self> {
        role["rules"].as_array().into_iter().flatten().map(Self::read).collect()
    }

    fn allows(&self, action: &Action) -> bool {
        let has = |list: &[String], wanted: &str| list.iter().any(|x| x == "*" || x == wanted);
        if !has(&self.verbs, &action.verb) {
            return false;
        }
        if !action.path.is_empty() {
            return self.urls.iter().any(|u| url_matches(u, &action.path));
        }
        has(&self.groups, &action.group)
            && self.resources.iter().any(|r| resource_matches(r, &action.resource))
            && (self.names.is_empty() || self.names.contains(&action.name))
    }
}

fn url_matches(rule: &str, path: &str) -> bool {
    rule == "*" || rule == path || rule.strip_suffix('*').is_some_and(|start| path.starts_with(start))
}

fn resource_matches(rule: &str, resource: &str) -> bool {
    let below = || {
        let sub = resource.split_once('/').map(|(_, sub)| sub);
        rule.strip_prefix("*/").zip(sub).is_some_and(|(rule, sub)| rule == sub)
    };
    rule == "*" || rule == resource || below()
}

/// What was decided, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// It may be done.
    pub allowed: bool,
    /// The binding that allows it, or what kept rules from being found.
    pub reason: String,
}

/// Evaluates roles, and remembers what it has read of them.
#[derive(Debug, Default)]
pub struct Authorizer {
    read: Mutex<HashMap<(KindId, Key), Read>>,
}

/// What was read of an object, and at which revision.
type Read = (u64, Arc<Parsed>);

/// What a role or a binding says.
#[derive(Debug, Default)]
struct Parsed {
    rules: Vec<Rule>,
    subjects: Vec<(String, String, String)>,
    role: (String, String),
}

/// Rules that a binding gives somebody.
struct Grant {
    rules: Result<Arc<Parsed>, String>,
    binding: String,
    role: String,
    subject: String,
}

/// Objects that the memory of an authorizer holds before it begins anew.
const MEMORY: usize = 50_000;

impl Authorizer {
    /// Whether a user may do something.
    pub fn decide(&self, state: &State, user: &User, action: &Action) -> Decision {
        if user.is_in(MASTERS) {
            return Decision { allowed: true, reason: String::new() };
        }
        let mut errors = Vec::new();
        for grant in self.grants(state, user, &action.namespace) {
            match &grant.rules {
                Ok(parsed) if parsed.rules.iter().any(|r| r.allows(action)) => {
                    let reason =
                        format!("RBAC: allowed by {} of {} to {}", grant.binding, grant.role, grant.subject);
                    return Decision { allowed: true, reason };
                }
                Ok(_) => {}
                Err(error) => errors.push(error.clone()),
            }
        }
        errors.sort();
        errors.dedup();
        let reason = match errors.as_slice() {
            [] => String::new(),
            [one] => format!("RBAC: {one}"),
            many => format!("RBAC: [{}]", many.join(", ")),
        };
        Decision { allowed: false, reason }
    }

    /// All rules that a user has in a namespace, and what kept others from being found.
    pub fn rules(&self, state: &State, user: &User, namespace: &str) -> (Vec<Rule>, Vec<String>) {
        let (mut rules, mut errors) = (Vec::new(), Vec::new());
        if user.is_in(MASTERS) {
            rules.push(Rule { urls: Vec::new(), ..everything() });
            rules.push(Rule { verbs: vec!["*".into()], urls: vec!["*".into()], ..Rule::default() });
        }
        for grant in self.grants(state, user, namespace) {
            match grant.rules {
                Ok(parsed) => rules.extend(parsed.rules.iter().cloned()),
                Err(error) => errors.push(error),
            }
        }
        (rules, errors)
    }

    /// The rules of the role that a binding names.
    ///
    /// # Errors
    /// The role that is not there.
    pub fn role_rules(
        &self,
        state: &State,
        kind: &str,
        namespace: &str,
        name: &str,
    ) -> Result<Vec<Rule>, String> {
        self.role(state, kind, namespace, name).map(|p| p.rules.clone())
    }

    fn role(&self, state: &State, kind: &str, namespace: &str, name: &str) -> Result<Arc<Parsed>, String> {
        let (id, key) = match kind {
            "ClusterRole" => (*CLUSTER_ROLE, Key::new("", name)),
            _ => (*ROLE, Key::new(namespace, name)),
        };
        match state.get(id, &key) {
            Some(stored) => Ok(self.parsed(stored)),
            None => Err(format!("{}.rbac.authorization.k8s.io \"{name}\" not found", kind.to_lowercase())),
        }
    }

    fn grants(&self, state: &State, user: &User, namespace: &str) -> Vec<Grant> {
        let mut out = Vec::new();
        let mut take = |stored: &Arc<Stored>, kind: &str| {
            let own = &*stored.key.namespace;
            let binding = self.parsed(stored);
            let Some(subject) = binding.subjects.iter().find(|s| is_subject(user, s, own)) else { return };
            let (role_kind, role) = &binding.role;
            let subject = match subject {
                (kind, name, ns) if kind == "ServiceAccount" => {
                    format!("ServiceAccount \"{name}/{}\"", if ns.is_empty() { own } else { ns })
                }
                (kind, name, _) => format!("{kind} \"{name}\""),
            };
            let shown = if own.is_empty() {
                stored.key.name.to_string()
            } else {
                format!("{}/{own}", stored.key.name)
            };
            out.push(Grant {
                rules: self.role(state, role_kind, own, role),
                binding: format!("{kind} \"{shown}\""),
                role: format!("{role_kind} \"{role}\""),
                subject,
            });
        };
        for stored in state.objects(*CLUSTER_ROLE_BINDING).values() {
            take(stored, "ClusterRoleBinding");
        }
        if !namespace.is_empty() {
            for stored in state.range(*ROLE_BINDING, namespace, None) {
                take(stored, "RoleBinding");
            }
        }
        out
    }

    fn parsed(&self, stored: &Arc<Stored>) -> Arc<Parsed> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (stored.kind, stored.key.clone());
        if let Some((revision, parsed)) = read.get(&place)
            && *revision == stored.revision
        {
            return parsed.clone();
        }
        let value = stored.value();
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let subjects = value["subjects"].as_array().into_iter().flatten();
        let parsed = Arc::new(Parsed {
            rules: Rule::all_of(&value),
            subjects: subjects.map(|s| (text(&s["kind"]), text(&s["name"]), text(&s["namespace"]))).collect(),
            role: (text(&value["roleRef"]["kind"]), text(&value["roleRef"]["name"])),
        });
        if read.len() >= MEMORY {
            read.clear();
        }
        read.insert(place, (stored.revision, parsed.clone()));
        parsed
    }
}

/// The rule that allows all of everything.
fn everything() -> Rule {
    let all = || vec!["*".to_owned()];
    Rule { verbs: all(), groups: all(), resources: all(), names: Vec::new(), urls: all() }
}

fn is_subject(user: &User, (kind, name, namespace): &(String, String, String), own: &str) -> bool {
    match kind.as_str() {
        "User" => user.name == *name,
        "Group" => user.is_in(name),
        "ServiceAccount" => {
            let namespace = if namespace.is_empty() { own } else { namespace.as_str() };
            let rest = user.name.strip_prefix("system:serviceaccount:").and_then(|r| r.split_once(':'));
            rest == Some((namespace, name.as_str())) && !namespace.is_empty()
        }
        _ => false,
    }
}
