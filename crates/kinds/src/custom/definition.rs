//! Whether a CustomResourceDefinition can be served: its schemas, columns, subresources and conversion.

use serde_json::Value;

use super::jsonpath::JsonPath;
use super::schema::{Node, Type};
use super::structural;
use crate::validate::at::{At, Path, field, list, text};
use crate::validate::cause::Causes;

/// Fields that a version may be selected by.
const MAX_SELECTABLE: usize = 8;

/// What the versions of a definition have in common is refused once, under the name that it has as a
/// whole: a single version's schema is `spec.validation`.
fn hoisted(spec: &At<'_, '_>, name: &str) -> bool {
    let versions = list(field(spec.value, "versions"));
    let Some(first) = versions.first().map(|v| field(v, name)) else { return false };
    !first.is_null() && versions.iter().all(|v| field(v, name) == first)
}

/// The checks of a definition's spec that lie in its versions, and of its conversion.
pub(crate) fn check(spec: &At<'_, '_>, out: &mut Causes) {
    let shared = |name: &str| hoisted(spec, name);
    for (i, version) in spec.get("versions").items().enumerate() {
        let top = |name: &str| (i == 0 && shared(name), shared(name));
        schema(spec, &version, top("schema"), out);
        let (first, whole) = top("subresources");
        if !whole || first {
            let path =
                if whole { spec.path.child("subresources") } else { version.path.child("subresources") };
            subresources(&At { value: field(version.value, "subresources"), path }, out);
        }
        let (first, whole) = top("additionalPrinterColumns");
        if !whole || first {
            let name = "additionalPrinterColumns";
            let path = if whole { spec.path.child(name) } else { version.path.child(name) };
            columns(&At { value: field(version.value, name), path }, out);
        }
        let (first, whole) = top("selectableFields");
        if !whole || first {
            let name = "selectableFields";
            let path = if whole { spec.path.child(name) } else { version.path.child(name) };
            let node = Node::read(crate::validate::at::dig(version.value, "schema.openAPIV3Schema"));
            selectable(&At { value: field(version.value, name), path }, &node, out);
        }
        deprecation(&version, out);
    }
    conversion(&spec.get("conversion"), out);
    if spec.get("preserveUnknownFields").is_true() {
        let why = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        out.invalid(spec.get("preserveUnknownFields"), true, why);
    }
}

fn schema(spec: &At<'_, '_>, version: &At<'_, '_>, (first, whole): (bool, bool), out: &mut Causes) {
    let own = version.get("schema");
    if !own.get("openAPIV3Schema").is_set() {
        return out.required(own.get("openAPIV3Schema"), "");
    }
    if whole && !first {
        return;
    }
    let path: Path<'_> = if whole { spec.path.child("validation") } else { own.path };
    let place = At { value: own.value, path };
    let root = place.get("openAPIV3Schema");
    if version.get("subresources").get("status").is_set() {
        structural::root_with_status(&root, out);
    }
    if root.get("nullable").is_true() {
        out.forbidden(root.get("nullable"), "nullable cannot be true at the root");
    }
    structural::check(&root, out);
}

fn simple_path(at: &At<'_, '_>, roots: &[&str], detail: &str, out: &mut Causes) {
    if !at.str().starts_with('.') {
        out.invalid(at, at.str(), "must be a simple json path starting with .");
    } else if !roots.is_empty() && !roots.iter().any(|r| at.str().starts_with(r)) {
        out.invalid(at, at.str(), detail);
    }
}

fn subresources(at: &At<'_, '_>, out: &mut Causes) {
    let scale = at.get("scale");
    if !scale.is_set() {
        return;
    }
    for (name, root, detail) in [
        ("specReplicasPath", ".spec.", "should be a json path under .spec"),
        ("statusReplicasPath", ".status.", "should be a json path under .status"),
    ] {
        let path = scale.get(name);
        match path.is_empty() {
            true => out.required(path, ""),
            false => simple_path(&path, &[root], detail, out),
        }
    }
    let selector = scale.get("labelSelectorPath");
    if !selector.is_empty() {
        let detail = "should be a json path under either .spec or .status";
        simple_path(&selector, &[".spec.", ".status."], detail, out);
    }
}

fn columns(at: &At<'_, '_>, out: &mut Causes) {
    const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
    const FORMATS: [&str; 9] =
        ["byte", "date", "date-time", "double", "float", "int32", "int64", "name", "password"];
    for column in at.items() {
        let (type_, format, path) = (column.get("type"), column.get("format"), column.get("jsonPath"));
        if column.get("name").is_empty() {
            out.required(column.get("name"), "");
        }
        let known = format!("must be one of {}", TYPES.join(","));
        if type_.is_empty() {
            out.required(type_, &known);
        } else if !TYPES.contains(&type_.str()) {
            out.invalid(type_, type_.str(), &known);
        }
        if !format.is_empty() && !FORMATS.contains(&format.str()) {
            out.invalid(format, format.str(), &format!("must be one of {}", FORMATS.join(",")));
        }
        let named = At { value: path.value, path: column.path.child("JSONPath") };
        match path.is_empty() {
            true => out.required(named, ""),
            false => simple_path(&named, &[], "", out),
        }
    }
}

fn selectable(at: &At<'_, '_>, schema: &Node, out: &mut Causes) {
    let mut seen: Vec<&str> = Vec::new();
    for item in at.items() {
        let path = item.get("jsonPath");
        if path.is_empty() {
            out.required(path, "");
            continue;
        }
        let fields = JsonPath::parse(path.str())
            .and_then(|p| p.fields().ok_or_else(|| "only fields may be named".into()));
        let found = fields.and_then(|f| {
            let node = schema.at(&f).ok_or_else(|| "does not refer to a valid field".to_owned());
            node.map(|n| (f.clone(), n))
        });
        match found {
            Err(why) => out.invalid(path, path.str(), &format!("is an invalid path: {why}")),
            Ok((names, node)) => {
                if names.first().is_some_and(|n| n == "metadata") {
                    out.invalid(path, path.str(), "must not point to fields in metadata");
                }
                if !matches!(node.type_, Type::String | Type::Boolean | Type::Integer) {
                    let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
                    out.invalid(path, path.str(), why);
                }
            }
        }
        if seen.contains(&path.str()) {
            out.duplicate(path, path.str());
        }
        seen.push(text(path.value));
    }
    if seen.len() > MAX_SELECTABLE {
        out.too_many(at, seen.len(), MAX_SELECTABLE);
    }
}

fn deprecation(version: &At<'_, '_>, out: &mut Causes) {
    let warning = version.get("deprecationWarning");
    if !warning.is_set() {
        return;
    }
    let why = if !version.get("deprecated").is_true() {
        "can only be set for deprecated versions"
    } else if warning.len() > 256 {
        "must be <= 256 characters long"
    } else if warning.is_empty() {
        "must not be an empty string"
    } else {
        return;
    };
    out.invalid(warning, warning.str(), why);
}

fn conversion(at: &At<'_, '_>, out: &mut Causes) {
    match at.get("strategy").str() {
        "" | "None" => {
            if at.get("webhook").is_set() {
                let why = "should not be set when strategy is not set to Webhook";
                out.forbidden(at.get("webhookClientConfig"), why);
            }
        }
        "Webhook" => {
            let why = "conversion by webhook is not supported by the embedded cluster; use None, with which only apiVersion changes between versions";
            out.forbidden(at.get("strategy"), why);
        }
        other => out.unsupported(at.get("strategy"), other, &["None", "Webhook"]),
    }
}

/// The annotation that groups of the community need.
pub const APPROVAL: &str = "api-approved.kubernetes.io";

/// What an annotation of approval says, for groups that need one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Approval {
    /// A link to who approved it.
    Approved,
    /// It says that nobody did.
    Bypassed,
    /// It says neither.
    Invalid,
    /// It is not there.
    Missing,
}

impl Approval {
    /// The approval of a definition, `None` where its group needs none; and a sentence on it.
    pub fn of(definition: &Value) -> Option<(Self, String)> {
        let group = text(crate::validate::at::dig(definition, "spec.group"));
        let protected = ["k8s.io", "kubernetes.io"]
            .iter()
            .any(|own| group == *own || group.strip_suffix(own).is_some_and(|g| g.ends_with('.')));
        if !protected {
            return None;
        }
        let given = text(field(field(field(definition, "metadata"), "annotations"), APPROVAL));
        let link =
            ["https://", "http://"].iter().any(|s| given.strip_prefix(s).is_some_and(|r| !r.is_empty()));
        Some(if given.is_empty() {
            let why = format!(
                "protected groups must have approval annotation \"{APPROVAL}\", see https://github.com/kubernetes/enhancements/pull/1111"
            );
            (Self::Missing, why)
        } else if given.starts_with("unapproved") {
            (Self::Bypassed, format!("not approved: {}", crate::validate::cause::quote(given)))
        } else if link {
            (Self::Approved, format!("approved in {given}"))
        } else {
            let why = format!(
                "protected groups must have approval annotation \"{APPROVAL}\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111"
            );
            (Self::Invalid, why)
        })
    }
}

/// A group of the community needs its annotation.
pub(crate) fn approval(at: &At<'_, '_>, out: &mut Causes) {
    let Some((state, why)) = Approval::of(at.value) else { return };
    let meta = at.get("metadata");
    let annotations = meta.get("annotations");
    let place = annotations.path.key(APPROVAL);
    match state {
        Approval::Approved | Approval::Bypassed => {}
        Approval::Missing => out.required(place, &why),
        Approval::Invalid => out.invalid(place, text(field(annotations.value, APPROVAL)), &why),
    }
}
