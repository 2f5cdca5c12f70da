//! The paths of a document: every operation that the resources of a group version have.

use serde_json::{Map, Value, json};

use super::components::{Components, gvk};
use super::path_of;
use crate::builtin::subresource;
use crate::table::{Kind, Schema};

/// The patches that an API server takes for built-in kinds.
const PATCHES: &[&str] = &[
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// What a response or a body comes in.
const BODIES: &[&str] = &["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"];

/// Query parameters by the verbs that take them.
const QUERY: &[(&str, &str, &[&str])] = &[
    ("allowWatchBookmarks", "boolean", &["list"]),
    ("continue", "string", &["list", "deletecollection"]),
    ("dryRun", "string", &["create", "update", "patch", "delete", "deletecollection"]),
    ("fieldManager", "string", &["create", "update", "patch"]),
    ("fieldSelector", "string", &["list", "deletecollection"]),
    ("fieldValidation", "string", &["create", "update", "patch"]),
    ("force", "boolean", &["patch"]),
    ("gracePeriodSeconds", "integer", &["delete", "deletecollection"]),
    ("labelSelector", "string", &["list", "deletecollection"]),
    ("limit", "integer", &["list", "deletecollection"]),
    ("orphanDependents", "boolean", &["delete", "deletecollection"]),
    ("pretty", "string", &["get", "list", "create", "update", "patch", "delete", "deletecollection"]),
    ("propagationPolicy", "string", &["delete", "deletecollection"]),
    ("resourceVersion", "string", &["list", "deletecollection"]),
    ("resourceVersionMatch", "string", &["list", "deletecollection"]),
    ("sendInitialEvents", "boolean", &["list", "deletecollection"]),
    ("timeoutSeconds", "integer", &["list", "deletecollection"]),
    ("watch", "boolean", &["list"]),
];

/// The paths of a group version; the types that they speak of go to `components`.
pub(super) fn of<'k>(
    schema: &'k Schema,
    kinds: impl Iterator<Item = &'k Kind>,
    components: &mut Components<'_>,
) -> Value {
    let mut paths = Map::new();
    for kind in kinds {
        let (group, version) = (kind.group.as_str(), kind.version.as_str());
        let root = format!("/{}", path_of(group, version));
        let place = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
        let collection = format!("{root}{place}/{}", kind.plural);
        let item = format!("{collection}/{{name}}");
        let verbs: Vec<&str> = kind.verbs.iter().map(String::as_str).collect();
        for (path, wanted) in [
            (&collection, &["list", "create", "deletecollection"][..]),
            (&item, &["get", "update", "patch", "delete"][..]),
        ] {
            let verbs: Vec<&str> = wanted.iter().copied().filter(|v| verbs.contains(v)).collect();
            add(&mut paths, path, kind, &Spoken::itself(kind), &verbs, components);
        }
        if kind.namespaced && verbs.contains(&"list") {
            let path = format!("{root}/{}", kind.plural);
            add(&mut paths, &path, kind, &Spoken::itself(kind), &["list"], components);
        }
        for name in &kind.subresources {
            let Some(sub) = subresource(kind, name) else { continue };
            let spoken = schema.kind(sub.group, sub.version, sub.kind).unwrap_or(kind);
            let spoken = Spoken { kind: spoken, suffix: name };
            add(&mut paths, &format!("{item}/{name}"), kind, &spoken, sub.verbs, components);
        }
    }
    Value::Object(paths)
}

/// The kind that an operation speaks, and the subresource that it is on.
struct Spoken<'k> {
    kind: &'k Kind,
    suffix: &'k str,
}

impl<'k> Spoken<'k> {
    fn itself(kind: &'k Kind) -> Self {
        Spoken { kind, suffix: "" }
    }
}

/// Adds one path with an operation a verb.
fn add(
    paths: &mut Map<String, Value>,
    path: &str,
    kind: &Kind,
    spoken: &Spoken<'_>,
    verbs: &[&str],
    components: &mut Components<'_>,
) {
    if verbs.is_empty() {
        return;
    }
    let mut operations = Map::new();
    for verb in verbs {
        let method = match *verb {
            "get" | "list" => "get",
            "create" => "post",
            "update" => "put",
            "patch" => "patch",
            _ => "delete",
        };
        operations.insert(method.to_owned(), operation(kind, spoken, verb, path, components));
    }
    let mut parameters = Vec::new();
    for name in ["name", "namespace"] {
        if path.contains(&format!("{{{name}}}")) {
            parameters.push(json!({
                "name": name, "in": "path", "required": true,
                "schema": {"type": "string", "uniqueItems": true},
            }));
        }
    }
    if !parameters.is_empty() {
        operations.insert("parameters".to_owned(), parameters.into());
    }
    paths.insert(path.to_owned(), Value::Object(operations));
}

fn operation(
    kind: &Kind,
    spoken: &Spoken<'_>,
    verb: &str,
    path: &str,
    components: &mut Components<'_>,
) -> Value {
    let action = match verb {
        "create" => "post",
        "update" => "put",
        other => other,
    };
    let parameters: Vec<Value> = QUERY
        .iter()
        .filter(|(_, _, verbs)| verbs.contains(&verb))
        .map(
            |(name, of, _)| json!({"name": name, "in": "query", "schema": {"type": of, "uniqueItems": true}}),
        )
        .collect();
    let answer = match verb {
        "list" => components.list_of(spoken.kind),
        "delete" | "deletecollection" => components.meta("Status"),
        _ => components.reference(spoken.kind.type_id),
    };
    let body = match verb {
        "create" | "update" => Some((components.reference(spoken.kind.type_id), BODIES, true)),
        // Kinds that are not of the table have no strategic merge, which is the last one.
        "patch" if !components.is_of_table(spoken.kind.type_id) => {
            Some((components.meta("Patch"), &PATCHES[..PATCHES.len() - 1], true))
        }
        "patch" => Some((components.meta("Patch"), PATCHES, true)),
        "delete" | "deletecollection" => Some((components.meta("DeleteOptions"), BODIES, false)),
        _ => None,
    };
    let scope = if kind.namespaced && !path.contains("{namespace}") { "ForAllNamespaces" } else { "" };
    let mut out = json!({
        "operationId": format!("{verb}{}{}{}{scope}", capital(&kind.version), kind.kind, capital(spoken.suffix)),
        "tags": [tag(kind)],
        "parameters": parameters,
        "responses": {
            "200": {"description": "OK", "content": content(&answer, BODIES)},
            "401": {"description": "Unauthorized"},
        },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk(spoken.kind),
    });
    if let Some((schema, types, required)) = body {
        out["requestBody"] = json!({"content": content(&schema, types), "required": required});
    }
    if verb == "create" {
        out["responses"]["201"] = json!({"description": "Created", "content": content(&answer, BODIES)});
    }
    out
}

fn content(schema: &Value, types: &[&str]) -> Value {
    Value::Object(types.iter().map(|t| ((*t).to_owned(), json!({"schema": schema}))).collect())
}

/// `apps_v1`, `core_v1`.
fn tag(kind: &Kind) -> String {
    let group = kind.group.split('.').next().filter(|g| !g.is_empty()).unwrap_or("core");
    format!("{group}_{}", kind.version)
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    match letters.next() {
        Some(first) => first.to_ascii_uppercase().to_string() + letters.as_str(),
        None => String::new(),
    }
}
