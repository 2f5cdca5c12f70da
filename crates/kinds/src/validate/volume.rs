//! Checks of volumes: of pods and of PersistentVolumes, by tables of what each source needs.

use std::collections::{BTreeMap, BTreeSet};

use kiban_base::names;
use kiban_base::quantity::Quantity;
use serde_json::Value;

use super::at::{At, Path, field, text};
use super::cause::Causes;
use super::rule::{self, Check, Rule, dns_label, rule as r, run};
use super::{claim, env, projection};

const MORE_THAN_ONE: &str = "may not specify more than 1 volume type";
const NOT_ABSOLUTE: &str = "must be an absolute path";
const MODE_ERROR: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];

/// A volume source: its field, the name that its path has in causes, what it needs in a pod and what a
/// PersistentVolume needs beside that.
struct Source {
    field: &'static str,
    path: &'static str,
    rules: &'static [Rule],
    persistent: &'static [Rule],
}

const fn source(field: &'static str, rules: &'static [Rule]) -> Source {
    Source { field, path: field, rules, persistent: &[] }
}

const PARTITION: Check = Check::With(|at, out| {
    if !(0..=255).contains(&at.int_or_zero()) {
        out.invalid(at, at, "must be between 1 and 255, inclusive");
    }
});
const SECRET_REF: Rule = r("secretRef", Check::All(&[r("name", Check::Required)]));
const SECRET_NAMESPACE: &[Rule] = &[r("secretRef", Check::All(&[r("namespace", Check::Required)]))];
const FLEX: &[Rule] = &[r("driver", Check::Required), r("options", Check::With(flex_options))];
const SCALE_IO: &[Rule] =
    &[r("gateway", Check::Required), r("system", Check::Required), r("volumeName", Check::Required)];
const CEPH: &[Rule] = &[r("monitors", Check::Required)];
const KEYS: &[Rule] = &[r("defaultMode", Check::With(mode)), r("items[]", Check::Always(key_to_path))];

/// The sources in the order in which the API server looks for them.
const SOURCES: &[Source] = &[
    source("emptyDir", &[r("sizeLimit", Check::With(size_limit))]),
    source("hostPath", &[r("", Check::Always(host_path))]),
    source(
        "gitRepo",
        &[
            r("repository", Check::Required),
            r("directory", Check::Always(|at, out| descending_path(at.str(), &at.path, out))),
        ],
    ),
    Source {
        field: "gcePersistentDisk",
        path: "persistentDisk",
        rules: &[r("pdName", Check::Required), r("partition", PARTITION)],
        persistent: &[],
    },
    source("awsElasticBlockStore", &[r("volumeID", Check::Required), r("partition", PARTITION)]),
    source("secret", &[r("secretName", Check::Required), r("", Check::All(KEYS))]),
    source(
        "nfs",
        &[r("server", Check::Required), r("path", Check::Required), r("path", Check::Always(absolute))],
    ),
    source("iscsi", &[r("", Check::Always(iscsi))]),
    source("glusterfs", &[r("endpoints", Check::Required), r("path", Check::Required)]),
    source("flocker", &[r("", Check::Always(flocker))]),
    source("persistentVolumeClaim", &[r("claimName", Check::Required)]),
    source("rbd", &[r("monitors", Check::Required), r("image", Check::Required)]),
    Source {
        field: "cinder",
        path: "cinder",
        rules: &[r("volumeID", Check::Required), SECRET_REF],
        persistent: SECRET_NAMESPACE,
    },
    source("cephfs", CEPH),
    source("quobyte", &[r("registry", Check::Required), r("volume", Check::Required)]),
    source("downwardAPI", &[r("defaultMode", Check::With(mode)), r("", Check::Always(downward_files))]),
    source("fc", &[r("", Check::Always(fibre_channel))]),
    source("flexVolume", FLEX),
    source("configMap", &[r("name", Check::Required), r("", Check::All(KEYS))]),
    Source {
        field: "azureFile",
        path: "azureFile",
        rules: &[r("secretName", Check::Required), r("shareName", Check::Required)],
        persistent: &[],
    },
    source("vsphereVolume", &[r("volumePath", Check::Required)]),
    source("photonPersistentDisk", &[r("pdID", Check::Required)]),
    source("portworxVolume", &[r("volumeID", Check::Required)]),
    source(
        "azureDisk",
        &[r("diskName", Check::Required), r("diskURI", Check::Required), r("", Check::Always(azure_disk))],
    ),
    Source {
        field: "storageos",
        path: "storageos",
        rules: &[
            r("volumeName", Check::RequiredText(names::check_dns1123_label)),
            r("volumeNamespace", Check::Text(names::check_dns1123_label)),
            SECRET_REF,
        ],
        persistent: SECRET_NAMESPACE,
    },
    source("projected", &[r("defaultMode", Check::With(mode)), r("", Check::Always(projection::sources))]),
    source("scaleIO", SCALE_IO),
    Source {
        field: "csi",
        path: "csi",
        rules: &[r("driver", Check::Always(driver_name))],
        persistent: &[
            r("volumeHandle", Check::Required),
            r("controllerPublishSecretRef", Check::With(secret_reference)),
            r("controllerExpandSecretRef", Check::With(secret_reference)),
            r("nodePublishSecretRef", Check::With(secret_reference)),
            r("nodeExpandSecretRef", Check::With(secret_reference)),
        ],
    },
    source("ephemeral", &[r("volumeClaimTemplate", Check::Always(claim::template))]),
    source("image", &[r("pullPolicy", Check::MustBe(&["Always", "IfNotPresent", "Never"]))]),
    source("local", &[r("path", Check::Always(local_path))]),
];

const POD_ONLY: &[&str] = &[
    "emptyDir",
    "gitRepo",
    "secret",
    "persistentVolumeClaim",
    "downwardAPI",
    "configMap",
    "projected",
    "ephemeral",
    "image",
];

/// The fields of a PersistentVolume's spec that say where its data lies.
pub(crate) fn persistent_sources() -> impl Iterator<Item = &'static str> {
    SOURCES.iter().map(|s| s.field).filter(|name| !POD_ONLY.contains(name))
}

/// Volumes of a pod; gives those that are right, by name, for the mounts to find. `pod_name` is empty for
/// a template.
pub(crate) fn volumes<'v>(
    at: &At<'v, '_>,
    pod_name: &str,
    is_pod: bool,
    out: &mut Causes,
) -> BTreeMap<&'v str, &'v Value> {
    let created: BTreeSet<String> = at
        .items()
        .filter(|v| !pod_name.is_empty() && v.get("ephemeral").is_set())
        .map(|v| format!("{pod_name}-{}", v.get("name").str()))
        .collect();
    let mut good = BTreeMap::new();
    for volume in at.items() {
        let mark = out.len();
        one_source(&volume, pod_name, is_pod, out);
        let name = volume.get("name");
        if name.is_empty() {
            out.required(name, "");
        } else {
            dns_label(&name, out);
        }
        if good.contains_key(name.str()) {
            out.duplicate(name, name.str());
        }
        if out.len() == mark {
            good.insert(text(field(volume.value, "name")), volume.value);
        }
        let pvc = volume.get("persistentVolumeClaim");
        let claim = pvc.get("claimName");
        if created.contains(claim.str()) {
            out.invalid(
                claim,
                claim.str(),
                "must not reference a PVC that gets created for an ephemeral volume",
            );
        }
    }
    good
}

fn one_source(volume: &At<'_, '_>, pod_name: &str, is_pod: bool, out: &mut Causes) {
    let mut found = false;
    for source in SOURCES.iter().filter(|s| s.field != "local") {
        let place = volume.get(source.field);
        if !place.is_set() {
            continue;
        }
        if found {
            out.forbidden(place, MORE_THAN_ONE);
            continue;
        }
        found = true;
        let named = At { value: place.value, path: volume.path.child(source.path) };
        run(source.rules, &named, out);
        match source.field {
            "ephemeral" => ephemeral_name(volume, pod_name, out),
            "csi" => csi_secret(&named, out),
            "image" if is_pod && named.get("reference").is_empty() => {
                out.required(named.get("reference"), "")
            }
            _ => {}
        }
    }
    if !found {
        out.required(volume, "must specify a volume type");
    }
}

fn ephemeral_name(volume: &At<'_, '_>, pod_name: &str, out: &mut Causes) {
    let name = volume.get("name");
    if pod_name.is_empty() || name.is_empty() {
        return;
    }
    let claim = format!("{pod_name}-{}", name.str());
    for sentence in names::check_dns1123_subdomain(&claim) {
        out.invalid(name, name.str(), &format!("PVC name {}: {sentence}", super::cause::quote(&claim)));
    }
}

fn csi_secret(at: &At<'_, '_>, out: &mut Causes) {
    let reference = at.get("nodePublishSecretRef");
    let name = reference.get("name");
    if reference.is_set() && name.is_empty() {
        out.required(name, "");
    } else if reference.is_set() {
        out.invalid_each(at.path.child("name"), name.str(), names::check_dns1123_subdomain(name.str()));
    }
}

/// The one source that a PersistentVolume has.
pub(crate) fn persistent_source(spec: &At<'_, '_>, out: &mut Causes) {
    let mut found = false;
    for source in SOURCES.iter().filter(|s| !POD_ONLY.contains(&s.field)) {
        let place = spec.get(source.field);
        if !place.is_set() {
            continue;
        }
        if found {
            out.forbidden(place, MORE_THAN_ONE);
            continue;
        }
        found = true;
        let named = At { value: place.value, path: spec.path.child(source.path) };
        run(source.rules, &named, out);
        run(source.persistent, &named, out);
        if source.field == "local" && !spec.get("nodeAffinity").is_set() {
            out.required(spec.get("nodeAffinity"), "Local volume requires node affinity");
        }
    }
    if !found {
        out.required(spec, "must specify a volume type");
    }
}

fn size_limit(at: &At<'_, '_>, out: &mut Causes) {
    if Quantity::from_json(at.value).is_ok_and(Quantity::is_negative) {
        out.forbidden(at, "SizeLimit field must be a valid resource quantity");
    }
}

fn host_path(at: &At<'_, '_>, out: &mut Causes) {
    let path = at.get("path");
    if path.is_empty() {
        return out.required(path, "");
    }
    no_backsteps(path.str(), &path.path, out);
    let kind = at.get("type");
    if kind.is_set() {
        rule::one_of(&kind, HOST_PATH_TYPES, out);
    }
}

fn local_path(at: &At<'_, '_>, out: &mut Causes) {
    if at.is_empty() {
        out.required(at, "");
    } else {
        no_backsteps(at.str(), &at.path, out);
    }
}

fn absolute(at: &At<'_, '_>, out: &mut Causes) {
    if !at.str().starts_with('/') {
        out.invalid(at, at.str(), NOT_ABSOLUTE);
    }
}

fn iscsi(at: &At<'_, '_>, out: &mut Causes) {
    run(&[r("targetPortal", Check::Required), r("iqn", Check::Required)], at, out);
    for (name, place) in [("iqn", at.get("iqn")), ("initiatorname", at.get("initiatorName"))] {
        let is_known = ["iqn", "eui", "naa"].iter().any(|p| place.str().starts_with(p));
        if !place.is_empty() && !is_known {
            let detail = "must be valid format starting with iqn, eui, or naa";
            out.invalid(at.path.child(name), place.str(), detail);
        }
    }
    rule::within(&at.get("lun"), 0, 255, out);
    let authenticates = at.get("chapAuthDiscovery").is_true() || at.get("chapAuthSession").is_true();
    if authenticates && !at.get("secretRef").is_set() {
        out.required(at.get("secretRef"), "");
    }
}

fn flocker(at: &At<'_, '_>, out: &mut Causes) {
    let (name, uuid) = (at.get("datasetName"), at.get("datasetUUID"));
    match (name.is_empty(), uuid.is_empty()) {
        (true, true) => out.required(at, "one of datasetName and datasetUUID is required"),
        (false, false) => {
            out.invalid(at, "resource", "datasetName and datasetUUID can not be specified simultaneously");
        }
        _ => {}
    }
    if name.str().contains('/') {
        out.invalid(name, name.str(), "must not contain '/'");
    }
}

fn fibre_channel(at: &At<'_, '_>, out: &mut Causes) {
    let (names, ids, lun) = (at.get("targetWWNs"), at.get("wwids"), at.get("lun"));
    match (names.is_empty(), ids.is_empty()) {
        (true, true) => out.required(names, "must specify either targetWWNs or wwids, but not both"),
        (false, false) => {
            out.invalid(names, &names, "targetWWNs and wwids can not be specified simultaneously");
        }
        _ => {}
    }
    if !names.is_empty() && !lun.is_set() {
        out.required(lun, "lun is required if targetWWNs is specified");
    } else if !names.is_empty() {
        rule::within(&lun, 0, 255, out);
    }
}

fn flex_options(at: &At<'_, '_>, out: &mut Causes) {
    for (key, place) in at.entries() {
        let domain = key.split_once('/').map_or(key, |(domain, _)| domain);
        let domain = format!(".{}", domain.to_lowercase());
        if domain.ends_with(".kubernetes.io") || domain.ends_with(".k8s.io") {
            out.invalid(place, key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn azure_disk(at: &At<'_, '_>, out: &mut Causes) {
    rule::run(
        &[
            r("cachingMode", Check::MayBe(&["None", "ReadOnly", "ReadWrite"])),
            r("kind", Check::MayBe(&["Dedicated", "Managed", "Shared"])),
        ],
        at,
        out,
    );
    let (kind, uri) = (at.get("kind"), at.get("diskURI"));
    let managed = kind.str() == "Managed";
    if managed && !uri.str().starts_with("/subscriptions/") {
        let form =
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
        out.unsupported(uri, uri.str(), &[form]);
    } else if kind.is_set() && !managed && !uri.str().starts_with("https://") {
        let form = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
        out.unsupported(uri, uri.str(), &[form]);
    }
}

/// A CSI driver's name: a subdomain in any case, of 63 characters at most.
pub(crate) fn driver_name(at: &At<'_, '_>, out: &mut Causes) {
    if at.is_empty() {
        out.required(at, "");
    }
    if at.len() > 63 {
        out.too_long(at, 63);
    }
    out.invalid_each(at, at.str(), names::check_dns1123_subdomain(&at.str().to_lowercase()));
}

fn secret_reference(at: &At<'_, '_>, out: &mut Causes) {
    run(
        &[
            r("name", Check::RequiredText(names::check_dns1123_subdomain)),
            r("namespace", Check::RequiredText(names::check_dns1123_label)),
        ],
        at,
        out,
    );
}

/// A file's permission bits.
pub(crate) fn mode(at: &At<'_, '_>, out: &mut Causes) {
    if at.int().is_some_and(|mode| !(0..=0o777).contains(&mode)) {
        out.invalid(at, at, MODE_ERROR);
    }
}

/// A key that becomes a file.
pub(crate) fn key_to_path(at: &At<'_, '_>, out: &mut Causes) {
    run(&[r("key", Check::Required), r("path", Check::Required)], at, out);
    let path = at.get("path");
    file_path(path.str(), &path.path, out);
    let own = at.get("mode");
    if own.is_set() {
        mode(&own, out);
    }
}

fn downward_files(at: &At<'_, '_>, out: &mut Causes) {
    for item in at.get("items").items() {
        downward_file(&at.with(item.value), out);
    }
}

/// A file with a field of the pod; upstream names the volume, not the file.
pub(crate) fn downward_file(at: &At<'_, '_>, out: &mut Causes) {
    let path = at.get("path");
    if path.is_empty() {
        out.required(path, "");
    }
    file_path(path.str(), &path.path, out);
    let (pod, resource) = (at.get("fieldRef"), at.get("resourceFieldRef"));
    if pod.is_set() {
        env::field_ref(&pod, env::FILE_FIELDS, out);
        if resource.is_set() {
            out.invalid(at, "resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
        }
    } else if resource.is_set() {
        env::resource_ref(&resource, true, out);
    } else {
        out.required(at, "one of fieldRef and resourceFieldRef is required");
    }
    let own = at.get("mode");
    if own.is_set() {
        mode(&own, out);
    }
}

/// Whether a path leaves its folder through `..`.
pub(crate) fn backsteps(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

/// A path without `..`.
pub(crate) fn no_backsteps(path: &str, place: &Path<'_>, out: &mut Causes) {
    if backsteps(path) {
        out.invalid(place, path, "must not contain '..'");
    }
}

/// A relative path that stays below its folder.
pub(crate) fn descending_path(path: &str, place: &Path<'_>, out: &mut Causes) {
    if path.starts_with('/') {
        out.invalid(place, path, "must be a relative path");
    }
    no_backsteps(path, place, out);
}

/// A [`descending_path`] whose first part does not begin with two dots.
pub(crate) fn file_path(path: &str, place: &Path<'_>, out: &mut Causes) {
    descending_path(path, place, out);
    if path.starts_with("..") && !path.starts_with("../") {
        out.invalid(place, path, "must not start with '..'");
    }
}
