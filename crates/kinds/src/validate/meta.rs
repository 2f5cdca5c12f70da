//! Checks of metadata, of labels and annotations wherever they stand, and of label selectors.

use std::collections::BTreeSet;

use kiban_base::names;
use kiban_base::selector::LabelSelector;
use serde_json::Value;

use super::at::{At, dig, field, texts};
use super::cause::{Causes, quote};
use super::rule::{self, dns_label};
use super::same::same;

const ANNOTATIONS_MAX: usize = 256 * 1024;
const STANDARD_FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

/// The rule for a kind's names.
#[derive(Clone, Copy)]
pub(crate) enum Names {
    /// Dots allowed, up to 253 characters: most kinds.
    Subdomain,
    /// No dots, up to 63 characters.
    Label,
    /// Whatever fits into a URL: RBAC kinds.
    Segment,
    /// A rule of the kind's own, which looks at the whole name.
    Own(fn(&str) -> Vec<String>),
}

impl Names {
    /// What speaks against a name; `prefix` is a `generateName`, which may end in a dash.
    pub(crate) fn check(self, name: &str, prefix: bool) -> Vec<String> {
        let masked = if prefix { names::mask_generate_name(name) } else { name.to_string() };
        match self {
            Names::Subdomain => names::check_dns1123_subdomain(&masked),
            Names::Label => names::check_dns1123_label(&masked),
            Names::Segment => names::check_path_segment(name),
            Names::Own(check) => check(name),
        }
    }
}

/// Metadata of a new object of a built-in kind. `namespaced` is unknown for kinds that are not built in.
pub(crate) fn create(object: &At<'_, '_>, namespaced: Option<bool>, names: Names, out: &mut Causes) {
    create_any(object, namespaced, names, out);
    kube_finalizers(&object.get("metadata").get("finalizers"), out);
}

/// Metadata of any new object: finalizers may have any name.
pub(crate) fn create_any(object: &At<'_, '_>, namespaced: Option<bool>, names: Names, out: &mut Causes) {
    let meta = object.get("metadata");
    let generate = meta.get("generateName");
    if !generate.is_empty() {
        out.invalid_each(generate, generate.str(), names.check(generate.str(), true));
    }
    let name = meta.get("name");
    if name.is_empty() {
        out.required(name, "name or generateName is required");
    } else {
        out.invalid_each(name, name.str(), names.check(name.str(), false));
    }
    namespace(&meta.get("namespace"), namespaced, out);
    rule::not_negative(&meta.get("generation"), out);
    parts(&meta, out);
    let finalizers = meta.get("finalizers");
    finalizer_list(&finalizers, out);
}

fn namespace(at: &At<'_, '_>, namespaced: Option<bool>, out: &mut Causes) {
    match namespaced {
        Some(true) if at.is_empty() => out.required(at, ""),
        Some(true) => dns_label(at, out),
        Some(false) if !at.is_empty() => out.forbidden(at, "not allowed on this type"),
        _ => {}
    }
}

fn parts(meta: &At<'_, '_>, out: &mut Causes) {
    labels(&meta.get("labels"), out);
    annotations(&meta.get("annotations"), out);
    owner_references(&meta.get("ownerReferences"), out);
}

/// Metadata of an object of a built-in kind that takes an old one's place. `conditional` kinds demand a
/// resourceVersion.
pub(crate) fn update(old: &Value, new: &At<'_, '_>, conditional: bool, out: &mut Causes) {
    update_any(old, new, conditional, out);
    kube_finalizers(&new.get("metadata").get("finalizers"), out);
}

/// The same of any object: finalizers may have any name.
pub(crate) fn update_any(old: &Value, new: &At<'_, '_>, conditional: bool, out: &mut Causes) {
    let meta = new.get("metadata");
    let before = field(old, "metadata");
    let finalizers = meta.get("finalizers");
    if !field(before, "deletionTimestamp").is_null() {
        no_new_finalizers(&finalizers, field(before, "finalizers"), out);
    }
    let version = meta.get("resourceVersion");
    if conditional && version.is_empty() {
        out.invalid(version, "", "must be specified for an update");
    }
    let generation = meta.get("generation");
    rule::not_negative(&generation, out);
    if generation.int_or_zero() < field(before, "generation").as_i64().unwrap_or(0) {
        out.invalid(generation, generation.int_or_zero(), "must not be decremented");
    }
    for name in
        ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        immutable(field(before, name), &meta.get(name), out);
    }
    parts(&meta, out);
}

/// A field that keeps its first value.
pub(crate) fn immutable(old: &Value, new: &At<'_, '_>, out: &mut Causes) {
    if !same(old, new.value) {
        out.invalid(new, new, "field is immutable");
    }
}

/// [`immutable`] for a list of dotted paths below the object.
pub(crate) fn immutable_paths(old: &Value, new: &At<'_, '_>, paths: &[&str], out: &mut Causes) {
    for path in paths {
        let value = dig(new.value, path);
        if !same(dig(old, path), value) {
            out.invalid(new.path.child(path), value, "field is immutable");
        }
    }
}

/// A map of labels; causes name the map, not the key.
pub(crate) fn labels(at: &At<'_, '_>, out: &mut Causes) {
    for (key, value) in at.entries() {
        out.invalid_each(at, key, names::check_qualified_name(key));
        out.invalid_each(at, value.str(), names::check_label_value(value.str()));
    }
}

/// A map of annotations: keys as labels have them in any case, and a limit to the whole.
pub(crate) fn annotations(at: &At<'_, '_>, out: &mut Causes) {
    let mut size = 0_usize;
    for (key, value) in at.entries() {
        out.invalid_each(at, key, names::check_qualified_name(&key.to_lowercase()));
        size += key.len() + value.len();
    }
    if size > ANNOTATIONS_MAX {
        out.too_long(at, ANNOTATIONS_MAX);
    }
}

fn owner_references(at: &At<'_, '_>, out: &mut Causes) {
    let mut controller: Option<String> = None;
    for reference in at.items() {
        owner_reference(&reference, out);
        if !reference.get("controller").is_true() {
            continue;
        }
        let current = format!("{}/{}", reference.get("kind").str(), reference.get("name").str());
        match &controller {
            None => controller = Some(current),
            Some(first) => {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {current}"
                );
                out.invalid(at, at, &detail);
            }
        }
    }
}

fn owner_reference(at: &At<'_, '_>, out: &mut Causes) {
    let version = at.get("apiVersion");
    let parts: Vec<&str> = version.str().split('/').collect();
    if version.is_empty() {
        out.required(version, "must not be empty");
    } else if parts.len() > 2 || parts.last().is_none_or(|v| v.is_empty()) {
        out.invalid(version, version.str(), "must be <group>/<version> or <version>");
    }
    for name in ["kind", "name", "uid"] {
        let part = at.get(name);
        if part.is_empty() {
            out.required(part, "must not be empty");
        }
    }
    if version.str() == "v1" && at.get("kind").str() == "Event" {
        out.invalid(at, at, "/v1, Kind=Event is disallowed from being an owner");
    }
}

fn finalizer_list(at: &At<'_, '_>, out: &mut Causes) {
    for name in texts(at.value) {
        out.invalid_each(at, name, names::check_qualified_name(name));
    }
    let has = |wanted: &str| texts(at.value).any(|name| name == wanted);
    if has("orphan") && has("foregroundDeletion") {
        out.invalid(at, at, "finalizer orphan and foregroundDeletion cannot be both set");
    }
}

fn kube_finalizers(at: &At<'_, '_>, out: &mut Causes) {
    for item in at.items() {
        kube_finalizer(&item, out);
    }
}

/// A finalizer without a domain has to be one of Kubernetes' own.
pub(crate) fn kube_finalizer(at: &At<'_, '_>, out: &mut Causes) {
    let name = at.str();
    if !name.contains('/') && !STANDARD_FINALIZERS.contains(&name) {
        out.invalid(at, name, "name is neither a standard finalizer name nor is it fully qualified");
    }
}

fn no_new_finalizers(at: &At<'_, '_>, old: &Value, out: &mut Causes) {
    let before: BTreeSet<&str> = texts(old).collect();
    let extra: BTreeSet<&str> = texts(at.value).filter(|name| !before.contains(name)).collect();
    if !extra.is_empty() {
        let list: Vec<String> = extra.iter().map(|name| quote(name)).collect();
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            list.join(", ")
        );
        out.forbidden(at, &detail);
    }
}

/// A label selector: its labels and the shape of each expression. Absent passes.
pub(crate) fn label_selector(at: &At<'_, '_>, out: &mut Causes) {
    if !at.is_set() {
        return;
    }
    labels(&at.get("matchLabels"), out);
    for expression in at.get("matchExpressions").items() {
        requirement(&expression, out);
    }
}

fn requirement(at: &At<'_, '_>, out: &mut Causes) {
    let operator = at.get("operator");
    let values = at.get("values");
    match operator.str() {
        "In" | "NotIn" if values.is_empty() => {
            out.required(values, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if !values.is_empty() => {
            out.forbidden(values, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
        other => out.invalid(operator, other, "not a valid selector operator"),
    }
    rule::qualified_name(&at.get("key"), out);
    for value in values.items() {
        out.invalid_each(value, value.str(), names::check_label_value(value.str()));
    }
}

/// Whether a selector has neither labels nor expressions.
pub(crate) fn selects_all(selector: &Value) -> bool {
    field(selector, "matchLabels").as_object().is_none_or(serde_json::Map::is_empty)
        && field(selector, "matchExpressions").as_array().is_none_or(Vec::is_empty)
}

/// Whether a selector matches labels; `None` for one that cannot be understood. An absent selector
/// matches nothing, an empty one everything.
pub(crate) fn selector_matches(selector: &Value, labels: &Value) -> Option<bool> {
    LabelSelector::from_object(selector).ok().map(|selector| selector.matches(&labels.as_object()))
}
