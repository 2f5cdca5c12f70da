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
    let map = object(&mut node["metadata"]["labels"]);
    for (key, value) in labels {
        map.entry(key).or_insert_with(|| value.into());
    }
    let spec = object(&mut node["spec"]);
    if !spec.get("podCIDR").is_some_and(Value::is_string) {
        let cidr = addresses::pod_cidr(number);
        spec.insert("podCIDR".into(), cidr.clone().into());
        spec.insert("podCIDRs".into(), json!([cidr]));
    }
    *node != before
}

/// Fills in the status of a node that never reported; what its creator gave stays.
pub fn report(node: &mut Value, name: &str, number: u32, timing: Timing, now: Timestamp) {
    let mut rng = timing.rng(&format!("node/{name}"));
    let ids = [rng.uuid_v4(), rng.hex(32), rng.uuid_v4()];
    let status = object(&mut node["status"]);
    let given = status.get("capacity").and_then(Value::as_object).is_some_and(|c| !c.is_empty());
    let map = |pick: fn(&(&str, &'static str, &'static str)) -> &'static str| {
        CAPACITY.iter().map(|row| (row.0.to_owned(), Value::from(pick(row)))).collect::<Map<_, _>>()
    };
    if !given {
        status.insert("capacity".into(), map(|r| r.1).into());
        status.insert("allocatable".into(), map(|r| r.2).into());
    } else if status.get("allocatable").is_none_or(Value::is_null) {
        let same = status.get("capacity").cloned().unwrap_or_default();
        status.insert("allocatable".into(), same);
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
        if status.get(key).is_none_or(empty) {
            status.insert(key.into(), value);
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

fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("it was just made an object"),
    }
}
