//! What the subresources of pods may write.

use serde_json::Value;

use super::{keep_identity, same, set_generation};
use crate::validate::at::{dig, field, list, text};

/// Makes a pod written to `ephemeralcontainers` the old one with the new ephemeral containers.
pub fn ephemeral_containers_update(old: &Value, new: &mut Value) {
    let wanted = dig(new, "spec.ephemeralContainers").clone();
    rebuild(old, new, |spec| {
        if let Some(spec) = spec.as_object_mut() {
            spec.insert("ephemeralContainers".to_string(), wanted);
        }
    });
}

/// Makes a pod written to `resize` the old one with the new amounts of each container.
pub fn resize_update(old: &Value, new: &mut Value) {
    let wanted = field(new, "spec").clone();
    rebuild(old, new, |spec| {
        for name in ["containers", "initContainers"] {
            for container in spec.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
                let own = text(field(container, "name")).to_string();
                let found = list(field(&wanted, name)).iter().find(|c| text(field(c, "name")) == own);
                let (Some(found), Some(container)) = (found, container.as_object_mut()) else { continue };
                for part in ["resources", "resizePolicy"] {
                    match found.get(part) {
                        Some(value) => container.insert(part.to_string(), value.clone()),
                        None => container.remove(part),
                    };
                }
            }
        }
    });
}

/// The old pod under the new metadata, with a changed spec, and a generation more if it did change.
fn rebuild(old: &Value, new: &mut Value, change: impl FnOnce(&mut Value)) {
    let mut result = old.clone();
    let (Some(map), Some(meta)) = (result.as_object_mut(), new.get("metadata")) else { return };
    map.insert("metadata".to_string(), meta.clone());
    if let Some(spec) = map.get_mut("spec") {
        change(spec);
    }
    keep_identity(old, &mut result);
    let changed = !same(field(old, "spec"), field(&result, "spec"));
    let generation = dig(old, "metadata.generation").as_i64().unwrap_or(0);
    set_generation(&mut result, generation + i64::from(changed));
    *new = result;
}
