//! Changing single objects: the three patches, label, annotate, replace, set, edit.

use super::{APP, cluster, holds};

#[test]
fn objects_are_patched_in_every_way() {
    let Some((_sim, kubectl)) = cluster("patches") else { return };
    kubectl.feed("apply -f -", APP).ok();
    kubectl.run("config set-context --current --namespace=shop").ok();
    let patch = |kind: &str, text: &str| {
        kubectl.args(&["patch", "deploy", "web", &format!("--type={kind}"), "-p", text])
    };
    let replicas = || kubectl.run("get deploy web -o jsonpath={.spec.replicas}").ok();
    patch("json", r#"[{"op":"test","path":"/spec/replicas","value":3},{"op":"replace","path":"/spec/replicas","value":2}]"#).ok();
    assert_eq!(replicas(), "2");
    let error = patch("json", r#"[{"op":"test","path":"/spec/replicas","value":99}]"#).fails(1);
    assert_eq!(
        error,
        "The request is invalid: the server rejected our request due to an error in our request\n"
    );
    assert_eq!(patch("merge", r#"{"spec":{"replicas":4}}"#).ok(), "deployment.apps/web patched\n");
    assert_eq!(replicas(), "4");
    assert_eq!(
        patch("merge", r#"{"spec":{"replicas":4}}"#).ok(),
        "deployment.apps/web patched (no change)\n"
    );
    patch(
        "strategic",
        r#"{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"1"}]}]}}}}"#,
    )
    .ok();
    let container = kubectl.run("get deploy web -o jsonpath={.spec.template.spec.containers[0].image}{.spec.template.spec.containers[0].env[0].name}").ok();
    assert_eq!(container, "registry.example/web:1A");
    let error = patch("strategic", r#"{"spec":{"replicas":-1}}"#).fails(1);
    assert_eq!(
        error,
        "The Deployment \"web\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0\n"
    );
    let error = patch("merge", r#"{"spec":{"selector":{"matchLabels":{"app":"x"}}}}"#).fails(1);
    holds(&error, &["spec.selector: Invalid value:", "field is immutable"]);
    let error = patch("merge", r#"{"spec":"#).fails(1);
    holds(&error, &["Error from server (BadRequest): error decoding patch: "]);
    kubectl
        .args(&[
            "patch",
            "deploy",
            "web",
            "--subresource=scale",
            "--type=merge",
            "-p",
            r#"{"spec":{"replicas":1}}"#,
        ])
        .ok();
    assert_eq!(replicas(), "1");
}

#[test]
fn labels_and_annotations_are_set_kept_and_removed() {
    let Some((_sim, kubectl)) = cluster("patches: labels") else { return };
    kubectl.run("create cm c").ok();
    assert_eq!(kubectl.run("label cm c x=y").ok(), "configmap/c labeled\n");
    assert_eq!(
        kubectl.run("label cm c x=z").fails(1),
        "error: 'x' already has a value (y), and --overwrite is false\n"
    );
    kubectl.run("label cm c x=z --overwrite").ok();
    assert_eq!(kubectl.run("get cm -l x=z -o name").ok(), "configmap/c\n");
    assert_eq!(kubectl.run("label cm c x-").ok(), "configmap/c unlabeled\n");
    assert_eq!(kubectl.run("annotate cm c note='a b'").ok(), "configmap/c annotated\n");
    let error = kubectl.run("annotate cm c note=c").fails(1);
    holds(&error, &["--overwrite is false", "already has a value (a b)"]);
    kubectl.run("annotate cm c note-").ok();
    let error =
        kubectl.args(&["patch", "cm", "c", "-p", r#"{"metadata":{"labels":{"x":"bad value"}}}"#]).fails(1);
    holds(
        &error,
        &[
            "The ConfigMap \"c\" is invalid: metadata.labels: Invalid value: \"bad value\": a valid label must be",
        ],
    );
    let error = kubectl.run("label cm c x=y --resource-version=1").fails(1);
    holds(&error, &["(Conflict)"]);
}

#[test]
fn a_replacement_of_a_version_that_is_gone_conflicts() {
    let Some((sim, kubectl)) = cluster("patches: replace") else { return };
    kubectl.run("create cm c --from-literal=a=1").ok();
    let stale = kubectl.run("get cm c -o yaml").ok();
    let stale = sim.file("stale.yaml", &stale);
    kubectl.run("label cm c newer=yes").ok();
    let error = kubectl.run(&format!("replace -f {stale}")).fails(1);
    holds(
        &error,
        &[
            "Error from server (Conflict): error when replacing",
            "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your changes to the \
         latest version and try again",
        ],
    );
    let fresh =
        sim.file("fresh.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: '2'}\n");
    assert_eq!(kubectl.run(&format!("replace -f {fresh}")).ok(), "configmap/c replaced\n");
    assert_eq!(kubectl.run("get cm c -o jsonpath={.data.a}{.metadata.labels}").ok(), "2");
    assert_eq!(kubectl.run(&format!("replace --force -f {fresh}")).ok().lines().count(), 2);
    let error =
        kubectl.feed("replace -f -", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: none}\n").fails(1);
    holds(&error, &["(NotFound)", "configmaps \"none\" not found"]);
    let error = kubectl.run(&format!("create -f {fresh}")).fails(1);
    holds(&error, &["(AlreadyExists)", "configmaps \"c\" already exists"]);

    // An editor that changes one word.
    let editor = sim.file("editor", "#!/bin/sh\nsed -i 's/a: \"2\"/a: \"3\"/' \"$1\"\n");
    let mut command = kubectl.command(&["edit", "cm", "c"]);
    let said = kiban_testkit::said(command.env("KUBE_EDITOR", format!("sh {editor}"))).ok();
    assert_eq!(said, "configmap/c edited\n");
    assert_eq!(kubectl.run("get cm c -o jsonpath={.data.a}").ok(), "3");
}

#[test]
fn immutable_things_stay_as_they_are() {
    let Some((_sim, kubectl)) = cluster("patches: immutable") else { return };
    kubectl
        .feed(
            "create -f -",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nimmutable: true\nstringData: {a: b}\n",
        )
        .ok();
    let error = kubectl.args(&["patch", "secret", "s", "-p", r#"{"stringData":{"a":"c"}}"#]).fails(1);
    holds(&error, &["data: Forbidden: field is immutable when `immutable` is set"]);
    kubectl.run("create job j --image=x -- true").ok();
    let error =
        kubectl.args(&["patch", "job", "j", "--type=merge", "-p", r#"{"spec":{"completions":5}}"#]).fails(1);
    holds(&error, &["spec.completions: Invalid value: 5: field is immutable"]);
    kubectl.run("create service clusterip s --tcp=80:80").ok();
    let error =
        kubectl.args(&["patch", "svc", "s", "-p", r#"{"spec":{"clusterIP":"10.96.77.77"}}"#]).fails(1);
    holds(&error, &["spec.clusterIPs[0]: Invalid value: [\"10.96.77.77\"]: may not change once set"]);
    kubectl.run("run p --image=x").ok();
    let error = kubectl.args(&["patch", "pod", "p", "-p", r#"{"spec":{"nodeName":"other"}}"#]).fails(1);
    holds(
        &error,
        &["The Pod \"p\" is invalid: spec: Forbidden: pod updates may not change fields other than"],
    );
}
