//! Taints that say what a node's spec says: a cordoned node carries one.
//!
//! Contract: Kubernetes pkg/controller/nodelifecycle, its pass over NoSchedule taints.

use serde_json::{Value, json};

use super::{Again, Controller, Ctx, Item};
use crate::kind::{KindId, well_known::NODE};
use crate::registry::{Actor, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

const UNSCHEDULABLE: &str = "node.kubernetes.io/unschedulable";

/// Keeps the taint of cordoned nodes.
#[derive(Debug, Default)]
pub struct Taints;

impl Controller for Taints {
    fn name(&self) -> &'static str {
        "node-lifecycle-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*NODE]
    }

    fn wakes(&mut self, _: &State, change: &Change, items: &mut Vec<Item>) {
        if !change.deleted {
            items.push(Item { kind: *NODE, key: change.new.key.clone() });
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let Some(node) = ctx.state().get(*NODE, &item.key).map(|n| n.value()) else { return Ok(None) };
        if is_cordoned(&node) == is_tainted(&node) {
            return Ok(None);
        }
        let now = ctx.now.rfc3339();
        ctx.cluster
            .modify(*NODE, &item.key, Part::Main, &Actor::new(self.name()), |node| settle(node, &now))?;
        Ok(None)
    }
}

fn is_cordoned(node: &Value) -> bool {
    node["spec"]["unschedulable"] == true
}

fn is_ours(taint: &Value) -> bool {
    taint["key"] == UNSCHEDULABLE && taint["effect"] == "NoSchedule"
}

fn is_tainted(node: &Value) -> bool {
    node["spec"]["taints"].as_array().is_some_and(|all| all.iter().any(is_ours))
}

fn settle(node: &mut Value, now: &str) {
    let cordoned = is_cordoned(node);
    if cordoned == is_tainted(node) {
        return;
    }
    let mut taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    taints.retain(|t| !is_ours(t));
    if cordoned {
        taints.push(json!({"key": UNSCHEDULABLE, "effect": "NoSchedule", "timeAdded": now}));
    }
    match node["spec"].as_object_mut() {
        Some(spec) if taints.is_empty() => {
            spec.remove("taints");
        }
        _ => node["spec"]["taints"] = taints.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_taint_comes_and_goes_with_the_cordon_and_leaves_others_alone() {
        let mut node =
            json!({"spec": {"unschedulable": true, "taints": [{"key": "a", "effect": "NoSchedule"}]}});
        settle(&mut node, "2026-01-01T00:00:00Z");
        let taints = json!([
            {"key": "a", "effect": "NoSchedule"},
            {"key": UNSCHEDULABLE, "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"},
        ]);
        assert_eq!(node["spec"]["taints"], taints);
        node["spec"]["unschedulable"] = false.into();
        settle(&mut node, "2026-01-02T00:00:00Z");
        assert_eq!(node["spec"]["taints"], json!([{"key": "a", "effect": "NoSchedule"}]));
        let mut alone = json!({"spec": {"taints": [{"key": UNSCHEDULABLE, "effect": "NoSchedule"}]}});
        settle(&mut alone, "2026-01-02T00:00:00Z");
        assert_eq!(alone, json!({"spec": {}}));
    }
}
