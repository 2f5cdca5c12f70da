//! Reads pods from the API's JSON: total, since the objects are other people's.

use std::sync::Arc;

use kiban_base::clock::Timestamp;
use kiban_base::selector::{LabelSelector, Operator, Requirement};
use serde_json::Value;

use super::{
    HostPort, NodeAffinity, NodeTerm, Pod, PodKey, PodTerm, Scope, Spread, Template, Toleration,
    TolerationOperator, WeightedNodeTerm, WeightedPodTerm,
};
use crate::labels::Labels;
use crate::node::Effect;
use crate::resources::requests_of;

/// Labels that differ between siblings of one workload.
const OWN_LABELS: [&str; 3] =
    ["statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index", "controller-revision-hash"];

pub(super) fn pod(object: &Value) -> Pod {
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let key = PodKey { namespace: shared(&metadata["namespace"]), name: shared(&metadata["name"]) };
    let template = template(metadata, spec, &key.namespace);
    let mut pod = Pod::new(key, Arc::new(template));
    pod.node = name(&spec["nodeName"]);
    pod.nominated = name(&status["nominatedNodeName"]);
    pod.terminating = metadata["deletionTimestamp"].is_string();
    pod.finished = matches!(text(&status["phase"]), "Succeeded" | "Failed");
    pod.started = status["startTime"].as_str().and_then(Timestamp::parse);
    pod
}

fn template(metadata: &Value, spec: &Value, namespace: &Arc<str>) -> Template {
    let labels = Labels::from_json(&metadata["labels"]);
    let affinity = &spec["affinity"];
    let (together, apart) = (&affinity["podAffinity"], &affinity["podAntiAffinity"]);
    let required = |a: &Value| -> Vec<PodTerm> {
        let terms = items(&a["requiredDuringSchedulingIgnoredDuringExecution"]);
        terms.map(|t| pod_term(t, namespace, &labels)).collect()
    };
    let preferred = |a: &Value, sign: i32| -> Vec<WeightedPodTerm> {
        let terms = items(&a["preferredDuringSchedulingIgnoredDuringExecution"]);
        let weighted = terms.map(|t| WeightedPodTerm {
            weight: sign * integer(&t["weight"]).clamp(0, 100),
            term: pod_term(&t["podAffinityTerm"], namespace, &labels),
        });
        weighted.filter(|t| t.weight != 0).collect()
    };
    let mut preferred_pods = preferred(together, 1);
    preferred_pods.extend(preferred(apart, -1));
    let constraints: Vec<Spread> =
        items(&spec["topologySpreadConstraints"]).map(|c| spread(c, &labels)).collect();
    let default_spread = constraints.is_empty();
    let spread = if default_spread { default_constraints(metadata, &labels) } else { constraints };
    Template {
        requests: requests_of(spec),
        priority: integer(&spec["priority"]),
        preempts: text(&spec["preemptionPolicy"]) != "Never",
        gates: items(&spec["schedulingGates"]).map(|g| shared(&g["name"])).collect(),
        tolerations: items(&spec["tolerations"]).filter_map(toleration).collect(),
        ports: host_ports(spec),
        node_affinity: node_affinity(spec),
        preferred_nodes: preferred_nodes(&affinity["nodeAffinity"]),
        affinity: required(together),
        anti_affinity: required(apart),
        preferred_pods,
        spread,
        default_spread,
        labels,
    }
}

fn toleration(value: &Value) -> Option<Toleration> {
    let operator = match text(&value["operator"]) {
        "" | "Equal" => TolerationOperator::Equal,
        "Exists" => TolerationOperator::Exists,
        "Lt" => TolerationOperator::Lt,
        "Gt" => TolerationOperator::Gt,
        _ => return None,
    };
    let effect = match text(&value["effect"]) {
        "" => None,
        // An effect that no taint has tolerates nothing.
        other => Some(Effect::parse(other)?),
    };
    Some(Toleration { key: shared(&value["key"]), operator, value: shared(&value["value"]), effect })
}

fn host_ports(spec: &Value) -> Vec<HostPort> {
    let host_network = spec["hostNetwork"].as_bool().unwrap_or(false);
    let sidecars = items(&spec["initContainers"]).filter(|c| text(&c["restartPolicy"]) == "Always");
    let mut out = Vec::new();
    for port in items(&spec["containers"]).chain(sidecars).flat_map(|c| items(&c["ports"])) {
        let number = match port["hostPort"].as_u64() {
            Some(n) if n > 0 => Some(n),
            _ if host_network => port["containerPort"].as_u64(),
            _ => None,
        };
        let Some(number) = number.and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0) else { continue };
        let or = |v: &Value, default: &str| -> Arc<str> {
            Arc::from(v.as_str().filter(|s| !s.is_empty()).unwrap_or(default))
        };
        out.push(HostPort {
            ip: or(&port["hostIP"], "0.0.0.0"),
            protocol: or(&port["protocol"], "TCP"),
            port: number,
        });
    }
    out
}

fn node_affinity(spec: &Value) -> NodeAffinity {
    let selector = spec["nodeSelector"].as_object().filter(|s| !s.is_empty());
    let required = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    NodeAffinity {
        selector: selector.map(|_| LabelSelector::from_map(&spec["nodeSelector"])),
        terms: required.is_object().then(|| items(&required["nodeSelectorTerms"]).map(node_term).collect()),
    }
}

fn preferred_nodes(affinity: &Value) -> Vec<WeightedNodeTerm> {
    let terms = items(&affinity["preferredDuringSchedulingIgnoredDuringExecution"]);
    let weighted = terms.map(|t| WeightedNodeTerm {
        weight: integer(&t["weight"]).clamp(0, 100),
        term: node_term(&t["preference"]),
    });
    weighted.filter(|t| t.weight > 0).collect()
}

fn node_term(term: &Value) -> NodeTerm {
    let labels: Option<Vec<Requirement>> = items(&term["matchExpressions"])
        .map(|e| {
            let operator = match text(&e["operator"]) {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                "Gt" => Operator::GreaterThan,
                "Lt" => Operator::LessThan,
                _ => return None,
            };
            let values: Vec<&str> = items(&e["values"]).map(text).collect();
            Requirement::new(text(&e["key"]), operator, &values).ok()
        })
        .collect();
    let mut labels = labels.map(LabelSelector::new);
    let mut names = Vec::new();
    for field in items(&term["matchFields"]) {
        let within = match text(&field["operator"]) {
            "In" => true,
            "NotIn" => false,
            _ => {
                labels = None;
                continue;
            }
        };
        if text(&field["key"]) != "metadata.name" {
            labels = None;
            continue;
        }
        names.push((within, items(&field["values"]).map(shared).collect()));
    }
    NodeTerm { labels, names }
}

fn pod_term(term: &Value, namespace: &Arc<str>, own: &Labels) -> PodTerm {
    let mut namespaces: Vec<Arc<str>> = items(&term["namespaces"]).map(shared).collect();
    namespaces.sort_unstable();
    namespaces.dedup();
    let by_label = &term["namespaceSelector"];
    if namespaces.is_empty() && by_label.is_null() {
        namespaces.push(namespace.clone());
    }
    let mut selector = selector_of(&term["labelSelector"]);
    for (field, operator) in [("matchLabelKeys", Operator::In), ("mismatchLabelKeys", Operator::NotIn)] {
        selector = with_own_values(selector, &term[field], operator, own);
    }
    PodTerm {
        scope: Scope { namespaces, selector: selector_of(by_label) },
        selector,
        key: shared(&term["topologyKey"]),
    }
}

fn spread(constraint: &Value, own: &Labels) -> Spread {
    let mut selector = selector_of(&constraint["labelSelector"]);
    let keys = &constraint["matchLabelKeys"];
    if selector.is_nothing() && items(keys).any(|k| own.shared(text(k)).is_some()) {
        selector = LabelSelector::everything();
    }
    Spread {
        key: shared(&constraint["topologyKey"]),
        max_skew: integer(&constraint["maxSkew"]).max(1),
        hard: text(&constraint["whenUnsatisfiable"]) != "ScheduleAnyway",
        selector: with_own_values(selector, keys, Operator::In, own),
        min_domains: integer(&constraint["minDomains"]).max(1),
        honor_affinity: text(&constraint["nodeAffinityPolicy"]) != "Ignore",
        honor_taints: text(&constraint["nodeTaintsPolicy"]) == "Honor",
    }
}

/// kube-scheduler's system defaults, for pods of a workload that states no constraint. Upstream selects by
/// the workload's and its Services' selectors; here by the labels that siblings share, which select the same.
fn default_constraints(metadata: &Value, labels: &Labels) -> Vec<Spread> {
    let owned = items(&metadata["ownerReferences"]).any(|o| {
        o["controller"].as_bool() == Some(true)
            && matches!(text(&o["kind"]), "ReplicaSet" | "StatefulSet" | "ReplicationController")
    });
    let shared_labels = labels.iter().filter(|(k, _)| !OWN_LABELS.contains(k));
    let requirements: Vec<Requirement> =
        shared_labels.filter_map(|(k, v)| Requirement::new(k, Operator::Equals, &[v]).ok()).collect();
    if !owned || requirements.is_empty() {
        return Vec::new();
    }
    let selector = LabelSelector::new(requirements);
    let soft = |key: &str, max_skew: i32| Spread {
        key: key.into(),
        max_skew,
        hard: false,
        selector: selector.clone(),
        min_domains: 1,
        honor_affinity: true,
        honor_taints: false,
    };
    vec![soft("kubernetes.io/hostname", 3), soft("topology.kubernetes.io/zone", 5)]
}

/// The selector narrowed to the pod's own values of some labels.
fn with_own_values(selector: LabelSelector, keys: &Value, operator: Operator, own: &Labels) -> LabelSelector {
    if selector.is_nothing() {
        return selector;
    }
    items(keys).fold(selector, |selector, key| {
        let value = own.shared(text(key));
        match value.and_then(|v| Requirement::new(text(key), operator, &[v]).ok()) {
            Some(requirement) => selector.with(requirement),
            None => selector,
        }
    })
}

/// A selector of the API; one that makes no sense selects nothing.
fn selector_of(value: &Value) -> LabelSelector {
    LabelSelector::from_object(value).unwrap_or_else(|_| LabelSelector::nothing())
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn shared(value: &Value) -> Arc<str> {
    text(value).into()
}

fn name(value: &Value) -> Option<Arc<str>> {
    value.as_str().filter(|s| !s.is_empty()).map(Arc::from)
}

/// A number held within `i32`; zero where there is none.
fn integer(value: &Value) -> i32 {
    value.as_i64().unwrap_or(0).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
}
