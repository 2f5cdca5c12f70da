//! What keeps a pod from starting: images, ConfigMaps, Secrets, claims.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::nodes::stand_ins;

fn waiting(pod: &Value) -> (String, String) {
    let state = state(pod);
    let text = |key: &str| state["waiting"][key].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

#[test]
fn a_missing_image_is_pulled_again_and_again() {
    let mut sim = Sim::realistic();
    sim.pod(json!({"sim.kiban.dev/image-missing": "true"}), app());
    sim.secs(4);
    let missing = "rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/shop/app:1\": failed to resolve reference \"docker.io/shop/app:1\": docker.io/shop/app:1: not found";
    let (reason, message) = waiting(&sim.p());
    assert!(reason == "ErrImagePull" || reason == "ImagePullBackOff", "{reason}");
    assert!(message.ends_with(missing), "{message}");
    sim.secs(4);
    let (reason, message) = waiting(&sim.p());
    assert_eq!(reason, "ImagePullBackOff");
    assert_eq!(message, format!("Back-off pulling image \"shop/app:1\": ErrImagePull: {missing}"));
    assert_eq!(sim.messages("BackOff"), ["Back-off pulling image \"shop/app:1\""]);
    let mut failed = sim.messages("Failed");
    failed.sort();
    let pull = format!("Failed to pull image \"shop/app:1\": {missing}");
    assert_eq!(failed, ["Error: ErrImagePull".to_owned(), "Error: ImagePullBackOff".to_owned(), pull]);
    assert_eq!(sim.p()["status"]["phase"], "Pending");
    // Somebody pushes the image.
    sim.cluster
        .modify(*POD, &Key::new("default", "p"), Part::Main, &Actor::new("test"), |p| {
            p["metadata"]["annotations"] = json!({});
        })
        .unwrap();
    sim.secs(10);
    assert_eq!(sim.p()["status"]["phase"], "Running");
}

#[test]
fn an_image_may_be_missing_for_a_while() {
    let mut sim = Sim::realistic();
    sim.pod(json!({"sim.kiban.dev/image-missing": "30s"}), app());
    sim.secs(29);
    assert_eq!(sim.p()["status"]["phase"], "Pending");
    sim.secs(40);
    assert_eq!(sim.p()["status"]["phase"], "Running");
}

#[test]
fn an_image_is_pulled_once_a_node_unless_the_policy_says_always() {
    let mut sim = Sim::new(false, 1, Vec::new());
    for (name, policy) in [("one", "IfNotPresent"), ("two", "IfNotPresent"), ("three", "Always")] {
        let spec = with(|s| s["containers"][0]["imagePullPolicy"] = policy.into());
        sim.create(*POD, json!({"metadata": {"name": name}, "spec": spec}));
        sim.secs(10);
    }
    assert_eq!(sim.events().iter().filter(|r| *r == "Pulling").count(), 2);
    let present = "Container image \"shop/app:1\" already present on machine and can be accessed by the pod";
    assert!(sim.messages("Pulled").iter().any(|m| m == present));
    assert!(sim.messages("Pulled").iter().any(|m| m.contains("including waiting). Image size: ")));
}

#[test]
fn missing_objects_hold_a_pod_until_they_appear() {
    let env = |from: Value| with(|s| s["containers"][0]["env"] = json!([{"name": "X", "valueFrom": from}]));
    let env_from = |from: Value| with(|s| s["containers"][0]["envFrom"] = json!([from]));
    let volume = |source: Value| {
        with(|s| {
            let mut volume = source.clone();
            volume["name"] = "v".into();
            s["volumes"] = json!([volume]);
        })
    };
    let map = |data: Value| json!({"metadata": {"name": "m"}, "data": data});
    let held = "CreateContainerConfigError";
    let mount = "MountVolume.SetUp failed for volume \"v\" : ";
    // spec, object that appears, its data, reason, the text told
    let table = [
        (
            env(json!({"configMapKeyRef": {"name": "m", "key": "k"}})),
            *CONFIG_MAP,
            json!({"k": "v"}),
            held,
            "configmap \"m\" not found".to_owned(),
        ),
        (
            env(json!({"secretKeyRef": {"name": "m", "key": "k"}})),
            *SECRET,
            json!({"k": "dg=="}),
            held,
            "secret \"m\" not found".to_owned(),
        ),
        (
            env_from(json!({"configMapRef": {"name": "m"}})),
            *CONFIG_MAP,
            json!({}),
            held,
            "configmap \"m\" not found".to_owned(),
        ),
        (
            env_from(json!({"secretRef": {"name": "m"}})),
            *SECRET,
            json!({}),
            held,
            "secret \"m\" not found".to_owned(),
        ),
        (
            volume(json!({"configMap": {"name": "m"}})),
            *CONFIG_MAP,
            json!({}),
            "ContainerCreating",
            format!("{mount}configmap \"m\" not found"),
        ),
        (
            volume(json!({"secret": {"secretName": "m"}})),
            *SECRET,
            json!({}),
            "ContainerCreating",
            format!("{mount}secret \"m\" not found"),
        ),
        (
            volume(json!({"projected": {"sources": [{"secret": {"name": "m"}}]}})),
            *SECRET,
            json!({}),
            "ContainerCreating",
            format!("{mount}secret \"m\" not found"),
        ),
    ];
    for fast in [false, true] {
        for (spec, kind, data, reason, text) in &table {
            let mut sim = Sim::new(fast, 1, Vec::new());
            sim.pod(json!({}), spec.clone());
            sim.secs(15);
            let (told, message) = waiting(&sim.p());
            assert_eq!(told, *reason, "{text}");
            if *reason == held {
                assert_eq!(message, *text);
                assert_eq!(sim.messages("Failed"), [format!("Error: {text}")]);
            } else {
                assert_eq!(sim.messages("FailedMount"), std::slice::from_ref(text));
            }
            assert_eq!(sim.p()["status"]["phase"], "Pending");
            sim.create(*kind, map(data.clone()));
            sim.secs(10);
            assert_eq!(sim.p()["status"]["phase"], "Running", "{text}");
        }
    }
}

#[test]
fn a_missing_key_is_named_and_optional_ones_are_no_hindrance() {
    let mut sim = Sim::fast();
    sim.create(*CONFIG_MAP, json!({"metadata": {"name": "m"}, "data": {"other": "x"}}));
    let env = |key: Value| {
        with(|s| s["containers"][0]["env"] = json!([{"name": "X", "valueFrom": {"configMapKeyRef": key}}]))
    };
    sim.pod(json!({}), env(json!({"name": "m", "key": "k"})));
    assert_eq!(waiting(&sim.p()).1, "couldn't find key k in ConfigMap default/m");
    for (name, spec) in [
        ("a", env(json!({"name": "m", "key": "k", "optional": true}))),
        ("b", env(json!({"name": "none", "key": "k", "optional": true}))),
    ] {
        sim.create(*POD, json!({"metadata": {"name": name}, "spec": spec}));
        assert_eq!(sim.get(name)["status"]["phase"], "Running");
    }
    let spec = with(|s| {
        s["volumes"] =
            json!([{"name": "v", "configMap": {"name": "m", "items": [{"key": "k", "path": "k"}]}}])
    });
    sim.create(*POD, json!({"metadata": {"name": "c"}, "spec": spec}));
    let text = "MountVolume.SetUp failed for volume \"v\" : configmap references non-existent config key: k";
    assert_eq!(sim.messages("FailedMount"), [text]);
}

#[test]
fn stand_ins_are_made_where_a_pod_waits_for_them() {
    let list = stand_ins("s.yaml", "- {kind: Secret, name: 'orders-*', keys: [url]}").unwrap();
    let mut sim = Sim::new(true, 1, list);
    let spec = with(|s| {
        s["containers"][0]["env"] =
            json!([{"name": "P", "valueFrom": {"secretKeyRef": {"name": "orders-db", "key": "password"}}}]);
        s["volumes"] = json!([{"name": "v", "secret": {"secretName": "orders-tls"}}]);
    });
    sim.pod(json!({}), spec);
    assert_eq!(sim.p()["status"]["phase"], "Running");
    let secret = sim.cluster.get(*SECRET, &Key::new("default", "orders-db")).unwrap();
    assert_eq!(secret.label("sim.kiban.dev/stand-in"), Some("true"));
    let keys: Vec<_> = secret.value()["data"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["password", "url"]);
    // Another pod wants another key of it.
    let spec = with(|s| {
        s["containers"][0]["env"] =
            json!([{"name": "U", "valueFrom": {"secretKeyRef": {"name": "orders-db", "key": "user"}}}])
    });
    sim.create(*POD, json!({"metadata": {"name": "q"}, "spec": spec}));
    assert_eq!(sim.get("q")["status"]["phase"], "Running");
    // What the file does not name stays missing, and what others made stays as it is.
    let spec = with(|s| s["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "payments"}}]));
    sim.create(*POD, json!({"metadata": {"name": "r"}, "spec": spec}));
    assert_eq!(sim.get("r")["status"]["phase"], "Pending");
}
