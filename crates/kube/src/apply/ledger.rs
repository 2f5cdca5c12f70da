//! What the inventory is to say before, between and after the steps of an apply. Pure.

use crate::inventory::Inventory;
use crate::object::ObjectId;
use crate::plan::Plan;
use crate::request::Request;

/// The inventory before the first change: what it listed, and what comes.
///
/// It is another than the last one even where the objects are the same: whoever planned upon that finds
/// out that it is no longer the last.
pub(super) fn union(plan: &Plan, request: &Request) -> Inventory {
    let last = plan.inventory().cloned().unwrap_or_else(|| Inventory::empty(&request.app, &request.env));
    let mut union = last.union(&plan.entries());
    union.applying = Some(request.revision.clone());
    // From now on the cluster may hold some of it.
    union.held = request.hold.clone().or(union.held);
    union
}

/// The inventory when everything is applied and nothing pruned.
pub(super) fn after_waves(plan: &Plan, request: &Request) -> Inventory {
    let mut inventory = last_inventory(plan, request);
    let listed = plan.inventory().map(|i| &i.objects);
    let pending = plan.removals.iter().filter_map(|r| Some((r.id.clone(), listed?.get(&r.id)?.clone())));
    inventory.objects.extend(pending);
    inventory
}

/// The inventory when all is done: what is rendered, what stays though it is not, and what was left out
/// because the target does not know its kind any more.
pub(super) fn last_inventory(plan: &Plan, request: &Request) -> Inventory {
    let mut objects = plan.entries();
    let kept = plan.kept.iter().filter(|(_, (_, why))| !why.is_given_up());
    objects.extend(kept.map(|(id, (entry, _))| (id.clone(), entry.clone())));
    let listed = plan.inventory().map(|i| &i.objects);
    for (id, _) in &plan.skipped {
        let placed = ObjectId { namespace: request.namespace.clone(), ..id.clone() };
        for id in [id, &placed] {
            if let Some(entry) = listed.and_then(|l| l.get(id)) {
                objects.insert(id.clone(), entry.clone());
            }
        }
    }
    let last = plan.inventory().cloned().unwrap_or_else(|| Inventory::empty(&request.app, &request.env));
    Inventory {
        revision: request.revision.clone(),
        render: request.digest(),
        applying: None,
        held: request.hold.clone(),
        objects,
        ..last
    }
}
