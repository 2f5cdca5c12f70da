//! Garbage collection: what goes with its owner, what stays, and that it ends.

use serde_json::{Value, json};

use super::*;

fn owned_by(name: &str, owners: &[(&Stored, bool)]) -> Value {
    let references: Vec<_> = owners
        .iter()
        .map(|(o, blocks)| {
            json!({
                "apiVersion": o.kind.api_version(), "kind": o.kind.info().kind, "name": &*o.key.name, "uid": &*o.uid,
                "blockOwnerDeletion": blocks,
            })
        })
        .collect();
    json!({"metadata": {"name": name, "ownerReferences": references}})
}

fn map(world: &World, name: &str, owners: &[(&Stored, bool)]) -> Arc<Stored> {
    world.create(*CONFIG_MAP, owned_by(name, owners))
}

fn left(world: &World) -> Vec<String> {
    world.names(*CONFIG_MAP).into_iter().filter(|n| n != "kube-root-ca.crt").collect()
}

#[test]
fn dependents_go_with_the_last_of_their_owners() {
    let mut world = World::fast(1);
    let (a, b) = (map(&world, "a", &[]), map(&world, "b", &[]));
    map(&world, "of-a", &[(&a, false)]);
    map(&world, "of-both", &[(&a, false), (&b, false)]);
    world.settle();
    world.delete(*CONFIG_MAP, "a");
    world.settle();
    assert_eq!(left(&world), ["b", "of-both"]);
    let owners = &world.get(*CONFIG_MAP, "of-both")["metadata"]["ownerReferences"];
    assert_eq!(owners.as_array().unwrap().len(), 1, "the dead one is forgotten");
    world.delete(*CONFIG_MAP, "b");
    world.settle();
    assert!(left(&world).is_empty());
}

#[test]
fn an_object_whose_owner_never_was_goes_at_once() {
    let mut world = World::fast(1);
    let owner = map(&world, "owner", &[]);
    world.delete(*CONFIG_MAP, "owner");
    map(&world, "late", &[(&owner, false)]);
    world.settle();
    assert!(left(&world).is_empty());
}

#[test]
fn an_owner_in_another_namespace_counts_as_missing_and_a_cluster_scoped_one_does_not() {
    let mut world = World::fast(1);
    let node = world.stored(*NODE, &world.names(*NODE)[0]);
    let foreign = json!({"metadata": {"name": "foreign", "namespace": "kube-public"}});
    let foreign = world.create(*CONFIG_MAP, foreign);
    map(&world, "of-node", &[(&node, false)]);
    map(&world, "of-foreign", &[(&foreign, false)]);
    world.settle();
    assert_eq!(left(&world), ["of-node"]);
    world.delete(*NODE, &node.key.name);
    world.settle();
    assert!(left(&world).is_empty());
}

#[test]
fn in_the_foreground_only_blocking_dependents_hold_their_owner() {
    for blocks in [true, false] {
        let mut world = World::fast(1);
        let owner = map(&world, "owner", &[]);
        let mut held = owned_by("held", &[(&owner, blocks)]);
        held["metadata"]["finalizers"] = json!(["example.com/hold"]);
        world.create(*CONFIG_MAP, held);
        world.settle();
        world.delete_as(*CONFIG_MAP, "owner", Propagation::Foreground);
        world.secs(2);
        let here = if blocks { vec!["held", "owner"] } else { vec!["held"] };
        assert_eq!(left(&world), here, "blocks: {blocks}");
        assert!(world.get(*CONFIG_MAP, "held")["metadata"]["deletionTimestamp"].is_string());
        world.change(*CONFIG_MAP, "held", |m| m["metadata"]["finalizers"] = json!([]));
        world.secs(2);
        assert!(left(&world).is_empty());
    }
}

#[test]
fn a_chain_goes_from_its_end_in_the_foreground() {
    let mut world = World::fast(1);
    let a = map(&world, "a", &[]);
    let b = map(&world, "b", &[(&a, true)]);
    map(&world, "c", &[(&b, true)]);
    world.settle();
    let start = world.cluster.snapshot().revision;
    world.delete_as(*CONFIG_MAP, "a", Propagation::Foreground);
    world.secs(3);
    let changes = world.cluster.store().changes(*CONFIG_MAP, start, usize::MAX).unwrap();
    let order: Vec<_> = changes.iter().filter(|c| c.deleted).map(|c| c.new.key.name.to_string()).collect();
    assert_eq!(order, ["c", "b", "a"]);
}

#[test]
fn a_dependent_with_another_owner_does_not_hold_the_one_that_goes() {
    let mut world = World::fast(1);
    let (a, b) = (map(&world, "a", &[]), map(&world, "b", &[]));
    map(&world, "of-both", &[(&a, true), (&b, true)]);
    world.settle();
    world.delete_as(*CONFIG_MAP, "a", Propagation::Foreground);
    world.secs(2);
    assert_eq!(left(&world), ["b", "of-both"]);
}

#[test]
fn orphaning_takes_the_owner_off_and_leaves_the_object() {
    let mut world = World::fast(1);
    let a = map(&world, "a", &[]);
    map(&world, "b", &[(&a, true)]);
    world.settle();
    world.delete_as(*CONFIG_MAP, "a", Propagation::Orphan);
    world.settle();
    assert_eq!(left(&world), ["b"]);
    assert_eq!(world.get(*CONFIG_MAP, "b")["metadata"]["ownerReferences"], Value::Null);
}

#[test]
fn circles_of_owners_end() {
    for propagation in [Propagation::Background, Propagation::Foreground, Propagation::Orphan] {
        let mut world = World::fast(1);
        let a = map(&world, "a", &[]);
        let b = map(&world, "b", &[(&a, true)]);
        let c = map(&world, "c", &[(&b, true)]);
        let references = owned_by("a", &[(&c, true)])["metadata"]["ownerReferences"].clone();
        world.change(*CONFIG_MAP, "a", |m| m["metadata"]["ownerReferences"] = references.clone());
        world.settle();
        assert_eq!(left(&world).len(), 3);
        world.delete_as(*CONFIG_MAP, "a", propagation);
        world.secs(10);
        let stay = if propagation == Propagation::Orphan { vec!["b", "c"] } else { vec![] };
        assert_eq!(left(&world), stay, "{propagation:?}");
    }
}

#[test]
fn what_its_owner_left_behind_is_collected_after_a_restart() {
    let mut world = World::fast(1);
    let a = map(&world, "a", &[]);
    map(&world, "b", &[(&a, false)]);
    world.settle();
    world.delete(*CONFIG_MAP, "a");
    world.restart();
    world.settle();
    assert!(left(&world).is_empty());
}
