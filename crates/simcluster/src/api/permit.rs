//! What a request asks to do, whether its user may, and what writers of roles may not grant.
//!
//! Contract: Kubernetes apiserver/pkg/endpoints/request/requestinfo.go (verbs), pkg/registry/rbac (grants).

use hyper::Method;
use serde_json::Value;

use super::params::Params;
use super::path::{Route, Target};
use super::{Api, Call};
use crate::kind::KindId;
use crate::kind::well_known::{CLUSTER_ROLE, CLUSTER_ROLE_BINDING, NAMESPACE, ROLE, ROLE_BINDING};
use crate::rbac::{Action, Rule, User, covers, show};
use crate::status::ApiError;

/// What a request asks to do.
pub(super) fn action(method: &Method, route: &Route, params: &Params, path: &str) -> Action {
    let Route::Resource { target, .. } = route else {
        return Action { verb: method.as_str().to_lowercase(), path: path.to_owned(), ..Action::default() };
    };
    let info = target.kind.info();
    let one = target.name.is_some();
    let verb = match (method.as_str(), one) {
        ("GET" | "HEAD", _) if params.watch => "watch",
        ("GET" | "HEAD", true) => "get",
        ("GET" | "HEAD", false) => "list",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => "create",
    };
    // A list of one is asked for by its name.
    let selected = || {
        let mut terms = params.field_selector.split(',');
        terms.find_map(|t| t.strip_prefix("metadata.name=")).map(|n| n.trim_start_matches('=').to_owned())
    };
    let name = target.name.clone().or_else(selected).unwrap_or_default();
    let resource = match &target.subresource {
        Some(sub) => format!("{}/{sub}", info.plural),
        None => info.plural.clone(),
    };
    let namespace = if target.kind == *NAMESPACE && one { name.clone() } else { target.namespace.clone() };
    Action {
        verb: verb.to_owned(),
        group: info.group.clone(),
        resource,
        namespace,
        name,
        path: String::new(),
    }
}

impl Api {
    /// Whether a user may do something.
    ///
    /// # Errors
    /// 403 in the API server's words.
    pub(super) fn permit(&self, user: &User, action: &Action) -> Result<(), ApiError> {
        let decision = self.authorizer.decide(&self.cluster.snapshot(), user, action);
        if decision.allowed {
            return Ok(());
        }
        let mut why = format!("User \"{}\" {}", user.name, action.describe());
        if !decision.reason.is_empty() {
            why = format!("{why}: {}", decision.reason);
        }
        if !action.path.is_empty() {
            return Err(ApiError::new(403, "Forbidden", format!("forbidden: {why}")));
        }
        let plural = action.resource.split('/').next().unwrap_or_default();
        let shown = match action.group.as_str() {
            "" => plural.to_owned(),
            group => format!("{plural}.{group}"),
        };
        let shown = if action.name.is_empty() { shown } else { format!("{shown} \"{}\"", action.name) };
        let mut error = ApiError::new(403, "Forbidden", format!("{shown} is forbidden: {why}"));
        for (key, value) in [("name", &action.name), ("group", &action.group)] {
            if !value.is_empty() {
                error.details.insert(key.into(), value.clone().into());
            }
        }
        error.details.insert("kind".into(), plural.into());
        Err(error)
    }

    /// An apply that makes an object needs the right to create it too.
    pub(super) fn permit_create(&self, target: &Target, call: &Call) -> Result<(), ApiError> {
        if !self.rbac {
            return Ok(());
        }
        let info = target.kind.info();
        let action = Action {
            verb: "create".into(),
            group: info.group.clone(),
            resource: info.plural.clone(),
            namespace: target.namespace.clone(),
            name: target.name.clone().unwrap_or_default(),
            path: String::new(),
        };
        self.permit(&call.user, &action)
    }

    /// Whether the writer of a role or a binding holds what it grants.
    ///
    /// # Errors
    /// 403 with what they lack; 404 for a role that is bound and not there.
    pub(super) fn check_grant(
        &self,
        call: &Call,
        kind: KindId,
        namespace: &str,
        old: Option<&Value>,
        new: &Value,
    ) -> Result<(), ApiError> {
        if !self.rbac {
            return Ok(());
        }
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        if kind == *ROLE || kind == *CLUSTER_ROLE {
            if old
                .is_some_and(|o| o["rules"] == new["rules"] && o["aggregationRule"] == new["aggregationRule"])
            {
                return Ok(());
            }
            if self.may(call, "escalate", kind, namespace, name) {
                return Ok(());
            }
            let mut rules = Rule::all_of(new);
            if new["aggregationRule"].is_object() {
                // Whatever is gathered later is granted without a question.
                rules = Rule::all_of(&serde_json::json!({"rules": [
                    {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
                    {"nonResourceURLs": ["*"], "verbs": ["*"]},
                ]}));
            }
            return self.check_held(call, kind, namespace, name, &rules);
        }
        if kind != *ROLE_BINDING && kind != *CLUSTER_ROLE_BINDING {
            return Ok(());
        }
        if old.is_some_and(|o| o["subjects"] == new["subjects"] && o["roleRef"] == new["roleRef"]) {
            return Ok(());
        }
        let text = |key: &str| new["roleRef"][key].as_str().unwrap_or_default();
        let (role_kind, role) = match text("kind") {
            "ClusterRole" => (*CLUSTER_ROLE, ""),
            _ => (*ROLE, namespace),
        };
        if self.may(call, "bind", role_kind, namespace, text("name")) {
            return Ok(());
        }
        let state = self.cluster.snapshot();
        let rules = self.authorizer.role_rules(&state, text("kind"), role, text("name"));
        let rules = rules.map_err(|_| ApiError::not_found(role_kind, text("name")))?;
        self.check_held(call, kind, namespace, name, &rules)
    }

    fn may(&self, call: &Call, verb: &str, kind: KindId, namespace: &str, name: &str) -> bool {
        let info = kind.info();
        let action = Action {
            verb: verb.to_owned(),
            group: info.group.clone(),
            resource: info.plural.clone(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            path: String::new(),
        };
        self.authorizer.decide(&self.cluster.snapshot(), &call.user, &action).allowed
    }

    fn check_held(
        &self,
        call: &Call,
        kind: KindId,
        namespace: &str,
        name: &str,
        rules: &[Rule],
    ) -> Result<(), ApiError> {
        let (held, errors) = self.authorizer.rules(&self.cluster.snapshot(), &call.user, namespace);
        let missing = covers(&held, rules);
        if missing.is_empty() {
            return Ok(());
        }
        let groups: Vec<String> = call.user.groups.iter().map(|g| format!("{g:?}")).collect();
        let mut lines: Vec<String> = missing.iter().map(show).collect();
        lines.sort();
        let mut why = format!(
            "user {:?} (groups=[{}]) is attempting to grant RBAC permissions not currently held:\n{}",
            call.user.name,
            groups.join(" "),
            lines.join("\n")
        );
        if !errors.is_empty() {
            why = format!("{why}; resolution errors: [{}]", errors.join(", "));
        }
        Err(ApiError::forbidden(kind, name, &why))
    }
}
