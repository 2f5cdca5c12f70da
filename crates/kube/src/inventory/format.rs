//! The inventory as a ConfigMap.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Entry, FORMAT, Inventory, InventoryError, LABEL, MAX_BYTES, VERSION_LABEL, name_of};
use crate::object::{ObjectId, text_at};
use crate::revision::Revision;

/// The entries of the data that this program knows.
const KNOWN: &[&str] =
    &["version", "app", "env", "revision", "render", "applying", "held", "verdict", "migrations", "objects"];

/// Objects by what they share: group and version, kind, namespace.
type Groups = BTreeMap<String, BTreeMap<String, String>>;

/// The data of the ConfigMap, with its name for messages.
struct Data<'a> {
    name: &'a str,
    map: &'a Value,
}

impl Data<'_> {
    fn bad(&self, problem: String) -> InventoryError {
        InventoryError::Malformed { name: self.name.into(), problem }
    }

    fn field(&self, key: &str) -> Option<&str> {
        text_at(self.map, &["data", key])
    }

    fn text(&self, key: &str) -> Result<String, InventoryError> {
        self.field(key).map(String::from).ok_or_else(|| self.bad(format!("{key} is missing")))
    }

    /// An entry that holds JSON; none where it is absent.
    fn json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, InventoryError> {
        let Some(text) = self.field(key) else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|e| self.bad(format!("{key} cannot be read: {e}")))
    }
}

pub(super) fn read(config_map: &Value) -> Result<Inventory, InventoryError> {
    let name = text_at(config_map, &["metadata", "name"]).unwrap_or("inventory");
    let data = Data { name, map: config_map };
    let version = data.field("version").ok_or_else(|| data.bad("it states no version".into()))?;
    let (app, env) = (data.text("app"), data.text("env"));
    let mut inventory = match version.parse::<u32>() {
        Ok(1) => read_first(&data)?,
        Ok(FORMAT) => read_current(&data)?,
        Ok(v) if v > FORMAT => {
            return Err(InventoryError::Newer { name: name.into(), found: version.into() });
        }
        _ => return Err(data.bad(format!("it states version {version:?}"))),
    };
    (inventory.app, inventory.env) = (app?, env?);
    if name != name_of(&inventory.app, &inventory.env) {
        let Inventory { app, env, .. } = inventory;
        return Err(data.bad(format!("it lists app {app:?} in environment {env:?}")));
    }
    Ok(inventory)
}

fn read_first(data: &Data<'_>) -> Result<Inventory, InventoryError> {
    let rows: Vec<[String; 6]> =
        data.json("objects")?.ok_or_else(|| data.bad("objects is missing".into()))?;
    let objects = rows.into_iter().map(|[group, version, kind, namespace, name, hash]| {
        (ObjectId { group, kind, namespace, name }, Entry { version, hash })
    });
    Ok(Inventory {
        revision: data.text("commit")?.into(),
        applying: data.field("applying").map(Revision::from),
        objects: objects.collect(),
        ..Inventory::default()
    })
}

fn read_current(data: &Data<'_>) -> Result<Inventory, InventoryError> {
    let groups: Groups = data.json("objects")?.ok_or_else(|| data.bad("objects is missing".into()))?;
    let mut objects = BTreeMap::new();
    for (key, names) in groups {
        let mut parts = key.split(' ');
        let (Some(api), Some(kind), Some(namespace), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(data.bad(format!("its list of objects cannot be read: {key:?}")));
        };
        let (group, version) = api.split_once('/').unwrap_or(("", api));
        for (name, hash) in names {
            let (group, kind, namespace) = (group.into(), kind.into(), namespace.into());
            objects
                .insert(ObjectId { group, kind, namespace, name }, Entry { version: version.into(), hash });
        }
    }
    let all = data.map.get("data").and_then(Value::as_object).into_iter().flatten();
    let others = all
        .filter(|(key, _)| !KNOWN.contains(&key.as_str()))
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())));
    Ok(Inventory {
        revision: data.json("revision")?.ok_or_else(|| data.bad("revision is missing".into()))?,
        render: data.field("render").unwrap_or("").into(),
        applying: data.json("applying")?,
        held: data.json("held")?,
        verdict: data.json("verdict")?,
        migrations: data.json("migrations")?.unwrap_or_default(),
        objects,
        others: others.collect(),
        ..Inventory::default()
    })
}

pub(super) fn write(inventory: &Inventory, namespace: &str) -> Result<Value, InventoryError> {
    let mut data: BTreeMap<&str, String> =
        inventory.others.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
    data.insert("version", FORMAT.to_string());
    data.insert("app", inventory.app.clone());
    data.insert("env", inventory.env.clone());
    data.insert("revision", json!(inventory.revision).to_string());
    data.insert("objects", groups(inventory));
    if !inventory.render.is_empty() {
        data.insert("render", inventory.render.clone());
    }
    if !inventory.migrations.is_empty() {
        data.insert("migrations", json!(inventory.migrations).to_string());
    }
    let optional = [
        ("applying", inventory.applying.as_ref().map(|v| json!(v))),
        ("held", inventory.held.as_ref().map(|v| json!(v))),
        ("verdict", inventory.verdict.as_ref().map(|v| json!(v))),
    ];
    data.extend(optional.into_iter().filter_map(|(key, v)| Some((key, v?.to_string()))));
    let bytes = data.iter().map(|(k, v)| k.len() + v.len()).sum::<usize>();
    if bytes > MAX_BYTES {
        let objects = inventory.objects.len();
        return Err(InventoryError::TooBig { name: inventory.name(), objects, bytes });
    }
    Ok(json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": inventory.name(),
            "namespace": namespace,
            "labels": {
                "app.kubernetes.io/name": inventory.app,
                "app.kubernetes.io/managed-by": "kiban",
                "kiban.dev/env": inventory.env,
                LABEL: "true",
                VERSION_LABEL: FORMAT.to_string(),
            },
        },
        "data": data,
    }))
}

/// The objects, a line a group: short, and still to be read by people.
fn groups(inventory: &Inventory) -> String {
    let mut groups: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    for (id, entry) in &inventory.objects {
        let api = if id.group.is_empty() { String::new() } else { format!("{}/", id.group) };
        let key = format!("{api}{} {} {}", entry.version, id.kind, id.namespace);
        groups.entry(key).or_default().insert(&id.name, &entry.hash);
    }
    let mut out = String::from("{");
    for (i, (key, names)) in groups.iter().enumerate() {
        out.push_str(if i == 0 { "\n" } else { ",\n" });
        out.push_str(&format!("{}:{}", json!(key), json!(names)));
    }
    out.push_str("\n}\n");
    out
}
