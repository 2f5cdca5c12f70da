//! Defaults of storage: volumes, claims, classes and drivers; and of claims for devices.

use super::amounts::{amount, resource_list};
use super::fill::Default::{self, All, Bool, Count, List, Text, TextIfAbsent, With};
use super::pod::{AZURE_DISK, RBD, SCALE_IO};

type Rows = &'static [(&'static str, Default)];

/// A PersistentVolumeClaim.
pub(crate) const CLAIM: Rows = &[
    ("status.phase", Text("Pending")),
    ("spec.volumeMode", TextIfAbsent("Filesystem")),
    ("spec.resources?.limits?", With(resource_list)),
    ("spec.resources?.requests?", With(resource_list)),
    ("status.capacity?", With(resource_list)),
    ("status.allocatedResources?", With(resource_list)),
];

/// A PersistentVolume.
pub(crate) const VOLUME: Rows = &[
    ("status.phase", Text("Pending")),
    ("spec.persistentVolumeReclaimPolicy", Text("Retain")),
    ("spec.volumeMode", TextIfAbsent("Filesystem")),
    ("spec.capacity?", With(resource_list)),
    ("spec.hostPath?.type", TextIfAbsent("")),
    ("spec.iscsi?.iscsiInterface", Text("default")),
    ("spec.rbd?", All(RBD)),
    ("spec.azureDisk?", All(AZURE_DISK)),
    ("spec.scaleIO?", All(SCALE_IO)),
];

/// A StorageClass.
pub(crate) const STORAGE_CLASS: Rows =
    &[("reclaimPolicy", TextIfAbsent("Delete")), ("volumeBindingMode", TextIfAbsent("Immediate"))];

/// A CSIDriver.
pub(crate) const CSI_DRIVER: Rows = &[
    ("spec.attachRequired", Bool(true)),
    ("spec.podInfoOnMount", Bool(false)),
    ("spec.storageCapacity", Bool(false)),
    ("spec.fsGroupPolicy", TextIfAbsent("ReadWriteOnceWithFSType")),
    ("spec.volumeLifecycleModes", List("Persistent")),
    ("spec.requiresRepublish", Bool(false)),
    ("spec.seLinuxMount", Bool(false)),
];

/// A CSIStorageCapacity.
pub(crate) const STORAGE_CAPACITY: Rows =
    &[("capacity?", With(amount)), ("maximumVolumeSize?", With(amount))];

const DEVICES: Rows = &[
    ("devices?.requests[].exactly?.allocationMode", Text("ExactCount")),
    ("devices?.requests[].exactly?", With(exact_count)),
    ("devices?.requests[].exactly?.tolerations[].operator", Text("Equal")),
    ("devices?.requests[].firstAvailable[].allocationMode", Text("ExactCount")),
    ("devices?.requests[].firstAvailable[]", With(exact_count)),
    ("devices?.requests[].firstAvailable[].tolerations[].operator", Text("Equal")),
];

/// A ResourceClaim.
pub(crate) const RESOURCE_CLAIM: Rows = &[("spec", All(DEVICES))];
/// A ResourceClaimTemplate.
pub(crate) const RESOURCE_CLAIM_TEMPLATE: Rows = &[("spec.spec", All(DEVICES))];

fn exact_count(request: &mut serde_json::Value) {
    if request.get("allocationMode").is_some_and(|mode| mode == "ExactCount") {
        super::fill::fill(request, &[("count", Count(1))]);
    }
}
