//! What every cluster has from the start: namespaces, priority classes, the API's own service.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::kind::well_known::{
    CONFIG_MAP, ENDPOINT_SLICE, NAMESPACE, PRIORITY_CLASS, SERVICE, STORAGE_CLASS,
};
use crate::kind::KindId;
use crate::registry::{Actor, Cluster};
use crate::status::ApiError;

/// Namespaces that the API server makes.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// Makes the first objects of a cluster.
///
/// # Errors
/// Where one is refused, which is a defect.
pub fn install(cluster: &Cluster, address: SocketAddr) -> Result<(), ApiError> {
    let actor = Actor::new("kube-apiserver");
    let create = |kind: KindId, namespace: &str, value: Value| cluster.create(kind, namespace, value, &actor);
    for name in NAMESPACES {
        create(*NAMESPACE, "", json!({"metadata": {"name": name}}))?;
    }
    for (name, value) in [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)] {
        create(*PRIORITY_CLASS, "", json!({"metadata": {"name": name}, "value": value, "globalDefault": false}))?;
    }
    create(*SERVICE, "default", json!({
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": address.port()}],
        },
    }))?;
    create(*ENDPOINT_SLICE, "default", json!({
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true}}],
        "ports": [{"name": "https", "port": i64::from(address.port()), "protocol": "TCP"}],
    }))?;
    create(*STORAGE_CLASS, "", json!({
        "metadata": {
            "name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "sim.kiban.dev/instant", "volumeBindingMode": "WaitForFirstConsumer",
    }))?;
    create(*CONFIG_MAP, "kube-public", json!({
        "metadata": {"name": "cluster-info"}, "data": {"server": format!("https://{address}")},
    }))?;
    Ok(())
}
