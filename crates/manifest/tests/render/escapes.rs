//! The escape hatches: overrides and extra objects.

use serde_json::{Value, json};

use crate::support::{PLATFORM, object, platform_with, render};

fn with(more: &str, files: &[(&str, &str)]) -> kiban_manifest::Rendered {
    let mut all = platform_with(PLATFORM, &[("a", more)]);
    all.extend(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    render(&all, "prod")
}

fn at(value: &Value, pointer: &str) -> Value {
    value.pointer(pointer).unwrap_or(&Value::Null).clone()
}

#[test]
fn an_override_sets_appends_and_removes() {
    let more = "\
override:
  Deployment.spec.revisionHistoryLimit: 3
  Deployment.spec.template.spec.containers[a].lifecycle.preStop.sleep.seconds: 20
  Deployment.spec.template.spec.dnsConfig: null
  Deployment.metadata.annotations.example.com/note: hello
  Deployment.spec.template.spec.topologySpreadConstraints[kubernetes.io/hostname].maxSkew: 2
  Service.spec.ports[1]: { name: extra, port: 81, targetPort: http }
  HorizontalPodAutoscaler.spec.behavior.scaleDown.policies[0].value: 50
";
    let r = with(more, &[]);
    assert_eq!(r.findings, Vec::new());
    assert_eq!(r.escapes.overrides, 7);
    let deployment = object(&r, "Deployment", "a");
    assert_eq!(at(&deployment, "/spec/revisionHistoryLimit"), 3);
    assert_eq!(at(&deployment, "/spec/template/spec/containers/0/lifecycle/preStop/sleep/seconds"), 20);
    assert_eq!(at(&deployment, "/spec/template/spec/dnsConfig"), Value::Null);
    assert_eq!(at(&deployment, "/metadata/annotations/example.com~1note"), "hello");
    assert_eq!(at(&deployment, "/spec/template/spec/topologySpreadConstraints/1/maxSkew"), 2);
    assert_eq!(at(&object(&r, "Service", "a"), "/spec/ports/1/port"), 81);
    let answer = kiban_manifest::explain(&r, "a", "deployment.spec.revisionHistoryLimit").unwrap();
    assert_eq!(answer.lines[0].rule.id, "escape.override");
    assert_eq!(answer.lines[0].origin.as_ref().unwrap().line, 11);
}

/// Override, what is said about it.
#[test]
fn an_override_that_cannot_be_is_an_error_with_its_line() {
    let table = [
        ("Deployment.spec.revisionHistoryLimit: many", "a whole number is needed, not the text \"many\""),
        ("Deployment.spec.template.spec.containers[a].resource: {}", "did you mean \"resources\"?"),
        ("Deployment.spec.template.spec.containers[b].image: x", "has no item \"b\" (there are: a)"),
        ("Deployment.spec.template.spec.containers[7].image: x", "has no item \"7\""),
        ("Deployment.spec.template.spec.restartPolicy: Somtimes", "\"Somtimes\" is none of"),
        (
            "Deployment.spec.strategy: { type: RollingUpdate, rollingUpdate: { maxUnavail: 1 } }",
            "did you mean \"maxUnavailable\"?",
        ),
        ("Deployment.metadata.name: b", "metadata.name is the object's identity"),
        ("Deployment.spec.selector.matchLabels.x: z", "is the object's identity"),
        ("Deployment.metadata.labels.kiban.dev/team: x", "is the object's identity"),
        ("Deployment.spec.paused: null", "spec.paused is not set: there is nothing to remove"),
        ("StatefulSet.spec.replicas: 1", "a renders no StatefulSet"),
        ("CronJob.spec.suspend: true", "which CronJob? There are a-one, a-two; write CronJob/<name>"),
        ("CronJob/three.spec.suspend: true", "no CronJob is called \"three\""),
        ("Deployment.spec.minReadySeconds.x: 1", "spec.minReadySeconds has no parts"),
        ("Deployment.spec.template.spec.containers[a].resources.limits.cpu: lots", "a quantity such as 250m"),
    ];
    for (line, says) in table {
        let jobs =
            "jobs: { one: { schedule: \"@daily\", run: [x] }, two: { schedule: \"@daily\", run: [x] } }\n";
        let r = with(&format!("{jobs}override:\n  {line}\n"), &[]);
        let found: Vec<String> = r.errors().map(ToString::to_string).collect();
        assert_eq!(found.len(), 1, "{line}: {found:#?}");
        assert!(found[0].contains(says), "{line}: {}", found[0]);
        assert!(found[0].starts_with("a/app.yaml:12:"), "{line}: {}", found[0]);
    }
}

#[test]
fn an_extra_object_gets_namespace_and_identity_and_is_counted() {
    let config = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: legacy
  labels: { example.com/x: z }
data: { A: b }
---
apiVersion: acme.example/v1
kind: Widget
metadata: { name: w }
spec: { anything: [1, 2] }
";
    let r = with("", &[("a/extra/legacy.yaml", config)]);
    assert_eq!(r.findings, Vec::new());
    assert_eq!(r.escapes.extra, 2);
    let map = object(&r, "ConfigMap", "legacy");
    assert_eq!(at(&map, "/metadata/namespace"), "checkout-prod");
    assert_eq!(at(&map, "/metadata/labels/app.kubernetes.io~1name"), "a");
    assert_eq!(at(&map, "/metadata/labels/example.com~1x"), "z");
    assert_eq!(at(&object(&r, "Widget", "w"), "/spec"), json!({"anything": [1, 2]}));
    assert!(r.files().contains_key("prod/a/widget-w.yaml"));
}

/// Object, what is said about it.
#[test]
fn an_extra_object_that_must_not_be_is_an_error_with_its_file() {
    let pod = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: x }\nspec: { selector: { matchLabels: { a: b } }, \
        template: { metadata: { labels: { a: b } }, spec: { containers: [ { name: x, image: x:1 } ] } } }\n";
    let table = [
        ("kind: X\n", "apiVersion is missing"),
        ("apiVersion: v1\nkind: Secret\nmetadata: { name: x }\n", "a Secret in clear text"),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: { name: x }\n",
            "namespaces follow from the platform's pattern",
        ),
        (
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: x }\n",
            "an object of the cluster lies in platform/",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x, namespace: kube-system }\n",
            "namespace \"kube-system\"",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x, labels: { kiban.dev/team: other } }\n",
            "label \"kiban.dev/team\" is Kiban's",
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x }\ndat: { a: b }\n",
            "ConfigMap has no field \"dat\"; did you mean \"data\"?",
        ),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: { name: ../x }\n", "metadata.name \"../x\""),
        (pod, "must have one memory request and limit"),
        (pod, "\"x:1\" is no digest"),
    ];
    for (text, says) in table {
        let r = with("", &[("a/extra/x.yaml", text)]);
        let found: Vec<String> = r.errors().map(ToString::to_string).collect();
        assert!(
            found.iter().any(|f| f.contains(says) && f.starts_with("a/extra/x.yaml:")),
            "{says}: {found:#?}"
        );
    }
}

/// Where it is said, and what: each as the API server says it.
#[test]
fn a_value_that_the_api_would_refuse_is_an_error_at_its_own_line() {
    let config = |text: &str| format!("apiVersion: v1\nkind: ConfigMap\n{text}");
    let service =
        |spec: &str| format!("apiVersion: v1\nkind: Service\nmetadata: {{ name: x }}\nspec:\n{spec}");
    let extra = [
        (config("metadata:\n  name: \"Bad N\"\n"), "4:9", "metadata.name: Invalid value: \"Bad N\""),
        (config("metadata: { name: x }\ndata:\n  \"a b\": c\n"), "5:10", "data[a b]: Invalid value: \"a b\""),
        (service("  ports:\n    - port: 70000\n"), "6:13", "spec.ports[0].port: Invalid value: 70000"),
        (service("  type: ClusterIP\n"), "5:9", "spec.ports: Required value"),
        (
            service("  ports: [{ port: 80, name: a }, { port: 80, name: b }]\n"),
            "5:52",
            "spec.ports[1]: Duplicate value",
        ),
    ];
    for (text, place, says) in extra {
        let r = with("", &[("a/extra/x.yaml", &text)]);
        let found: Vec<String> = r.errors().map(ToString::to_string).collect();
        let start = format!("a/extra/x.yaml:{place}: ");
        assert!(found.iter().any(|f| f.starts_with(&start) && f.contains(says)), "{says}: {found:#?}");
    }
    let overrides = [
        ("Deployment.spec.minReadySeconds: -4", "11:36", "spec.minReadySeconds: Invalid value: -4"),
        (
            "Deployment.spec.minReadySeconds: 9999",
            "11:36",
            "spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
        ),
        (
            "Deployment.spec.template.spec.containers[a].ports[0].containerPort: 0",
            "11:71",
            "spec.template.spec.containers[0].ports[0].containerPort: Required value",
        ),
        (
            "Deployment.spec.strategy: { type: RollingUpdate, rollingUpdate: { maxSurge: 0, maxUnavailable: 0 } }",
            "11:98",
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ),
        ("Deployment.spec.template.spec.dnsPolicy: Nowhere", "11:44", "\"Nowhere\" is none of"),
    ];
    for (line, place, says) in overrides {
        let r = with(&format!("override:\n  {line}\n"), &[]);
        let found: Vec<String> = r.errors().map(ToString::to_string).collect();
        let start = format!("a/app.yaml:{place}: ");
        assert!(found.iter().any(|f| f.starts_with(&start) && f.contains(says)), "{says}: {found:#?}");
    }
}

#[test]
fn sound_objects_of_many_kinds_may_be_brought_along() {
    let text = include_str!("../data/extra.yaml");
    let r = with("", &[("a/extra/all.yaml", text)]);
    assert_eq!(r.findings, Vec::new());
    assert_eq!(r.escapes.extra, text.matches("\nkind: ").count());
}

#[test]
fn objects_of_the_platform_pass_through_and_are_marked() {
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: viewer }\nrules: []\n";
    let r = with("", &[("platform/roles.yaml", role)]);
    assert_eq!(r.findings, Vec::new());
    let object = object(&r, "ClusterRole", "viewer");
    assert_eq!(at(&object, "/metadata/labels/app.kubernetes.io~1managed-by"), "kiban");
    assert!(r.files().contains_key("prod/platform/clusterrole-viewer.yaml"));
    assert_eq!(r.escapes.extra, 0);
}
