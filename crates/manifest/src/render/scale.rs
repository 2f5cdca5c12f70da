//! The autoscaler and the disruption budget.

use serde_json::{Value, json};

use super::meta;
use crate::facts::Facts;
use crate::node::Node;
use crate::rules;

/// How often the autoscaler may act upwards.
const UP_PERIOD: u64 = 15;
/// How often it may act downwards.
const DOWN_PERIOD: u64 = 60;
/// Kubernetes' bound of a stabilisation window.
const MAX_WINDOW: u64 = 3600;

/// The HorizontalPodAutoscaler.
pub(super) fn autoscaler(f: &Facts<'_>) -> Node {
    let bound = |key: &str, value: u32| Node::from(&rules::SCALE_BOUNDS, f.origin_of_scale(key), value);
    let reference = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": f.name()});
    let spec = Node::map([
        ("scaleTargetRef", Node::new(&rules::SCALE_REF, reference)),
        ("minReplicas", bound("from", f.bounds.from)),
        ("maxReplicas", bound("to", f.bounds.to)),
        ("metrics", metrics(f)),
        ("behavior", behavior(f)),
    ]);
    meta::app_header(f, "autoscaling/v2", "HorizontalPodAutoscaler").with("spec", spec)
}

fn metrics(f: &Facts<'_>) -> Node {
    let scale = f.r.app.scale.as_ref();
    let own_cpu = scale.and_then(|scale| scale.cpu);
    let own_memory = scale.and_then(|scale| scale.memory);
    let mut metrics = Vec::new();
    if own_cpu.is_some() || own_memory.is_none() {
        let origin = match own_cpu {
            Some(_) => f.origin("scale.cpu"),
            None => f.profile_origin("scaling.cpu"),
        };
        let target = own_cpu.unwrap_or(f.r.platform.scaling.cpu).rounded();
        metrics.push(Node::from(&rules::SCALE_TARGET, origin, metric(f, "cpu", target)));
    }
    if let Some(memory) = own_memory {
        let origin = f.origin("scale.memory");
        metrics.push(Node::from(&rules::SCALE_TARGET, origin, metric(f, "memory", memory.rounded())));
    }
    Node::List(metrics)
}

/// Beside a mesh's proxy only the app's own container counts: the proxy's idle request would dilute it.
fn metric(f: &Facts<'_>, resource: &str, utilization: u32) -> Value {
    let target = json!({"type": "Utilization", "averageUtilization": utilization});
    if f.in_mesh() {
        let source = json!({"container": f.name(), "name": resource, "target": target});
        return json!({"type": "ContainerResource", "containerResource": source});
    }
    json!({"type": "Resource", "resource": {"name": resource, "target": target}})
}

fn behavior(f: &Facts<'_>) -> Node {
    let scaling = &f.r.platform.scaling;
    let window = |seconds: u64| seconds.min(MAX_WINDOW);
    let up = json!([
        {"type": "Percent", "value": 100, "periodSeconds": UP_PERIOD},
        {"type": "Pods", "value": 4, "periodSeconds": UP_PERIOD},
    ]);
    let down = json!([{"type": "Percent", "value": 20, "periodSeconds": DOWN_PERIOD}]);
    let side = |rule, key: &str, seconds: u64, policies: Value, select: &str| {
        Node::map([
            ("policies", Node::new(rule, policies)),
            ("selectPolicy", Node::new(rule, select)),
            ("stabilizationWindowSeconds", Node::from(rule, f.profile_origin(key), window(seconds))),
        ])
    };
    Node::map([
        ("scaleUp", side(&rules::SCALE_UP, "scaling.up", scaling.up.as_secs_up(), up, "Max")),
        ("scaleDown", side(&rules::SCALE_DOWN, "scaling.down", scaling.down.as_secs_up(), down, "Max")),
    ])
}

/// The PodDisruptionBudget. Also for one replica: it names the policy for pods that are not ready.
pub(super) fn budget(f: &Facts<'_>) -> Node {
    let tier = f.r.app.tier;
    let origin = f.profile_origin(&format!("tiers.{tier}.disruption")).or_else(|| f.origin("tier"));
    let spec = Node::map([
        ("maxUnavailable", Node::from(&rules::BUDGET, origin, f.r.tier.disruption.to_json())),
        ("selector", Node::map([("matchLabels", meta::selector(f, f.name()))])),
        ("unhealthyPodEvictionPolicy", Node::new(&rules::BUDGET_UNHEALTHY, "AlwaysAllow")),
    ]);
    meta::app_header(f, "policy/v1", "PodDisruptionBudget").with("spec", spec)
}
