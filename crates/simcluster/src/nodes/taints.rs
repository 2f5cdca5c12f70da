//! Taints that drive running pods away: `NoExecute`.
//!
//! Contract: Kubernetes pkg/controller/tainteviction. A pod that does not tolerate every such taint of
//! its node is deleted at once; one that tolerates them for a time, after the shortest.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::script::{items, text};
use super::timing::Timing;
use crate::controllers::events::Event;
use crate::controllers::pods::set_condition;
use crate::controllers::{Again, Controller, Ctx, Item};
use crate::kind::{KindId, well_known::*};
use crate::object::{Key, Stored};
use crate::registry::{Actor, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

/// A taint that drives pods away.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Taint {
    key: String,
    #[serde(default)]
    value: String,
    effect: String,
}

#[derive(Debug, Default, Deserialize)]
struct NodeBrief {
    #[serde(default)]
    spec: SpecBrief,
}

#[derive(Debug, Default, Deserialize)]
struct SpecBrief {
    #[serde(default)]
    taints: Option<Vec<Taint>>,
}

/// Deletes pods that may not stay.
#[derive(Debug)]
pub struct TaintEviction {
    timing: Timing,
    /// Nodes with such taints.
    tainted: BTreeMap<Arc<str>, Vec<Taint>>,
    /// Pods that may stay for a while, and until when.
    leaving: BTreeMap<Key, (Arc<str>, Timestamp)>,
}

impl TaintEviction {
    /// Nothing is tainted yet.
    pub fn new(timing: Timing) -> Self {
        Self { timing, tainted: BTreeMap::new(), leaving: BTreeMap::new() }
    }

    fn see_node(&mut self, change: &Change) -> bool {
        let name = &change.new.key.name;
        let brief: NodeBrief = serde_json::from_slice(&change.new.json).unwrap_or_default();
        let mut taints = brief.spec.taints.unwrap_or_default();
        taints.retain(|t| t.effect == "NoExecute");
        if taints.is_empty() || change.deleted {
            return self.tainted.remove(name).is_some();
        }
        self.tainted.insert(name.clone(), taints.clone()) != Some(taints)
    }

    fn evict(&mut self, ctx: &Ctx<'_>, pod: &Stored) -> Result<(), ApiError> {
        self.leaving.remove(&pod.key);
        let actor = Actor::new(self.name());
        let text = format!("Marking for deletion Pod {}", pod.key);
        Event::normal(self.name(), "TaintManagerEviction", &text).record(ctx.cluster, pod);
        ctx.cluster.modify(*POD, &pod.key, Part::Status, &actor, |value| {
            let condition = json!({
                "type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager",
                "message": "Taint manager: deleting due to NoExecute taint", "lastProbeTime": null,
            });
            set_condition(&mut value["status"], condition, ctx.now);
        })?;
        let options = DeleteOptions { uid: Some(pod.uid.to_string()), ..DeleteOptions::default() };
        match ctx.cluster.delete(*POD, &pod.key, &options, &actor) {
            Err(e) if e.code != 404 && e.reason != "Conflict" => Err(e),
            _ => Ok(()),
        }
    }
}

impl Controller for TaintEviction {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*NODE, *POD]
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        let item = |pod: &Stored| Item { kind: *POD, key: pod.key.clone() };
        if object.kind == *NODE {
            if self.see_node(change) {
                items.extend(state.pods_on(&object.key.name).map(|p| item(p)));
            }
        } else if change.deleted {
            self.leaving.remove(&object.key);
        } else if !self.tainted.is_empty() && object.pod.is_some_and(|p| p.bound) {
            items.push(item(object));
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let Some(pod) = ctx.cluster.get(*POD, &item.key) else { return Ok(None) };
        let ended = pod.pod.is_none_or(|p| p.phase.is_terminal());
        if pod.deleting || ended {
            self.leaving.remove(&item.key);
            return Ok(None);
        }
        let Some(taints) = pod.field("spec.nodeName").and_then(|n| self.tainted.get(n)) else {
            if self.leaving.remove(&item.key).is_some() {
                let text = format!("Cancelling deletion of Pod {}", pod.key);
                Event::normal(self.name(), "TaintManagerEviction", &text).record(ctx.cluster, &pod);
            }
            return Ok(None);
        };
        match stay(&pod.value()["spec"]["tolerations"], taints) {
            Stay::Always => {
                self.leaving.remove(&item.key);
                Ok(None)
            }
            Stay::No => self.evict(ctx, &pod).map(|()| None),
            Stay::For(span) => {
                let fresh = || (pod.uid.clone(), ctx.now + self.timing.asked(span));
                let slot = self.leaving.entry(item.key.clone()).or_insert_with(fresh);
                if slot.0 != pod.uid {
                    *slot = fresh();
                }
                let due = slot.1;
                if due > ctx.now {
                    return Ok(Some(due.since(ctx.now)));
                }
                self.evict(ctx, &pod).map(|()| None)
            }
        }
    }
}

/// How long a pod may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stay {
    Always,
    For(Duration),
    No,
}

fn stay(tolerations: &Value, taints: &[Taint]) -> Stay {
    let mut shortest: Option<u64> = None;
    for taint in taints {
        let mut used = items(tolerations).filter(|t| tolerates(t, taint)).peekable();
        if used.peek().is_none() {
            return Stay::No;
        }
        // Less than nothing is nothing.
        let limits =
            used.filter_map(|t| t["tolerationSeconds"].as_i64()).map(|s| u64::try_from(s).unwrap_or(0));
        shortest = limits.chain(shortest).min();
    }
    shortest.map_or(Stay::Always, |s| if s == 0 { Stay::No } else { Stay::For(Duration::from_secs(s)) })
}

fn tolerates(toleration: &Value, taint: &Taint) -> bool {
    let effect = text(&toleration["effect"]);
    let key = text(&toleration["key"]);
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    match text(&toleration["operator"]) {
        "Exists" => true,
        "" | "Equal" => !key.is_empty() && text(&toleration["value"]) == taint.value,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tolerations_say_how_long_a_pod_stays() {
        let taint = |key: &str| Taint { key: key.into(), value: "v".into(), effect: "NoExecute".into() };
        let (a, b) = (taint("a"), taint("b"));
        let for_secs = |s| Stay::For(Duration::from_secs(s));
        let table = [
            (json!(null), vec![a.clone()], Stay::No),
            (json!([]), vec![], Stay::Always),
            (json!([{"operator": "Exists"}]), vec![a.clone(), b.clone()], Stay::Always),
            (json!([{"key": "a", "value": "v"}]), vec![a.clone()], Stay::Always),
            (json!([{"key": "a", "value": "w"}]), vec![a.clone()], Stay::No),
            (json!([{"key": "a", "operator": "Exists", "effect": "NoSchedule"}]), vec![a.clone()], Stay::No),
            (json!([{"key": "a", "operator": "Exists"}]), vec![a.clone(), b.clone()], Stay::No),
            (
                json!([{"key": "a", "operator": "Exists", "tolerationSeconds": 30}]),
                vec![a.clone()],
                for_secs(30),
            ),
            (
                json!([{"key": "a", "operator": "Exists", "tolerationSeconds": 30},
                       {"key": "b", "operator": "Exists", "tolerationSeconds": 10}]),
                vec![a.clone(), b],
                for_secs(10),
            ),
            (json!([{"key": "a", "operator": "Exists", "tolerationSeconds": -1}]), vec![a], Stay::No),
        ];
        for (tolerations, taints, expected) in table {
            assert_eq!(stay(&tolerations, &taints), expected, "{tolerations}");
        }
    }
}
