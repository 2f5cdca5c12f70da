//! Owners across the `scale` subresource: whoever sets a Scale's replicas owns the field of the
//! object behind it.

use serde_json::Value;

use super::managed::{Entry, Fields, Managed, Operation};
use super::set::FieldSet;

const SCALE: &str = "autoscaling/v1";
const REPLICAS: &[&str] = &["spec", "replicas"];

/// The managedFields of an object's Scale: the owners of its replicas.
///
/// `parent` is the object's managedFields, `api_version` its version, and `replicas` the path of
/// the field in it.
///
/// # Errors
/// Where the managedFields cannot be read.
pub fn to_scale(
    parent: Option<&Value>,
    api_version: &str,
    replicas: &[&str],
) -> Result<Option<Value>, String> {
    let mut managed = decode(parent)?;
    managed.entries.retain(|e| e.id.api_version == api_version && e.set().has_fields(replicas));
    for entry in &mut managed.entries {
        entry.id.api_version = SCALE.to_owned();
        entry.fields = Fields::Set(FieldSet::of_fields(&[REPLICAS]));
    }
    Ok(managed.encode())
}

/// The managedFields of the object after its Scale was written with `scale` for managedFields.
///
/// # Errors
/// Where either cannot be read.
pub fn to_parent(
    parent: Option<&Value>,
    scale: Option<&Value>,
    api_version: &str,
    replicas: &[&str],
) -> Result<Option<Value>, String> {
    let parent = decode(parent)?;
    let mut scale = decode(scale)?;
    let mut out = Managed::default();
    let path = FieldSet::of_fields(&[replicas]);
    for mut entry in parent.entries {
        // Managers of versions that do not say where their replicas are, are forgotten.
        if entry.id.api_version != api_version {
            continue;
        }
        if !entry.set().has_fields(replicas) {
            out.entries.push(entry);
            continue;
        }
        let at = scale.entries.iter().position(|s| s.id == entry.id);
        match at {
            Some(at) => drop(scale.entries.remove(at)),
            None => {
                let set = entry.set().into_owned().difference(&path);
                if set.is_empty() {
                    continue;
                }
                entry.fields = Fields::Set(set);
            }
        }
        out.entries.push(entry);
    }
    for mut entry in scale.entries {
        if !entry.set().has_fields(REPLICAS) {
            continue;
        }
        entry.id.api_version = api_version.to_owned();
        match out.get_mut(&entry.id) {
            Some(own) if own.id.operation == Operation::Apply => own.fields = Fields::Set(path.clone()),
            // Upstream makes a second entry of the same manager here, and forgets one of the two
            // when it reads them again.
            Some(own) => own.fields = Fields::Set(own.set().into_owned().union(path.clone())),
            None => {
                out.entries.push(Entry { time: None, fields: Fields::Set(path.clone()), ..entry });
            }
        }
    }
    Ok(out.encode())
}

fn decode(list: Option<&Value>) -> Result<Managed, String> {
    match list {
        Some(Value::Array(list)) => Managed::decode(list.clone()),
        _ => Ok(Managed::default()),
    }
}
