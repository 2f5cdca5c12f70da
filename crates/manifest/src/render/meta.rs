//! What every object has: type, name, namespace, labels. And the app's ServiceAccount.

use kiban_model::origin::Origin;
use serde_json::{Value, json};

use crate::facts::Facts;
use crate::node::Node;
use crate::rules;

pub(crate) const LABEL_NAME: &str = "app.kubernetes.io/name";
pub(crate) const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";
pub(crate) const LABEL_PART_OF: &str = "app.kubernetes.io/part-of";
pub(crate) const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub(crate) const LABEL_TEAM: &str = "kiban.dev/team";
pub(crate) const LABEL_ENV: &str = "kiban.dev/env";
pub(crate) const LABEL_TIER: &str = "kiban.dev/tier";
/// The value of [`LABEL_MANAGED_BY`].
pub(crate) const MANAGER: &str = "kiban";
/// The annotation with the resolved spec.
pub(crate) const ANNOTATION_APP: &str = "kiban.dev/app";

/// `apiVersion`, `kind`, name, namespace and labels; `instance` is the workload that the object belongs to.
pub(super) fn header(f: &Facts<'_>, api_version: &str, kind: &str, name: Node, instance: &str) -> Node {
    let metadata = Node::map([("name", name), ("namespace", namespace(f)), ("labels", labels(f, instance))])
        .with_some("annotations", platform_annotations(f));
    typed(api_version, kind).with("metadata", metadata)
}

/// [`header`] of an object that is called like the app.
pub(super) fn app_header(f: &Facts<'_>, api_version: &str, kind: &str) -> Node {
    header(f, api_version, kind, app_name(f), f.name())
}

/// `apiVersion` and `kind`.
pub(super) fn typed(api_version: &str, kind: &str) -> Node {
    Node::map([
        ("apiVersion", Node::new(&rules::API_VERSION, api_version)),
        ("kind", Node::new(&rules::API_VERSION, kind)),
    ])
}

/// The app's name.
pub(super) fn app_name(f: &Facts<'_>) -> Node {
    Node::from(&rules::NAME, f.origin("name"), f.name())
}

/// The app's namespace.
pub(super) fn namespace(f: &Facts<'_>) -> Node {
    let origin = f.profile_origin("namespace").or_else(|| f.origin("team"));
    Node::from(&rules::NAMESPACE, origin, f.namespace.as_str())
}

/// The labels by which others know the app, for an object that is put into the app's namespace.
pub(crate) fn identity_labels(f: &Facts<'_>, instance: &str) -> Vec<(String, Value, Option<Origin>)> {
    let app = &f.r.app;
    let row = |key: &str, value: &str, origin: Option<&Origin>| {
        (key.to_owned(), Value::from(value), origin.cloned())
    };
    vec![
        row(LABEL_NAME, f.name(), f.origin("name")),
        row(LABEL_INSTANCE, instance, f.origin("name")),
        row(LABEL_PART_OF, &app.team, f.origin("team")),
        row(LABEL_MANAGED_BY, MANAGER, None),
        row(LABEL_TEAM, &app.team, f.origin("team")),
        row(LABEL_ENV, &f.r.env, None),
        row(LABEL_TIER, &app.tier.to_string(), f.origin("tier")),
    ]
}

/// All labels of an object: the platform's, the app's own, and above both the identity.
pub(super) fn labels(f: &Facts<'_>, instance: &str) -> Node {
    let mut labels = Node::empty_map();
    for (key, value) in &f.r.platform.labels {
        let origin = f.profile_origin(&format!("labels.{key}"));
        labels.put(key, Node::from(&rules::PLATFORM_LABELS, origin, value.as_str()));
    }
    for (key, value) in &f.r.app.labels {
        let origin = f.origin(&kiban_model::origin::child("labels", key));
        labels.put(key, Node::from(&rules::OWN_LABELS, origin, value.as_str()));
    }
    for (key, value, origin) in identity_labels(f, instance) {
        labels.put(&key, Node::from(&rules::LABELS, origin.as_ref(), value));
    }
    labels
}

/// The annotations that the platform puts on every object.
pub(super) fn platform_annotations(f: &Facts<'_>) -> Option<Node> {
    if f.r.platform.annotations.is_empty() {
        return None;
    }
    let mut annotations = Node::empty_map();
    for (key, value) in &f.r.platform.annotations {
        let origin = f.profile_origin(&format!("annotations.{key}"));
        annotations.put(key, Node::from(&rules::PLATFORM_ANNOTATIONS, origin, value.as_str()));
    }
    Some(annotations)
}

/// The labels by which a Deployment, Service or budget finds the pods of one workload.
pub(super) fn selector(f: &Facts<'_>, instance: &str) -> Node {
    Node::new(&rules::SELECTOR, json!({LABEL_NAME: f.name(), LABEL_INSTANCE: instance}))
}

/// The app's ServiceAccount.
pub(super) fn service_account(f: &Facts<'_>) -> Node {
    let mut account = app_header(f, "v1", "ServiceAccount");
    let identity = f.r.app.identity.as_ref();
    let wants_token = identity.is_some_and(|identity| identity.token);
    let token = if wants_token {
        Node::from(&rules::API_TOKEN, f.origin("identity.token"), true)
    } else {
        Node::new(&rules::NO_TOKEN, false)
    };
    account.put("automountServiceAccountToken", token);
    let role = identity.and_then(|identity| identity.role.as_ref());
    let spec = role.and_then(|role| f.r.platform.identities.get(role));
    let Some(spec) = spec.filter(|spec| !spec.annotations.is_empty()) else { return account };
    let mut annotations = platform_annotations(f).unwrap_or_else(Node::empty_map);
    for (key, value) in &spec.annotations {
        annotations.put(key, Node::from(&rules::CLOUD_IDENTITY, f.origin("identity"), value.as_str()));
    }
    put_annotations(&mut account, annotations);
    account
}

/// Sets the annotations of an object.
pub(super) fn put_annotations(object: &mut Node, annotations: Node) {
    if let Node::Map(map) = object
        && let Some(metadata) = map.get_mut("metadata")
    {
        metadata.put("annotations", annotations);
    }
}
