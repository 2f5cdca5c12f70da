//! EndpointSlices (and the older Endpoints): which pods a service reaches.
//!
//! Contract: Kubernetes pkg/controller/endpointslice and staging/src/k8s.io/endpointslice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kiban_base::selector::LabelSelector;
use serde_json::{Value, json};

use super::{Again, Controller, Ctx, Item, pods};
use crate::kind::{KindId, well_known::*};
use crate::object::{Key, Stored};
use crate::registry::{Actor, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const ENDPOINTS_BY: &str = "endpoints.kubernetes.io/managed-by";
const ENDPOINTS_MANAGER: &str = "endpoint-controller";
const HEADLESS: &str = "service.kubernetes.io/headless";
const MANAGER: &str = "endpointslice-controller.k8s.io";

/// Endpoints in one slice (`--max-endpoints-per-slice`), and in one Endpoints object.
const PER_SLICE: usize = 100;
const PER_ENDPOINTS: usize = 1_000;

/// Changes of a service's pods are gathered for this long (`--endpoint-updates-batch-period` in
/// spirit): a thousand pods that start together are one write, not a thousand.
const GATHER: Duration = Duration::from_millis(20);

/// Keeps the slices of services with a selector.
#[derive(Debug, Default)]
pub struct EndpointSlices {
    /// Selectors of services by namespace, so that a pod's change costs a few comparisons.
    selectors: BTreeMap<Key, LabelSelector>,
    /// Services whose pods changed and that are due at a time.
    gathering: BTreeMap<Key, kiban_base::clock::Timestamp>,
}

impl Controller for EndpointSlices {
    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*SERVICE, *POD, *ENDPOINT_SLICE, *ENDPOINTS, *NODE]
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        let object = &change.new;
        let item = |key: &Key| Item { kind: *SERVICE, key: key.clone() };
        if object.kind == *SERVICE {
            let value = object.value();
            let selector = &value["spec"]["selector"];
            if change.deleted || selector.as_object().is_none_or(|s| s.is_empty()) {
                self.selectors.remove(&object.key);
            } else {
                self.selectors.insert(object.key.clone(), LabelSelector::from_map(selector));
            }
            self.gathering.remove(&object.key);
            items.push(item(&object.key));
        } else if object.kind == *POD {
            if !matters(change) {
                return;
            }
            let here = self.selectors.range(Key::new(object.key.namespace.clone(), "")..);
            for (key, selector) in here.take_while(|(k, _)| k.namespace == object.key.namespace) {
                let before = change.old.as_ref().is_some_and(|o| selector.matches(&**o));
                if before || selector.matches(&**object) {
                    items.push(item(key));
                }
            }
        } else if object.kind == *ENDPOINTS {
            // Deleted by somebody, or left by a service that is gone.
            if change.deleted || state.get(*SERVICE, &object.key).is_none() {
                items.push(item(&object.key));
            }
        } else if object.kind == *ENDPOINT_SLICE
            && change.deleted
            && object.label(MANAGED_BY) == Some(MANAGER)
            && let Some(service) = object.label(SERVICE_NAME)
        {
            items.push(item(&Key::new(object.key.namespace.clone(), service)));
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let due = *self.gathering.entry(item.key.clone()).or_insert(ctx.now + GATHER);
        if ctx.now < due {
            return Ok(Some(due.since(ctx.now)));
        }
        self.gathering.remove(&item.key);
        let state = ctx.state();
        let Some(service) = state.get(*SERVICE, &item.key) else {
            return forget(ctx, &state, &item.key).map(|()| None);
        };
        let Some(selector) = self.selectors.get(&item.key) else { return Ok(None) };
        let value = service.value();
        if value["spec"]["type"] == "ExternalName" || service.deleting {
            return Ok(None);
        }
        let pods = backing_pods(&state, service, selector);
        let actor = Actor::new(self.name());
        slices(ctx, &state, service, &value, &pods, &actor)?;
        endpoints(ctx, &state, service, &value, &pods)?;
        Ok(None)
    }
}

/// The change can alter an endpoint: address, readiness, labels, end.
fn matters(change: &Change) -> bool {
    let Some(old) = &change.old else { return change.new.pod.is_some_and(|p| p.bound) };
    let address = |o: &Stored| o.field("status.podIP").map(str::to_owned);
    change.deleted
        || old.labels != change.new.labels
        || old.pod != change.new.pod
        || old.deleting != change.new.deleting
        || address(old) != address(&change.new)
}

/// One pod behind a service.
struct Backing {
    pod: Arc<Stored>,
    value: Value,
}

fn backing_pods(state: &State, service: &Stored, selector: &LabelSelector) -> Vec<Backing> {
    state
        .range(*POD, &service.key.namespace, None)
        .filter(|p| selector.matches(&***p) && p.pod.is_some_and(|d| d.bound && !d.phase.is_terminal()))
        .map(|p| Backing { pod: p.clone(), value: p.value() })
        .filter(|b| b.value["status"]["podIP"].as_str().is_some_and(|ip| !ip.is_empty()))
        .collect()
}

/// The service's ports as a pod has them; a named port may be another number in each pod.
fn ports_of(service: &Value, pod: &Value) -> Vec<Value> {
    let ports = service["spec"]["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    ports
        .iter()
        .filter_map(|port| {
            let target = &port["targetPort"];
            let number = match target.as_str() {
                Some(name) => named_port(pod, name, &port["protocol"])?,
                None => target.as_i64().filter(|n| *n != 0).or_else(|| port["port"].as_i64())?,
            };
            let mut out = json!({
                "name": port["name"].as_str().unwrap_or_default(), "port": number,
                "protocol": port["protocol"].as_str().unwrap_or("TCP"),
            });
            if port["appProtocol"].is_string() {
                out["appProtocol"] = port["appProtocol"].clone();
            }
            Some(out)
        })
        .collect()
}

fn named_port(pod: &Value, name: &str, protocol: &Value) -> Option<i64> {
    let protocol = protocol.as_str().unwrap_or("TCP");
    let containers =
        ["containers", "initContainers"].iter().flat_map(|l| pod["spec"][l].as_array().into_iter().flatten());
    let mut ports = containers.flat_map(|c| c["ports"].as_array().into_iter().flatten());
    let found = ports.find(|p| p["name"] == name && p["protocol"].as_str().unwrap_or("TCP") == protocol)?;
    found["containerPort"].as_i64()
}

fn endpoint(state: &State, service: &Stored, backing: &Backing, publish_unready: bool) -> Value {
    let pod = &backing.pod;
    let serving = pods::is_ready(pod);
    let ready = (serving && !pod.deleting) || publish_unready;
    let mut out = json!({
        "addresses": [backing.value["status"]["podIP"]],
        "conditions": {"ready": ready, "serving": serving, "terminating": pod.deleting},
        "targetRef": {"kind": "Pod", "namespace": &*pod.key.namespace, "name": &*pod.key.name, "uid": &*pod.uid},
    });
    if let Some(node) = backing.value["spec"]["nodeName"].as_str() {
        out["nodeName"] = node.into();
        let zone = state
            .get(*NODE, &Key::new("", node))
            .and_then(|n| n.label("topology.kubernetes.io/zone").map(str::to_owned));
        if let Some(zone) = zone {
            out["zone"] = zone.into();
        }
    }
    let hostname = backing.value["spec"]["hostname"].as_str().filter(|h| !h.is_empty());
    if let Some(hostname) = hostname.filter(|_| backing.value["spec"]["subdomain"] == *service.key.name) {
        out["hostname"] = hostname.into();
    }
    out
}

fn slices(
    ctx: &Ctx<'_>,
    state: &State,
    service: &Arc<Stored>,
    value: &Value,
    backing: &[Backing],
    actor: &Actor,
) -> Result<(), ApiError> {
    let publish = value["spec"]["publishNotReadyAddresses"] == true;
    // Pods with the same port numbers share slices.
    let mut groups: BTreeMap<String, (Value, Vec<Value>)> = BTreeMap::new();
    for pod in backing {
        let ports = json!(ports_of(value, &pod.value));
        let group = groups.entry(ports.to_string()).or_insert_with(|| (ports, Vec::new()));
        group.1.push(endpoint(state, service, pod, publish));
    }
    if groups.is_empty() {
        groups.insert(String::new(), (json!([]), Vec::new()));
    }
    let mut wanted: Vec<(Value, Vec<Value>)> = Vec::new();
    for (ports, endpoints) in groups.into_values() {
        if endpoints.is_empty() {
            wanted.push((ports.clone(), Vec::new()));
        }
        wanted.extend(endpoints.chunks(PER_SLICE).map(|c| (ports.clone(), c.to_vec())));
    }
    let existing: Vec<_> = state
        .children(&service.uid)
        .filter(|o| o.kind == *ENDPOINT_SLICE && o.label(MANAGED_BY) == Some(MANAGER))
        .cloned()
        .collect();
    let labels = slice_labels(service, value);
    for (i, (ports, endpoints)) in wanted.iter().enumerate() {
        match existing.get(i) {
            Some(slice) => {
                ctx.cluster.modify(*ENDPOINT_SLICE, &slice.key, Part::Main, actor, |v| {
                    v["metadata"]["labels"] = labels.clone();
                    v["endpoints"] = json!(endpoints);
                    v["ports"] = ports.clone();
                })?;
            }
            None => {
                let slice = json!({
                    "metadata": {
                        "generateName": format!("{}-", service.key.name), "labels": labels,
                        "ownerReferences": [pods::owner_reference(service)],
                    },
                    "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
                });
                ctx.cluster.create(*ENDPOINT_SLICE, &service.key.namespace, slice, actor)?;
            }
        }
    }
    for slice in existing.iter().skip(wanted.len()) {
        match ctx.cluster.delete(*ENDPOINT_SLICE, &slice.key, &DeleteOptions::default(), actor) {
            Err(e) if e.code != 404 => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn slice_labels(service: &Stored, value: &Value) -> Value {
    let mut labels = value["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    labels.insert(SERVICE_NAME.into(), service.key.name.to_string().into());
    labels.insert(MANAGED_BY.into(), MANAGER.into());
    if value["spec"]["clusterIP"] == "None" {
        labels.insert(HEADLESS.into(), "".into());
    }
    Value::Object(labels)
}

/// The older form of the same: one object a service, cut at a thousand addresses.
fn endpoints(
    ctx: &Ctx<'_>,
    state: &State,
    service: &Arc<Stored>,
    value: &Value,
    backing: &[Backing],
) -> Result<(), ApiError> {
    let actor = Actor::new(ENDPOINTS_MANAGER);
    let publish = value["spec"]["publishNotReadyAddresses"] == true;
    let mut subsets: BTreeMap<String, Value> = BTreeMap::new();
    // The older form does not know pods on their way out.
    let alive: Vec<_> = backing.iter().filter(|b| !b.pod.deleting).collect();
    for pod in alive.iter().take(PER_ENDPOINTS) {
        let full = endpoint(state, service, pod, publish);
        let ready = full["conditions"]["ready"] == true;
        let mut address = json!({"ip": full["addresses"][0], "targetRef": full["targetRef"]});
        for copied in ["nodeName", "hostname"] {
            if !full[copied].is_null() {
                address[copied] = full[copied].clone();
            }
        }
        let ports = json!(ports_of(value, &pod.value));
        let subset = subsets.entry(ports.to_string()).or_insert_with(|| json!({"ports": ports}));
        let field = if ready { "addresses" } else { "notReadyAddresses" };
        let mut list = subset[field].as_array().cloned().unwrap_or_default();
        list.push(address);
        subset[field] = json!(list);
    }
    let subsets: Vec<_> = subsets.into_values().collect();
    let mut annotations = json!({"endpoints.kubernetes.io/last-change-trigger-time": ctx.now.rfc3339()});
    if alive.len() > PER_ENDPOINTS {
        annotations["endpoints.kubernetes.io/over-capacity"] = "truncated".into();
    }
    let mut labels = value["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    if value["spec"]["clusterIP"] == "None" {
        labels.insert(HEADLESS.into(), "".into());
    }
    labels.insert(ENDPOINTS_BY.into(), ENDPOINTS_MANAGER.into());
    let existing = state.get(*ENDPOINTS, &service.key).map(|e| e.value());
    if existing
        .as_ref()
        .is_some_and(|e| same(&e["subsets"], &subsets) && e["metadata"]["labels"] == json!(labels))
    {
        return Ok(());
    }
    if existing.is_some() {
        ctx.cluster.modify(*ENDPOINTS, &service.key, Part::Main, &actor, |v| {
            v["subsets"] = json!(subsets);
            v["metadata"]["labels"] = json!(labels);
            v["metadata"]["annotations"] = annotations.clone();
        })?;
        return Ok(());
    }
    let object = json!({
        "metadata": {
            "name": &*service.key.name, "labels": labels, "annotations": annotations,
        },
        "subsets": subsets,
    });
    ctx.cluster.create(*ENDPOINTS, &service.key.namespace, object, &actor)?;
    Ok(())
}

/// Deletes the Endpoints of a service that is gone; unlike slices they have no owner, by tradition.
fn forget(ctx: &Ctx<'_>, state: &State, key: &Key) -> Result<(), ApiError> {
    let ours = state.get(*ENDPOINTS, key).filter(|e| e.label(ENDPOINTS_BY) == Some(ENDPOINTS_MANAGER));
    if ours.is_none() {
        return Ok(());
    }
    match ctx.cluster.delete(*ENDPOINTS, key, &DeleteOptions::default(), &Actor::new(ENDPOINTS_MANAGER)) {
        Err(e) if e.code != 404 => Err(e),
        _ => Ok(()),
    }
}

fn same(stored: &Value, wanted: &[Value]) -> bool {
    stored.as_array().map_or(wanted.is_empty(), |s| s == wanted)
}
