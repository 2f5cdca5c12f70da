//! What makes pods, and what guards them: the apps, batch and policy groups.

use kiban_base::clock::Timestamp;
use serde_json::Value;

use super::cell::{
    age, at, cells, condition_true, containers, flag_text, human_duration, int_or_string, items, number,
    qualified, set, since, text, text_or, time,
};
use super::selector::{expression, labels, selector};
use super::{AGE, CONTAINERS, IMAGES, NAME, Printer, SELECTOR, boolean, integer, string};

pub(super) static PRINTERS: &[Printer] = &[
    Printer {
        group: "",
        kind: "PodTemplate",
        columns: &[
            NAME,
            string("Containers", "Names of the template's containers."),
            string("Images", "Images of the template's containers."),
            string("Pod Labels", "Labels that pods made from the template have."),
        ],
        cells: |o, _| {
            let (names, images) = containers(o, "template.spec.containers");
            cells![text(o, "metadata.name"), names, images, labels(o, "template.metadata.labels")]
        },
    },
    Printer {
        group: "policy",
        kind: "PodDisruptionBudget",
        columns: &[
            NAME,
            string("Min Available", "How many pods must stay up, as a number or a percentage."),
            string("Max Unavailable", "How many pods may be down, as a number or a percentage."),
            integer("Allowed Disruptions", "How many pods may be evicted now."),
            AGE,
        ],
        cells: |o, now| {
            let bound = |path| int_or_string(at(o, path)).unwrap_or_else(|| "N/A".to_owned());
            cells![
                text(o, "metadata.name"),
                bound("spec.minAvailable"),
                bound("spec.maxUnavailable"),
                number(o, "status.disruptionsAllowed"),
                age(o, now),
            ]
        },
    },
    Printer {
        group: "",
        kind: "ReplicationController",
        columns: REPLICAS,
        cells: |o, now| replicas(o, labels(o, "spec.selector"), now),
    },
    Printer {
        group: "apps",
        kind: "ReplicaSet",
        columns: REPLICAS,
        cells: |o, now| replicas(o, selector(o, "spec.selector"), now),
    },
    Printer {
        group: "apps",
        kind: "Deployment",
        columns: &[
            NAME,
            string("Ready", "Pods that are ready, of those that are wanted."),
            string("Up-to-date", "Pods that have the latest template."),
            string("Available", "Pods that have been ready for long enough."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        cells: deployment,
    },
    Printer {
        group: "apps",
        kind: "StatefulSet",
        columns: &[
            NAME,
            string("Ready", "Pods that are ready, of those that are wanted."),
            AGE,
            CONTAINERS,
            IMAGES,
        ],
        cells: |o, now| {
            let (names, images) = containers(o, TEMPLATE_CONTAINERS);
            cells![text(o, "metadata.name"), ready_of_wanted(o), age(o, now), names, images]
        },
    },
    Printer {
        group: "apps",
        kind: "DaemonSet",
        columns: &[
            NAME,
            integer("Desired", "Nodes that ought to run a pod."),
            integer("Current", "Nodes that run a pod and ought to."),
            integer("Ready", "Nodes whose pod is ready."),
            integer("Up-to-date", "Nodes whose pod has the latest template."),
            integer("Available", "Nodes whose pod has been ready for long enough."),
            string("Node Selector", "Labels of the nodes that run a pod."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        cells: daemon_set,
    },
    Printer {
        group: "apps",
        kind: "ControllerRevision",
        columns: &[
            NAME,
            string("Controller", "Object whose history this is a part of."),
            string("Revision", "Number of the revision."),
            AGE,
        ],
        cells: |o, now| cells![text(o, "metadata.name"), controller(o), number(o, "revision"), age(o, now)],
    },
    Printer {
        group: "batch",
        kind: "Job",
        columns: &[
            NAME,
            string("Status", "How far the job is."),
            string("Completions", "Pods that have succeeded, of those that must."),
            string("Duration", "How long the job has run."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        cells: job,
    },
    Printer {
        group: "batch",
        kind: "CronJob",
        columns: &[
            NAME,
            string("Schedule", "When jobs start, as a cron expression."),
            string("Timezone", "Time zone of the schedule."),
            boolean("Suspend", "Whether no further jobs start."),
            integer("Active", "Jobs that are running."),
            string("Last Schedule", "Time since a job was last started."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        cells: cron_job,
    },
];

const TEMPLATE_CONTAINERS: &str = "spec.template.spec.containers";

const REPLICAS: &[super::Column] = &[
    NAME,
    integer("Desired", "Pods that are wanted."),
    integer("Current", "Pods that exist."),
    integer("Ready", "Pods that are ready."),
    AGE,
    CONTAINERS,
    IMAGES,
    SELECTOR,
];

fn replicas(o: &Value, selector: String, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(o, TEMPLATE_CONTAINERS);
    cells![
        text(o, "metadata.name"),
        number(o, "spec.replicas"),
        number(o, "status.replicas"),
        number(o, "status.readyReplicas"),
        age(o, now),
        names,
        images,
        selector,
    ]
}

fn ready_of_wanted(o: &Value) -> String {
    format!("{}/{}", number(o, "status.readyReplicas"), number(o, "spec.replicas"))
}

fn deployment(o: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(o, TEMPLATE_CONTAINERS);
    cells![
        text(o, "metadata.name"),
        ready_of_wanted(o),
        number(o, "status.updatedReplicas"),
        number(o, "status.availableReplicas"),
        age(o, now),
        names,
        images,
        // Alone among the workloads, a Deployment leaves an empty selector empty.
        expression(at(o, "spec.selector")).unwrap_or_else(|| "<invalid>".to_owned()),
    ]
}

fn daemon_set(o: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(o, TEMPLATE_CONTAINERS);
    cells![
        text(o, "metadata.name"),
        number(o, "status.desiredNumberScheduled"),
        number(o, "status.currentNumberScheduled"),
        number(o, "status.numberReady"),
        number(o, "status.updatedNumberScheduled"),
        number(o, "status.numberAvailable"),
        labels(o, "spec.template.spec.nodeSelector"),
        age(o, now),
        names,
        images,
        selector(o, "spec.selector"),
    ]
}

fn controller(o: &Value) -> String {
    let owners = items(o, "metadata.ownerReferences");
    let Some(owner) = owners.iter().find(|r| at(r, "controller") == &Value::Bool(true)) else {
        return "<none>".to_owned();
    };
    let group = text(owner, "apiVersion").split_once('/').map_or("", |(group, _)| group);
    let (kind, name) = (text(owner, "kind"), text(owner, "name"));
    match qualified(kind, group).to_lowercase() {
        kind if kind.is_empty() => name.to_owned(),
        kind => format!("{kind}/{name}"),
    }
}

fn job(o: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(o, TEMPLATE_CONTAINERS);
    cells![
        text(o, "metadata.name"),
        job_status(o),
        completions(o),
        job_duration(o, now),
        age(o, now),
        names,
        images,
        selector(o, "spec.selector"),
    ]
}

fn job_status(o: &Value) -> &'static str {
    let is = |type_| condition_true(o, "status.conditions", type_);
    match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if set(o, "metadata.deletionTimestamp") => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () if is("SuccessCriteriaMet") => "SuccessCriteriaMet",
        () => "Running",
    }
}

fn completions(o: &Value) -> String {
    let succeeded = number(o, "status.succeeded");
    match (at(o, "spec.completions").as_i64(), number(o, "spec.parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn job_duration(o: &Value, now: Timestamp) -> String {
    let Some(start) = time(at(o, "status.startTime")) else {
        return String::new();
    };
    let end = time(at(o, "status.completionTime")).unwrap_or(now);
    human_duration(end.0.saturating_sub(start.0))
}

fn cron_job(o: &Value, now: Timestamp) -> Vec<Value> {
    let (names, images) = containers(o, "spec.jobTemplate.spec.template.spec.containers");
    let last = at(o, "status.lastScheduleTime");
    cells![
        text(o, "metadata.name"),
        text(o, "spec.schedule"),
        text_or(o, "spec.timeZone", "<none>"),
        flag_text(o, "spec.suspend"),
        items(o, "status.active").len(),
        if last.is_string() { since(last, now) } else { "<none>".to_owned() },
        age(o, now),
        names,
        images,
        selector(o, "spec.jobTemplate.spec.selector"),
    ]
}
