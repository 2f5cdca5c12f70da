//! Checks of storage classes and of what CSI drivers tell of themselves.

use std::collections::BTreeSet;

use kiban_base::names;
use kiban_base::quantity::Quantity;
use serde_json::Value;

use super::at::{At, dig, entries, field, list, text};
use super::cause::Causes;
use super::meta::{immutable, immutable_paths, label_selector};
use super::resources::amount;
use super::rule::{self, Check, qualified_name, rule as r, run};
use super::same::same;
use super::volume::driver_name;

const PARAMETERS_MAX: usize = 512;
const PARAMETER_BYTES_MAX: usize = 256 * 1024;
const NODE_ID_MAX: usize = 256;

/// A StorageClass.
pub(crate) fn storage_class(at: &At<'_, '_>, out: &mut Causes) {
    let provisioner = at.get("provisioner");
    if provisioner.is_empty() {
        out.required(provisioner, "");
    } else {
        let lower = provisioner.str().to_lowercase();
        out.invalid_each(provisioner, &lower, names::check_qualified_name(&lower));
    }
    parameters(&at.get("parameters"), true, out);
    run(
        &[
            r("reclaimPolicy", Check::MayBe(&["Delete", "Retain"])),
            r("volumeBindingMode", Check::MustBe(&["Immediate", "WaitForFirstConsumer"])),
        ],
        at,
        out,
    );
    let mut terms: Vec<&Value> = Vec::new();
    for term in at.get("allowedTopologies").items() {
        let expressions = term.get("matchLabelExpressions");
        let mut keys = BTreeSet::new();
        for expression in expressions.items() {
            topology(&expression, out);
            let key = expression.get("key");
            if !keys.insert(key.str()) {
                out.duplicate(key, key.str());
            }
        }
        if terms.iter().any(|other| same(other, term.value)) {
            out.duplicate(expressions, "");
        }
        terms.push(term.value);
    }
}

fn topology(at: &At<'_, '_>, out: &mut Causes) {
    let values = at.get("values");
    if values.is_empty() {
        out.required(values, "");
    }
    let mut seen = BTreeSet::new();
    for value in values.items() {
        if !seen.insert(value.str()) {
            out.duplicate(value, value.str());
        }
    }
    qualified_name(&at.get("key"), out);
}

fn parameters(at: &At<'_, '_>, may_be_empty: bool, out: &mut Causes) {
    if at.len() > PARAMETERS_MAX {
        return out.too_long(at, PARAMETERS_MAX);
    }
    if at.entries().any(|(key, _)| key.is_empty()) {
        out.invalid(at, "", "field can not be empty.");
    }
    if entries(at.value).map(|(key, value)| key.len() + text(value).len()).sum::<usize>()
        > PARAMETER_BYTES_MAX
    {
        out.too_long(at, PARAMETER_BYTES_MAX);
    }
    if !may_be_empty && at.is_empty() {
        out.required(at, "must contain at least one key/value pair");
    }
}

/// What a StorageClass makes volumes with stays.
pub(crate) fn storage_class_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    for name in ["parameters", "provisioner", "reclaimPolicy"] {
        if !same(field(old, name), at.get(name).value) {
            out.forbidden(at.get(name), &format!("updates to {name} are forbidden."));
        }
    }
    immutable(field(old, "volumeBindingMode"), &at.get("volumeBindingMode"), out);
}

/// A VolumeAttributesClass.
pub(crate) fn attributes_class(at: &At<'_, '_>, out: &mut Causes) {
    driver_name(&at.get("driverName"), out);
    parameters(&at.get("parameters"), false, out);
}

/// A VolumeAttributesClass never changes.
pub(crate) fn attributes_class_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    for name in ["driverName", "parameters"] {
        if !same(field(old, name), at.get(name).value) {
            out.forbidden(at.get(name), &format!("updates to {name} are forbidden."));
        }
    }
}

/// A VolumeAttachment.
pub(crate) fn attachment(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let source = spec.get("source");
    run(&[r("attacher", Check::Required)], &spec, out);
    let (inline, name) = (source.get("inlineVolumeSpec"), source.get("persistentVolumeName"));
    let one_of_two = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (inline.is_set(), name.is_set()) {
        (false, false) => out.required(source, one_of_two),
        (true, true) => out.forbidden(source, one_of_two),
        (false, true) if name.is_empty() => out.required(name, "must specify non empty persistentVolumeName"),
        _ => {}
    }
    rule::dns_subdomain(&spec.get("nodeName"), out);
    driver_name(&spec.get("attacher"), out);
    if name.is_set() {
        rule::dns_subdomain(&name, out);
    }
}

/// What a VolumeAttachment attaches stays.
pub(crate) fn attachment_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    immutable_paths(old, at, &["spec"], out);
}

/// A CSIDriver.
pub(crate) fn driver(at: &At<'_, '_>, out: &mut Causes) {
    let (meta, spec) = (at.get("metadata"), at.get("spec"));
    driver_name(&meta.get("name"), out);
    run(&[r("fsGroupPolicy", Check::MayBe(&["File", "None", "ReadWriteOnceWithFSType"]))], &spec, out);
    for name in ["attachRequired", "podInfoOnMount", "storageCapacity"] {
        if !spec.get(name).is_set() {
            out.required(spec.get(name), "");
        }
    }
    let modes = spec.get("volumeLifecycleModes");
    for mode in list(modes.value) {
        if !matches!(text(mode), "Persistent" | "Ephemeral") {
            out.unsupported(modes, text(mode), &["Ephemeral", "Persistent"]);
        }
    }
    let mut seen = BTreeSet::new();
    for request in spec.get("tokenRequests").items() {
        let audience = request.get("audience");
        if !seen.insert(audience.str()) {
            out.duplicate(audience, audience.str());
        }
        let seconds = request.get("expirationSeconds");
        if seconds.int().is_some_and(|s| s < 600) {
            out.invalid(seconds, &seconds, "may not specify a duration less than 10 minutes");
        }
    }
}

/// What clusters relied on when a CSIDriver was made stays.
pub(crate) fn driver_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    immutable_paths(old, at, &["spec.attachRequired", "spec.volumeLifecycleModes"], out);
}

/// A CSINode.
pub(crate) fn csi_node(at: &At<'_, '_>, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    let spec = at.get("spec");
    for driver in spec.get("drivers").items() {
        let (name, id) = (driver.get("name"), driver.get("nodeID"));
        driver_name(&name, out);
        if !seen.insert(name.str()) {
            out.duplicate(name, name.str());
        }
        if id.is_empty() {
            out.required(id, "");
        }
        if id.len() > NODE_ID_MAX {
            out.invalid(id, id.str(), &format!("must be {NODE_ID_MAX} characters or less"));
        }
        let count = driver.get("allocatable");
        rule::not_negative(&count.get("count"), out);
        let mut keys = BTreeSet::new();
        for key in driver.get("topologyKeys").items() {
            if key.is_empty() {
                out.required(key, "");
            }
            if !keys.insert(key.str()) {
                out.duplicate(key, key.str());
            }
            qualified_name(&key, out);
        }
    }
}

/// A CSIStorageCapacity.
pub(crate) fn capacity(at: &At<'_, '_>, out: &mut Causes) {
    label_selector(&at.get("nodeTopology"), out);
    rule::dns_subdomain(&at.get("storageClassName"), out);
    for name in ["capacity", "maximumVolumeSize"] {
        let place = at.get(name);
        if place.is_set() && amount(place.value) < Quantity::ZERO {
            out.invalid(place, amount(place.value).to_string(), "must be greater than or equal to 0");
        }
    }
}

/// Which volumes a CSIStorageCapacity speaks of stays.
pub(crate) fn capacity_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    for name in ["nodeTopology", "storageClassName"] {
        if !same(dig(old, name), at.get(name).value) {
            out.invalid(at.get(name), &at.get(name), "field is immutable");
        }
    }
}
