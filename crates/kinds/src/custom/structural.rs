//! Whether a schema is structural, and what else the API server demands of one.
//!
//! Contract: apiextensions-apiserver `pkg/apiserver/schema/{validation,complete}.go`, and the walk over the
//! whole schema in `pkg/apis/apiextensions/validation/validation.go`.

use serde_json::Value;

use super::cel::Program;
use super::pattern::Pattern;
use super::schema::{MAX_DEPTH, Node, Type};
use super::{prune, values};
use crate::validate::at::{At, dig, field, list, text};
use crate::validate::cause::Causes;

/// Where in a resource a schema stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// What speaks against a schema.
pub(super) fn check(root: &At<'_, '_>, out: &mut Causes) {
    let mut structural = Causes::default();
    invariants(root, Level::Root, &mut structural, 0);
    complete(root, root, root, &mut structural, 0);
    structural.sort();
    let sound = structural.len() == 0;
    out.append(structural);
    let mut places = Causes::default();
    place(root, Place::Root, &mut places, 0);
    out.append(places);
    if sound {
        defaults(root, &Node::read(root.value), out, 0);
    }
}

fn flag(at: &At<'_, '_>, name: &str) -> bool {
    at.get(name).is_true()
}

/// The invariants of the structural part of a schema.
fn invariants(at: &At<'_, '_>, level: Level, out: &mut Causes, depth: usize) {
    if depth > MAX_DEPTH {
        return out.invalid_here(at, "is nested too deeply");
    }
    let (type_, items) = (at.get("type"), at.get("items"));
    if type_.str() == "array" && !items.is_set() {
        out.required(items, "must be specified");
    }
    if items.is_set() {
        invariants(&items, Level::Item, out, depth + 1);
    }
    for (_, below) in at.get("properties").entries() {
        invariants(&below, Level::Field, out, depth + 1);
    }
    let additional = at.get("additionalProperties");
    if additional.is_set() && additional.value != &Value::Bool(false) {
        if level == Level::Root {
            out.forbidden(additional, "must not be used at the root");
        }
        if additional.value.is_object() {
            invariants(&additional, Level::Field, out, depth + 1);
        }
    }
    extensions(at, out);
    let (any_of, first) = (int_or_string(&at.get("anyOf")), first_all_of(at));
    nested_checks(at, any_of, first, out, depth);
    types(at, level, out);
    metadata(at, level, out);
    let embedded = flag(at, "x-kubernetes-embedded-resource");
    if embedded && !flag(at, "x-kubernetes-preserve-unknown-fields") && at.get("properties").is_empty() {
        out.required(
            at.get("properties"),
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
        );
    }
}

fn extensions(at: &At<'_, '_>, out: &mut Causes) {
    if !flag(at, "x-kubernetes-int-or-string") {
        return;
    }
    for name in ["x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"] {
        if flag(at, name) {
            out.invalid(at.get(name), true, "must be false if x-kubernetes-int-or-string is true");
        }
    }
}

fn types(at: &At<'_, '_>, level: Level, out: &mut Causes) {
    let type_ = at.get("type");
    let embedded = flag(at, "x-kubernetes-embedded-resource");
    let untyped = flag(at, "x-kubernetes-int-or-string") || flag(at, "x-kubernetes-preserve-unknown-fields");
    if embedded && type_.str() != "object" {
        let why = "must be object if x-kubernetes-embedded-resource is true";
        match type_.is_empty() {
            true => out.required(type_, why),
            false => out.invalid(type_, type_.str(), why),
        }
    } else if type_.is_empty() && !untyped {
        let why = match level {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        };
        out.required(type_, why);
    }
    let additional = at.get("additionalProperties");
    if embedded && additional.is_set() {
        out.forbidden(additional, "must not be used if x-kubernetes-embedded-resource is set");
    }
    if level == Level::Root && !type_.is_empty() && type_.str() != "object" {
        out.invalid(type_, type_.str(), "must be object at the root");
    }
}

/// What a schema says of the fields that every resource has.
fn metadata(at: &At<'_, '_>, level: Level, out: &mut Causes) {
    let resource = level == Level::Root || flag(at, "x-kubernetes-embedded-resource");
    let properties = at.get("properties");
    for (name, below) in properties.entries() {
        let type_ = below.get("type");
        match name {
            "kind" | "apiVersion" if resource && type_.str() != "string" => {
                out.invalid(type_, type_.str(), "must be string");
            }
            "metadata" => {
                if resource && type_.str() != "object" {
                    out.invalid(type_, type_.str(), "must be object");
                }
                if level == Level::Root && !only_names(below.value) {
                    let why = "must not specify anything other than name and generateName, but metadata is implicitly specified";
                    out.forbidden(below, why);
                }
            }
            _ => {}
        }
    }
}

/// The schema of the root's metadata speaks of `name` and `generateName` alone.
fn only_names(schema: &Value) -> bool {
    let Some(map) = schema.as_object() else { return true };
    map.iter().all(|(key, value)| match key.as_str() {
        "type" | "default" => true,
        "properties" => {
            value.as_object().is_none_or(|p| p.keys().all(|k| k == "name" || k == "generateName"))
        }
        _ => value.is_null() || value == false || value == "",
    })
}

/// `anyOf: [{type: integer}, {type: string}]`, which alone may name types below.
fn int_or_string(any_of: &At<'_, '_>) -> bool {
    let only = |v: &Value, type_: &str| {
        v.as_object().is_some_and(|m| m.len() == 1) && text(field(v, "type")) == type_
    };
    matches!(list(any_of.value), [a, b] if only(a, "integer") && only(b, "string"))
}

fn first_all_of(at: &At<'_, '_>) -> bool {
    let all = at.get("allOf");
    all.items().next().is_some_and(|first| int_or_string(&first.get("anyOf")))
}

/// The checks of a schema: what stands below `anyOf` and its like.
fn nested_checks(at: &At<'_, '_>, skip_any_of: bool, skip_first: bool, out: &mut Causes, depth: usize) {
    if !skip_any_of {
        for below in at.get("anyOf").items() {
            nested(&below, false, out, depth + 1);
        }
    }
    for (i, below) in at.get("allOf").items().enumerate() {
        nested(&below, skip_first && i == 0, out, depth + 1);
    }
    for below in at.get("oneOf").items() {
        nested(&below, false, out, depth + 1);
    }
    if at.get("not").is_set() {
        nested(&at.get("not"), false, out, depth + 1);
    }
    let pattern = at.get("pattern");
    if !pattern.is_empty()
        && let Err(why) = Pattern::new(pattern.str())
    {
        let detail = format!("must be a valid regular expression, but isn't: {why}");
        out.invalid(pattern, pattern.str(), &detail);
    }
}

fn nested(at: &At<'_, '_>, skip_any_of: bool, out: &mut Causes, depth: usize) {
    const FORBIDDEN: [(&str, &str); 12] = [
        ("type", "must be empty to be structural"),
        ("additionalProperties", "must be undefined to be structural"),
        ("default", "must be undefined to be structural"),
        ("title", "must be empty to be structural"),
        ("description", "must be empty to be structural"),
        ("nullable", "must be false to be structural"),
        ("x-kubernetes-preserve-unknown-fields", "must be false to be structural"),
        ("x-kubernetes-embedded-resource", "must be false to be structural"),
        ("x-kubernetes-int-or-string", "must be false to be structural"),
        ("x-kubernetes-list-map-keys", "must be empty to be structural"),
        ("x-kubernetes-list-type", "must be undefined to be structural"),
        ("x-kubernetes-map-type", "must be undefined to be structural"),
    ];
    if depth > MAX_DEPTH {
        return out.invalid_here(at, "is nested too deeply");
    }
    nested_checks(at, skip_any_of, false, out, depth);
    if at.get("items").is_set() {
        nested(&at.get("items"), false, out, depth + 1);
    }
    let properties = at.get("properties");
    for (_, below) in properties.entries() {
        nested(&below, false, out, depth + 1);
    }
    for (name, why) in FORBIDDEN {
        let part = at.get(name);
        let set = match part.value {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        };
        if set {
            out.forbidden(part, why);
        }
    }
    if !at.get("x-kubernetes-validations").is_empty() {
        out.forbidden(at.get("x-kubernetes-validations"), "must be empty to be structural");
    }
    if properties.get("metadata").is_set() {
        out.forbidden(properties.path.key("metadata"), "must not be specified in a nested context");
    }
}

/// Every field that a check speaks of is declared outside of checks too.
fn complete(checks: &At<'_, '_>, structure: &At<'_, '_>, root: &At<'_, '_>, out: &mut Causes, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    for name in ["allOf", "anyOf", "oneOf"] {
        for below in checks.get(name).items() {
            complete_nested(&below, structure, root, out, depth + 1);
        }
    }
    if checks.get("not").is_set() {
        complete_nested(&checks.get("not"), structure, root, out, depth + 1);
    }
}

fn complete_nested(
    checks: &At<'_, '_>,
    structure: &At<'_, '_>,
    root: &At<'_, '_>,
    out: &mut Causes,
    depth: usize,
) {
    if depth > MAX_DEPTH {
        return;
    }
    let because = |at: &At<'_, '_>| format!("because it is defined in {}", at.path);
    complete(checks, structure, root, out, depth);
    let items = checks.get("items");
    if items.is_set() {
        let own = structure.get("items");
        match own.is_set() {
            true => complete_nested(&items, &own, root, out, depth + 1),
            false => out.required(own, &because(&items)),
        }
    }
    let properties = structure.get("properties");
    for (name, below) in checks.get("properties").entries() {
        let own = field(properties.value, name);
        let own = At { value: own, path: properties.path.key(name) };
        match own.is_set() {
            true => complete_nested(&below, &own, root, out, depth + 1),
            false => out.required(own, &because(&below)),
        }
    }
}

/// Where the walk over the whole schema is, as far as defaults are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The root.
    Root,
    /// Below.
    Below,
    /// In one of the fields that every resource has, at the root.
    RootMeta,
    /// In those of an embedded resource.
    Meta,
    /// In the values of a map of metadata.
    MetaMap,
}

const UNSUPPORTED: [(&str, &str); 6] = [
    ("id", "id is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("patternProperties", "patternProperties is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("$ref", "$ref is not supported"),
];

/// The demands on each place of a schema, structural or not.
fn place(at: &At<'_, '_>, here: Place, out: &mut Causes, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    keywords(at, here, out);
    let additional = at.get("additionalProperties");
    let properties = at.get("properties");
    if additional.is_set() && !properties.is_empty() && additional.value != &Value::Bool(true) {
        out.forbidden(additional, "additionalProperties and properties are mutual exclusive");
    }
    if additional.value.is_object() {
        let inside =
            if matches!(here, Place::RootMeta | Place::Meta) { Place::MetaMap } else { here.below() };
        place(&additional, inside, out, depth + 1);
    }
    for (name, below) in properties.entries() {
        let meta = matches!(name, "metadata" | "kind" | "apiVersion");
        let inside = match here {
            Place::Root if meta => Place::RootMeta,
            _ if meta && flag(at, "x-kubernetes-embedded-resource") => Place::Meta,
            other => other.below(),
        };
        place(&below, inside, out, depth + 1);
    }
    for name in ["allOf", "oneOf", "anyOf"] {
        for below in at.get(name).items() {
            place(&below, here.below(), out, depth + 1);
        }
    }
    for name in ["not", "items"] {
        if at.get(name).value.is_object() {
            place(&at.get(name), here.below(), out, depth + 1);
        }
    }
    lists_and_maps(at, out);
    rules(at, out);
}

impl Place {
    fn below(self) -> Self {
        if self == Self::Root { Self::Below } else { self }
    }
}

fn keywords(at: &At<'_, '_>, here: Place, out: &mut Causes) {
    let type_ = at.get("type");
    if Type::parse(type_.str()).is_none() {
        let known = ["array", "boolean", "integer", "number", "object", "string"];
        out.unsupported(type_, type_.str(), &known);
        if type_.str() == "null" {
            out.forbidden(type_, "type cannot be set to null, use nullable as an alternative");
        }
    }
    if at.get("default").is_set() {
        let why = match here {
            Place::RootMeta => Some(format!("in top-level {}", at.path.last_key().unwrap_or("metadata"))),
            Place::MetaMap => Some("inside additionalProperties applying to object metadata".to_owned()),
            _ => None,
        };
        if let Some(why) = why {
            out.forbidden(at.get("default"), &format!("must not be set {why}"));
        }
    }
    for (name, why) in UNSUPPORTED {
        if at.get(name).is_set() && !(at.get(name).is_empty() && name != "dependencies") {
            out.forbidden(at.get(name), why);
        }
    }
    if at.get("items").value.is_array() {
        out.forbidden(at.get("items"), "items must be a schema object and not an array");
    }
    if flag(at, "uniqueItems") {
        out.forbidden(
            at.get("uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        );
    }
    if matches!(here, Place::RootMeta | Place::Meta) && flag(at, "x-kubernetes-embedded-resource") {
        out.forbidden(at.get("x-kubernetes-embedded-resource"), "must not be used inside of resource meta");
    }
    if at.get("x-kubernetes-preserve-unknown-fields").value == &Value::Bool(false) {
        out.invalid(at.get("x-kubernetes-preserve-unknown-fields"), false, "must be true or undefined");
    }
}

fn lists_and_maps(at: &At<'_, '_>, out: &mut Causes) {
    let type_ = at.get("type");
    for (name, wanted) in [("x-kubernetes-map-type", "object"), ("x-kubernetes-list-type", "array")] {
        if at.get(name).is_set() && type_.str() != wanted {
            let why = format!("must be {wanted} if {name} is specified");
            match type_.is_empty() {
                true => out.required(type_, &why),
                false => out.invalid(type_, type_.str(), &why),
            }
        }
    }
    for (name, known) in [
        ("x-kubernetes-map-type", &["atomic", "granular"][..]),
        ("x-kubernetes-list-type", &["atomic", "set", "map"][..]),
    ] {
        let given = at.get(name);
        if given.is_set() && !known.contains(&given.str()) {
            out.unsupported(given, given.str(), known);
        }
    }
    let (kind, keys, items) =
        (at.get("x-kubernetes-list-type"), at.get("x-kubernetes-list-map-keys"), at.get("items"));
    if !keys.is_empty() && kind.str() != "map" {
        let why = "must be map if x-kubernetes-list-map-keys is non-empty";
        match kind.is_set() {
            false => out.required(kind, why),
            true => out.invalid(kind, kind.str(), why),
        }
    }
    match kind.str() {
        "set" => set_items(&items, out),
        "map" => keyed_items(&keys, &items, out),
        _ => {}
    }
}

fn set_items(items: &At<'_, '_>, out: &mut Causes) {
    let why = "must be atomic as item of a list with x-kubernetes-list-type=set";
    let (list, map) = (items.get("x-kubernetes-list-type"), items.get("x-kubernetes-map-type"));
    match items.get("type").str() {
        "array" if list.is_set() && list.str() != "atomic" => out.invalid(list, list.str(), why),
        "object" if map.str() != "atomic" => out.invalid(map, map.value, why),
        _ => {}
    }
    if flag(items, "nullable") {
        out.forbidden(items.get("nullable"), "cannot be nullable when x-kubernetes-list-type is set");
    }
}

fn keyed_items(keys: &At<'_, '_>, items: &At<'_, '_>, out: &mut Causes) {
    if keys.is_empty() {
        out.required(keys, "must not be empty if x-kubernetes-list-type is map");
    }
    if !items.is_set() {
        return out.required(items, "must have a schema if x-kubernetes-list-type is map");
    }
    let type_ = items.get("type");
    if type_.str() != "object" {
        return out.invalid(
            type_,
            type_.str(),
            "must be object if parent array's x-kubernetes-list-type is map",
        );
    }
    if flag(items, "nullable") {
        out.forbidden(items.get("nullable"), "cannot be nullable when x-kubernetes-list-type is map");
    }
    let required = items.get("required");
    let mut seen = Vec::new();
    for key in keys.items() {
        let properties = items.get("properties");
        let of = At { value: field(properties.value, key.str()), path: properties.path.key(key.str()) };
        if !of.is_set() {
            out.invalid(keys, keys, "entries must all be names of item properties");
        } else {
            if matches!(of.get("type").str(), "array" | "object") {
                let why = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                out.invalid(of.get("type"), type_.str(), why);
            }
            let is_required = list(required.value).iter().any(|r| r == key.value);
            if !is_required && !of.get("default").is_set() {
                let why = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
                out.required(of.get("default"), why);
            }
            if flag(&of, "nullable") {
                let why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
                out.forbidden(of.get("nullable"), why);
            }
        }
        if seen.contains(&key.str()) {
            out.invalid(keys, keys, "must not contain duplicate entries");
        }
        seen.push(key.str());
    }
}

fn rules(at: &At<'_, '_>, out: &mut Causes) {
    const REASONS: [&str; 4] =
        ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];
    for rule in at.get("x-kubernetes-validations").items() {
        let trimmed = |name: &str| text(field(rule.value, name)).trim().to_owned();
        let lines = |t: &str| t.contains(['\n', '\r']);
        let (expression, message) = (rule.get("rule"), rule.get("message"));
        if trimmed("rule").is_empty() {
            out.required(expression, "rule is not specified");
        } else if !message.is_empty() && trimmed("message").is_empty() {
            out.invalid(message, message.str(), "must be non-empty if specified");
        } else if lines(&trimmed("message")) {
            out.invalid(message, message.str(), "must not contain line breaks");
        } else if lines(&trimmed("rule")) && message.is_empty() {
            out.required(message, "message must be specified if rule contains line breaks");
        } else if let Err(why) = Program::new(expression.str())
            && why.starts_with("Syntax error")
        {
            out.invalid(expression, expression.str(), &format!("compilation failed: ERROR: <input>: {why}"));
        }
        let of = rule.get("messageExpression");
        if !of.is_empty() && trimmed("messageExpression").is_empty() {
            out.required(of, "messageExpression must be non-empty if specified");
        }
        let reason = rule.get("reason");
        if reason.is_set() && !REASONS.contains(&reason.str()) {
            out.unsupported(reason, reason.str(), &REASONS);
        }
        let path = rule.get("fieldPath");
        if !path.is_empty() && trimmed("fieldPath").is_empty() {
            out.invalid(path, path.str(), "must be non-empty if specified");
        }
        if lines(path.str()) {
            out.invalid(path, path.str(), "must not contain line breaks");
        }
    }
}

/// Defaults are values of their place.
fn defaults(at: &At<'_, '_>, node: &Node, out: &mut Causes, depth: usize) {
    if depth > MAX_DEPTH {
        return;
    }
    let default = at.get("default");
    if default.is_set() {
        let mut pruned = default.value.clone();
        let whole = Node { embedded: node.embedded, ..node.clone() };
        prune::below(&mut pruned, &whole);
        if &pruned != default.value {
            out.invalid(default, &default, "must not have unknown fields");
        }
        values::validate_at(default.value, node, &default.path, out);
    }
    if let Some(item) = &node.items {
        defaults(&at.get("items"), item, out, depth + 1);
    }
    for (name, below) in at.get("properties").entries() {
        if let Some(child) = node.properties.get(name) {
            defaults(&below, child, out, depth + 1);
        }
    }
}

/// The fields of a schema with a status subresource that may stand at its root.
pub(super) fn root_with_status(at: &At<'_, '_>, out: &mut Causes) {
    const ALLOWED: [(&str, &str); 22] = [
        ("description", "Description"),
        ("type", "Type"),
        ("format", "Format"),
        ("title", "Title"),
        ("maximum", "Maximum"),
        ("exclusiveMaximum", "ExclusiveMaximum"),
        ("minimum", "Minimum"),
        ("exclusiveMinimum", "ExclusiveMinimum"),
        ("maxLength", "MaxLength"),
        ("minLength", "MinLength"),
        ("pattern", "Pattern"),
        ("maxItems", "MaxItems"),
        ("minItems", "MinItems"),
        ("uniqueItems", "UniqueItems"),
        ("multipleOf", "MultipleOf"),
        ("required", "Required"),
        ("items", "Items"),
        ("properties", "Properties"),
        ("externalDocs", "ExternalDocs"),
        ("example", "Example"),
        ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
        ("x-kubernetes-validations", "XValidations"),
    ];
    for (name, value) in crate::validate::at::entries(at.value) {
        let is_zero = value.is_null() || value == false || value == "" || value == &serde_json::json!([]);
        if is_zero || ALLOWED.iter().any(|(key, _)| *key == name) {
            continue;
        }
        let names: Vec<&str> = ALLOWED.iter().map(|(_, go)| *go).collect();
        let why = format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            names.join(" ")
        );
        return out.invalid(at, dig(at.value, "type"), &why);
    }
}
