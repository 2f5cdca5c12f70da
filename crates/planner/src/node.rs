//! A node as scheduling sees it.

use std::sync::Arc;

use kiban_base::quantity::Quantity;
use serde_json::Value;

use crate::labels::Labels;
use crate::resources::Resources;

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// New pods stay away.
    NoSchedule,
    /// New pods stay away if they can.
    PreferNoSchedule,
    /// New pods stay away and running ones leave.
    NoExecute,
}

impl Effect {
    /// Reads the name that the API uses.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "NoSchedule" => Some(Self::NoSchedule),
            "PreferNoSchedule" => Some(Self::PreferNoSchedule),
            "NoExecute" => Some(Self::NoExecute),
            _ => None,
        }
    }
}

/// A mark on a node that pods must tolerate.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Taint {
    /// The key.
    pub key: Arc<str>,
    /// The value; often empty.
    pub value: Arc<str>,
    /// What it does.
    pub effect: Effect,
}

/// A node as scheduling sees it. Readiness is not among the filters, as in Kubernetes: the node lifecycle
/// controller taints nodes that are not ready.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// The node's name.
    pub name: Arc<str>,
    /// Its labels.
    pub labels: Labels,
    /// Its taints, in the object's order.
    pub taints: Vec<Taint>,
    /// What pods may use.
    pub allocatable: Resources,
    /// How many pods it takes.
    pub max_pods: i64,
    /// `spec.unschedulable`: cordoned.
    pub unschedulable: bool,
    /// Whether its Ready condition is true.
    pub ready: bool,
}

impl Node {
    /// Reads a Kubernetes Node; what is missing or senseless is empty.
    pub fn from_json(object: &Value) -> Self {
        let text = |v: &Value| v.as_str().unwrap_or("").to_string();
        let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
        let allocatable = match &status["allocatable"] {
            Value::Null => &status["capacity"],
            some => some,
        };
        let taints = spec["taints"].as_array().into_iter().flatten();
        let conditions = status["conditions"].as_array().into_iter().flatten();
        Self {
            name: text(&metadata["name"]).into(),
            labels: Labels::from_json(&metadata["labels"]),
            taints: taints
                .filter_map(|t| {
                    let effect = Effect::parse(t["effect"].as_str()?)?;
                    Some(Taint { key: text(&t["key"]).into(), value: text(&t["value"]).into(), effect })
                })
                .collect(),
            allocatable: Resources::from_json(allocatable),
            max_pods: Quantity::from_json(&allocatable["pods"]).unwrap_or_default().value().max(0),
            unschedulable: spec["unschedulable"].as_bool().unwrap_or(false),
            ready: conditions.filter(|c| c["type"] == "Ready").any(|c| c["status"] == "True"),
        }
    }
}
