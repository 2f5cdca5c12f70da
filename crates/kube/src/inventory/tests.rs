//! The inventory: what is kept, what may be pruned.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn id(kind: &str, name: &str) -> ObjectId {
    let group = match kind {
        "Deployment" => "apps",
        "CustomResourceDefinition" => "apiextensions.k8s.io",
        _ => "",
    };
    let namespace = if kind == "Namespace" { "" } else { "shop-dev" };
    ObjectId { group: group.into(), kind: kind.into(), namespace: namespace.into(), name: name.into() }
}

fn inventory(ids: &[ObjectId]) -> Inventory {
    let entry = Entry { version: "v1".into(), hash: "00".into() };
    let objects = ids.iter().map(|id| (id.clone(), entry.clone())).collect();
    Inventory { revision: "c1".into(), objects, ..Inventory::empty("orders", "dev") }
}

fn names(n: usize) -> Vec<ObjectId> {
    (0..n).map(|i| id("ConfigMap", &format!("c{i}"))).collect()
}

#[test]
fn an_inventory_reads_what_it_wrote_one_object_a_line() {
    let mut inv = inventory(&[id("Deployment", "orders"), id("Namespace", "shop-dev")]);
    inv.applying = Some("c2".into());
    inv.held = Some(Hold {
        bad: "c0".into(),
        render: "r".into(),
        reason: "crash loop".into(),
        since: Timestamp::from_secs(9),
    });
    inv.verdict = Some(Told { commit: "c0".into(), verdict: "bad".into(), ..Told::default() });
    inv.migrated("m", Migration { images: "sha256:a".into(), commit: "c0".into(), reversible: false });
    inv.others.insert("later".into(), "kept as it is".into());
    let map = inv.write("shop-dev").unwrap();
    assert_eq!(map["metadata"]["name"], "kiban-inventory-orders-dev");
    assert_eq!(
        map["data"]["objects"],
        "{\n\"apps/v1 Deployment shop-dev\":{\"orders\":\"00\"},\n\"v1 Namespace \":{\"shop-dev\":\"00\"}\n}\n"
    );
    assert_eq!(Inventory::read(&map).unwrap(), inv);
    let empty = Inventory::empty("orders", "dev");
    assert_eq!(Inventory::read(&empty.write("x").unwrap()).unwrap(), empty);
}

#[test]
fn a_foreign_or_newer_inventory_is_refused_with_what_to_do() {
    let good = inventory(&names(2)).write("n").unwrap();
    let with = |key: &str, value: Value| {
        let mut map = good.clone();
        map["data"][key] = value;
        Inventory::read(&map).unwrap_err().to_string()
    };
    assert!(with("version", json!("3")).contains("format version 3"));
    assert!(with("version", json!("x")).contains("version \"x\""));
    assert!(with("version", json!(null)).contains("no version"));
    assert!(with("app", json!("other")).contains("app \"other\""));
    assert!(with("revision", json!(null)).contains("revision is missing"));
    assert!(with("objects", json!("[[1]]")).contains("cannot be read"));
    assert!(with("objects", json!("{\"v1 ConfigMap\": {}}")).contains("cannot be read"));
    assert!(with("held", json!("x")).contains("held cannot be read"));
    assert!(Inventory::read(&json!(null)).is_err());
}

#[test]
fn an_inventory_too_big_for_a_config_map_is_refused_by_its_numbers() {
    let error = inventory(&names(90_000)).write("n").unwrap_err();
    assert!(matches!(error, InventoryError::TooBig { objects: 90_000, bytes, .. } if bytes > MAX_BYTES));
    assert!(inventory(&names(10_000)).write("n").is_ok());
}

#[test]
fn five_thousand_objects_fit_with_the_longest_names_of_a_label() {
    let mut all = inventory(&[]);
    for n in 0..5_000 {
        let id = id("Deployment", &format!("{n:0>63}"));
        all.objects.insert(id, Entry { version: "v1".into(), hash: "f".repeat(64) });
    }
    let written = all.write("shop-dev").unwrap();
    assert!(written["data"]["objects"].as_str().unwrap().len() < MAX_BYTES * 3 / 4);
    assert_eq!(Inventory::read(&written).unwrap(), all);
}

#[test]
fn the_first_format_is_still_read() {
    let map = json!({"metadata": {"name": "kiban-inventory-orders-dev"}, "data": {"version": "1", "app": "orders", "env": "dev",
        "commit": "c1", "applying": "c2", "objects": "[[\"apps\",\"v1\",\"Deployment\",\"shop-dev\",\"orders\",\"00\"]]"}});
    let read = Inventory::read(&map).unwrap();
    let expected = Inventory { applying: Some("c2".into()), ..inventory(&[id("Deployment", "orders")]) };
    assert_eq!(read, expected);
    assert_eq!(Inventory::read(&read.write("n").unwrap()).unwrap(), read);
}

#[test]
fn migrations_say_which_commit_cannot_be_left() {
    let mut all = inventory(&[]);
    for (job, commit, reversible) in [("a", "c1", false), ("b", "c2", true), ("c", "c2", false)] {
        all.migrated(job, Migration { images: "i".into(), commit: commit.into(), reversible });
    }
    assert_eq!(all.irreversible("c2"), ["c"]);
    assert_eq!(all.irreversible("c1"), ["a"]);
    assert!(all.irreversible("c3").is_empty());
    for n in 0..200 {
        all.migrated(&format!("m{n:03}"), Migration::default());
    }
    assert_eq!(all.migrations.len(), 100);
    assert!(all.migrations.contains_key("m199"));
}

#[test]
fn protected_kinds_and_objects_of_another_inventory_are_kept() {
    let all = [
        id("Namespace", "shop-dev"),
        id("PersistentVolumeClaim", "data"),
        id("CustomResourceDefinition", "things.example.com"),
        id("ConfigMap", "moved"),
        id("ConfigMap", "gone"),
        id("ConfigMap", "stays"),
    ];
    let last = inventory(&all);
    let rendered = BTreeSet::from([id("ConfigMap", "stays")]);
    let owners = BTreeMap::from([(id("ConfigMap", "moved"), "shop-dev/kiban-inventory-stock-dev".into())]);
    let plan = prune_candidates(&last, &rendered, &owners, PruneOptions::default());
    assert_eq!(plan.delete.keys().collect::<Vec<_>>(), [&id("ConfigMap", "gone")]);
    assert_eq!(
        plan.keep[&id("ConfigMap", "moved")].1.to_string(),
        "inventory shop-dev/kiban-inventory-stock-dev lists it"
    );
    assert_eq!(plan.keep.values().filter(|(_, k)| *k == Kept::Kind).count(), 3);
    let plan =
        prune_candidates(&last, &rendered, &owners, PruneOptions { protected: true, ..Default::default() });
    assert_eq!(plan.delete.len(), 4);
    assert_eq!(plan.keep.len(), 1);
}

#[test]
fn a_prune_of_more_than_a_third_or_of_everything_asks_first() {
    for (total, rendered, refused) in [
        (0, 0, false),
        (3, 2, false), // one of three is a third
        (3, 1, true),
        (6, 4, false),
        (7, 4, true),
        (2, 0, true),
        (9, 9, false),
    ] {
        let all = names(total);
        let last = inventory(&all);
        let rendered: BTreeSet<_> = all.iter().take(rendered).cloned().collect();
        let plan = prune_candidates(&last, &rendered, &BTreeMap::new(), PruneOptions::default());
        let verdict = guard(&plan, &last, rendered.len(), PruneOptions::default());
        assert_eq!(verdict.is_err(), refused, "{} of {total} rendered", rendered.len());
        assert!(
            guard(&plan, &last, rendered.len(), PruneOptions { all: true, ..Default::default() }).is_ok()
        );
    }
    // Nothing rendered is a wrong folder even where every object would be kept.
    let last = inventory(&[id("Namespace", "shop-dev")]);
    let plan = prune_candidates(&last, &BTreeSet::new(), &BTreeMap::new(), PruneOptions::default());
    assert!(guard(&plan, &last, 0, PruneOptions::default()).unwrap_err().nothing_rendered);
}

#[test]
fn a_refusal_names_counts_and_objects() {
    let last = inventory(&names(12));
    let plan = prune_candidates(&last, &BTreeSet::new(), &BTreeMap::new(), PruneOptions::default());
    let text = guard(&plan, &last, 0, PruneOptions::default()).unwrap_err().to_string();
    assert!(
        text.starts_with("nothing was rendered: is this the right folder? 12 of the 12 objects"),
        "{text}"
    );
    assert!(text.contains("configmap/c0 in shop-dev, "), "{text}");
    assert!(text.ends_with(", and 2 more); --prune-all confirms it"), "{text}");
}

proptest! {
    /// Nothing is orphaned and nothing rendered is deleted, whatever the sets are.
    #[test]
    fn every_object_of_the_inventory_is_rendered_deleted_or_kept(
        last in proptest::collection::btree_set(0..30_usize, 0..20),
        rendered in proptest::collection::btree_set(0..30_usize, 0..20),
        foreign in proptest::collection::btree_set(0..30_usize, 0..5),
        protected in any::<bool>(),
    ) {
        let make = |n: &usize| id(["ConfigMap", "Namespace", "Deployment"][n % 3], &format!("o{n}"));
        let last = inventory(&last.iter().map(make).collect::<Vec<_>>());
        let rendered: BTreeSet<ObjectId> = rendered.iter().map(make).collect();
        let owners: BTreeMap<ObjectId, String> = foreign.iter().map(|n| (make(n), "x/y".into())).collect();
        let plan = prune_candidates(&last, &rendered, &owners, PruneOptions { all: false, protected });
        for id in last.objects.keys() {
            let places = [rendered.contains(id), plan.delete.contains_key(id), plan.keep.contains_key(id)];
            prop_assert_eq!(places.iter().filter(|p| **p).count(), 1);
        }
        for id in plan.delete.keys() {
            prop_assert!(!owners.contains_key(id));
            prop_assert!(protected || !is_protected(id));
        }
        prop_assert_eq!(plan.delete.len() + plan.keep.len() + last.objects.keys().filter(|i| rendered.contains(*i)).count(), last.objects.len());
        prop_assert_eq!(Inventory::read(&last.write("n").unwrap()).unwrap(), last);
    }
}
