//! What an environment has once: namespaces, who deploys into them, priority classes, the mesh's access log.

use std::collections::BTreeMap;

use kiban_model::profile::{EntryKind, MeshKind};
use kiban_model::text::Percent;
use serde_json::{Value, json};

use super::{Made, Object, Owner, meta, pod};
use crate::facts::{Facts, Graph};
use crate::node::Node;
use crate::rules;

/// Name of the access log's provider, and of the objects that carry it.
const ACCESS_LOG: &str = "kiban-access-log";
/// What who deploys does with objects.
const VERBS: [&str; 7] = ["create", "delete", "get", "list", "patch", "update", "watch"];
/// The version of the Pod Security Standard: the cluster's own.
const STANDARD_VERSION: &str = "latest";
/// The access log's sample is one of so many parts: the last digit of a request's id.
const SAMPLE_PARTS: u32 = 16;

/// The objects of the environment as a whole.
pub(super) fn objects(graph: &Graph<'_>) -> Vec<Object> {
    let Some(any) = graph.apps.first() else { return Vec::new() };
    let mut nodes: Vec<Node> = Vec::new();
    let mut namespaces: BTreeMap<&str, &Facts<'_>> = BTreeMap::new();
    let mut tiers: BTreeMap<u8, &Facts<'_>> = BTreeMap::new();
    for facts in &graph.apps {
        namespaces.entry(&facts.namespace).or_insert(facts);
        tiers.entry(facts.r.app.tier).or_insert(facts);
    }
    nodes.extend(namespaces.values().map(|facts| namespace(facts)));
    nodes.extend(namespaces.values().flat_map(|facts| deployer(facts)));
    nodes.extend(deployer_kinds(any));
    nodes.extend(tiers.values().map(|facts| priority_class(facts)));
    nodes.extend(access_log(any));
    nodes.into_iter().map(|node| Object { owner: Owner::Platform, made: Made::Derived, node }).collect()
}

fn namespace(f: &Facts<'_>) -> Node {
    let standard = f.r.platform.security.standard.name();
    let origin = f.profile_origin("security.standard");
    let mut labels = Node::empty_map();
    for (key, value) in &f.r.platform.namespace_labels {
        let origin = f.profile_origin("namespaceLabels");
        labels.put(key, Node::from(&rules::NAMESPACE_LABELS, origin, value.as_str()));
    }
    for mode in ["enforce", "audit", "warn"] {
        let key = format!("pod-security.kubernetes.io/{mode}");
        labels.put(&key, Node::from(&rules::POD_SECURITY, origin, standard));
        labels.put(&format!("{key}-version"), Node::new(&rules::POD_SECURITY, STANDARD_VERSION));
    }
    if f.in_mesh() {
        labels
            .put("istio-injection", Node::from(&rules::MESH_INJECTION, f.profile_origin("mesh"), "enabled"));
    }
    labels.put(meta::LABEL_MANAGED_BY, Node::new(&rules::LABELS, meta::MANAGER));
    labels.put(meta::LABEL_TEAM, Node::from(&rules::LABELS, f.origin("team"), f.r.app.team.as_str()));
    labels.put(meta::LABEL_ENV, Node::new(&rules::LABELS, f.r.env.as_str()));
    let metadata = Node::map([("name", meta::namespace(f)), ("labels", labels)])
        .with_some("annotations", meta::platform_annotations(f));
    meta::typed("v1", "Namespace").with("metadata", metadata)
}

/// The service account as which a server writes the namespace's objects, bound to its roles there.
fn deployer(f: &Facts<'_>) -> Vec<Node> {
    let Some(deployer) = &f.r.platform.deployer else { return Vec::new() };
    let origin = f.profile_origin("deployer");
    let set = |value: Value| Node::from(&rules::DEPLOYER, origin, value);
    let header = |api_version: &str, kind: &str, name: &str| {
        let labels = json!({
            meta::LABEL_MANAGED_BY: meta::MANAGER,
            meta::LABEL_TEAM: f.r.app.team.as_str(),
            meta::LABEL_ENV: f.r.env.as_str(),
        });
        let metadata = Node::map([
            ("name", set(name.into())),
            ("namespace", meta::namespace(f)),
            ("labels", Node::new(&rules::LABELS, labels)),
        ]);
        meta::typed(api_version, kind)
            .with("metadata", metadata.with_some("annotations", meta::platform_annotations(f)))
    };
    let account = deployer.account.as_str();
    let mut nodes =
        vec![header("v1", "ServiceAccount", account).with("automountServiceAccountToken", set(false.into()))];
    nodes.extend(deployer.roles.iter().map(|role| {
        let subject = json!([{"kind": "ServiceAccount", "name": account, "namespace": f.namespace}]);
        let role_ref =
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role.as_str()});
        header("rbac.authorization.k8s.io/v1", "RoleBinding", &format!("{account}-{role}"))
            .with("roleRef", set(role_ref))
            .with("subjects", set(subject))
    }));
    nodes
}

/// Rights on the rendered kinds that are not Kubernetes' own, as a part of the role `admin`.
fn deployer_kinds(f: &Facts<'_>) -> Option<Node> {
    f.r.platform.deployer.as_ref()?;
    let rule = |group: &str, resources: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": VERBS});
    let mut found = Vec::new();
    if f.r.platform.entry.kind == EntryKind::Gateway {
        found.push(rule("gateway.networking.k8s.io", &["httproutes"]));
    }
    if f.r.platform.mesh.kind == MeshKind::Istio {
        found.push(rule("networking.istio.io", &["virtualservices", "destinationrules", "serviceentries"]));
    }
    if found.is_empty() {
        return None;
    }
    let origin = f.profile_origin("deployer");
    let name = "kiban-deployer-kinds";
    let labels = json!({
        meta::LABEL_MANAGED_BY: meta::MANAGER,
        "rbac.authorization.k8s.io/aggregate-to-admin": "true",
    });
    let metadata = Node::map([
        ("name", Node::from(&rules::DEPLOYER_KINDS, origin, name)),
        ("labels", Node::from(&rules::DEPLOYER_KINDS, origin, labels)),
    ]);
    let metadata = metadata.with_some("annotations", meta::platform_annotations(f));
    Some(
        meta::typed("rbac.authorization.k8s.io/v1", "ClusterRole")
            .with("metadata", metadata)
            .with("rules", Node::from(&rules::DEPLOYER_KINDS, origin, Value::Array(found))),
    )
}

/// Environments of one cluster share these, so nothing in them names an environment.
fn shared_header(f: &Facts<'_>, api_version: &str, kind: &str, name: &str, namespace: Option<&str>) -> Node {
    let labels = Node::new(&rules::LABELS, json!({meta::LABEL_MANAGED_BY: meta::MANAGER}));
    let mut metadata = Node::map([("name", Node::new(&rules::PRIORITY_SHARED, name)), ("labels", labels)])
        .with_some("annotations", meta::platform_annotations(f));
    if let Some(namespace) = namespace {
        let origin = f.profile_origin("mesh.namespace");
        metadata.put("namespace", Node::from(&rules::ACCESS_LOG, origin, namespace));
    }
    meta::typed(api_version, kind).with("metadata", metadata)
}

fn priority_class(f: &Facts<'_>) -> Node {
    let tier = f.r.app.tier;
    let origin = f.profile_origin(&format!("tiers.{tier}.priority"));
    shared_header(f, "scheduling.k8s.io/v1", "PriorityClass", &pod::priority_class(tier), None)
        .with("value", Node::from(&rules::PRIORITY, origin, f.r.tier.priority))
        .with("globalDefault", Node::new(&rules::PRIORITY_SHARED, false))
        .with("preemptionPolicy", Node::new(&rules::PRIORITY_SHARED, "PreemptLowerPriority"))
        .with("description", Node::new(&rules::PRIORITY_SHARED, format!("Apps of tier {tier}")))
}

/// The access log of the mesh: which requests are logged (Telemetry), and in which format. The
/// format is part of the mesh's configuration; the ConfigMap is what istiod merges when its
/// variable `SHARED_MESH_CONFIG` names it.
fn access_log(f: &Facts<'_>) -> Vec<Node> {
    let log = &f.r.platform.access_log;
    if f.r.platform.mesh.kind != MeshKind::Istio {
        return Vec::new();
    }
    let namespace = f.r.platform.mesh.namespace.as_str();
    let origin = f.profile_origin("accessLog");
    let set = |value: Value| Node::from(&rules::ACCESS_LOG, origin, value);
    let mut logging = json!({"providers": [{"name": ACCESS_LOG}]});
    if let Value::Object(map) = &mut logging {
        if !log.on {
            map.insert("disabled".to_owned(), true.into());
        } else if let Some(expression) = sample(log.sample) {
            map.insert("filter".to_owned(), json!({"expression": expression}));
        }
    }
    let telemetry = shared_header(f, "telemetry.istio.io/v1", "Telemetry", ACCESS_LOG, Some(namespace))
        .with("spec", set(json!({"accessLogging": [logging]})));
    let fields: serde_json::Map<String, Value> = log
        .fields
        .iter()
        .filter(|(name, _)| !log.drop.contains(name))
        .map(|(name, format)| (name.clone(), Value::from(format.as_str())))
        .collect();
    let provider = json!({
        "name": ACCESS_LOG,
        "envoyFileAccessLog": {"path": "/dev/stdout", "logFormat": {"labels": fields}},
    });
    // JSON is YAML; istiod reads the text.
    let mesh = json!({"extensionProviders": [provider]}).to_string();
    let config = shared_header(f, "v1", "ConfigMap", ACCESS_LOG, Some(namespace))
        .with("data", set(json!({"mesh": mesh})));
    vec![telemetry, config]
}

/// Failed requests, and of the others the share whose id ends in the first so many digits.
fn sample(share: Percent) -> Option<String> {
    let parts = (share.ppm().saturating_mul(SAMPLE_PARTS)).div_ceil(1_000_000);
    if parts >= SAMPLE_PARTS {
        return None;
    }
    let digits = "0123456789abcdef".chars().take(usize::try_from(parts).unwrap_or(0));
    let kept: String = digits.map(|digit| format!(" || request.id.endsWith('{digit}')")).collect();
    Some(format!("response.code >= 400{kept}"))
}
