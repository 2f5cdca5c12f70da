//! Checks of PersistentVolumeClaims, of the templates for them, and of PersistentVolumes.

use kiban_base::names;
use serde_json::{Map, Value, json};

use super::at::{At, dig, field, text, texts};
use super::cause::Causes;
use super::meta::{annotations, immutable, label_selector, labels};
use super::pod_update::changes;
use super::resources::{amount, quantity};
use super::rule::{self, Check, Rule, rule as r, run};
use super::same::same;
use super::{scheduling, volume};

const ACCESS_MODES: &[&str] = &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const VOLUME_MODES: &[&str] = &["Block", "Filesystem"];
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";
const CLAIM_RULES: &[Rule] = &[
    r("storageClassName", Check::Text(names::check_dns1123_subdomain)),
    r("volumeMode", Check::With(|at, out| rule::one_of(at, VOLUME_MODES, out))),
    r("dataSource", Check::With(data_source)),
    r("dataSourceRef", Check::With(data_source)),
];

/// The template of an ephemeral volume's claim.
pub(crate) fn template(at: &At<'_, '_>, out: &mut Causes) {
    if !at.is_set() {
        return out.required(at, "");
    }
    let meta = at.get("metadata");
    annotations(&meta.get("annotations"), out);
    labels(&meta.get("labels"), out);
    for (name, _) in super::at::entries(meta.value) {
        if !matches!(name, "annotations" | "labels") {
            out.forbidden(meta.get(name), "cannot be set");
        }
    }
    claim_spec(&at.get("spec"), out);
}

/// The spec of a claim.
pub(crate) fn claim_spec(at: &At<'_, '_>, out: &mut Causes) {
    let modes = at.get("accessModes");
    if modes.is_empty() {
        out.required(modes, "at least 1 access mode is required");
    }
    label_selector(&at.get("selector"), out);
    access_modes(&modes, out);
    let resources = at.get("resources");
    let storage = dig(resources.value, "requests.storage");
    let place = At { value: storage, path: resources.path.key("storage") };
    if storage.is_null() {
        out.required(place, "");
    } else if amount(storage) <= kiban_base::quantity::Quantity::ZERO {
        out.invalid(place, amount(storage).to_string(), "must be greater than zero");
    } else {
        quantity("storage", &place, out);
    }
    run(CLAIM_RULES, at, out);
    sources_agree(at, out);
    run(&[r("volumeAttributesClassName", Check::Text(names::check_dns1123_subdomain))], at, out);
}

fn access_modes(at: &At<'_, '_>, out: &mut Causes) {
    for mode in texts(at.value) {
        if !ACCESS_MODES.contains(&mode) {
            out.unsupported(at, mode, ACCESS_MODES);
        }
    }
    let has =
        |wanted: fn(&str) -> bool| texts(at.value).any(|mode| ACCESS_MODES.contains(&mode) && wanted(mode));
    if has(|mode| mode == "ReadWriteOncePod") && has(|mode| mode != "ReadWriteOncePod") {
        out.forbidden(at, "may not use ReadWriteOncePod with other access modes");
    }
}

fn data_source(at: &At<'_, '_>, out: &mut Causes) {
    run(&[r("name", Check::Required), r("kind", Check::Required)], at, out);
    let (group, kind) = (at.get("apiGroup"), at.get("kind"));
    if group.is_empty() && kind.str() != "PersistentVolumeClaim" {
        out.invalid(at, kind.str(), "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    }
    run(
        &[
            r("apiGroup", Check::Text(names::check_dns1123_subdomain)),
            r("namespace", Check::Text(names::check_dns1123_label)),
        ],
        at,
        out,
    );
}

fn sources_agree(at: &At<'_, '_>, out: &mut Causes) {
    let (source, reference) = (at.get("dataSource"), at.get("dataSourceRef"));
    if !source.is_set() || !reference.is_set() {
        return;
    }
    let place = source.path.to_string();
    if !reference.get("namespace").is_empty() {
        out.invalid(at, place, "may not be specified when dataSourceRef.namespace is specified");
    } else if ["apiGroup", "kind", "name"].iter().any(|n| source.get(n).value != reference.get(n).value) {
        out.invalid(at, place, "must match dataSourceRef");
    }
}

/// A new claim.
pub(crate) fn claim(at: &At<'_, '_>, out: &mut Causes) {
    claim_spec(&at.get("spec"), out);
}

/// A claim in an old one's place: bound ones may grow, all else stays.
pub(crate) fn claim_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let (spec, before) = (at.get("spec"), field(old, "spec"));
    let class =
        |value: &Value| field(field(field(value, "metadata"), "annotations"), CLASS_ANNOTATION).clone();
    if class(old) != class(at.value) {
        let place = format!("metadata.annotations.{CLASS_ANNOTATION}");
        out.invalid(place.as_str(), text(&class(at.value)), "field is immutable");
    }
    let mut munged = spec.value.clone();
    if let Some(map) = munged.as_object_mut() {
        restore(map, before, text(dig(at.value, "status.phase")) == "Bound");
    }
    if !same(&munged, before) {
        let detail = format!(
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n{}",
            changes(before, &munged)
        );
        out.forbidden(spec, &detail);
    }
    let storage = |value: &Value| amount(dig(value, "resources.requests.storage"));
    let shrinks = storage(spec.value) < storage(before);
    if shrinks && storage(spec.value) <= amount(dig(old, "status.capacity.storage")) {
        out.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity");
    }
    volume_mode(before, &spec, out);
    let (old_class, new_class) =
        (field(before, "volumeAttributesClassName"), spec.get("volumeAttributesClassName"));
    if old_class.is_string() && !new_class.is_set() {
        out.forbidden(new_class, "update from non-nil value to nil is forbidden");
    } else if !text(old_class).is_empty() && new_class.is_empty() {
        out.forbidden(new_class, "update from non-nil value to an empty string is forbidden");
    }
}

fn restore(map: &mut Map<String, Value>, before: &Value, is_bound: bool) {
    let mut keep = |name: &str| {
        map.insert(name.to_string(), field(before, name).clone());
    };
    if text(field(before, "volumeName")).is_empty() {
        keep("volumeName");
    }
    if field(before, "storageClassName").is_null() {
        keep("storageClassName");
    }
    if is_bound {
        keep("volumeAttributesClassName");
        if let Some(requests) = map.get_mut("resources").and_then(|r| r.get_mut("requests"))
            && let Some(requests) = requests.as_object_mut()
        {
            requests.insert("storage".to_string(), dig(before, "resources.requests.storage").clone());
        }
    }
}

/// Upstream names the field without its spec.
fn volume_mode(before: &Value, spec: &At<'_, '_>, out: &mut Causes) {
    let mode = At { value: field(spec.value, "volumeMode"), path: super::at::Path::ROOT };
    let mode = At { value: mode.value, path: mode.path.child("volumeMode") };
    immutable(field(before, "volumeMode"), &mode, out);
}

/// A PersistentVolume.
pub(crate) fn persistent_volume(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let modes = spec.get("accessModes");
    if modes.is_empty() {
        out.required(modes, "");
    }
    access_modes(&modes, out);
    let capacity = spec.get("capacity");
    if capacity.is_empty() {
        out.required(capacity, "");
    }
    if !capacity.get("storage").is_set() || capacity.len() > 1 {
        let shown = if capacity.is_set() { capacity.value.clone() } else { Value::Null };
        out.unsupported(capacity, shown, &["storage"]);
    }
    for (_, entry) in capacity.entries() {
        let size = amount(entry.value);
        if size.is_negative() {
            out.invalid(entry, size.value(), "must be a valid resource quantity");
        }
        if size <= kiban_base::quantity::Quantity::ZERO {
            out.invalid(entry, size.to_string(), "must be greater than zero");
        }
    }
    run(&[r("persistentVolumeReclaimPolicy", Check::MayBe(&["Delete", "Recycle", "Retain"]))], &spec, out);
    node_affinity(&spec, out);
    volume::persistent_source(&spec, out);
    let recycled = spec.get("persistentVolumeReclaimPolicy");
    let path = text(dig(spec.value, "hostPath.path"));
    let is_root = path.starts_with('/') && path.split('/').all(|part| matches!(part, "" | "." | ".."));
    if recycled.str() == "Recycle" && is_root {
        out.forbidden(recycled, "may not be 'recycle' for a hostPath mount of '/'");
    }
    run(
        &[
            r("storageClassName", Check::Text(names::check_dns1123_subdomain)),
            r("volumeMode", Check::With(|at, out| rule::one_of(at, VOLUME_MODES, out))),
            r("volumeAttributesClassName", Check::With(attributes_class)),
        ],
        &spec,
        out,
    );
    if spec.get("volumeAttributesClassName").is_set() && !spec.get("csi").is_set() {
        out.required(spec.get("csi"), "has to be specified when using volumeAttributesClassName");
    }
}

fn attributes_class(at: &At<'_, '_>, out: &mut Causes) {
    if at.is_empty() {
        out.required(at, "an empty string is disallowed");
    } else {
        rule::dns_subdomain(at, out);
    }
}

fn node_affinity(spec: &At<'_, '_>, out: &mut Causes) {
    let affinity = spec.get("nodeAffinity");
    let required = affinity.get("required");
    if affinity.is_set() && !required.is_set() {
        out.required(required, "must specify required node constraints");
    } else if required.is_set() {
        scheduling::node_selector(&required, out);
    }
}

/// A PersistentVolume in an old one's place: where its data lies does not change.
pub(crate) fn persistent_volume_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let (spec, before) = (at.get("spec"), field(old, "spec"));
    let source = |value: &Value| -> Value {
        let parts: Map<String, Value> = volume::persistent_sources()
            .filter(|name| !field(value, name).is_null())
            .map(|name| (name.to_string(), field(value, name).clone()))
            .collect();
        json!(parts)
    };
    let (was, mut is) = (source(before), source(spec.value));
    if dig(&was, "csi.controllerExpandSecretRef").is_null()
        && let Some(csi) = is.get_mut("csi").and_then(Value::as_object_mut)
    {
        csi.remove("controllerExpandSecretRef");
    }
    if !same(&was, &is) {
        let detail =
            format!("spec.persistentvolumesource is immutable after creation\n{}", changes(&was, &is));
        out.forbidden("spec.persistentvolumesource", &detail);
    }
    volume_mode(before, &spec, out);
    let (old_affinity, affinity) = (field(before, "nodeAffinity"), spec.get("nodeAffinity"));
    if !old_affinity.is_null() && !same(old_affinity, affinity.value) {
        let detail = "field is immutable, except for updating from beta label to GA";
        out.invalid("nodeAffinity", affinity.value, detail);
    }
    if field(before, "volumeAttributesClassName").is_string()
        && !spec.get("volumeAttributesClassName").is_set()
    {
        let place = spec.get("volumeAttributesClassName");
        out.forbidden(place, "update from non-nil value to nil is forbidden");
    }
}
