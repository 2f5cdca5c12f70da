//! What a change is judged by besides itself: the other objects before and after.

use std::collections::BTreeMap;

use kiban_base::object::ObjectId;
use serde_json::Value;

use super::network::{self, Direction};

/// The objects before and after.
#[derive(Debug)]
pub(super) struct Context<'a> {
    before: Vec<(&'a ObjectId, &'a Value)>,
    after: Vec<(&'a ObjectId, &'a Value)>,
    /// Least replicas that autoscalers keep, by namespace, kind and name of what they scale.
    scaled: BTreeMap<(&'a str, &'a str, &'a str), u64>,
}

/// One of the two sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Before,
    After,
}

impl<'a> Context<'a> {
    pub(super) fn of(
        before: &'a BTreeMap<ObjectId, &'a Value>,
        after: &'a BTreeMap<ObjectId, &'a Value>,
    ) -> Self {
        let policies = |set: &'a BTreeMap<ObjectId, &'a Value>| {
            set.iter().filter(|(id, _)| id.kind == "NetworkPolicy").map(|(id, v)| (id, *v)).collect()
        };
        let scaled = after.iter().filter_map(|(id, object)| {
            let (target, least) = match id.kind.as_str() {
                "HorizontalPodAutoscaler" => (object.pointer("/spec/scaleTargetRef")?, "/spec/minReplicas"),
                "ScaledObject" => (object.pointer("/spec/scaleTargetRef")?, "/spec/minReplicaCount"),
                _ => return None,
            };
            let kind = target.get("kind").and_then(Value::as_str).unwrap_or("Deployment");
            let name = target.get("name")?.as_str()?;
            let least = object.pointer(least).and_then(Value::as_u64).unwrap_or(1);
            Some(((id.namespace.as_str(), kind, name), least))
        });
        Self { before: policies(before), after: policies(after), scaled: scaled.collect() }
    }

    /// The least replicas that an autoscaler keeps of a workload, where one scales it.
    pub(super) fn scaled(&self, id: &ObjectId) -> Option<u64> {
        self.scaled.get(&(id.namespace.as_str(), id.kind.as_str(), id.name.as_str())).copied()
    }

    /// How many pods a workload has at least.
    pub(super) fn pods(&self, id: &ObjectId, after: &Value) -> u64 {
        if matches!(id.kind.as_str(), "DaemonSet" | "Pod") {
            return 1;
        }
        let stated = after.pointer("/spec/replicas").and_then(Value::as_u64);
        self.scaled(id).or(stated).unwrap_or(1)
    }

    /// Whether a policy other than `id` cuts the pods that `selector` takes off in a direction: then what no
    /// policy lets through stays out.
    pub(super) fn cut_off(&self, side: Side, id: &ObjectId, selector: &Value, direction: Direction) -> bool {
        let set = if side == Side::Before { &self.before } else { &self.after };
        set.iter().any(|(other, policy)| {
            *other != id
                && other.namespace == id.namespace
                && network::directions(policy).contains(&direction)
                && network::selects_all(&policy["spec"]["podSelector"], selector)
        })
    }
}
