//! Stand-ins: ConfigMaps and Secrets that the cluster makes itself where a pod waits for them.
//!
//! For manifests whose secrets come from elsewhere: the file names what may be made up.

use kiban_model::origin::Layer;
use kiban_model::problem::{Kind, Problem};
use kiban_model::yaml::{self, Mark, Tree};
use serde_json::{Map, Value, json};

use super::needs::Need;
use crate::kind::{KindId, well_known::*};
use crate::registry::{Actor, Cluster, Part};
use crate::status::ApiError;

/// The label of objects that were made up.
pub const LABEL: &str = "sim.kiban.dev/stand-in";

/// An object that the cluster makes itself where a pod waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    /// `ConfigMap` or `Secret`.
    pub kind: String,
    /// Namespace; `*` stands for any text.
    pub namespace: String,
    /// Name; `*` stands for any text.
    pub name: String,
    /// Keys with their values, beside those that the pod asks for.
    pub data: Vec<(String, String)>,
}

/// Reads the file of `--stand-ins`: a list, in YAML or JSON, of
/// `{kind: Secret, namespace: "shop-*", name: orders-db, keys: [url, password]}`.
///
/// `namespace` is any where it is missing; `keys` is a list of names, or a map of names to values.
///
/// # Errors
/// The place of the entry that makes no sense, and why.
pub fn stand_ins(text: &str) -> Result<Vec<StandIn>, String> {
    let place = |mark: &Mark, why: String| Problem::at(mark, Kind::Value, why).to_string();
    let mut all = Vec::new();
    for document in yaml::parse("stand-ins", text.as_bytes(), Layer::Profile).map_err(|e| e.to_string())? {
        if !matches!(document.tree, Tree::List(_)) {
            let why = "expected a list of {kind, namespace, name, keys}".to_owned();
            return Err(place(&document.mark, why));
        }
        for entry in document.items() {
            all.push(read(&entry.to_json()).map_err(|why| place(&entry.mark, why))?);
        }
    }
    Ok(all)
}

fn read(entry: &Value) -> Result<StandIn, String> {
    let map = entry.as_object().ok_or("expected a map")?;
    let known = ["kind", "namespace", "name", "keys"];
    if let Some(key) = map.keys().find(|k| !known.contains(&k.as_str())) {
        return Err(format!("unknown key \"{key}\", expected one of {}", known.join(", ")));
    }
    let text = |key: &str, default: Option<&str>| match map.get(key) {
        None => default.map(str::to_owned).ok_or(format!("\"{key}\" is missing")),
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(_) => Err(format!("\"{key}\" must be text")),
    };
    let kind = text("kind", None)?;
    if kind != "ConfigMap" && kind != "Secret" {
        return Err(format!("kind must be ConfigMap or Secret, not \"{kind}\""));
    }
    Ok(StandIn {
        kind,
        namespace: text("namespace", Some("*"))?,
        name: text("name", None)?,
        data: keys(map.get("keys"))?,
    })
}

fn keys(given: Option<&Value>) -> Result<Vec<(String, String)>, String> {
    let wrong = || "\"keys\" must be a list of names, or a map of names to texts".to_owned();
    match given {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(names)) => {
            names.iter().map(|n| n.as_str().map(|n| (n.to_owned(), made_up(n))).ok_or_else(wrong)).collect()
        }
        Some(Value::Object(map)) => {
            map.iter().map(|(k, v)| v.as_str().map(|v| (k.clone(), v.to_owned())).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

fn made_up(key: &str) -> String {
    format!("stand-in for {key}")
}

impl StandIn {
    fn serves(&self, kind: KindId, namespace: &str, name: &str) -> bool {
        kind.info().kind == self.kind && glob(&self.namespace, namespace) && glob(&self.name, name)
    }
}

/// Makes what `need` asks for, or adds the keys it asks for, if the list allows it.
///
/// Says whether it did.
///
/// # Errors
/// What the API answers.
pub fn supply(cluster: &Cluster, list: &[StandIn], need: &Need, namespace: &str) -> Result<bool, ApiError> {
    let Some(entry) = list.iter().find(|s| s.serves(need.kind, namespace, &need.name)) else {
        return Ok(false);
    };
    let actor = Actor::new("kiban-sim");
    let mut data: Map<String, Value> =
        entry.data.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
    for key in &need.keys {
        data.entry(key.clone()).or_insert_with(|| made_up(key).into());
    }
    if need.kind == *SECRET {
        for value in data.values_mut() {
            *value = base64(value.as_str().unwrap_or_default()).into();
        }
    }
    let key = need.key(namespace);
    let Some(existing) = cluster.get(need.kind, &key) else {
        let object = json!({
            "metadata": {"name": need.name, "namespace": namespace, "labels": {LABEL: "true"}}, "data": data,
        });
        return cluster.create(need.kind, namespace, object, &actor).map(|_| true);
    };
    if existing.label(LABEL).is_none() {
        return Ok(false);
    }
    let grown = cluster.modify(need.kind, &key, Part::Main, &actor, |object| {
        for (name, value) in &data {
            if object["data"][name].is_null() {
                object["data"][name] = value.clone();
            }
        }
    })?;
    Ok(grown.is_some())
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// Whether `text` is what `pattern` says, where `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_names_kinds_places_and_keys() {
        let list = stand_ins(
            "- {kind: Secret, namespace: 'shop-*', name: orders-db, keys: [url, password]}\n- kind: ConfigMap\n  name: '*-settings'\n  keys: {mode: fast}\n",
        )
        .unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(list[0].data[0], ("url".into(), "stand-in for url".into()));
        assert_eq!((list[1].namespace.as_str(), list[1].data[0].1.as_str()), ("*", "fast"));
        assert!(list[0].serves(*SECRET, "shop-dev", "orders-db"));
        assert!(!list[0].serves(*CONFIG_MAP, "shop-dev", "orders-db"));
        assert!(!list[0].serves(*SECRET, "other", "orders-db"));
        assert!(list[1].serves(*CONFIG_MAP, "any", "web-settings"));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (text, expected) in [
            ("kind: Secret", "stand-ins:1:1: expected a list"),
            ("- 3", "stand-ins:1:3: expected a map"),
            ("- {kind: Secret}", "stand-ins:1:3: \"name\" is missing"),
            ("- {kind: Pod, name: x}", "stand-ins:1:3: kind must be ConfigMap or Secret, not \"Pod\""),
            ("- {kind: Secret, name: x, key: [a]}", "stand-ins:1:3: unknown key \"key\""),
            ("\n- {kind: Secret, name: x, keys: 3}", "stand-ins:2:3: \"keys\" must be a list"),
            ("- {kind: Secret, name: [x]}", "stand-ins:1:3: \"name\" must be text"),
        ] {
            let error = stand_ins(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        assert!(stand_ins("- [").is_err());
    }

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "ab", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("*-db-*", "x-db-1", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(glob(pattern, text), expected, "{pattern} {text}");
        }
    }
}
