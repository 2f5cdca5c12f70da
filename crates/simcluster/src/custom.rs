//! The custom kinds of a cluster: what its CustomResourceDefinitions make of it, kept ready for use.
//!
//! A definition's schemas are read once, when it is written; every request works on the table as it was when
//! the request began. The table follows the stored definitions: [`Customs::follow`] is called after each
//! write of one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use kiban_kinds::custom::columns::Columns;
use kiban_kinds::custom::jsonpath::JsonPath;
use kiban_kinds::custom::object::{Rules, ScalePaths};
use kiban_kinds::custom::{self, Node};
use kiban_schema::table::{Kind, Schema};
use serde_json::Value;

use crate::kind::{CustomName, KindId, custom_kind, well_known::DEFINITION};
use crate::object::{Key, Stored};
use crate::store::{State, Store};

/// One version of a custom kind.
#[derive(Debug)]
pub struct Version {
    /// The number of this version.
    pub id: KindId,
    /// Names as discovery shows them.
    pub info: Kind,
    /// Kind of a list.
    pub list_kind: String,
    /// `openAPIV3Schema`.
    pub document: Value,
    /// The schema, read.
    pub schema: Node,
    /// Types for server-side apply.
    pub table: Schema,
    /// Printer columns.
    pub columns: Columns,
    /// Paths of the scale subresource.
    pub scale: Option<ScalePaths>,
    /// Fields that objects can be selected by, with the paths to them.
    pub selectable: Vec<(String, JsonPath)>,
    /// What users of this version are warned of.
    pub warning: Option<String>,
    served: bool,
}

impl Version {
    /// The status is a subresource.
    pub fn has_status(&self) -> bool {
        self.info.has_subresource("status")
    }

    /// What decides how objects are written.
    pub fn rules(&self) -> Rules<'_> {
        Rules {
            schema: &self.schema,
            status: self.has_status(),
            scale: self.scale.as_ref(),
            namespaced: self.info.namespaced,
        }
    }
}

/// A custom kind with its versions.
#[derive(Debug)]
pub struct Custom {
    /// The number under which its objects are kept.
    pub kept: KindId,
    /// `group/version` in which objects are kept.
    pub storage: String,
    /// Versions, in the order of their priority (`v1` before `v1beta1`).
    pub versions: Vec<Arc<Version>>,
    /// The definition is going away: nothing new may be created.
    pub terminating: bool,
    /// From this revision on, objects are stored as the schemas are now.
    since: u64,
    /// What of the definition this was made from: its uid, generation and accepted names.
    made_from: (String, i64, Value),
}

impl Custom {
    /// The version that a `group/version` names.
    pub fn version(&self, api_version: &str) -> Option<&Arc<Version>> {
        self.versions.iter().find(|v| v.id.api_version() == api_version)
    }

    /// Brings a stored object into the form of one of its versions.
    pub fn shown(&self, version: &Version, object: &Stored) -> Option<Value> {
        let api_version = version.id.api_version();
        let head = format!("{{\"apiVersion\":{},", Value::from(api_version.as_str()));
        if object.revision >= self.since && object.json.starts_with(head.as_bytes()) {
            return None;
        }
        let mut value = object.value();
        if object.revision < self.since || api_version != self.storage {
            custom::prune(&mut value, &version.schema);
            custom::fill(&mut value, &version.schema);
        }
        value["apiVersion"] = api_version.into();
        Some(value)
    }
}

/// All custom kinds at one moment.
#[derive(Debug, Default)]
pub struct Table {
    by_name: BTreeMap<Key, Arc<Custom>>,
    by_kept: BTreeMap<KindId, Arc<Custom>>,
    by_id: BTreeMap<KindId, (Arc<Custom>, Arc<Version>)>,
    /// Counts the tables: another number, other kinds.
    pub revision: u64,
}

impl Table {
    /// The version behind a number.
    pub fn version(&self, id: KindId) -> Option<&Arc<Version>> {
        self.by_id.get(&id).map(|(_, v)| v)
    }

    /// The kind whose version or whose objects this number is about.
    pub fn custom(&self, id: KindId) -> Option<&Arc<Custom>> {
        self.by_id.get(&id).map(|(c, _)| c).or_else(|| self.by_kept.get(&id))
    }

    /// The kind that a definition of this name makes.
    pub fn of_definition(&self, name: &Key) -> Option<&Arc<Custom>> {
        self.by_name.get(name)
    }

    /// The served version that a URL names.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<KindId> {
        let named = |v: &Kind| v.group == group && v.version == version && v.plural == plural;
        self.served().find(|v| named(&v.info)).map(|v| v.id)
    }

    /// All served versions, in the order of their definitions' names.
    pub fn served(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.by_name.values().flat_map(|c| &c.versions).filter(|v| v.served)
    }

    /// Names the schemas of a group version: others, another name.
    pub fn fingerprint(&self, group: &str, version: &str) -> String {
        let mut text = String::new();
        for custom in self.by_name.values() {
            if custom.versions.iter().any(|v| v.info.group == group && v.info.version == version) {
                text.push_str(&format!(
                    "{} {} {};",
                    custom.made_from.0, custom.made_from.1, custom.made_from.2
                ));
            }
        }
        kiban_schema::openapi::content_hash(text.as_bytes())
    }

    /// The numbers under which objects are kept.
    pub fn kept(&self) -> impl Iterator<Item = KindId> + '_ {
        self.by_kept.keys().copied()
    }

    fn with(&self, name: &Key, made: Option<Arc<Custom>>) -> Self {
        let mut by_name = self.by_name.clone();
        match made {
            Some(made) => by_name.insert(name.clone(), made),
            None => by_name.remove(name),
        };
        let by_kept = by_name.values().map(|c| (c.kept, c.clone())).collect();
        let versions =
            by_name.values().flat_map(|c| c.versions.iter().map(move |v| (v.id, (c.clone(), v.clone()))));
        let by_id = versions.collect();
        Self { by_name, by_kept, by_id, revision: self.revision + 1 }
    }
}

/// The custom kinds of a cluster, as they change.
#[derive(Debug, Default)]
pub struct Customs {
    table: RwLock<Arc<Table>>,
    /// Held by who changes the table.
    turn: Mutex<()>,
}

impl Customs {
    /// The custom kinds of a state that a cluster starts from.
    pub fn of(state: &State, store: &Store) -> Self {
        let customs = Self::default();
        for definition in state.objects(*DEFINITION).values() {
            customs.follow(&definition.key, store);
        }
        customs
    }

    /// The custom kinds now.
    pub fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes the table agree with a stored definition, which may be gone.
    pub fn follow(&self, name: &Key, store: &Store) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let stored = store.with(|s| s.get(*DEFINITION, name).cloned());
        let before = self.table();
        let old = before.by_name.get(name);
        let made = stored.as_deref().and_then(|s| make(s, old));
        match (&old, &made) {
            (None, None) => return,
            (Some(old), Some(made)) if Arc::ptr_eq(old, made) => return,
            _ => {}
        }
        if let Some(made) = &made {
            // The log begins with the kind, so that a list and a watch from its revision meet.
            drop(store.subscribe(made.kept));
        }
        let gone = old.map(|o| o.kept).filter(|kept| made.as_ref().is_none_or(|m| m.kept != *kept));
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(before.with(name, made));
        if let Some(kept) = gone {
            store.forget(kept);
        }
    }
}

fn condition(definition: &Value, type_: &str) -> bool {
    let all = definition["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().any(|c| c["type"] == type_ && c["status"] == "True")
}

/// What a definition makes of the cluster; `None` while it is not established.
fn make(stored: &Stored, old: Option<&Arc<Custom>>) -> Option<Arc<Custom>> {
    let definition = stored.value();
    if !condition(&definition, "Established") {
        return None;
    }
    let terminating = condition(&definition, "Terminating") || stored.deleting;
    let generation = definition["metadata"]["generation"].as_i64().unwrap_or(0);
    let made_from = (stored.uid.to_string(), generation, definition["status"]["acceptedNames"].clone());
    if let Some(old) = old.filter(|o| o.made_from == made_from) {
        if old.terminating == terminating {
            return Some(old.clone());
        }
        let (storage, versions) = (old.storage.clone(), old.versions.clone());
        return Some(Arc::new(Custom {
            kept: old.kept,
            storage,
            versions,
            terminating,
            since: old.since,
            made_from,
        }));
    }
    let spec = &definition["spec"];
    let group = spec["group"].as_str()?;
    let mut versions: Vec<Arc<Version>> = Vec::new();
    for version in spec["versions"].as_array()? {
        versions.push(Arc::new(read(group, spec, &made_from.2, version)?));
    }
    versions.sort_by_key(|v| std::cmp::Reverse(priority(&v.info.version)));
    let stored_as = spec["versions"].as_array()?.iter().find(|v| v["storage"] == true)?["name"].as_str()?;
    Some(Arc::new(Custom {
        kept: versions.first()?.id.kept(),
        storage: format!("{group}/{stored_as}"),
        versions,
        terminating,
        since: stored.revision,
        made_from,
    }))
}

fn read(group: &str, spec: &Value, names: &Value, version: &Value) -> Option<Version> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let texts = |v: &Value| -> Vec<String> {
        v.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let scale = ScalePaths::read(&version["subresources"]["scale"]);
    let status = version["subresources"]["status"].is_object();
    let subresources: Vec<&'static str> = [("status", status), ("scale", scale.is_some())]
        .iter()
        .filter(|(_, on)| *on)
        .map(|(s, _)| *s)
        .collect();
    let name = CustomName {
        group: group.to_owned(),
        version: text(&version["name"]),
        plural: text(&names["plural"]),
        kind: text(&names["kind"]),
        namespaced: spec["scope"] == "Namespaced",
        subresources,
    };
    let id = custom_kind(&name)?;
    let info = Kind {
        singular: text(&names["singular"]),
        short_names: texts(&names["shortNames"]),
        categories: texts(&names["categories"]),
        ..id.info().clone()
    };
    let document = version["schema"]["openAPIV3Schema"].clone();
    // Owners in any version of the kind stay owners.
    let versions = spec["versions"].as_array().into_iter().flatten();
    let others = versions.filter(|v| v["name"] != version["name"]);
    let kinds = std::iter::once(info.clone())
        .chain(others.map(|v| Kind { version: text(&v["name"]), ..info.clone() }))
        .collect();
    let selectable = version["selectableFields"].as_array().into_iter().flatten().filter_map(|f| {
        let path = f["jsonPath"].as_str()?;
        Some((path.trim_start_matches('.').to_owned(), JsonPath::parse(path).ok()?))
    });
    let table = kiban_schema::custom::table(kinds, &document);
    let type_id = table.kinds.first()?.type_id;
    let api_version = id.api_version();
    let deprecated = version["deprecated"] == true;
    let warning = version["deprecationWarning"].as_str().map(str::to_owned);
    Some(Version {
        id,
        list_kind: text(&names["listKind"]),
        schema: Node::read(&document),
        table,
        columns: Columns::read(&version["additionalPrinterColumns"]),
        scale,
        selectable: selectable.collect(),
        warning: deprecated
            .then(|| warning.unwrap_or_else(|| format!("{api_version} {} is deprecated", info.kind))),
        served: version["served"] == true,
        info: Kind { type_id, ..info },
        document,
    })
}

/// Orders versions as Kubernetes does: releases before betas before alphas, newer before older, and what
/// is no such version last, by its name backwards.
///
/// Contract: apimachinery/pkg/version.CompareKubeAwareVersionStrings.
pub(crate) fn priority(version: &str) -> (u8, u32, u32, std::cmp::Reverse<String>) {
    let parts = version.strip_prefix('v').and_then(|rest| {
        let cut = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (major, stage) = rest.split_at(cut);
        let major = major.parse::<u32>().ok().filter(|m| *m > 0)?;
        let minor = |t: &str| t.parse::<u32>().ok();
        match stage {
            "" => Some((3, major, 0)),
            s => match (s.strip_prefix("beta"), s.strip_prefix("alpha")) {
                (Some(n), _) => Some((2, major, minor(n)?)),
                (_, Some(n)) => Some((1, major, minor(n)?)),
                _ => None,
            },
        }
    });
    match parts {
        Some((stage, major, minor)) => (stage, major, minor, std::cmp::Reverse(String::new())),
        None => (0, 0, 0, std::cmp::Reverse(version.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_in_the_order_of_their_ripeness() {
        let mut all = ["foo1", "v1alpha1", "v10", "v2beta1", "v1", "v11beta2", "foo10", "v3beta1"];
        all.sort_by_key(|v| std::cmp::Reverse(priority(v)));
        assert_eq!(all, ["v10", "v1", "v11beta2", "v3beta1", "v2beta1", "v1alpha1", "foo1", "foo10"]);
    }
}
