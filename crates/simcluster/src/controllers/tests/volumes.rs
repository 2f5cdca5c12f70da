//! Volumes: claims find one, wait for one, or say why not.

use serde_json::{Value, json};

use super::*;

fn claim(spec: &Value) -> Value {
    let mut all = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "2Gi"}}});
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({"metadata": {"name": "data"}, "spec": all})
}

fn volume(name: &str, size: &str, spec: &Value) -> Value {
    let mut all = json!({
        "accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "capacity": {"storage": size},
        "hostPath": {"path": "/data"}, "persistentVolumeReclaimPolicy": "Retain",
    });
    for (field, value) in spec.as_object().unwrap() {
        all[field] = value.clone();
    }
    json!({"metadata": {"name": name, "labels": {"disk": name}}, "spec": all})
}

fn mount(world: &World) {
    let mut pod = template("web", &json!({}));
    pod["metadata"]["name"] = "p".into();
    pod["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    world.create(*POD, pod);
}

fn data(world: &World) -> Value {
    world.get(*PERSISTENT_VOLUME_CLAIM, "data")
}

fn phase(world: &World, volume: &str) -> Value {
    world.get(*PERSISTENT_VOLUME, volume)["status"]["phase"].clone()
}

#[test]
fn a_claim_of_the_default_class_waits_for_a_pod_and_gets_a_volume() {
    let mut world = World::fast(1);
    world.create(*PERSISTENT_VOLUME_CLAIM, claim(&json!({})));
    world.secs(1);
    assert_eq!(data(&world)["status"]["phase"], "Pending");
    assert_eq!(world.messages("PersistentVolumeClaim", "WaitForFirstConsumer").len(), 1);
    mount(&world);
    world.secs(1);
    let claim = data(&world);
    assert_eq!(claim["status"]["phase"], "Bound");
    assert_eq!(claim["status"]["capacity"]["storage"], "2Gi");
    let name = claim["spec"]["volumeName"].as_str().unwrap().to_owned();
    assert_eq!(phase(&world, &name), "Bound");
    assert_eq!(world.active_pods().len(), 1);
    world.delete(*PERSISTENT_VOLUME_CLAIM, "data");
    world.secs(1);
    assert!(world.exists(*PERSISTENT_VOLUME_CLAIM, "data"), "a pod uses it");
    world.delete(*POD, "p");
    world.secs(2);
    assert!(!world.exists(*PERSISTENT_VOLUME_CLAIM, "data") && !world.exists(*PERSISTENT_VOLUME, &name));
}

#[test]
fn the_smallest_volume_that_fits_is_taken() {
    let mut world = World::fast(1);
    for (name, size, spec) in [
        ("small", "1Gi", json!({})),
        ("big", "9Gi", json!({})),
        ("fits", "3Gi", json!({})),
        ("other-class", "2Gi", json!({"storageClassName": "fast"})),
        ("other-mode", "2Gi", json!({"accessModes": ["ReadWriteMany"]})),
        ("kept", "2Gi", json!({"claimRef": {"namespace": "default", "name": "other"}})),
    ] {
        world.create(*PERSISTENT_VOLUME, volume(name, size, &spec));
    }
    world.secs(1);
    assert_eq!(phase(&world, "fits"), "Available");
    world.create(*PERSISTENT_VOLUME_CLAIM, claim(&json!({"storageClassName": ""})));
    world.secs(1);
    let claim = data(&world);
    assert_eq!((&claim["spec"]["volumeName"], &claim["status"]["phase"]), (&json!("fits"), &json!("Bound")));
    assert_eq!(claim["status"]["capacity"]["storage"], "3Gi");
    assert_eq!(claim["status"]["accessModes"], json!(["ReadWriteOnce", "ReadOnlyMany"]));
    let taken = world.get(*PERSISTENT_VOLUME, "fits");
    assert_eq!(taken["spec"]["claimRef"]["uid"], claim["metadata"]["uid"]);
    assert_eq!(phase(&world, "fits"), "Bound");
    world.delete(*PERSISTENT_VOLUME_CLAIM, "data");
    world.secs(1);
    assert_eq!(phase(&world, "fits"), "Released", "its data is kept");
}

#[test]
fn names_selectors_and_reservations_choose() {
    let table = [
        (json!({"storageClassName": "", "volumeName": "b"}), json!({}), json!("b")),
        (json!({"storageClassName": "", "selector": {"matchLabels": {"disk": "c"}}}), json!({}), json!("c")),
        (
            json!({"storageClassName": ""}),
            json!({"claimRef": {"namespace": "default", "name": "data"}}),
            json!("a"),
        ),
    ];
    for (spec, first, wanted) in table {
        let mut world = World::fast(1);
        // The last of the table reserves a volume that is not the smallest.
        let size = if first["claimRef"].is_object() { "50Gi" } else { "2Gi" };
        world.create(*PERSISTENT_VOLUME, volume("a", size, &first));
        world.create(*PERSISTENT_VOLUME, volume("b", "20Gi", &json!({})));
        world.create(*PERSISTENT_VOLUME, volume("c", "30Gi", &json!({})));
        world.create(*PERSISTENT_VOLUME_CLAIM, claim(&spec));
        world.secs(1);
        assert_eq!(data(&world)["spec"]["volumeName"], wanted, "{spec}");
        assert_eq!(data(&world)["status"]["phase"], "Bound", "{spec}");
    }
}

#[test]
fn a_claim_without_a_volume_says_why_and_takes_one_that_comes() {
    let none = "no persistent volumes available for this claim and no storage class is set";
    let table = [
        ("", "FailedBinding", none),
        ("gone", "ProvisioningFailed", "storageclass.storage.k8s.io \"gone\" not found"),
    ];
    for (class, reason, text) in table {
        let mut world = World::fast(1);
        world.create(*PERSISTENT_VOLUME_CLAIM, claim(&json!({"storageClassName": class})));
        world.secs(1);
        assert_eq!(data(&world)["status"]["phase"], "Pending");
        assert_eq!(world.messages("PersistentVolumeClaim", reason), [text]);
        world.create(*PERSISTENT_VOLUME, volume("late", "5Gi", &json!({"storageClassName": class})));
        world.secs(1);
        assert_eq!(data(&world)["spec"]["volumeName"], "late");
    }
}
