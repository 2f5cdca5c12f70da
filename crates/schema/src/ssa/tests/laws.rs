//! Laws that hold for any objects and managers.
#![allow(clippy::unwrap_used)]

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::*;
use super::{at, ctx, deployment, stored};
use crate::ssa::fieldset_of::field_set;
use crate::ssa::track::STRIPPED;

/// Any JSON, often with the words that directives and types know.
pub(crate) fn any_json() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "apiVersion",
        "kind",
        "metadata",
        "name",
        "spec",
        "status",
        "containers",
        "ports",
        "containerPort",
        "labels",
        "finalizers",
        "managedFields",
        "fieldsV1",
        "operation",
        "$patch",
        "$retainKeys",
        "$setElementOrder/containers",
        "$deleteFromPrimitiveList/finalizers",
        "annotations",
        "uid",
        "a",
        "",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "", "v1", "Pod", "a", "delete", "replace", "merge", "Apply", "Update", "FieldsV1"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 48, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            vec((word.clone(), inner), 0..6)
                .prop_map(|m| Value::Object(m.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn texts() -> impl Strategy<Value = Value> {
    btree_map(text(), text(), 1..4).prop_map(|m| json!(m))
}

fn with(
    member: &'static str,
    value: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Option<(String, Value)>> {
    prop::option::of(value.prop_map(move |v| (member.to_owned(), v)))
}

fn members(fields: impl IntoIterator<Item = Option<(String, Value)>>) -> Value {
    Value::Object(fields.into_iter().flatten().collect())
}

fn container() -> impl Strategy<Value = (String, Value)> {
    let env = btree_map(text(), text(), 1..3).prop_map(|m| {
        m.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Value>()
    });
    let parts = (
        with("image", text().prop_map(Value::from)),
        with("env", env),
        with("command", vec(text(), 1..3).prop_map(|l| json!(l))),
    );
    (text(), parts).prop_map(|(name, (a, b, c))| {
        let mut value = members([a, b, c]);
        value["name"] = json!(name);
        (name, value)
    })
}

/// A deployment without empty lists and objects; items stand in the order of their names.
fn any_deployment() -> impl Strategy<Value = Value> {
    let containers = vec(container(), 1..4).prop_map(|l| {
        l.into_iter().collect::<std::collections::BTreeMap<_, _>>().into_values().collect::<Value>()
    });
    let finalizers = prop::collection::btree_set(text(), 1..3).prop_map(|s| json!(s));
    let parts = (
        with("labels", texts()),
        with("annotations", texts()),
        with("finalizers", finalizers),
        with("replicas", (1..4).prop_map(Value::from)),
        with("nodeSelector", texts()),
        with("containers", containers),
    );
    parts.prop_map(|(labels, annotations, finalizers, replicas, node_selector, containers)| {
        let pod = members([node_selector, containers]);
        let template = (pod != json!({})).then(|| ("template".to_owned(), json!({"spec": pod})));
        let mut object = deployment(members([replicas, template]));
        if let Value::Object(metadata) = members([labels, annotations, finalizers]) {
            object["metadata"].as_object_mut().unwrap().extend(metadata);
        }
        object
    })
}

fn manager() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn without_owners(mut object: Value) -> Value {
    managed::take_list(&mut object);
    object
}

/// What somebody set and nobody owns; what the type writes by itself is left out.
fn unowned(ctx: &Ctx<'_>, object: &Value) -> Vec<String> {
    let owned = object["metadata"]["managedFields"].as_array().into_iter().flatten();
    let owned = owned.fold(FieldSet::default(), |all, entry| {
        all.union(FieldSet::from_fields_v1(&entry["fieldsV1"]).unwrap())
    });
    let set = field_set(ctx.schema, ctx.node(), &without_owners(object.clone()));
    let leaves = ctx.filter(set.difference(&STRIPPED)).leaves().difference(&owned);
    let by_type = ["spec", "selector", "strategy", "template", "metadata", "containers", "resources"];
    let is_set = |path: &String| !by_type.iter().any(|name| path.ends_with(&format!(".{name}")));
    leaves.paths().into_iter().filter(is_set).collect()
}

#[derive(Debug, Clone)]
enum Write {
    Apply { config: Value, force: bool },
    Update(Value),
}

fn any_write() -> impl Strategy<Value = (&'static str, Write)> {
    let write = prop_oneof![
        (any_deployment(), any::<bool>()).prop_map(|(config, force)| Write::Apply { config, force }),
        any_deployment().prop_map(Write::Update),
    ];
    (manager(), write)
}

fn run(ctx: &Ctx<'_>, live: Option<Value>, step: i64, manager: &str, write: Write) -> Option<Value> {
    match write {
        Write::Apply { config, force } => {
            apply(ctx, live.as_ref(), &config, manager, force, at(step)).ok().or(live)
        }
        Write::Update(object) => {
            Some(track_update(ctx, live.as_ref(), stored(ctx, object), manager, at(step)))
        }
    }
}

proptest! {
    #[test]
    fn applying_twice_is_applying_once(before in any_deployment(), config in any_deployment(), force: bool) {
        let ctx = ctx("apps", "Deployment", "");
        let live = track_update(&ctx, None, stored(&ctx, before), "a", at(0));
        if let Ok(once) = apply(&ctx, Some(&live), &config, "b", force, at(1)) {
            let mut twice = apply(&ctx, Some(&once), &config, "b", force, at(2)).unwrap();
            prop_assert!(settle(&once, &mut twice));
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn taking_back_an_apply_restores_what_was_there(before in any_deployment(), config in any_deployment()) {
        let ctx = ctx("apps", "Deployment", "");
        let live = track_update(&ctx, None, stored(&ctx, before), "a", at(0));
        if let Ok(applied) = apply(&ctx, Some(&live), &config, "b", false, at(1)) {
            let mut nothing = deployment(Value::Null);
            nothing.as_object_mut().unwrap().remove("spec");
            let restored = apply(&ctx, Some(&applied), &nothing, "b", false, at(2)).unwrap();
            prop_assert_eq!(restored, live);
        }
    }

    #[test]
    fn force_changes_only_whether_conflicts_count(before in any_deployment(), config in any_deployment()) {
        let ctx = ctx("apps", "Deployment", "");
        let live = track_update(&ctx, None, stored(&ctx, before), "a", at(0));
        let forced = apply(&ctx, Some(&live), &config, "b", true, at(1)).unwrap();
        match apply(&ctx, Some(&live), &config, "b", false, at(1)) {
            Ok(applied) => prop_assert_eq!(applied, forced),
            Err(ApplyError::Conflict(conflicts)) => prop_assert!(!conflicts.is_empty()),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn ownership_is_never_lost(writes in vec(any_write(), 1..6)) {
        let ctx = ctx("apps", "Deployment", "");
        let mut live = None;
        for (step, (manager, write)) in writes.into_iter().enumerate() {
            live = run(&ctx, live, i64::try_from(step).unwrap(), manager, write);
            // An update whose owners are all gone leaves an object that nobody tracks.
            if let Some(object) = live.as_ref().filter(|o| o["metadata"].get("managedFields").is_some()) {
                prop_assert_eq!(unowned(&ctx, object), Vec::<String>::new());
            }
        }
    }

    #[test]
    fn an_update_is_read_from_stored_owners_as_from_sent_ones(before in any_deployment(), after in any_deployment()) {
        let ctx = ctx("apps", "Deployment", "");
        let live = track_update(&ctx, None, stored(&ctx, before), "a", at(0));
        let after = stored(&ctx, after);
        let mut sent = after.clone();
        managed::put_list(&mut sent, managed::list_of(&live).cloned());
        prop_assert_eq!(
            track_update(&ctx, Some(&live), after, "b", at(1)),
            track_update(&ctx, Some(&live), sent, "b", at(1))
        );
    }

    #[test]
    fn field_sets_survive_their_json(object in any_deployment(), other in any_deployment()) {
        let ctx = ctx("apps", "Deployment", "");
        let set = |object: &Value| field_set(ctx.schema, ctx.node(), object);
        let (a, b) = (set(&object), set(&other));
        prop_assert_eq!(&FieldSet::from_fields_v1(&a.to_fields_v1()).unwrap(), &a);
        let text: Value = serde_json::from_str(&a.to_json()).unwrap();
        prop_assert_eq!(text, a.to_fields_v1());
        // The parts of a set, seen from another, make it up.
        prop_assert_eq!(&a.clone().difference(&b).union(a.intersection(&b)), &a);
        prop_assert_eq!(a.clone().union(b.clone()), b.clone().union(a.clone()));
        prop_assert_eq!(a.clone().union(b.clone()).len() + a.intersection(&b).len(), a.len() + b.len());
    }

    #[test]
    fn stored_form_is_final(object in any_json()) {
        let ctx = ctx("", "Pod", "");
        let once = stored(&ctx, object);
        prop_assert_eq!(stored(&ctx, once.clone()), once);
    }

    #[test]
    fn nothing_makes_it_panic(old in any_json(), new in any_json(), force: bool) {
        for subresource in ["", "status", "resize"] {
            let ctx = ctx("", "Pod", subresource);
            track_update(&ctx, Some(&old), new.clone(), "a", at(0));
            track_update(&ctx, None, new.clone(), "a", at(0));
            let mut config = new.clone();
            if let Value::Object(members) = &mut config {
                members.insert("apiVersion".to_owned(), json!("v1"));
                members.insert("kind".to_owned(), json!("Pod"));
            }
            let _ = apply(&ctx, Some(&old), &config, "kubectl", force, at(0));
            let _ = apply(&ctx, None, &config, "a", force, at(0));
        }
        let _ = scale::to_scale(Some(&old), "v1", &["a"]);
        let _ = scale::to_parent(Some(&old), Some(&new), "v1", &["a"]);
        let _ = FieldSet::from_fields_v1(&old);
        settle(&old, &mut new.clone());
    }
}
