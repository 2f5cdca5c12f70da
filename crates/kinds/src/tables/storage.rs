//! Volumes, claims, classes and drivers: the storage groups.

use kiban_base::clock::Timestamp;
use serde_json::Value;

use super::cell::{
    age, at, cells, entry, flag, items, qualified, quantity, set, some_of, strings, text, text_or, time,
};
use super::{AGE, Column, NAME, Printer, boolean, integer, string};

pub(super) static PRINTERS: &[Printer] = &[
    Printer {
        group: "",
        kind: "PersistentVolume",
        columns: &[
            NAME,
            string("Capacity", "Size of the volume."),
            string("Access Modes", "How nodes may mount the volume."),
            string("Reclaim Policy", "What becomes of the volume after its claim."),
            string("Status", "Whether the volume is bound."),
            string("Claim", "Claim that holds the volume."),
            string("StorageClass", "Class of the volume."),
            string("VolumeAttributesClass", "Class of the volume's changeable attributes."),
            string("Reason", "Why the volume is in its state."),
            AGE,
            string("VolumeMode", "File system or raw block device.").wide(),
        ],
        cells: volume,
    },
    Printer {
        group: "",
        kind: "PersistentVolumeClaim",
        columns: &[
            NAME,
            string("Status", "Whether the claim is bound."),
            string("Volume", "Volume that the claim holds."),
            string("Capacity", "Size of that volume."),
            string("Access Modes", "How nodes may mount that volume."),
            string("StorageClass", "Class that the claim asks for."),
            string("VolumeAttributesClass", "Class of the volume's changeable attributes."),
            AGE,
            string("VolumeMode", "File system or raw block device.").wide(),
        ],
        cells: claim,
    },
    Printer {
        group: "storage.k8s.io",
        kind: "StorageClass",
        columns: &[
            NAME,
            string("Provisioner", "Driver that makes the volumes."),
            string("ReclaimPolicy", "What becomes of a volume after its claim."),
            string("VolumeBindingMode", "Whether a volume is made at once or for its first pod."),
            string("AllowVolumeExpansion", "Whether claims may grow."),
            AGE,
        ],
        cells: storage_class,
    },
    Printer {
        group: "storage.k8s.io",
        kind: "VolumeAttributesClass",
        columns: &[NAME, string("DriverName", "Driver that the attributes are for."), AGE],
        cells: |o, now| cells![text(o, "metadata.name"), text(o, "driverName"), age(o, now)],
    },
    Printer {
        group: "storage.k8s.io",
        kind: "VolumeAttachment",
        columns: &[
            NAME,
            Column { format: "name", ..string("Attacher", "Driver that attaches.") },
            string("PV", "Volume that is attached."),
            string("Node", "Node that it is attached to."),
            boolean("Attached", "Whether it is attached."),
            AGE,
        ],
        cells: |o, now| {
            cells![
                text(o, "metadata.name"),
                text(o, "spec.attacher"),
                text(o, "spec.source.persistentVolumeName"),
                text(o, "spec.nodeName"),
                flag(o, "status.attached", false),
                age(o, now),
            ]
        },
    },
    Printer {
        group: "storage.k8s.io",
        kind: "CSINode",
        columns: &[NAME, integer("Drivers", "Number of drivers on the node."), AGE],
        cells: |o, now| cells![text(o, "metadata.name"), items(o, "spec.drivers").len(), age(o, now)],
    },
    Printer {
        group: "storage.k8s.io",
        kind: "CSIDriver",
        columns: &[
            NAME,
            boolean("AttachRequired", "Whether volumes are attached before they are mounted."),
            boolean("PodInfoOnMount", "Whether the driver is told about the pod."),
            boolean("StorageCapacity", "Whether the scheduler minds the driver's free capacity."),
            string("TokenRequests", "Audiences of the tokens that the driver gets."),
            boolean("RequiresRepublish", "Whether volumes are published again now and then."),
            string("Modes", "Kinds of volume that the driver supports."),
            AGE,
        ],
        cells: csi_driver,
    },
    Printer {
        group: "internal.apiserver.k8s.io",
        kind: "StorageVersion",
        columns: &[
            NAME,
            string("CommonEncodingVersion", "Version that all API servers write."),
            string("StorageVersions", "Version that each API server writes."),
            AGE,
        ],
        cells: |o, now| {
            let versions = items(o, "status.storageVersions").iter();
            let versions =
                versions.map(|v| format!("{}={}", text(v, "apiServerID"), text(v, "encodingVersion")));
            cells![
                text(o, "metadata.name"),
                text_or(o, "status.commonEncodingVersion", "<unset>"),
                some_of(versions, 3),
                age(o, now),
            ]
        },
    },
    Printer {
        group: "storagemigration.k8s.io",
        kind: "StorageVersionMigration",
        columns: &[
            Column { format: "", ..NAME },
            string("Resource", "Resource whose objects are rewritten."),
            string("Status", "How far the migration is."),
        ],
        cells: storage_version_migration,
    },
];

/// Name of the class that claims without a class get: the newest of those marked as default, the
/// first by name of two as new. Only a list shows it, since it takes the list to know.
pub(super) fn default_class<'a>(classes: &[&'a Value]) -> Option<&'a str> {
    let marked = |o: &&&Value| {
        ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"]
            .iter()
            .any(|key| entry(o, "metadata.annotations", key) == Some("true"))
    };
    let newest_first = |o: &&&'a Value| {
        (std::cmp::Reverse(time(at(o, "metadata.creationTimestamp"))), text(o, "metadata.name"))
    };
    classes.iter().filter(marked).min_by_key(newest_first).map(|o| text(o, "metadata.name"))
}

fn volume(o: &Value, now: Timestamp) -> Vec<Value> {
    let claim = at(o, "spec.claimRef");
    let claim = match claim.is_object() {
        true => format!("{}/{}", text(claim, "namespace"), text(claim, "name")),
        false => String::new(),
    };
    cells![
        text(o, "metadata.name"),
        quantity(at(o, "spec.capacity.storage")),
        access_modes(o, "spec.accessModes"),
        text(o, "spec.persistentVolumeReclaimPolicy"),
        phase(o),
        claim,
        class(o),
        text_or(o, "spec.volumeAttributesClassName", "<unset>"),
        text(o, "status.reason"),
        age(o, now),
        text_or(o, "spec.volumeMode", "<unset>"),
    ]
}

fn claim(o: &Value, now: Timestamp) -> Vec<Value> {
    let volume = text(o, "spec.volumeName");
    let (capacity, modes) = match volume.is_empty() {
        true => (String::new(), String::new()),
        false => (quantity(at(o, "status.capacity.storage")), access_modes(o, "status.accessModes")),
    };
    cells![
        text(o, "metadata.name"),
        phase(o),
        volume,
        capacity,
        modes,
        class(o),
        text_or(o, "spec.volumeAttributesClassName", "<unset>"),
        age(o, now),
        text_or(o, "spec.volumeMode", "<unset>"),
    ]
}

fn phase(o: &Value) -> &str {
    if set(o, "metadata.deletionTimestamp") { "Terminating" } else { text(o, "status.phase") }
}

/// The class of a volume or claim; the annotation of old goes before the field.
fn class(o: &Value) -> &str {
    entry(o, "metadata.annotations", "volume.beta.kubernetes.io/storage-class")
        .unwrap_or(text(o, "spec.storageClassName"))
}

fn access_modes(o: &Value, path: &str) -> String {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let modes = strings(o, path);
    let short: Vec<&str> =
        SHORT.iter().filter(|(mode, _)| modes.contains(mode)).map(|(_, short)| *short).collect();
    short.join(",")
}

fn storage_class(o: &Value, now: Timestamp) -> Vec<Value> {
    cells![
        text(o, "metadata.name"),
        text(o, "provisioner"),
        text_or(o, "reclaimPolicy", "Delete"),
        text_or(o, "volumeBindingMode", "Immediate"),
        flag(o, "allowVolumeExpansion", false),
        age(o, now),
    ]
}

fn csi_driver(o: &Value, now: Timestamp) -> Vec<Value> {
    let modes = strings(o, "spec.volumeLifecycleModes").join(",");
    let tokens = match at(o, "spec.tokenRequests") {
        Value::Array(tokens) => tokens.iter().map(|t| text(t, "audience")).collect::<Vec<_>>().join(","),
        _ => "<unset>".to_owned(),
    };
    cells![
        text(o, "metadata.name"),
        flag(o, "spec.attachRequired", true),
        flag(o, "spec.podInfoOnMount", false),
        flag(o, "spec.storageCapacity", false),
        tokens,
        flag(o, "spec.requiresRepublish", false),
        if modes.is_empty() { "<none>".to_owned() } else { modes },
        age(o, now),
    ]
}

fn storage_version_migration(o: &Value, _: Timestamp) -> Vec<Value> {
    let resource = at(o, "spec.resource");
    let status = items(o, "status.conditions")
        .iter()
        .filter(|c| text(c, "status") == "True")
        .map(|c| text(c, "type"))
        .rfind(|type_| matches!(*type_, "Running" | "Failed" | "Succeeded"));
    cells![
        text(o, "metadata.name"),
        qualified(text(resource, "resource"), text(resource, "group")),
        status.unwrap_or("Unknown"),
    ]
}
