//! `metadata.managedFields`: who owns which fields, read and written.

use std::borrow::Cow;

use kiban_base::clock::Timestamp;
use serde_json::{Map, Value};

use super::set::FieldSet;
use crate::patch::gofmt;

/// How a manager came to own its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Server-side apply.
    Apply,
    /// Any other write.
    Update,
}

impl Operation {
    /// As managedFields writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

/// Who owns fields. Appliers are the same whatever version they apply.
#[derive(Debug, Clone)]
pub struct ManagerId {
    /// Name of the manager.
    pub manager: String,
    /// Apply or Update.
    pub operation: Operation,
    /// Version in which the fields are named.
    pub api_version: String,
    /// Subresource through which they were written; empty for the object itself.
    pub subresource: String,
}

impl ManagerId {
    /// The text by which upstream tells managers apart, and sorts them.
    fn identifier(&self) -> String {
        let mut out = String::from("{");
        let mut field = |name: &str, value: &str| {
            if !value.is_empty() {
                if out.len() > 1 {
                    out.push(',');
                }
                gofmt::write_json_string(&mut out, name, true);
                out.push(':');
                gofmt::write_json_string(&mut out, value, true);
            }
        };
        field("manager", &self.manager);
        field("operation", self.operation.as_str());
        if self.operation == Operation::Update {
            field("apiVersion", &self.api_version);
        }
        field("subresource", &self.subresource);
        out.push('}');
        out
    }

    /// As conflicts name it.
    pub(super) fn describe(&self) -> String {
        let mut out = gofmt::quote(&self.manager);
        if !self.subresource.is_empty() {
            out.push_str(&format!(" with subresource {}", gofmt::quote(&self.subresource)));
        }
        if self.operation == Operation::Update {
            out.push_str(&format!(" using {}", self.api_version));
        }
        out
    }
}

impl PartialEq for ManagerId {
    fn eq(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }
}

/// The fields of one manager; those of an object at rest are read only where something changes.
#[derive(Debug, Clone)]
pub(super) enum Fields {
    Stored(Value),
    Set(FieldSet),
}

#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub id: ManagerId,
    /// RFC 3339, as stored.
    pub time: Option<String>,
    pub fields: Fields,
}

impl Entry {
    /// The fields; nothing where what is stored is no field set.
    pub(super) fn set(&self) -> Cow<'_, FieldSet> {
        match &self.fields {
            Fields::Set(set) => Cow::Borrowed(set),
            Fields::Stored(v) => Cow::Owned(FieldSet::from_fields_v1(v).unwrap_or_default()),
        }
    }

    pub(super) fn into_set(self) -> FieldSet {
        match self.fields {
            Fields::Set(set) => set,
            Fields::Stored(v) => FieldSet::from_fields_v1(&v).unwrap_or_default(),
        }
    }

    fn seconds(&self) -> i64 {
        self.time.as_deref().and_then(Timestamp::parse).map_or(0, Timestamp::secs)
    }

    fn from_value(value: Value, at: usize) -> Result<Self, String> {
        let Value::Object(mut map) = value else {
            return Err(format!("managed fields entry {at} is not an object"));
        };
        let mut text = |name: &str| match map.remove(name) {
            Some(Value::String(s)) => s,
            _ => String::new(),
        };
        let operation = match text("operation").as_str() {
            "Apply" => Operation::Apply,
            "Update" => Operation::Update,
            _ => return Err("operation must be `Apply` or `Update`".to_owned()),
        };
        let api_version = text("apiVersion");
        if api_version.is_empty() {
            return Err("apiVersion must not be empty".to_owned());
        }
        match text("fieldsType").as_str() {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {at}")),
            other => {
                let other = gofmt::quote(other);
                return Err(format!("invalid fieldsType {other} in managed fields entry {at}"));
            }
        }
        let id =
            ManagerId { manager: text("manager"), operation, api_version, subresource: text("subresource") };
        let time = Some(text("time")).filter(|t| !t.is_empty());
        let fields = map.remove("fieldsV1").filter(|f| !f.is_null());
        Ok(Self { id, time, fields: Fields::Stored(fields.unwrap_or_else(|| Value::Object(Map::new()))) })
    }

    fn into_value(self) -> Value {
        let mut map = Map::new();
        let mut text = |name: &str, value: String| {
            if !value.is_empty() {
                map.insert(name.to_owned(), Value::String(value));
            }
        };
        text("manager", self.id.manager);
        text("operation", self.id.operation.as_str().to_owned());
        text("apiVersion", self.id.api_version);
        text("time", self.time.unwrap_or_default());
        text("fieldsType", "FieldsV1".to_owned());
        text("subresource", self.id.subresource);
        let fields = match self.fields {
            Fields::Stored(v) => v,
            Fields::Set(set) => set.to_fields_v1(),
        };
        map.insert("fieldsV1".to_owned(), fields);
        Value::Object(map)
    }
}

/// All owners of an object's fields.
#[derive(Debug, Clone, Default)]
pub(super) struct Managed {
    pub entries: Vec<Entry>,
}

/// More update managers than this are merged, the oldest first.
const MAX_UPDATE_MANAGERS: usize = 10;
/// The manager that the merged ones become.
const OLD_UPDATES: &str = "ancient-changes";

impl Managed {
    /// Reads a stored list; the field sets stay unread.
    pub(super) fn stored(list: Vec<Value>) -> Result<Self, String> {
        let mut out = Self { entries: Vec::with_capacity(list.len()) };
        for (i, value) in list.into_iter().enumerate() {
            let entry = Entry::from_value(value, i)?;
            match out.get_mut(&entry.id) {
                Some(earlier) => *earlier = entry,
                None => out.entries.push(entry),
            }
        }
        Ok(out)
    }

    /// Reads a list that a client wrote, field sets included.
    pub(super) fn decode(list: Vec<Value>) -> Result<Self, String> {
        let mut out = Self::stored(list)?;
        for entry in &mut out.entries {
            if let Fields::Stored(v) = &entry.fields {
                let set = FieldSet::from_fields_v1(v).map_err(|e| {
                    format!("error decoding versioned set from {}: error decoding set: {e}", entry.id.manager)
                })?;
                entry.fields = Fields::Set(set);
            }
        }
        Ok(out)
    }

    pub(super) fn get(&self, id: &ManagerId) -> Option<&Entry> {
        self.entries.iter().find(|e| e.id == *id)
    }

    pub(super) fn get_mut(&mut self, id: &ManagerId) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|e| e.id == *id)
    }

    pub(super) fn remove(&mut self, id: &ManagerId) -> Option<Entry> {
        let at = self.entries.iter().position(|e| e.id == *id)?;
        Some(self.entries.remove(at))
    }

    /// Sets a manager's fields and keeps its time; a manager of none goes.
    pub(super) fn set(&mut self, id: &ManagerId, set: FieldSet) {
        if set.is_empty() {
            self.remove(id);
        } else if let Some(entry) = self.get_mut(id) {
            entry.id.api_version.clone_from(&id.api_version);
            entry.fields = Fields::Set(set);
        } else {
            self.entries.push(Entry { id: id.clone(), time: None, fields: Fields::Set(set) });
        }
    }

    pub(super) fn set_time(&mut self, id: &ManagerId, now: Timestamp) {
        if let Some(entry) = self.get_mut(id) {
            entry.time = Some(now.rfc3339());
        }
    }

    /// The entries by their identifiers, which is the order that messages list them in.
    pub(super) fn sort_by_identifier(entries: &mut [Entry]) {
        entries.sort_by_cached_key(|e| e.id.identifier());
    }

    /// Merges the oldest update managers, so that controllers that name themselves anew each time
    /// do not fill the object.
    pub(super) fn cap_update_managers(&mut self) {
        let mut updaters: Vec<(i64, String, ManagerId)> = self
            .entries
            .iter()
            .filter(|e| e.id.operation == Operation::Update)
            .map(|e| (e.seconds(), e.id.identifier(), e.id.clone()))
            .collect();
        let mut left = updaters.len();
        if left <= MAX_UPDATE_MANAGERS {
            return;
        }
        updaters.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        // The first manager of each version stays until there is a second to merge it with.
        let mut firsts: Vec<ManagerId> = Vec::new();
        for (_, _, id) in updaters {
            if left <= MAX_UPDATE_MANAGERS {
                break;
            }
            let Some(first) = firsts.iter().find(|f| f.api_version == id.api_version) else {
                firsts.push(id);
                continue;
            };
            let bucket = ManagerId {
                manager: OLD_UPDATES.to_owned(),
                operation: Operation::Update,
                api_version: id.api_version.clone(),
                subresource: String::new(),
            };
            if self.get(&bucket).is_none()
                && let Some(entry) = self.get_mut(first)
            {
                entry.id = bucket.clone();
            }
            if let Some(merged) = self.remove(&id) {
                let time = merged.time.clone();
                let set = merged.into_set();
                if let Some(entry) = self.get_mut(&bucket) {
                    entry.fields = Fields::Set(set.union(entry.set().into_owned()));
                    entry.time = time;
                }
            }
            left -= 1;
        }
    }

    /// The list to store; `None` where there is nobody.
    pub(super) fn encode(self) -> Option<Value> {
        let mut entries = self.entries;
        if entries.is_empty() {
            return None;
        }
        entries.sort_by(|a, b| {
            let key = |e: &Entry| (e.id.operation.as_str(), e.seconds());
            key(a).cmp(&key(b)).then_with(|| {
                (&a.id.manager, &a.id.api_version, &a.id.subresource).cmp(&(
                    &b.id.manager,
                    &b.id.api_version,
                    &b.id.subresource,
                ))
            })
        });
        Some(Value::Array(entries.into_iter().map(Entry::into_value).collect()))
    }
}

/// The managedFields of an object.
pub(super) fn list_of(object: &Value) -> Option<&Value> {
    object.get("metadata")?.get("managedFields")
}

/// Takes the managedFields out of an object.
pub(super) fn take_list(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
}

/// Puts managedFields into an object.
pub(super) fn put_list(object: &mut Value, list: Option<Value>) {
    let Some(list) = list else {
        take_list(object);
        return;
    };
    let Value::Object(object) = object else { return };
    let metadata = object.entry("metadata").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(metadata) = metadata {
        metadata.insert("managedFields".to_owned(), list);
    }
}

/// Whether a client asks to forget all owners: `[]` or `[{}]`.
pub(super) fn is_reset(list: &Value) -> bool {
    match list.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([Value::Object(entry)]) => {
            entry.iter().all(|(_, v)| v.is_null() || v.as_str().is_some_and(str::is_empty))
        }
        _ => false,
    }
}
