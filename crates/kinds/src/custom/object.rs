//! What the API server does to a custom object before it is stored, and what it refuses.

use serde_json::{Map, Value};

use super::jsonpath::JsonPath;
use super::schema::Node;
use super::{lists, values};
use crate::validate::Cause;
use crate::validate::at::{At, Path, dig, field, text};
use crate::validate::cause::{Causes, Reason};
use crate::validate::meta;

/// Where the scale of a custom kind lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScalePaths {
    /// Field names to `spec.replicas`.
    pub spec: Vec<String>,
    /// Field names to `status.replicas`.
    pub status: Vec<String>,
    /// Field names to the selector's text.
    pub selector: Option<Vec<String>>,
}

impl ScalePaths {
    /// Reads `subresources.scale`; `None` where there is none.
    pub fn read(scale: &Value) -> Option<Self> {
        let names =
            |key: &str| JsonPath::parse(text(field(scale, key))).ok()?.fields().filter(|f| !f.is_empty());
        Some(Self {
            spec: names("specReplicasPath")?,
            status: names("statusReplicasPath")?,
            selector: names("labelSelectorPath"),
        })
    }
}

/// What of a version decides how its objects are written.
#[derive(Debug, Clone)]
pub struct Rules<'a> {
    /// The schema.
    pub schema: &'a Node,
    /// Status is a subresource.
    pub status: bool,
    /// Scale is a subresource.
    pub scale: Option<&'a ScalePaths>,
    /// Objects live in a namespace.
    pub namespaced: bool,
}

/// Makes a new object what is stored: no status of the client's, generation 1.
pub fn create(rules: &Rules<'_>, object: &mut Value) {
    if rules.status
        && let Some(map) = object.as_object_mut()
    {
        map.remove("status");
    }
    set_generation(object, 1);
}

/// Makes a written object one that may take `old`'s place.
pub fn update(rules: &Rules<'_>, old: &Value, new: &mut Value) {
    if rules.status {
        keep(old, new, "status");
    }
    let generation = dig(old, "metadata.generation").as_i64().unwrap_or(0);
    let changed = without_meta(old) != without_meta(new);
    set_generation(new, generation + i64::from(changed));
}

/// Makes an object written to its status one that may take `old`'s place: only the status, and what
/// metadata may change.
pub fn status_update(old: &Value, new: &mut Value) {
    let status = new.get("status").cloned();
    let metadata = new.get("metadata").cloned();
    *new = old.clone();
    let Some(map) = new.as_object_mut() else { return };
    match status {
        Some(status) => map.insert("status".into(), status),
        None => map.remove("status"),
    };
    // Upstream takes the managedFields alone from the request's metadata.
    let managed = metadata.as_ref().and_then(|m| m.get("managedFields")).cloned();
    if let (Some(managed), Some(meta)) = (managed, map.get_mut("metadata").and_then(Value::as_object_mut)) {
        meta.insert("managedFields".into(), managed);
    }
}

fn without_meta(object: &Value) -> Vec<(&String, &Value)> {
    let members = object.as_object().into_iter().flat_map(Map::iter);
    // The version is how it is shown, not what it is.
    members.filter(|(k, _)| !matches!(k.as_str(), "metadata" | "apiVersion")).collect()
}

fn keep(old: &Value, new: &mut Value, name: &str) {
    let Some(map) = new.as_object_mut() else { return };
    match old.get(name) {
        Some(value) => map.insert(name.into(), value.clone()),
        None => map.remove(name),
    };
}

fn set_generation(object: &mut Value, generation: i64) {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.insert("generation".into(), generation.into());
    }
}

/// What speaks against storing a new object.
pub fn validate_create(rules: &Rules<'_>, object: &Value) -> Vec<Cause> {
    let mut out = Causes::default();
    meta::create_any(&At::root(object), Some(rules.namespaced), meta::Names::Subdomain, &mut out);
    for cause in values::validate(object, rules.schema) {
        out.add(cause);
    }
    scale_values(rules, object, true, &mut out);
    lists::check(object, rules.schema, &Path::ROOT, &mut out, 0);
    with_rules(rules, object, None, out.into_vec())
}

/// What speaks against an object taking an old one's place. What was there before and is no part of the
/// change is not held against it.
pub fn validate_update(rules: &Rules<'_>, old: &Value, new: &Value) -> Vec<Cause> {
    let mut out = Causes::default();
    meta::update_any(old, &At::root(new), true, &mut out);
    let found = values::validate(new, rules.schema);
    if !found.is_empty() {
        for cause in ratcheted(found, old, new) {
            out.add(cause);
        }
    }
    scale_values(rules, new, true, &mut out);
    let mut before = Causes::default();
    lists::check(old, rules.schema, &Path::ROOT, &mut before, 0);
    if before.len() == 0 {
        lists::check(new, rules.schema, &Path::ROOT, &mut out, 0);
    }
    with_rules(rules, new, Some(old), out.into_vec())
}

/// What speaks against the status that `new` brings.
pub fn validate_status(rules: &Rules<'_>, old: &Value, new: &Value) -> Vec<Cause> {
    let mut out = Causes::default();
    meta::update_any(old, &At::root(new), true, &mut out);
    if let (Some(node), Some(status)) = (rules.schema.properties.get("status"), new.get("status")) {
        let root = Path::ROOT;
        values::validate_at(status, node, &root.child("status"), &mut out);
    }
    scale_values(rules, new, false, &mut out);
    with_rules(rules, new, Some(old), out.into_vec())
}

/// Faults of values that did not change are left alone (upstream's ratcheting).
fn ratcheted(found: Vec<Cause>, old: &Value, new: &Value) -> Vec<Cause> {
    let unchanged = |cause: &Cause| {
        // What must be there and is not is a fault of the object around it.
        let path = match cause.reason {
            Reason::Required => cause.field.rsplit_once('.').map_or("", |(parent, _)| parent),
            _ => cause.field.as_str(),
        };
        if path.is_empty() || path == "<nil>" {
            return false;
        }
        // Items of lists are not the same for standing at the same place.
        let path = path.split('[').next().unwrap_or_default();
        let (before, after) = (dig(old, path), dig(new, path));
        !before.is_null() && before == after
    };
    found.into_iter().filter(|c| !unchanged(c)).collect()
}

fn scale_values(rules: &Rules<'_>, object: &Value, spec: bool, out: &mut Causes) {
    let Some(paths) = rules.scale else { return };
    let all = [(&paths.spec, spec), (&paths.status, true)];
    for (path, _) in all.into_iter().filter(|(_, wanted)| *wanted) {
        let value = path.iter().try_fold(object, |v, name| v.get(name));
        let Some(count) = value.and_then(Value::as_i64) else { continue };
        let place = format!(".{}", path.join("."));
        if count < 0 {
            out.invalid(place.as_str(), count, "should be a non-negative integer");
        } else if count > i64::from(i32::MAX) {
            let why = format!("should be less than or equal to {}", i32::MAX);
            out.invalid(place.as_str(), count, &why);
        }
    }
}

/// The causes that the schema's rules add, unless others keep them from being run.
fn with_rules(rules: &Rules<'_>, new: &Value, old: Option<&Value>, mut causes: Vec<Cause>) -> Vec<Cause> {
    if rules.schema.has_rules() {
        match blocks_rules(&causes) {
            Some(why) => causes.push(why),
            None => causes.extend(super::rules::check(new, old, rules.schema)),
        }
    }
    causes
}

/// Whether these causes are of those that keep rules from being run, and the cause that says so.
fn blocks_rules(causes: &[Cause]) -> Option<Cause> {
    let blocking = |c: &&Cause| {
        matches!(
            c.reason,
            Reason::NotSupported | Reason::Required | Reason::TooLong | Reason::TooMany | Reason::TypeInvalid
        )
    };
    causes.iter().find(blocking).map(|_| Cause {
        field: "<nil>".to_owned(),
        reason: Reason::Invalid,
        message: "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation".to_owned(),
    })
}

/// What clients are warned of: finalizers that are nobody's in particular.
pub fn warnings(old: Option<&Value>, new: &Value) -> Vec<String> {
    let of = |v: &Value| -> Vec<String> {
        crate::validate::at::texts(dig(v, "metadata.finalizers")).map(str::to_owned).collect()
    };
    let before = old.map(of).unwrap_or_default();
    let mut out = Vec::new();
    for name in of(new).iter().filter(|n| !before.contains(n) && !n.contains('/')) {
        if ["kubernetes", "orphan", "foregroundDeletion"].contains(&name.as_str()) {
            continue;
        }
        let including = if name.contains('.') { " including a path (/)" } else { "" };
        out.push(format!(
            "metadata.finalizers: {}: prefer a domain-qualified finalizer name{including} to avoid accidental conflicts with other finalizer writers",
            crate::validate::cause::quote(name)
        ));
    }
    out
}
