//! What every cluster has from the start: namespaces, priority classes, the API's own service.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};

use crate::controllers::{Again, Controller, Ctx, Item};
use crate::kind::KindId;
use crate::kind::well_known::{
    CLUSTER_ROLE, CLUSTER_ROLE_BINDING, CONFIG_MAP, ENDPOINT_SLICE, ENDPOINTS, NAMESPACE, PRIORITY_CLASS,
    SERVICE, STORAGE_CLASS,
};
use crate::rbac;
use crate::registry::{Actor, Cluster};
use crate::status::ApiError;
use crate::store::{Change, State};

/// Namespaces that the API server makes.
const NAMESPACES: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

/// What stands for the API server's own address where it has none that others can reach.
const MADE_UP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));

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
    for (name, value) in [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)]
    {
        create(
            *PRIORITY_CLASS,
            "",
            json!({"metadata": {"name": name}, "value": value, "globalDefault": false}),
        )?;
    }
    for (kind, value) in own_service(address) {
        create(kind, "default", value)?;
    }
    for role in rbac::defaults::cluster_roles() {
        create(*CLUSTER_ROLE, "", role)?;
    }
    for binding in rbac::defaults::cluster_role_bindings() {
        create(*CLUSTER_ROLE_BINDING, "", binding)?;
    }
    create(
        *STORAGE_CLASS,
        "",
        json!({
            "metadata": {
                "name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "sim.kiban.dev/instant", "volumeBindingMode": "WaitForFirstConsumer",
        }),
    )?;
    create(
        *CONFIG_MAP,
        "kube-public",
        json!({
            "metadata": {"name": "cluster-info"}, "data": {"server": format!("https://{address}")},
        }),
    )?;
    Ok(())
}

/// The service `kubernetes` with its endpoints: how the API is found from inside.
fn own_service(address: SocketAddr) -> [(KindId, Value); 3] {
    // Endpoints may not be on the loopback, where a laptop's cluster listens: a made-up address then.
    let reachable = !address.ip().is_loopback() && !address.ip().is_unspecified();
    let ip = if reachable { address.ip() } else { MADE_UP };
    let port = json!({"name": "https", "port": address.port(), "protocol": "TCP"});
    let service = json!({
        "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
        "spec": {
            "clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1"],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": address.port()}],
        },
    });
    let slice = json!({
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": if ip.is_ipv4() { "IPv4" } else { "IPv6" },
        "endpoints": [{"addresses": [ip.to_string()], "conditions": {"ready": true}}],
        "ports": [port],
    });
    let endpoints = json!({
        "metadata": {"name": "kubernetes", "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}},
        "subsets": [{"addresses": [{"ip": ip.to_string()}], "ports": [port]}],
    });
    [(*SERVICE, service), (*ENDPOINT_SLICE, slice), (*ENDPOINTS, endpoints)]
}

/// Makes the API's own service again when somebody deletes it.
///
/// Contract: Kubernetes pkg/controlplane/controller/kubernetesservice.
#[derive(Debug)]
pub struct OwnService {
    address: SocketAddr,
}

impl OwnService {
    /// For an API that listens at `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }
}

impl Controller for OwnService {
    fn name(&self) -> &'static str {
        "kube-apiserver"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*SERVICE, *ENDPOINT_SLICE, *ENDPOINTS]
    }

    fn wakes(&mut self, _: &State, change: &Change, items: &mut Vec<Item>) {
        let key = &change.new.key;
        if change.deleted && &*key.namespace == "default" && &*key.name == "kubernetes" {
            items.push(Item { kind: change.new.kind, key: key.clone() });
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let own = own_service(self.address).into_iter().find(|(kind, _)| *kind == item.kind);
        let Some((kind, value)) = own else { return Ok(None) };
        match ctx.cluster.create(kind, "default", value, &Actor::new(self.name())) {
            Err(e) if e.reason != "AlreadyExists" => Err(e),
            _ => Ok(None),
        }
    }
}
