//! The rule table against the files' own schemas: a key that a rule names exists.

use std::collections::BTreeSet;
use std::fs;

use kiban_manifest::rules::{RULES, Who};
use serde_json::Value;

use crate::support::{ENVS, root, shop};

/// Whether a dotted key exists in a JSON Schema; `<name>` stands for any key of a map.
fn exists(schema: &Value, node: &Value, keys: &[&str]) -> bool {
    if let Some(reference) = node.get("$ref").and_then(Value::as_str) {
        let target = schema.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
        return exists(schema, target, keys);
    }
    let forms = ["anyOf", "oneOf", "allOf"].iter().filter_map(|form| node.get(form)?.as_array()).flatten();
    if forms.into_iter().any(|form| exists(schema, form, keys)) {
        return true;
    }
    let Some((first, rest)) = keys.split_first() else { return node.is_object() };
    let child = if first.starts_with('<') {
        let patterns = node.get("patternProperties").and_then(Value::as_object);
        patterns.and_then(|map| map.values().next()).or_else(|| node.get("additionalProperties"))
    } else {
        node.get("properties").and_then(|properties| properties.get(first))
    };
    child.is_some_and(|child| exists(schema, child, rest))
}

#[test]
fn every_key_that_a_rule_names_is_one_of_the_files() {
    let read = |name: &str| -> Value {
        let file = root().join("crates/model/schemas").join(name);
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    };
    let (app, platform) = (read("app.json"), read("platform.json"));
    for rule in RULES {
        for who in rule.who {
            let (schema, key) = match who {
                Who::App(key) => (&app, *key),
                Who::Platform(key) => (&platform, *key),
                Who::Pin | Who::Override | Who::Nobody => continue,
            };
            let keys: Vec<&str> = key.split('.').collect();
            let is_folder = key.ends_with('/');
            assert!(is_folder || exists(schema, schema, &keys), "{}: no key {key}", rule.id);
        }
    }
}

/// Rules that only settings beyond the shop's use: [`everything`] has them.
const BEYOND_THE_SHOP: &[&str] = &[
    "account.identity",
    "account.token",
    "config.files",
    "config.pod-fields",
    "container.run",
    "escape.extra",
    "escape.override",
    "identity.own-annotations",
    "identity.own-labels",
    "identity.platform-annotations",
    "image.pull-secret",
    "job.env",
    "namespace.labels",
    "network.foreign-callers",
    "network.nodes",
    "nodes.selector",
    "nodes.tolerations",
    "platform.object",
    "public.annotations",
    "public.tls",
    "scale.fixed",
    "secrets.env",
    "service.node-port",
];

#[test]
fn no_rule_is_without_use() {
    let mut used = BTreeSet::new();
    for env in ENVS {
        for object in shop(env).objects {
            object.node.leaves(&mut |_, _: &Value, source| {
                used.insert(source.rule.id);
            });
        }
    }
    let unused: Vec<&str> = RULES.iter().map(|rule| rule.id).filter(|id| !used.contains(id)).collect();
    let mut unused = unused;
    unused.sort_unstable();
    assert_eq!(unused, BEYOND_THE_SHOP);
}

/// A repository that uses every setting that the shop leaves out.
fn everything() -> Vec<(String, String)> {
    let platform = "\
apiVersion: kiban.dev/v1
kind: Platform
environments:
  dev: { production: false, delivery: direct }
  prod: {}
service: nodeport
entry:
  kind: ingress
  tls: {}
  annotations: { example.com/timeout: 30s }
network: { nodes: [10.0.0.0/8] }
nodes:
  selector: { example.com/pool: apps }
  tolerations: [{ key: example.com/apps, value: only, effect: NoSchedule }, { key: example.com/spot }]
registry: { pullSecrets: [registry] }
annotations: { example.com/owner: platform }
namespaceLabels: { example.com/quota: small }
identities: { reader: { annotations: { example.com/role: r } } }
";
    let app = "\
apiVersion: kiban.dev/v1
kind: App
name: a
team: checkout
tier: 2
image: registry.example/checkout/a
run: { command: [serve], args: [--fast] }
ports: { http: { port: 8080, nodePort: 30080 } }
public: a.example.com
health: { ready: /ready, live: { tcp: http } }
scale: { from: 2, to: 2 }
callers: [risk/scoring, 10.9.0.0/16]
identity: { role: reader, token: true }
labels: { example.com/kind: shop }
annotations: { example.com/inject: \"no\" }
secrets: [{ name: keys, as: env }]
env: { POD: { field: metadata.name } }
files: { /etc/a.conf: x }
jobs: { j: { schedule: \"@daily\", run: [x], env: { A: b }, suspend: true } }
override: { Deployment.spec.revisionHistoryLimit: 1 }
";
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\n";
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: x }\n";
    [("platform.yaml", platform), ("a/app.yaml", app), ("a/extra/x.yaml", config), ("platform/x.yaml", role)]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .to_vec()
}

#[test]
fn settings_beyond_the_shops_are_rendered_validly_and_by_their_rules() {
    let rendered = crate::support::render(&everything(), "dev");
    assert!(rendered.is_lawful(), "{:#?}", rendered.findings);
    let mut used = BTreeSet::new();
    for object in &rendered.objects {
        assert_eq!(kiban_manifest::against_schema(&object.value()), Vec::new(), "{}", object.id());
        object.node.leaves(&mut |_, _: &Value, source| {
            used.insert(source.rule.id);
        });
    }
    let missing: Vec<&str> = BEYOND_THE_SHOP.iter().copied().filter(|id| !used.contains(id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let pod = crate::support::object(&rendered, "Deployment", "a");
    let pod = &pod["spec"]["template"]["spec"];
    assert_eq!(pod["tolerations"][1], serde_json::json!({"key": "example.com/spot", "operator": "Exists"}));
    assert_eq!(pod["containers"][0]["command"], serde_json::json!(["serve"]));
    assert_eq!(pod["containers"][0]["livenessProbe"]["tcpSocket"]["port"], "http");
    let policy = crate::support::object(&rendered, "NetworkPolicy", "a");
    let namespace = "/spec/ingress/0/from/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name";
    assert_eq!(policy.pointer(namespace).unwrap(), "risk-dev");
}
