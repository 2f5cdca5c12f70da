//! Defaults of pods, and of pod specs wherever they stand.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::amounts::{amount, copy_missing, resource_list};
use super::fill::Default::{self, All, Bool, Count, Int, Object, Text, TextIfAbsent, With};
use super::fill::drop_fields;
use super::image::pull_policy;
use crate::validate::at::{dig, field, list, text};
use crate::validate::container_requests;

type Rows = &'static [(&'static str, Default)];

/// A pod. What is copied from limits to requests, and the rest that only pods get, comes last.
pub(crate) const POD: Rows = &[
    ("spec.containers[]", With(requests_from_limits)),
    ("spec.initContainers[]", With(requests_from_limits)),
    ("spec", With(pod_resources)),
    ("spec.enableServiceLinks", Bool(true)),
    ("spec", With(host_network_ports)),
    ("spec", All(SPEC)),
];

/// A pod spec, be it a pod's or a template's.
pub(crate) const SPEC: Rows = &[
    ("dnsPolicy", Text("ClusterFirst")),
    ("restartPolicy", Text("Always")),
    ("securityContext", Object),
    ("terminationGracePeriodSeconds", Int(30)),
    ("schedulerName", Text("default-scheduler")),
    ("volumes[]", All(VOLUME)),
    ("initContainers[]", All(CONTAINER)),
    ("containers[]", All(CONTAINER)),
    ("ephemeralContainers[]", All(CONTAINER)),
    ("overhead?", With(resource_list)),
    ("resources?.limits?", With(resource_list)),
    ("resources?.requests?", With(resource_list)),
    ("", With(service_account)),
    ("", With(drop_unwritten)),
];

const CONTAINER: Rows = &[
    ("", With(pull_when)),
    ("terminationMessagePath", Text("/dev/termination-log")),
    ("terminationMessagePolicy", Text("File")),
    ("resources", Object),
    ("resources.limits?", With(resource_list)),
    ("resources.requests?", With(resource_list)),
    ("ports[].protocol", Text("TCP")),
    ("env[].valueFrom?.fieldRef?.apiVersion", Text("v1")),
    ("env[].valueFrom?.resourceFieldRef?", All(RESOURCE_FIELD)),
    ("env[].valueFrom?.fileKeyRef?.optional", Bool(false)),
    ("livenessProbe?", All(PROBE)),
    ("readinessProbe?", All(PROBE)),
    ("startupProbe?", All(PROBE)),
    ("lifecycle?.postStart?.httpGet?", All(HTTP_GET)),
    ("lifecycle?.preStop?.httpGet?", All(HTTP_GET)),
    ("", With(drop_unwritten_of_container)),
];

const RESOURCE_FIELD: Rows = &[("divisor", Text("0")), ("divisor", With(amount))];

const PROBE: Rows = &[
    ("timeoutSeconds", Count(1)),
    ("periodSeconds", Count(10)),
    ("successThreshold", Count(1)),
    ("failureThreshold", Count(3)),
    ("httpGet?", All(HTTP_GET)),
    ("grpc?.service", TextIfAbsent("")),
];

const HTTP_GET: Rows = &[("path", Text("/")), ("scheme", Text("HTTP"))];

const VOLUME: Rows = &[
    ("", With(empty_dir)),
    ("hostPath?.type", TextIfAbsent("")),
    ("secret?.defaultMode", Int(0o644)),
    ("configMap?.defaultMode", Int(0o644)),
    ("downwardAPI?.defaultMode", Int(0o644)),
    ("downwardAPI?.items[]", All(DOWNWARD_FILE)),
    ("projected?.defaultMode", Int(0o644)),
    ("projected?.sources[].downwardAPI?.items[]", All(DOWNWARD_FILE)),
    ("projected?.sources[].serviceAccountToken?.expirationSeconds", Int(3600)),
    ("projected?.sources[].podCertificate?.maxExpirationSeconds", Int(86400)),
    ("emptyDir?.sizeLimit?", With(amount)),
    ("ephemeral?.volumeClaimTemplate?.spec.volumeMode", Text("Filesystem")),
    ("ephemeral?.volumeClaimTemplate?.spec.resources?.limits?", With(resource_list)),
    ("ephemeral?.volumeClaimTemplate?.spec.resources?.requests?", With(resource_list)),
    ("image?", With(image_volume)),
    ("iscsi?.iscsiInterface", Text("default")),
    ("rbd?", All(RBD)),
    ("azureDisk?", All(AZURE_DISK)),
    ("scaleIO?", All(SCALE_IO)),
];

const DOWNWARD_FILE: Rows =
    &[("fieldRef?.apiVersion", Text("v1")), ("resourceFieldRef?", All(RESOURCE_FIELD))];

/// Ceph block devices, in pods and PersistentVolumes.
pub(crate) const RBD: Rows =
    &[("pool", Text("rbd")), ("user", Text("admin")), ("keyring", Text("/etc/ceph/keyring"))];
/// Azure's disks, in pods and PersistentVolumes.
pub(crate) const AZURE_DISK: Rows = &[
    ("cachingMode", TextIfAbsent("ReadWrite")),
    ("fsType", TextIfAbsent("ext4")),
    ("readOnly", Bool(false)),
    ("kind", TextIfAbsent("Shared")),
];
/// ScaleIO's volumes, in pods and PersistentVolumes.
pub(crate) const SCALE_IO: Rows = &[("storageMode", Text("ThinProvisioned")), ("fsType", Text("xfs"))];

fn pull_when(container: &mut Value) {
    let policy = pull_policy(text(field(container, "image")));
    if text(field(container, "imagePullPolicy")).is_empty()
        && let Some(map) = container.as_object_mut()
    {
        map.insert("imagePullPolicy".to_string(), json!(policy));
    }
}

fn image_volume(image: &mut Value) {
    let policy = pull_policy(text(field(image, "reference")));
    if text(field(image, "pullPolicy")).is_empty()
        && let Some(map) = image.as_object_mut()
    {
        map.insert("pullPolicy".to_string(), json!(policy));
    }
}

/// A volume that says nothing of where it lies is an empty folder.
fn empty_dir(volume: &mut Value) {
    if let Some(map) = volume.as_object_mut()
        && map.iter().all(|(name, value)| name == "name" || value.is_null())
    {
        map.insert("emptyDir".to_string(), json!({}));
    }
}

fn requests_from_limits(container: &mut Value) {
    if let Some(resources) = container.get_mut("resources") {
        copy_missing(resources, "limits", "requests");
    }
}

/// Requests of a pod as a whole: what its containers ask for, else its limits.
fn pod_resources(spec: &mut Value) {
    let limits: BTreeMap<String, Value> = dig(spec, "resources.limits")
        .as_object()
        .map(|map| map.iter().map(|(k, v)| (k.clone(), v.clone())).collect())
        .unwrap_or_default();
    if limits.is_empty() {
        return;
    }
    let mut wanted: BTreeMap<String, Value> = limits
        .into_iter()
        .filter(|(name, _)| matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-"))
        .collect();
    for (name, amount) in container_requests(spec) {
        if matches!(name.as_str(), "cpu" | "memory") {
            wanted.insert(name, json!(amount.to_string()));
        }
    }
    let Some(resources) = spec.get_mut("resources").and_then(Value::as_object_mut) else { return };
    let requests = resources.entry("requests").or_insert_with(|| json!({}));
    if let Some(requests) = requests.as_object_mut() {
        for (name, amount) in wanted {
            requests.entry(name).or_insert(amount);
        }
    }
}

/// In the node's network every port of a container is one of the node.
fn host_network_ports(spec: &mut Value) {
    if field(spec, "hostNetwork").as_bool() != Some(true) {
        return;
    }
    for name in ["containers", "initContainers"] {
        for container in spec.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten() {
            for port in container.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
                let own = field(port, "containerPort").clone();
                let has_none = field(port, "hostPort").as_i64().unwrap_or(0) == 0;
                if let Some(map) = port.as_object_mut()
                    && has_none
                    && own.as_i64().is_some_and(|number| number != 0)
                {
                    map.insert("hostPort".to_string(), own);
                }
            }
        }
    }
}

/// The service account under both of its names.
fn service_account(spec: &mut Value) {
    let new = text(field(spec, "serviceAccountName"));
    let name = if new.is_empty() { text(field(spec, "serviceAccount")) } else { new }.to_string();
    if let Some(map) = spec.as_object_mut()
        && !name.is_empty()
    {
        map.insert("serviceAccountName".to_string(), json!(name));
        map.insert("serviceAccount".to_string(), json!(name));
    }
}

const UNWRITTEN: &[&str] = &[
    "volumes",
    "initContainers",
    "ephemeralContainers",
    "nodeSelector",
    "nodeName",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "imagePullSecrets",
    "hostname",
    "subdomain",
    "tolerations",
    "hostAliases",
    "priorityClassName",
    "readinessGates",
    "topologySpreadConstraints",
    "schedulingGates",
    "resourceClaims",
    "serviceAccountName",
    "serviceAccount",
    "overhead",
];
const UNWRITTEN_OF_CONTAINER: &[&str] = &[
    "command",
    "args",
    "workingDir",
    "ports",
    "envFrom",
    "env",
    "volumeMounts",
    "volumeDevices",
    "resizePolicy",
    "stdin",
    "stdinOnce",
    "tty",
];
const NULLS: &[&str] =
    &["affinity", "dnsConfig", "runtimeClassName", "automountServiceAccountToken", "priority"];

/// Drops what the API server's encoder never writes when it is empty.
fn drop_unwritten(spec: &mut Value) {
    if let Some(map) = spec.as_object_mut() {
        drop_fields(map, UNWRITTEN);
        map.retain(|name, value| !(value.is_null() && NULLS.contains(&name.as_str())));
    }
}

fn drop_unwritten_of_container(container: &mut Value) {
    let has_empty = list(field(container, "volumeMounts")).iter().any(|m| {
        field(m, "readOnly").as_bool() == Some(false)
            || ["subPath", "subPathExpr"].iter().any(|n| field(m, n) == "")
    });
    let Some(map) = container.as_object_mut() else { return };
    drop_fields(map, UNWRITTEN_OF_CONTAINER);
    if let Some(resources) = map.get_mut("resources").and_then(Value::as_object_mut) {
        drop_fields(resources, &["limits", "requests", "claims"]);
    }
    if has_empty {
        for mount in map.get_mut("volumeMounts").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(mount) = mount.as_object_mut() {
                drop_fields(mount, &["readOnly", "subPath", "subPathExpr"]);
            }
        }
    }
}
