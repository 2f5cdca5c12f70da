//! The checked-in table says what the real API says.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use serde_json::json;

use super::*;

fn field<'a>(kind: &str, path: &str) -> &'a Field {
    let schema = Schema::builtin();
    let (group, version, kind) = match kind.split('/').collect::<Vec<_>>()[..] {
        [version, kind] => ("", version, kind),
        [group, version, kind] => (group, version, kind),
        _ => unreachable!(),
    };
    let mut id = schema.kind(group, version, kind).unwrap().type_id;
    let mut found = None;
    for name in path.split('.') {
        let field = schema.get(id).field(name).unwrap();
        let mut shape = &field.shape;
        while let Shape::List(inner) | Shape::Map(inner) = shape {
            shape = inner;
        }
        if let Shape::Object(inner) = shape {
            id = *inner;
        }
        found = Some(field);
    }
    found.unwrap()
}

fn keys(field: &Field) -> Vec<&str> {
    match &field.list {
        ListKind::Map { keys } => keys.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

// A figure for people; nothing is asserted on time.
#[allow(clippy::disallowed_methods)]
#[test]
fn the_table_parses_fast_enough_for_a_command_line_tool() {
    let start = Instant::now();
    let schema = parse(TEXT).unwrap();
    println!(
        "type table: {} types, {} fields, {} kinds in {:?}",
        schema.types.len(),
        schema.types.iter().map(|t| t.fields.len()).sum::<usize>(),
        schema.kinds.len(),
        start.elapsed()
    );
    assert!(schema.types.len() > 500);
}

#[test]
fn fields_are_sorted_and_objects_refer_to_types_that_exist() {
    let schema = Schema::builtin();
    for t in &schema.types {
        assert!(t.fields.is_sorted_by(|a, b| a.name < b.name), "{}", t.name);
        for f in &t.fields {
            let mut shape = &f.shape;
            while let Shape::List(inner) | Shape::Map(inner) = shape {
                shape = inner;
            }
            if let Shape::Object(id) = shape {
                assert!((id.0 as usize) < schema.types.len());
            }
            if let ListKind::Map { keys } = &f.list {
                let Shape::Object(item) = shape else { unreachable!("{}.{}", t.name, f.name) };
                for key in keys {
                    assert!(schema.get(*item).field(key).is_some(), "{}.{}: {key}", t.name, f.name);
                }
            }
        }
    }
}

#[test]
fn protobuf_numbers_of_a_message_are_unique() {
    for t in &Schema::builtin().types {
        let mut numbers: Vec<u32> = t.fields.iter().map(|f| f.proto).filter(|n| *n > 0).collect();
        numbers.extend(t.inline.iter().map(|i| i.proto));
        let before = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), before, "{}", t.name);
    }
}

#[test]
fn list_rules_and_their_defaults_are_upstreams() {
    let pod = "v1/Pod";
    assert_eq!(keys(field(pod, "spec.containers")), ["name"]);
    assert_eq!(keys(field(pod, "spec.containers.ports")), ["containerPort", "protocol"]);
    assert_eq!(field(pod, "spec.containers.ports").merge_key.as_deref(), Some("containerPort"));
    assert_eq!(field(pod, "spec.containers.ports.protocol").default, Some(json!("TCP")));
    assert_eq!(keys(field(pod, "metadata.ownerReferences")), ["uid"]);
    assert_eq!(field(pod, "metadata.finalizers").list, ListKind::Set);
    assert_eq!(field(pod, "spec.tolerations").list, ListKind::Atomic);
    assert_eq!(keys(field(pod, "spec.topologySpreadConstraints")), ["topologyKey", "whenUnsatisfiable"]);
    assert_eq!(field(pod, "spec.topologySpreadConstraints").merge_key.as_deref(), Some("topologyKey"));
    assert!(field(pod, "spec.volumes").patch.merge && field(pod, "spec.volumes").patch.retain_keys);
    assert!(field(pod, "spec.nodeSelector").atomic);
    assert_eq!(keys(field("v1/Service", "spec.ports")), ["port", "protocol"]);
    assert_eq!(field("v1/Service", "spec.ports").merge_key.as_deref(), Some("port"));
    assert!(field("v1/Service", "spec.selector").atomic);
    assert!(field("apps/v1/Deployment", "spec.strategy").patch.retain_keys);
}

#[test]
fn selectors_and_references_are_owned_whole() {
    let schema = Schema::builtin();
    for name in [
        "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector",
        "io.k8s.api.core.v1.SecretReference",
        "io.k8s.api.core.v1.LocalObjectReference",
        "io.k8s.api.core.v1.ObjectReference",
        "io.k8s.apimachinery.pkg.apis.meta.v1.OwnerReference",
    ] {
        assert!(schema.get(schema.type_named(name).unwrap()).atomic, "{name}");
    }
    assert!(!schema.get(schema.type_named("io.k8s.api.core.v1.Container").unwrap()).atomic);
}

#[test]
fn embedded_messages_are_flat_in_json_and_nested_in_protobuf() {
    let schema = Schema::builtin();
    let volume = schema.get(schema.type_named("io.k8s.api.core.v1.Volume").unwrap());
    assert_eq!(volume.field("configMap").unwrap().proto, 0);
    let [inline] = volume.inline[..] else { unreachable!() };
    assert_eq!(inline.proto, 2);
    assert_eq!(schema.get(inline.type_id).field("configMap").unwrap().proto, 19);
}

#[test]
fn kinds_are_found_by_kind_and_by_plural() {
    let schema = Schema::builtin();
    for kind in &schema.kinds {
        let found = schema.kind(&kind.group, &kind.version, &kind.kind).unwrap();
        assert_eq!(found, kind);
        if kind.is_resource() {
            assert_eq!(schema.resource(&kind.group, &kind.version, &kind.plural).unwrap(), kind);
        }
    }
    assert!(schema.kind("apps", "v1", "Deploymint").is_none());
    assert!(schema.resource("policy", "v1", "").is_none(), "a body is no resource");
    let eviction = schema.kind("policy", "v1", "Eviction").unwrap();
    assert!(!eviction.is_resource());
    assert_eq!(schema.type_of("policy/v1", "Eviction"), Some(eviction.type_id));
    assert_eq!(
        schema.type_of("apps/v1", "DeleteOptions"),
        schema.type_of("v1", "DeleteOptions"),
        "options objects belong to every group version"
    );
    assert_eq!(schema.type_of("apps/v2", "Deployment"), None);
}

#[test]
fn discovery_lists_core_first_and_groups_in_the_aggregators_order() {
    let groups: Vec<String> = Schema::builtin()
        .group_versions()
        .into_iter()
        .map(|(g, v)| if g.is_empty() { v.to_owned() } else { format!("{g}/{v}") })
        .collect();
    assert_eq!(
        groups,
        [
            "v1",
            "apiregistration.k8s.io/v1",
            "apps/v1",
            "events.k8s.io/v1",
            "authentication.k8s.io/v1",
            "authorization.k8s.io/v1",
            "autoscaling/v2",
            "batch/v1",
            "certificates.k8s.io/v1",
            "networking.k8s.io/v1",
            "policy/v1",
            "rbac.authorization.k8s.io/v1",
            "storage.k8s.io/v1",
            "admissionregistration.k8s.io/v1",
            "apiextensions.k8s.io/v1",
            "scheduling.k8s.io/v1",
            "coordination.k8s.io/v1",
            "node.k8s.io/v1",
            "discovery.k8s.io/v1",
            "resource.k8s.io/v1",
            "flowcontrol.apiserver.k8s.io/v1",
            "storagemigration.k8s.io/v1",
        ]
    );
}

#[test]
fn a_broken_table_is_an_error_that_names_its_line() {
    for (text, line, problem) in [
        ("format 9\n", 1, "another notation"),
        ("prefix a b\ntype c.D\n", 2, "unknown prefix"),
        ("prefix a b\ntype a.D\n x\n", 3, "too few words"),
        ("prefix a b\ntype a.D\n x 1 a.E\n", 3, "unknown type"),
        ("prefix a b\ntype a.D\n x y string\n", 3, "not a number"),
        (" x 1 string\n", 1, "part of no type"),
        ("kind - v1 Pod a.Pod pods cluster\n", 1, "unknown type"),
    ] {
        let e = parse(text).unwrap_err();
        assert_eq!((e.line, e.problem), (line, problem));
    }
}
