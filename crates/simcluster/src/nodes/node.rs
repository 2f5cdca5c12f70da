//! Node objects: what a kubelet registers, reports and renews.
//!
//! Contract: Kubernetes pkg/kubelet (kubelet_node_status.go, nodestatus/setters.go) and the well-known
//! node labels.

use kiban_base::clock::Timestamp;
use serde_json::{Map, Value, json};

use super::addresses;
use super::timing::Timing;

/// The Kubernetes version that is spoken.
pub const VERSION: &str = "v1.37.1";

/// Seconds that a lease holds.
pub const LEASE_SECONDS: i64 = 40;

const REGION: &str = "sim-1";
const ZONES: [&str; 3] = ["sim-1a", "sim-1b", "sim-1c"];

/// 8 cores and 32 GiB, of which a part is kept for the system.
const CAPACITY: [(&str, &str, &str); 6] = [
    ("cpu", "8", "7910m"),
    ("ephemeral-storage", "104845292Ki", "95551679124"),
    ("hugepages-1Gi", "0", "0"),
    ("hugepages-2Mi", "0", "0"),
    ("memory", "33554432Ki", "31457280Ki"),
    ("pods", "110", "110"),
];

/// Conditions of a node that is well: type, status, reason, message.
const CONDITIONS: [(&str, &str, &str, &str); 4] = [
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
];

/// The name of the node with this number, counted from zero.
pub fn name(number: u32) -> String {
    format!("sim-node-{}", number + 1)
}

/// The object with which a kubelet registers, apart from its status.
pub fn registration(number: u32) -> Value {
    let name = name(number);
    let zone = ZONES.get(number as usize % ZONES.len()).copied().unwrap_or_default();
    let mut node = json!({
        "metadata": {
            "name": name,
            "labels": {
                "node.kubernetes.io/instance-type": "sim-8c-32g",
                "topology.kubernetes.io/region": REGION, "topology.kubernetes.io/zone": zone,
            },
            "annotations": {
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            },
        },
        "spec": {"providerID": format!("kiban-sim://{zone}/{name}")},
    });
    complete(&mut node, &name, number);
    node
}

/// Adds to a node what a kubelet and the node controllers add to it: labels and the pods' range.
///
/// Says whether anything was missing.
pub fn complete(node: &mut Value, name: &str, number: u32) -> bool {
    let before = node.clone();
    let labels = [
        ("beta.kubernetes.io/arch", "amd64"),
        ("beta.kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", "amd64"),
        ("kubernetes.io/hostname", name),
        ("kubernetes.io/os", "linux"),
    ];
    for (key, value) in labels {
        supply(&mut node["metadata"]["labels"], key, value.into());
    }
    let cidr = addresses::pod_cidr(number);
    if !node["spec"]["podCIDR"].is_string() {
        supply(&mut node["spec"], "podCIDR", cidr.clone().into());
        supply(&mut node["spec"], "podCIDRs", json!([cidr]));
    }
    *node != before
}

/// Fills in the status of a node that never reported; what its creator gave stays.
pub fn report(node: &mut Value, name: &str, number: u32, timing: Timing, now: Timestamp) {
    let mut rng = timing.rng(&format!("node/{name}"));
    let ids = [rng.uuid_v4(), rng.hex(32), rng.uuid_v4()];
    let status = &mut node["status"];
    let map = |pick: fn(&(&str, &'static str, &'static str)) -> &'static str| {
        Value::from(CAPACITY.iter().map(|row| (row.0.to_owned(), pick(row).into())).collect::<Map<_, _>>())
    };
    let given = status["capacity"].as_object().filter(|c| !c.is_empty()).cloned();
    match given {
        // A creator that states a capacity alone means all of it.
        Some(capacity) => supply(status, "allocatable", capacity.into()),
        None => {
            status["capacity"] = map(|r| r.1);
            status["allocatable"] = map(|r| r.2);
        }
    }
    let rest = [
        (
            "addresses",
            json!([
                {"type": "InternalIP", "address": addresses::node_ip(number)},
                {"type": "Hostname", "address": name},
            ]),
        ),
        ("daemonEndpoints", json!({"kubeletEndpoint": {"Port": 10_250}})),
        (
            "nodeInfo",
            json!({
                "architecture": "amd64", "bootID": ids[0], "machineID": ids[1], "systemUUID": ids[2],
                "containerRuntimeVersion": "containerd://2.2.1", "kernelVersion": "6.12.43-kiban-sim",
                "kubeProxyVersion": "", "kubeletVersion": VERSION, "operatingSystem": "linux",
                "osImage": "Kiban embedded node",
            }),
        ),
    ];
    for (key, value) in rest {
        let empty =
            |v: &Value| v.is_null() || v.as_array().is_some_and(Vec::is_empty) || v["kubeletVersion"] == "";
        if empty(&status[key]) {
            status[key] = value;
        }
    }
    beat(node, now);
}

/// Renews the conditions, at the interval of `nodeStatusReportFrequency`.
pub fn beat(node: &mut Value, now: Timestamp) {
    let text = now.rfc3339();
    let old = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let mut all: Vec<Value> = CONDITIONS
        .iter()
        .map(|(type_, status, reason, message)| {
            let before = old.iter().find(|c| c["type"] == *type_ && c["status"] == *status);
            let since = before.map_or_else(|| text.clone().into(), |c| c["lastTransitionTime"].clone());
            json!({
                "type": type_, "status": status, "reason": reason, "message": message,
                "lastHeartbeatTime": text, "lastTransitionTime": since,
            })
        })
        .collect();
    all.extend(old.into_iter().filter(|c| !CONDITIONS.iter().any(|(type_, ..)| c["type"] == *type_)));
    node["status"]["conditions"] = Value::Array(all);
}

/// The kubelet of this node has reported before.
pub fn has_reported(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions.is_some_and(|c| c.iter().any(|c| c["type"] == "Ready" && c["reason"] == "KubeletReady"))
}

/// The lease that says that the kubelet lives.
pub fn lease(name: &str, uid: &str, now: Timestamp) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "kube-node-lease",
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid}],
        },
        "spec": {
            "holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now.rfc3339_micro(),
        },
    })
}

/// Puts a value where there is none.
fn supply(parent: &mut Value, key: &str, value: Value) {
    if parent.is_null() {
        *parent = json!({});
    }
    if let Some(map) = parent.as_object_mut() {
        let slot = map.entry(key).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value;
        }
    }
}
