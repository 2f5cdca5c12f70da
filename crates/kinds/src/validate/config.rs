//! Checks of ConfigMaps and Secrets.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiban_base::names;
use serde_json::Value;

use super::at::{At, entries, field, text};
use super::cause::Causes;
use super::meta::immutable;
use super::same::same;

/// The most that the values of one ConfigMap or Secret hold together, in bytes.
const SIZE_MAX: usize = 1024 * 1024;
const FROZEN: &str = "field is immutable when `immutable` is set";

fn keys(at: &At<'_, '_>, out: &mut Causes) {
    for (key, place) in at.entries() {
        out.invalid_each(place, key, names::check_config_map_key(key));
    }
}

/// Bytes of a base64 text.
fn decoded_len(value: &Value) -> usize {
    let text = text(value);
    let padding = text.bytes().rev().take_while(|b| *b == b'=').count();
    (text.len() / 4 * 3).saturating_sub(padding)
}

/// A ConfigMap.
pub(crate) fn config_map(at: &At<'_, '_>, out: &mut Causes) {
    let (data, binary) = (at.get("data"), at.get("binaryData"));
    for (key, place) in data.entries() {
        out.invalid_each(place, key, names::check_config_map_key(key));
        if !field(binary.value, key).is_null() {
            out.invalid(place, key, "duplicate of key present in binaryData");
        }
    }
    keys(&binary, out);
    let size: usize = entries(data.value).map(|(_, v)| text(v).len()).sum::<usize>()
        + entries(binary.value).map(|(_, v)| decoded_len(v)).sum::<usize>();
    if size > SIZE_MAX {
        out.too_long("[]", SIZE_MAX);
    }
}

/// A ConfigMap in an old one's place.
pub(crate) fn config_map_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    frozen(old, at, &["data", "binaryData"], out);
}

fn frozen(old: &Value, at: &At<'_, '_>, names: &[&str], out: &mut Causes) {
    if field(old, "immutable").as_bool() != Some(true) {
        return;
    }
    if !at.get("immutable").is_true() {
        out.forbidden(at.get("immutable"), FROZEN);
    }
    for name in names {
        if !same(field(old, name), at.get(name).value) {
            out.forbidden(at.get(name), FROZEN);
        }
    }
}

/// A Secret, whose values have been brought to `data`.
pub(crate) fn secret(at: &At<'_, '_>, out: &mut Causes) {
    let data = at.get("data");
    keys(&data, out);
    if entries(data.value).map(|(_, v)| decoded_len(v)).sum::<usize>() > SIZE_MAX {
        out.too_long(data, SIZE_MAX);
    }
    let has = |key: &str| !field(data.value, key).is_null();
    let mut require = |keys: &[&str]| {
        for key in keys {
            if !has(key) {
                out.required(data.path.key(key), "");
            }
        }
    };
    match at.get("type").str() {
        "kubernetes.io/dockercfg" => docker(&data, ".dockercfg", out),
        "kubernetes.io/dockerconfigjson" => docker(&data, ".dockerconfigjson", out),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            require(&["username", "password"])
        }
        "kubernetes.io/ssh-auth" if text(field(data.value, "ssh-privatekey")).is_empty() => {
            out.required(data.path.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => require(&["tls.crt", "tls.key"]),
        "kubernetes.io/service-account-token" => account_annotation(at, out),
        _ => {}
    }
}

fn account_annotation(at: &At<'_, '_>, out: &mut Causes) {
    const NAME: &str = "kubernetes.io/service-account.name";
    let meta = at.get("metadata");
    let notes = meta.get("annotations");
    if text(field(notes.value, NAME)).is_empty() {
        out.required(notes.path.key(NAME), "");
    }
}

fn docker(data: &At<'_, '_>, key: &str, out: &mut Causes) {
    let place = data.path.key(key);
    let Some(encoded) = field(data.value, key).as_str() else { return out.required(place, "") };
    let bytes = STANDARD.decode(encoded).unwrap_or_default();
    let read: Result<BTreeMap<String, Value>, _> = serde_json::from_slice(&bytes);
    if let Err(why) = read {
        out.invalid(place, "<secret contents redacted>", &go_json_error(&bytes, &why));
    }
}

/// The sentence of Go's decoder for the two faults that users meet.
fn go_json_error(bytes: &[u8], why: &serde_json::Error) -> String {
    if why.is_eof() {
        return "unexpected end of JSON input".to_string();
    }
    let value: Option<Value> = serde_json::from_slice(bytes).ok();
    match value {
        Some(value) => {
            let kind = match value {
                Value::Array(_) => "array",
                Value::String(_) => "string",
                Value::Number(_) => "number",
                _ => "bool",
            };
            format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
        }
        None => {
            let index = why.column().saturating_sub(1);
            let found = bytes.get(index).map_or('?', |b| char::from(*b));
            format!("invalid character '{found}' looking for beginning of value")
        }
    }
}

/// A Secret in an old one's place.
pub(crate) fn secret_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    immutable(field(old, "type"), &at.get("type"), out);
    frozen(old, at, &["data"], out);
}
