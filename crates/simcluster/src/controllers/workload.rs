//! From a change to the items it is about: owners of pods, selectors that might adopt.

use kiban_base::selector::LabelSelector;
use serde_json::Value;

use super::Item;
use crate::kind::{KindId, well_known::REPLICATION_CONTROLLER};
use crate::object::{Key, Stored};
use crate::store::{Change, State};

/// The item behind the controller that owns the changed object, now or before, if of one of `kinds`.
pub fn wake_owner(kinds: &[KindId], change: &Change, items: &mut Vec<Item>) {
    for object in change.old.iter().chain(std::iter::once(&change.new)) {
        if let Some(item) = owner_item(kinds, object).filter(|i| !items.contains(i)) {
            items.push(item);
        }
    }
}

fn owner_item(kinds: &[KindId], object: &Stored) -> Option<Item> {
    let owner = object.controller()?;
    let kind = kinds.iter().find(|k| k.is(&owner.group, &owner.kind))?;
    Some(Item { kind: *kind, key: Key::new(object.key.namespace.clone(), owner.name.clone()) })
}

/// A pod became an orphan, or one with other labels: some selector may match it.
pub fn may_be_adopted(change: &Change) -> bool {
    let pod = &change.new;
    let news = |old: &Stored| old.labels != pod.labels || old.controller().is_some();
    !change.deleted
        && !pod.deleting
        && pod.controller().is_none()
        && change.old.as_ref().is_none_or(|o| news(o))
}

/// The items of `kind` in the object's namespace whose selector matches it.
pub fn wake_selectors(kind: KindId, state: &State, object: &Stored, items: &mut Vec<Item>) {
    for owner in state.range(kind, &object.key.namespace, None) {
        if selector_of(kind, &owner.value()).matches(object) {
            items.push(Item { kind, key: owner.key.clone() });
        }
    }
}

/// The selector of a workload; one that cannot be read matches nothing.
pub fn selector_of(kind: KindId, object: &Value) -> LabelSelector {
    let selector = &object["spec"]["selector"];
    if kind == *REPLICATION_CONTROLLER {
        return if selector.is_object() {
            LabelSelector::from_map(selector)
        } else {
            LabelSelector::nothing()
        };
    }
    LabelSelector::from_object(selector).unwrap_or_else(|_| LabelSelector::nothing())
}
