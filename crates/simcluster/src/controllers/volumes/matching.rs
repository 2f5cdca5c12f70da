//! Which of the volumes that are there a claim may have.
//!
//! Contract: Kubernetes component-helpers/storage/volume (FindMatchingVolume): the one that a claim names
//! or that names the claim, else the smallest that fits.

use std::sync::Arc;

use kiban_base::quantity::Quantity;
use kiban_base::selector::LabelSelector;
use serde_json::Value;

use crate::kind::well_known::PERSISTENT_VOLUME;
use crate::object::{Key, Stored};
use crate::store::State;

/// What a claim finds among the volumes.
#[derive(Debug)]
pub(super) enum Found {
    /// This one.
    Volume(Arc<Stored>),
    /// None; one may be made for it.
    None,
    /// The claim names a volume that is not there yet: it waits.
    Waits,
    /// The claim names a volume of another claim.
    Taken(String),
}

/// Looks for a volume for a claim of the class called `class` (empty: none).
pub(super) fn find(state: &State, claim: &Stored, value: &Value, class: &str) -> Found {
    let spec = &value["spec"];
    if let Some(name) = spec["volumeName"].as_str().filter(|n| !n.is_empty()) {
        let Some(volume) = state.get(*PERSISTENT_VOLUME, &Key::new("", name)) else { return Found::Waits };
        let free = reserved(claim, &volume.value()).unwrap_or(true);
        return if free { Found::Volume(volume.clone()) } else { Found::Taken(name.to_owned()) };
    }
    let selector = LabelSelector::from_object(&spec["selector"]).unwrap_or_else(|_| LabelSelector::nothing());
    let mut best: Option<(Quantity, &Arc<Stored>)> = None;
    for volume in state.objects(*PERSISTENT_VOLUME).values().filter(|v| !v.deleting) {
        let found = volume.value();
        match reserved(claim, &found) {
            Some(true) => return Found::Volume(volume.clone()),
            Some(false) => continue,
            None => {}
        }
        let selected = spec["selector"].is_null() || selector.matches(&**volume);
        let Some(size) = fits(spec, &found, class).filter(|_| selected) else { continue };
        if best.is_none_or(|(smallest, _)| size < smallest) {
            best = Some((size, volume));
        }
    }
    best.map_or(Found::None, |(_, volume)| Found::Volume(volume.clone()))
}

/// The volume is kept for this claim (true) or another (false).
fn reserved(claim: &Stored, volume: &Value) -> Option<bool> {
    let reference = &volume["spec"]["claimRef"];
    reference.is_object().then(|| {
        let uid = reference["uid"].as_str().unwrap_or_default();
        reference["namespace"] == *claim.key.namespace
            && reference["name"] == *claim.key.name
            && (uid.is_empty() || *uid == *claim.uid)
    })
}

/// The volume's size, if the claim may have it.
fn fits(claim: &Value, volume: &Value, class: &str) -> Option<Quantity> {
    let spec = &volume["spec"];
    let modes = |v: &Value| v["accessModes"].as_array().cloned().unwrap_or_default();
    let mode = |v: &Value| v["volumeMode"].as_str().unwrap_or("Filesystem").to_owned();
    let offered = modes(spec);
    let all = modes(claim).iter().all(|m| offered.contains(m));
    let same = spec["storageClassName"].as_str().unwrap_or_default() == class && mode(spec) == mode(claim);
    let size = Quantity::from_json(&spec["capacity"]["storage"]).ok()?;
    let asked = Quantity::from_json(&claim["resources"]["requests"]["storage"]).ok()?;
    (all && same && size >= asked).then_some(size)
}
