//! Roles and bindings as tables.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use kiban_base::clock::{ManualClock, Timestamp};

use super::*;
use crate::registry::{Actor, Cluster};

fn cluster(objects: &[(KindId, &str, Value)]) -> Cluster {
    let cluster = Cluster::new(Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000))), 1);
    let actor = Actor::new("test");
    let namespace = json!({"metadata": {"name": "a"}});
    cluster.create(*crate::kind::well_known::NAMESPACE, "", namespace, &actor).unwrap();
    for (kind, namespace, value) in objects {
        cluster.create(*kind, namespace, value.clone(), &actor).unwrap();
    }
    cluster
}

fn role(name: &str, rules: Value) -> Value {
    json!({"metadata": {"name": name}, "rules": rules})
}

fn binding(name: &str, kind: &str, role: &str, subject: Value) -> Value {
    let api = "rbac.authorization.k8s.io";
    json!({"metadata": {"name": name}, "roleRef": {"apiGroup": api, "kind": kind, "name": role}, "subjects": [subject]})
}

/// `verb group/resource namespace/name`, or `verb /path`.
fn action(text: &str) -> Action {
    let parts: Vec<&str> = text.split(' ').collect();
    if parts[1].starts_with('/') && parts.len() == 2 {
        return Action { verb: parts[0].into(), path: parts[1].into(), ..Action::default() };
    }
    let (group, resource) = parts[1].split_once(':').unwrap();
    let (namespace, name) = parts[2].split_once('/').unwrap();
    Action {
        verb: parts[0].into(),
        group: group.into(),
        resource: resource.into(),
        namespace: namespace.into(),
        name: name.into(),
        path: String::new(),
    }
}

#[test]
fn rules_allow_what_they_name_and_nothing_else() {
    let group = |name: &str| json!({"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": name});
    let cluster = cluster(&[
        (
            *CLUSTER_ROLE,
            "",
            role(
                "all",
                json!([
                    {"apiGroups": [""], "resources": ["pods", "*/scale"], "verbs": ["get", "list"]},
                    {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]},
                    {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["one"], "verbs": ["get"]},
                    {"nonResourceURLs": ["/logs/*", "/version"], "verbs": ["get"]},
                ]),
            ),
        ),
        (
            *ROLE,
            "a",
            role("own", json!([{"apiGroups": ["*"], "resources": ["configmaps"], "verbs": ["get"]}])),
        ),
        (*CLUSTER_ROLE_BINDING, "", binding("everywhere", "ClusterRole", "all", group("dev"))),
        (
            *ROLE_BINDING,
            "a",
            binding(
                "here",
                "Role",
                "own",
                json!({"kind": "ServiceAccount", "name": "bot", "namespace": "a"}),
            ),
        ),
        (*ROLE_BINDING, "a", binding("lost", "Role", "missing", group("dev"))),
    ]);
    let dev = User { name: "u".into(), groups: vec!["dev".into()], ..User::default() };
    let bot = User::service_account("a", "bot", "1");
    let authorizer = Authorizer::default();
    let state = cluster.snapshot();
    for (user, text, allowed) in [
        (&dev, "get :pods b/x", true),
        (&dev, "list :pods /", true),
        (&dev, "delete :pods b/x", false),
        (&dev, "get :pods/log b/x", false),
        (&dev, "get :replicationcontrollers/scale b/x", true),
        (&dev, "patch apps:deployments/scale b/x", true),
        (&dev, "get :secrets b/one", true),
        (&dev, "get :secrets b/two", false),
        (&dev, "list :secrets b/", false),
        (&dev, "get /logs/a/b", true),
        (&dev, "get /logs", false),
        (&dev, "get /version", true),
        (&dev, "get :configmaps a/x", false),
        (&bot, "get :configmaps a/x", true),
        (&bot, "get :configmaps b/x", false),
        (&bot, "get other.io:configmaps a/x", true),
    ] {
        let decision = authorizer.decide(&state, user, &action(text));
        assert_eq!(decision.allowed, allowed, "{} {text}: {}", user.name, decision.reason);
    }
    let allowed = authorizer.decide(&state, &bot, &action("get :configmaps a/x")).reason;
    assert_eq!(
        allowed,
        "RBAC: allowed by RoleBinding \"here/a\" of Role \"own\" to ServiceAccount \"bot/a\""
    );
    let denied = authorizer.decide(&state, &dev, &action("get :configmaps a/x")).reason;
    assert_eq!(denied, "RBAC: role.rbac.authorization.k8s.io \"missing\" not found");
}

#[test]
fn what_is_missing_of_rules_is_listed() {
    let rules = |v: Value| Rule::all_of(&json!({"rules": v}));
    let held = rules(json!([
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]},
        {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["/logs/*"], "verbs": ["get"]},
    ]));
    for (wanted, missing) in [
        (json!([{"apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"], "verbs": ["get"]}]), ""),
        (json!([{"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["*"]}]), ""),
        (
            json!([{"nonResourceURLs": ["/logs/x", "/version"], "verbs": ["get"]}]),
            "{NonResourceURLs:[\"/version\"], Verbs:[\"get\"]}",
        ),
        (
            json!([{"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get", "watch"]}]),
            "{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"watch\"]} {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"watch\"]}",
        ),
    ] {
        let found = covers(&held, &rules(wanted));
        assert_eq!(found.iter().map(show).collect::<Vec<_>>().join(" "), missing);
    }
}
