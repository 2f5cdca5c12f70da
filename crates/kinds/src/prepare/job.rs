//! A Job's selector, which the server makes of the Job's identity.

use serde_json::{Map, Value, json};

use crate::validate::at::{dig, field, text};

const UID: &str = "batch.kubernetes.io/controller-uid";
const NAME: &str = "batch.kubernetes.io/job-name";

/// Labels the template with the Job's uid and name and selects by the uid, unless the selector is the
/// user's own business. Labels that the user set stay, for the checks to compare.
pub(crate) fn create(job: &mut Value) {
    if dig(job, "spec.manualSelector").as_bool() == Some(true) {
        return;
    }
    let uid = text(dig(job, "metadata.uid")).to_string();
    let name = text(dig(job, "metadata.name")).to_string();
    let Some(spec) = job.get_mut("spec").and_then(Value::as_object_mut) else { return };
    let Some(labels) =
        object(spec, "template").and_then(|t| object(t, "metadata")).and_then(|m| object(m, "labels"))
    else {
        return;
    };
    for (key, value) in [("controller-uid", &uid), (UID, &uid), ("job-name", &name), (NAME, &name)] {
        labels.entry(key).or_insert_with(|| json!(value));
    }
    let labels = labels.clone();
    if let Some(selected) = object(spec, "selector").and_then(|s| object(s, "matchLabels")) {
        selected.entry(UID).or_insert_with(|| json!(uid));
    }
    // A Job without labels of its own reads back with its template's.
    let has_none = field(field(job, "metadata"), "labels").as_object().is_none_or(Map::is_empty);
    if let Some(meta) = job.get_mut("metadata").and_then(Value::as_object_mut)
        && has_none
    {
        meta.insert("labels".to_string(), Value::Object(labels));
    }
}

fn object<'v>(map: &'v mut Map<String, Value>, name: &str) -> Option<&'v mut Map<String, Value>> {
    let slot = map.entry(name).or_insert(Value::Null);
    if slot.is_null() {
        *slot = json!({});
    }
    slot.as_object_mut()
}
