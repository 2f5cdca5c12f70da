//! Devices and groups of pods that are scheduled together: the resource and scheduling groups.

use kiban_base::clock::Timestamp;
use serde_json::Value;

use super::cell::{age, at, cells, condition, condition_true, items, number, set, since, text, text_or};
use super::cluster::{NAME_AND_AGE, name_and_age};
use super::{AGE, NAME, Printer, integer, string};

pub(super) static PRINTERS: &[Printer] = &[
    Printer { group: RESOURCE, kind: "DeviceClass", columns: NAME_AND_AGE, cells: name_and_age },
    Printer { group: RESOURCE, kind: "ResourceClaimTemplate", columns: NAME_AND_AGE, cells: name_and_age },
    Printer {
        group: RESOURCE,
        kind: "ResourceClaim",
        columns: &[NAME, string("State", "Whether devices are allocated and in use."), AGE],
        cells: |o, now| cells![text(o, "metadata.name"), claim_state(o), age(o, now)],
    },
    Printer {
        group: RESOURCE,
        kind: "ResourceSlice",
        columns: &[
            NAME,
            string("Node", "Node that has the devices."),
            string("Driver", "Driver that offers the devices."),
            string("Pool", "Pool that the devices belong to."),
            AGE,
        ],
        cells: |o, now| {
            cells![
                text(o, "metadata.name"),
                text(o, "spec.nodeName"),
                text(o, "spec.driver"),
                text(o, "spec.pool.name"),
                age(o, now),
            ]
        },
    },
    Printer {
        group: RESOURCE,
        kind: "ResourcePoolStatusRequest",
        columns: &[
            NAME,
            string("Driver", "Driver whose pools are asked for."),
            string("Total", "Devices in all pools."),
            string("Available", "Devices that are free."),
            string("Allocated", "Devices that are in use."),
            string("Unavailable", "Devices that cannot be used."),
            string("Errors", "Pools whose slices are not valid."),
            integer("Pools", "Pools that were found."),
            string("Status", "How far the request is."),
            string("Completed", "Time since it was answered."),
        ],
        cells: pool_status,
    },
    Printer {
        group: RESOURCE,
        kind: "DeviceTaintRule",
        columns: &[
            NAME,
            string("Key", "Key of the taint."),
            string("Value", "Value of the taint."),
            string("Effect", "What the taint does to pods."),
            string("TimeAdded", "Time since the taint was added."),
            AGE,
        ],
        cells: |o, now| {
            let added = at(o, "spec.taint.timeAdded");
            cells![
                text(o, "metadata.name"),
                text(o, "spec.taint.key"),
                text(o, "spec.taint.value"),
                text(o, "spec.taint.effect"),
                if added.is_string() { since(added, now) } else { String::new() },
                age(o, now),
            ]
        },
    },
    Printer { group: SCHEDULING, kind: "Workload", columns: NAME_AND_AGE, cells: name_and_age },
    Printer {
        group: SCHEDULING,
        kind: "PodGroup",
        columns: &[NAME, POLICY, WORKLOAD, string("Status", "Whether the group is scheduled."), AGE],
        cells: |o, now| {
            cells![text(o, "metadata.name"), policy(o), workload(o), group_status(o), age(o, now)]
        },
    },
    Printer {
        group: SCHEDULING,
        kind: "CompositePodGroup",
        columns: &[NAME, POLICY, WORKLOAD, AGE],
        cells: |o, now| cells![text(o, "metadata.name"), policy(o), workload(o), age(o, now)],
    },
];

const RESOURCE: &str = "resource.k8s.io";
const SCHEDULING: &str = "scheduling.k8s.io";

const POLICY: super::Column = string("Policy", "Whether the pods are scheduled all or none.");
const WORKLOAD: super::Column = string("Workload", "Workload that the group was made from.");

fn claim_state(o: &Value) -> String {
    let deleted = set(o, "metadata.deletionTimestamp");
    let allocated = at(o, "status.allocation").is_object();
    let states = [
        (deleted, "deleted"),
        (!allocated && !deleted, "pending"),
        (allocated, "allocated"),
        (allocated && !items(o, "status.reservedFor").is_empty(), "reserved"),
    ];
    states.iter().filter(|(holds, _)| *holds).map(|(_, state)| *state).collect::<Vec<_>>().join(",")
}

fn pool_status(o: &Value, now: Timestamp) -> Vec<Value> {
    let status = at(o, "status");
    let pools = items(status, "pools");
    let outcome = items(status, "conditions")
        .iter()
        .find(|c| text(c, "status") == "True" && matches!(text(c, "type"), "Complete" | "Failed"));
    let word = outcome.map_or("Pending", |c| text(c, "type"));
    let found = number(status, "poolCount");
    let counted = status.is_object() && word != "Failed";
    let sum = |key: &str| match counted {
        true => pools.iter().fold(0i64, |sum, pool| sum.saturating_add(number(pool, key))).to_string(),
        false => "-".to_owned(),
    };
    let errors = match counted {
        true => pools.iter().filter(|p| set(p, "validationError")).count().to_string(),
        false => "-".to_owned(),
    };
    let shown = i64::try_from(pools.len()).unwrap_or(i64::MAX);
    let word = match word {
        "Complete" if found > shown => format!("Complete ({shown}/{found} pools)"),
        word => word.to_owned(),
    };
    let completed = match outcome {
        Some(c) if text(c, "type") == "Complete" => since(at(c, "lastTransitionTime"), now),
        _ => "<none>".to_owned(),
    };
    cells![
        text(o, "metadata.name"),
        text(o, "spec.driver"),
        sum("totalDevices"),
        sum("availableDevices"),
        sum("allocatedDevices"),
        sum("unavailableDevices"),
        errors,
        found,
        word,
        completed,
    ]
}

fn policy(o: &Value) -> &'static str {
    if at(o, "spec.schedulingPolicy.gang").is_object() { "Gang" } else { "Basic" }
}

fn workload(o: &Value) -> &str {
    text_or(o, "spec.workloadRef.workloadName", "<none>")
}

fn group_status(o: &Value) -> &str {
    if let Some(disruption) = condition(o, "status.conditions", "DisruptionTarget") {
        return text(disruption, "reason");
    }
    match condition(o, "status.conditions", "PodGroupInitiallyScheduled") {
        None => "Pending",
        Some(_) if condition_true(o, "status.conditions", "PodGroupInitiallyScheduled") => "Scheduled",
        Some(_) => "Unschedulable",
    }
}
