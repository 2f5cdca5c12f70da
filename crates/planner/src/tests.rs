//! Tests of the scheduler: tables by filter and score, preemption, and random clusters against a checker
//! that knows no index.
#![allow(clippy::unwrap_used)]

mod affinity;
mod filters;
mod naive;
mod preemption;
mod random;
mod reading;
mod scores;
mod spread;

use serde_json::{Value, json};

use crate::{Labels, Node, Options, Pod, PodKey, Scheduler, TieBreak};

/// Builds a Node object.
#[derive(Clone)]
pub(crate) struct NodeBuilder(Value);

/// A node with four cores, 8 GiB and room for 110 pods.
pub(crate) fn node(name: &str) -> NodeBuilder {
    NodeBuilder(json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "100Gi", "pods": "110"}}
    }))
}

impl NodeBuilder {
    pub(crate) fn allocatable(mut self, resource: &str, amount: &str) -> Self {
        self.0["status"]["allocatable"][resource] = json!(amount);
        self
    }
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = json!(value);
        self
    }
    pub(crate) fn zone(self, zone: &str) -> Self {
        self.label("topology.kubernetes.io/zone", zone)
    }
    pub(crate) fn taint(mut self, key: &str, value: &str, effect: &str) -> Self {
        let taints = &mut self.0["spec"]["taints"];
        if taints.is_null() {
            *taints = json!([]);
        }
        taints.as_array_mut().unwrap().push(json!({"key": key, "value": value, "effect": effect}));
        self
    }
    pub(crate) fn cordoned(mut self) -> Self {
        self.0["spec"]["unschedulable"] = json!(true);
        self
    }
    pub(crate) fn build(&self) -> Node {
        Node::from_json(&self.0)
    }
}

/// Builds a Pod object.
#[derive(Clone)]
pub(crate) struct PodBuilder(pub(crate) Value);

/// A pod in `default` that asks for nothing.
pub(crate) fn pod(name: &str) -> PodBuilder {
    PodBuilder(json!({
        "metadata": {"name": name, "namespace": "default", "labels": {}},
        "spec": {"containers": [{"name": "main", "resources": {"requests": {}}}]},
        "status": {}
    }))
}

impl PodBuilder {
    pub(crate) fn namespace(mut self, namespace: &str) -> Self {
        self.0["metadata"]["namespace"] = json!(namespace);
        self
    }
    pub(crate) fn label(mut self, key: &str, value: &str) -> Self {
        self.0["metadata"]["labels"][key] = json!(value);
        self
    }
    pub(crate) fn app(self, app: &str) -> Self {
        self.label("app", app)
    }
    pub(crate) fn request(mut self, resource: &str, amount: &str) -> Self {
        self.0["spec"]["containers"][0]["resources"]["requests"][resource] = json!(amount);
        self
    }
    pub(crate) fn cpu(self, amount: &str) -> Self {
        self.request("cpu", amount)
    }
    pub(crate) fn priority(mut self, priority: i32) -> Self {
        self.0["spec"]["priority"] = json!(priority);
        self
    }
    pub(crate) fn started(mut self, time: &str) -> Self {
        self.0["status"]["startTime"] = json!(time);
        self
    }
    pub(crate) fn host_port(mut self, port: u16, protocol: &str, ip: &str) -> Self {
        let ports = &mut self.0["spec"]["containers"][0]["ports"];
        if ports.is_null() {
            *ports = json!([]);
        }
        let port = json!({"containerPort": port, "hostPort": port, "protocol": protocol, "hostIP": ip});
        ports.as_array_mut().unwrap().push(port);
        self
    }
    /// Merges fields into the spec, the top level only.
    pub(crate) fn spec(mut self, fields: Value) -> Self {
        for (key, value) in fields.as_object().unwrap() {
            self.0["spec"][key] = value.clone();
        }
        self
    }
    /// Sets `affinity.<kind>.<when>DuringSchedulingIgnoredDuringExecution`.
    pub(crate) fn affinity(mut self, kind: &str, when: &str, value: Value) -> Self {
        self.0["spec"]["affinity"][kind][format!("{when}DuringSchedulingIgnoredDuringExecution")] = value;
        self
    }
    pub(crate) fn away_from(self, app: &str, key: &str) -> Self {
        self.affinity("podAntiAffinity", "required", json!([term(app, key)]))
    }
    pub(crate) fn near(self, app: &str, key: &str) -> Self {
        self.affinity("podAffinity", "required", json!([term(app, key)]))
    }
    pub(crate) fn spread(mut self, key: &str, skew: u32, when: &str, app: &str) -> Self {
        let constraints = &mut self.0["spec"]["topologySpreadConstraints"];
        if constraints.is_null() {
            *constraints = json!([]);
        }
        constraints.as_array_mut().unwrap().push(json!({
            "topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": when,
            "labelSelector": {"matchLabels": {"app": app}}
        }));
        self
    }
    pub(crate) fn build(&self) -> Pod {
        Pod::from_json(&self.0)
    }
    pub(crate) fn on(&self, node: &str) -> Pod {
        self.build().on(node)
    }
}

/// A pod affinity term for an app.
pub(crate) fn term(app: &str, key: &str) -> Value {
    json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}})
}

pub(crate) const HOST: &str = "kubernetes.io/hostname";
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";

/// A scheduler that breaks ties by name and looks at all nodes.
pub(crate) fn scheduler(nodes: &[NodeBuilder]) -> Scheduler {
    let options = Options { tie_break: TieBreak::Name, percentage_of_nodes: 100, ..Options::default() };
    let mut scheduler = Scheduler::new(options);
    nodes.iter().for_each(|n| scheduler.set_node(n.build()));
    scheduler
}

/// The node that is chosen, or the message.
pub(crate) fn place(scheduler: &mut Scheduler, pod: &PodBuilder) -> Result<String, String> {
    let decision = scheduler.schedule(&pod.build());
    decision.map(|d| d.node.to_string()).map_err(|e| e.message())
}

/// Places a pod and counts it.
pub(crate) fn bind(scheduler: &mut Scheduler, pod: &PodBuilder) -> String {
    let node = place(scheduler, pod).unwrap();
    scheduler.set_pod(pod.on(&node));
    node
}

/// The nodes that would take the pod.
pub(crate) fn takers(scheduler: &mut Scheduler, pod: &PodBuilder, nodes: &[&str]) -> Vec<String> {
    let pod = pod.build();
    nodes.iter().filter(|n| scheduler.fits(&pod, n).is_ok()).map(ToString::to_string).collect()
}
