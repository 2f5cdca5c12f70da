//! Stand-ins: ConfigMaps and Secrets that the cluster makes itself where a pod waits for them.
//!
//! For manifests whose secrets come from elsewhere: the file names what may be made up.

use kiban_model::decode::decode;
use kiban_model::origin::Layer;
use kiban_model::problem::{Kind, Problem};
use kiban_model::yaml::{self, Node, Tree};
use serde::Deserialize;
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

/// An entry as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kind: Made,
    namespace: Option<String>,
    name: String,
    keys: Option<Value>,
}

/// The kinds that are made up.
#[derive(Deserialize)]
enum Made {
    ConfigMap,
    Secret,
}

/// Reads the file of `--stand-ins`, which is called `file`: a list, in YAML or JSON, of
/// `{kind: Secret, namespace: "shop-*", name: orders-db, keys: [url, password]}`.
///
/// `namespace` is any where it is missing; `keys` is a list of names, or a map of names to values.
///
/// # Errors
/// All that makes no sense, each with its place, a line each.
pub fn stand_ins(file: &str, text: &str) -> Result<Vec<StandIn>, String> {
    let mut all = Vec::new();
    let mut problems = Vec::new();
    for document in yaml::parse(file, text.as_bytes(), Layer::Profile).map_err(|e| e.to_string())? {
        if !matches!(document.tree, Tree::List(_)) {
            let why = "expected a list of {kind, namespace, name, keys}";
            problems.push(Problem::at(&document.mark, Kind::Value, why));
        }
        for entry in document.items() {
            all.extend(read(entry, &mut problems));
        }
    }
    if problems.is_empty() {
        return Ok(all);
    }
    Err(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn read(node: &Node, problems: &mut Vec<Problem>) -> Option<StandIn> {
    let decoded = decode::<Entry>(node.clone(), "a stand-in", None);
    problems.extend(decoded.problems);
    let entry = decoded.value?;
    for (key, text) in [("name", Some(&entry.name)), ("namespace", entry.namespace.as_ref())] {
        if text.is_some_and(String::is_empty) {
            let mark = decoded.tree.get(key).map_or(&node.mark, |value| &value.mark);
            problems.push(Problem::at(mark, Kind::Value, format!("{key}: an empty text names nothing")));
        }
    }
    let data = keys(entry.keys.as_ref()).or_else(|| {
        let mark = decoded.tree.get("keys").map_or(&node.mark, |value| &value.mark);
        let why = "keys: expected a list of names, or a map of names to texts";
        problems.push(Problem::at(mark, Kind::Value, why));
        None
    })?;
    let kind = match entry.kind {
        Made::ConfigMap => "ConfigMap",
        Made::Secret => "Secret",
    };
    let namespace = entry.namespace.unwrap_or_else(|| "*".to_owned());
    Some(StandIn { kind: kind.to_owned(), namespace, name: entry.name, data })
}

fn keys(given: Option<&Value>) -> Option<Vec<(String, String)>> {
    match given {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(names)) => {
            names.iter().map(|n| n.as_str().map(|n| (n.to_owned(), made_up(n)))).collect()
        }
        Some(Value::Object(map)) => {
            map.iter().map(|(k, v)| v.as_str().map(|v| (k.clone(), v.to_owned()))).collect()
        }
        Some(_) => None,
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
            "s.yaml",
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
            ("kind: Secret", "s.yaml:1:1: expected a list of {kind, namespace, name, keys}"),
            ("- 3", "s.yaml:1:3: expected a map of keys and values, found number 3"),
            ("- {kind: Secret}", "s.yaml:1:3: missing key \"name\" in a stand-in"),
            ("- {kind: Pod, name: x}", "s.yaml:1:10: kind: \"Pod\" is none of ConfigMap, Secret"),
            (
                "- {kind: Secret, nam: x}",
                "s.yaml:1:18: unknown key \"nam\" in a stand-in; did you mean \"name\"?",
            ),
            ("\n- {kind: Secret, name: x, keys: 3}", "s.yaml:2:33: keys: expected a list of names"),
            ("- {kind: Secret, name: x, keys: [3]}", "s.yaml:1:33: keys: expected a list of names"),
            ("- {kind: Secret, name: [x]}", "s.yaml:1:24: name: expected a text, found a list"),
            ("- {kind: Secret, name: \"\"}", "s.yaml:1:24: name: an empty text names nothing"),
        ] {
            let error = stand_ins("s.yaml", text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
            assert_eq!(error.lines().count(), 1, "{text}: {error}");
        }
        let two = stand_ins("s.yaml", "- {kind: Pod, name: x}\n- {kind: Secret, nam: x}").unwrap_err();
        assert_eq!(two.lines().count(), 2, "{two}");
        assert!(stand_ins("s.yaml", "- [").is_err());
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
