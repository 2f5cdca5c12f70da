//! Applying: client-side, server-side, with conflicts, pruned, from kustomizations, checked strictly.

use serde_json::Value;

use super::{APP, cluster, holds};

#[test]
fn an_app_is_applied_changed_and_then_differs_no_more() {
    let Some((sim, kubectl)) = cluster("apply: files") else { return };
    let first = sim.file("app.yaml", APP);
    let second =
        sim.file("app2.yaml", &APP.replace("web:1", "web:2").replace("minReplicas: 2", "minReplicas: 3"));
    let said = kubectl.run(&format!("apply -f {first}")).ok();
    let made = [
        "namespace/shop created",
        "deployment.apps/web created",
        "service/web created",
        "horizontalpodautoscaler.autoscaling/web created",
        "poddisruptionbudget.policy/web created",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), made);
    kubectl.run("rollout status deploy/web -n shop --timeout=60s").ok();

    let diff = kubectl.run(&format!("diff -f {second}"));
    assert_eq!(diff.code, 1);
    holds(
        &diff.out,
        &[
            "-      - image: registry.example/web:1",
            "+      - image: registry.example/web:2",
            "+  minReplicas: 3",
        ],
    );
    let said = kubectl.run(&format!("apply -f {second}")).ok();
    holds(&said, &["namespace/shop unchanged", "deployment.apps/web configured", "service/web unchanged"]);
    let diff = kubectl.run(&format!("diff -f {second}"));
    assert_eq!((diff.code, diff.out.as_str()), (0, ""));
    let said = kubectl.run("apply view-last-applied deploy/web -n shop").ok();
    holds(&said, &["image: registry.example/web:2"]);
    kubectl.run(&format!("delete -f {second} --wait=true --timeout=60s")).ok();
    let error = kubectl.run("get ns shop").fails(1);
    assert_eq!(error, "Error from server (NotFound): namespaces \"shop\" not found\n");
}

#[test]
fn two_managers_of_one_field_conflict_until_one_insists() {
    let Some((sim, kubectl)) = cluster("apply: conflicts") else { return };
    let map = |value: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{k: {value}, j: x}}\n")
    };
    let (a, b) = (sim.file("a.yaml", &map("a")), sim.file("b.yaml", &map("b")));
    let said = kubectl.run(&format!("apply --server-side --field-manager=a -f {a}")).ok();
    assert_eq!(said, "configmap/c serverside-applied\n");
    let error = kubectl.run(&format!("apply --server-side --field-manager=b -f {b}")).fails(1);
    let first = error.lines().next().unwrap();
    assert_eq!(first, "error: Apply failed with 1 conflict: conflict with \"a\": .data.k");
    assert_eq!(kubectl.run("get cm c -o jsonpath={.data.k}").ok(), "a");
    kubectl.run(&format!("apply --server-side --field-manager=b -f {b} --force-conflicts")).ok();
    assert_eq!(kubectl.run("get cm c -o jsonpath={.data.k}").ok(), "b");
    let json = kubectl.run("get cm c -o json --show-managed-fields").ok();
    let object: Value = serde_json::from_str(&json).unwrap();
    let owned = |n: usize| object["metadata"]["managedFields"][n]["fieldsV1"]["f:data"].to_string();
    assert_eq!((owned(0).as_str(), owned(1).as_str()), ("{\"f:j\":{}}", "{\"f:j\":{},\"f:k\":{}}"));
    // What nobody else wants goes when its one manager stops to want it.
    let less = sim.file("less.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {j: x}\n");
    kubectl.run(&format!("apply --server-side --field-manager=b -f {less}")).ok();
    assert_eq!(kubectl.run("get cm c -o jsonpath={.data}").ok(), "{\"j\":\"x\"}");
}

#[test]
fn client_side_apply_migrates_to_the_server_and_back() {
    let Some((sim, kubectl)) = cluster("apply: migration") else { return };
    let file = sim.file("app.yaml", APP);
    kubectl.run(&format!("apply -f {file}")).ok();
    let said = kubectl.run(&format!("apply --server-side -f {file}")).ok();
    holds(&said, &["deployment.apps/web serverside-applied"]);
    let json = kubectl.run("get deploy web -n shop -o json --show-managed-fields").ok();
    let object: Value = serde_json::from_str(&json).unwrap();
    let managers: Vec<_> = object["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| format!("{}/{}", m["manager"].as_str().unwrap(), m["operation"].as_str().unwrap()))
        .collect();
    assert!(managers.iter().any(|m| m == "kubectl/Apply"), "{managers:?}");
    assert!(!managers.iter().any(|m| m.starts_with("kubectl-client-side-apply")), "{managers:?}");
    // A field that is no longer applied goes, though it was first applied from the client.
    let less = sim
        .file("less.yaml", &APP.replace(", labels: {app: web}}\nspec:\n  replicas", "}\nspec:\n  replicas"));
    kubectl.run(&format!("apply --server-side -f {less}")).ok();
    assert_eq!(kubectl.run("get deploy web -n shop -o jsonpath={.metadata.labels}").ok(), "");
    kubectl.run(&format!("apply -f {file}")).ok();
    assert_eq!(kubectl.run("get deploy web -n shop -o jsonpath={.metadata.labels.app}").ok(), "web");
}

#[test]
fn unknown_fields_are_refused_warned_of_or_ignored() {
    let Some((sim, kubectl)) = cluster("apply: strict") else { return };
    let bad = sim.file(
        "bad.yaml",
        concat!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bad}\nspec:\n  replicaz: 3\n",
            "  selector: {matchLabels: {app: bad}}\n  template:\n    metadata: {labels: {app: bad}}\n",
            "    spec: {containers: [{name: a, image: b, imagePullPolicyy: x}]}\n",
        ),
    );
    let error = kubectl.run(&format!("apply -f {bad} --validate=strict")).fails(1);
    holds(
        &error,
        &[
            "Error from server (BadRequest): error when creating",
            "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \
         \"spec.replicaz\", unknown field \"spec.template.spec.containers[0].imagePullPolicyy\"",
        ],
    );
    let said = kubectl.run(&format!("apply -f {bad} --validate=warn"));
    holds(&said.err, &["Warning: unknown field \"spec.replicaz\""]);
    assert_eq!(said.ok(), "deployment.apps/bad created\n");
    let said = kubectl.run(&format!("replace -f {bad} --validate=ignore"));
    assert_eq!((said.err.as_str(), said.out.as_str()), ("", "deployment.apps/bad replaced\n"));

    // kubectl checks a List in a file by itself, with the older OpenAPI document.
    let list = |field: &str| {
        format!(
            "apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: ConfigMap, metadata: {{name: l}}, {field}: {{a: b}}}}\n"
        )
    };
    let error = kubectl.feed("apply -f -", &list("dataa")).fails(1);
    holds(&error, &["unknown field \"dataa\" in io.k8s.api.core.v1.ConfigMap"]);
    assert_eq!(kubectl.feed("apply -f -", &list("data")).ok(), "configmap/l created\n");

    let other = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: o}\nspec:\n  selector: {matchLabels: {app: a}}\n  \
                 template: {metadata: {labels: {app: b}}, spec: {containers: [{name: a, image: b}]}}\n";
    let error = kubectl.feed("create -f - --dry-run=server", other).fails(1);
    holds(
        &error,
        &["The Deployment \"o\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"b\"}: \
                     `selector` does not match template `labels`"],
    );
    let error = kubectl
        .feed(
            "create -f -",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: A}]}\n",
        )
        .fails(1);
    holds(
        &error,
        &["spec.containers[0].name: Invalid value: \"A\"", "spec.containers[0].image: Required value"],
    );
}

#[test]
fn a_dry_run_leaves_nothing_behind() {
    let Some((_sim, kubectl)) = cluster("apply: dry run") else { return };
    let said = kubectl.run("create deployment d --image=x --dry-run=server").ok();
    assert_eq!(said, "deployment.apps/d created (server dry run)\n");
    let yaml = kubectl.run("create deployment d --image=x --dry-run=server -o yaml").ok();
    holds(&yaml, &["uid: ", "progressDeadlineSeconds: 600"]);
    kubectl.run("get deploy d").fails(1);
    kubectl.run("create cm c --from-literal=a=b").ok();
    kubectl.run("delete cm c --dry-run=server").ok();
    kubectl.run("label cm c x=y --dry-run=server").ok();
    assert_eq!(kubectl.run("get cm c -o jsonpath={.metadata.labels}").ok(), "");
    assert_eq!(
        kubectl.feed("apply -f - --server-side --dry-run=server", APP).code,
        1,
        "the namespace is not there"
    );
}

#[test]
fn what_is_no_longer_in_the_folder_is_pruned() {
    let Some((sim, kubectl)) = cluster("apply: prune") else { return };
    let map = |name: &str| {
        format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, labels: {{set: p}}}}\n")
    };
    let both = sim.file("both.yaml", &(map("one") + &map("two")));
    let one = sim.file("one.yaml", &map("one"));
    kubectl.run(&format!("apply -f {both} --prune -l set=p")).ok();
    let said = kubectl.run(&format!("apply -f {one} --prune -l set=p")).ok();
    assert_eq!(said, "configmap/one unchanged\nconfigmap/two pruned\n");

    let set = |file: &str| {
        let line = format!("apply -n default --prune --applyset=secrets/set -f {file}");
        let mut command = kubectl.command(&line.split(' ').collect::<Vec<_>>());
        kiban_testkit::said(command.env("KUBECTL_APPLYSET", "true")).ok()
    };
    holds(&set(&both), &["configmap/two created"]);
    holds(&set(&one), &["configmap/two pruned"]);
    assert_eq!(kubectl.run("get cm -l set=p -o name").ok(), "configmap/one\n");
}

#[test]
fn kustomizations_are_applied() {
    let Some((sim, kubectl)) = cluster("apply: kustomize") else { return };
    std::fs::create_dir(sim.folder().join("k")).unwrap();
    sim.file("k/kustomization.yaml", "namespace: kus\nnamePrefix: p-\nresources: [cm.yaml]\nconfigMapGenerator: [{name: gen, literals: [a=b]}]\n");
    sim.file("k/cm.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: b}\n");
    let folder = sim.folder().join("k").display().to_string();
    let error = kubectl.run(&format!("apply -k {folder}")).fails(1);
    holds(&error, &["namespaces \"kus\" not found"]);
    kubectl.run("create namespace kus").ok();
    let said = kubectl.run(&format!("apply -k {folder}")).ok();
    holds(&said, &["configmap/p-one created", "configmap/p-gen-4h2mbtbbt6 created"]);
    assert_eq!(kubectl.run(&format!("diff -k {folder}")).code, 0);
    kubectl.run(&format!("delete -k {folder}")).ok();
}
