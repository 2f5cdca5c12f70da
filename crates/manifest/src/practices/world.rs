//! Rendered objects as the rules look at them: by kind, by pod, by container, by selector.

use serde_json::Value;

/// The objects that are judged together.
#[derive(Debug, Clone, Default)]
pub struct World<'a> {
    /// The objects.
    pub objects: Vec<&'a Value>,
    /// Files whose keys are not sorted, where the files are known.
    pub unsorted: Vec<String>,
}

/// A pod template and the object that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pod<'a> {
    pub(super) owner: &'a Value,
    pub(super) template: &'a Value,
}

/// A container of a pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Container<'a> {
    pub(super) pod: Pod<'a>,
    pub(super) value: &'a Value,
}

/// `pointer` as text.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// `pointer` as a list; empty when it is none.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `pointer` as an integer.
pub(super) fn int(value: &Value, pointer: &str) -> Option<i64> {
    value.pointer(pointer).and_then(Value::as_i64)
}

/// Whether `pointer` is `true`.
pub(super) fn is_true(value: &Value, pointer: &str) -> bool {
    value.pointer(pointer) == Some(&Value::Bool(true))
}

pub(super) fn kind_of(object: &Value) -> &str {
    text(object, "/kind")
}

pub(super) fn namespace_of(object: &Value) -> &str {
    text(object, "/metadata/namespace")
}

/// `Deployment checkout-prod/orders`.
pub(super) fn title(object: &Value) -> String {
    format!("{} {}/{}", kind_of(object), namespace_of(object), text(object, "/metadata/name"))
}

/// Whether a selector (`matchLabels` only, or a Service's plain map) picks these labels. An empty
/// selector picks everything.
pub(super) fn selects(selector: Option<&Value>, labels: Option<&Value>) -> bool {
    let Some(selector) = selector else { return false };
    let wanted = match selector.get("matchLabels") {
        Some(wanted) => wanted,
        None if selector.get("matchExpressions").is_some() => return false,
        None => selector,
    };
    let matches = |(key, value): (&String, &Value)| labels.and_then(|l| l.get(key)) == Some(value);
    wanted.as_object().is_some_and(|map| map.iter().all(matches))
}

impl<'a> Pod<'a> {
    pub(super) fn is_job(&self) -> bool {
        matches!(kind_of(self.owner), "CronJob" | "Job")
    }

    pub(super) fn is_deployment(&self) -> bool {
        kind_of(self.owner) == "Deployment"
    }

    pub(super) fn labels(&self) -> Option<&'a Value> {
        self.template.pointer("/metadata/labels")
    }

    pub(super) fn spec(&self, pointer: &str) -> Option<&'a Value> {
        self.template.get("spec").and_then(|spec| spec.pointer(pointer))
    }

    pub(super) fn containers(&self) -> Vec<Container<'a>> {
        let of = |pointer| list(self.template, pointer).iter();
        of("/spec/initContainers")
            .chain(of("/spec/containers"))
            .map(|value| Container { pod: *self, value })
            .collect()
    }
}

impl Container<'_> {
    /// A field of the container's security context, or of the pod's.
    pub(super) fn security(&self, field: &str) -> Option<&Value> {
        let own = self.value.pointer(&format!("/securityContext/{field}"));
        own.or_else(|| self.pod.spec(&format!("/securityContext/{field}")))
    }

    /// Whether a probe's port is one that the container declares.
    pub(super) fn declares(&self, probe: &str) -> bool {
        let Some(probe) = self.value.get(probe) else { return true };
        let asked = ["/httpGet/port", "/tcpSocket/port", "/grpc/port"];
        let Some(port) = asked.iter().find_map(|pointer| probe.pointer(pointer)) else { return true };
        list(self.value, "/ports")
            .iter()
            .any(|declared| declared.get("name") == Some(port) || declared.get("containerPort") == Some(port))
    }
}

impl<'a> World<'a> {
    /// The objects of a kind.
    pub(super) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &'a Value> {
        self.objects.iter().copied().filter(move |object| kind_of(object) == kind)
    }

    /// All pod templates.
    pub(super) fn pods(&self) -> Vec<Pod<'a>> {
        let of = |owner: &'a Value| {
            let pointer = match kind_of(owner) {
                "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "Job" => "/spec/template",
                "CronJob" => "/spec/jobTemplate/spec/template",
                "Pod" => "",
                _ => return None,
            };
            Some(Pod { owner, template: owner.pointer(pointer)? })
        };
        self.objects.iter().copied().filter_map(of).collect()
    }

    /// Whether any object of the kind, in the pod's namespace, selects the pod.
    pub(super) fn is_selected(&self, pod: &Pod<'_>, kind: &str, selector: &str) -> bool {
        self.of_kind(kind).any(|object| {
            namespace_of(object) == namespace_of(pod.owner) && selects(object.pointer(selector), pod.labels())
        })
    }

    /// Whether an object's selector picks a pod in its namespace.
    pub(super) fn has_pod(&self, object: &Value, selector: &str) -> bool {
        self.pods().iter().any(|pod| {
            namespace_of(pod.owner) == namespace_of(object) && selects(object.pointer(selector), pod.labels())
        })
    }

    /// The autoscaler of a workload.
    pub(super) fn autoscaler(&self, workload: &Value) -> Option<&'a Value> {
        self.of_kind("HorizontalPodAutoscaler").find(|hpa| {
            namespace_of(hpa) == namespace_of(workload)
                && text(hpa, "/spec/scaleTargetRef/kind") == kind_of(workload)
                && text(hpa, "/spec/scaleTargetRef/name") == text(workload, "/metadata/name")
        })
    }

    /// The disruption budgets that select a pod.
    pub(super) fn budgets(&self, pod: &Pod<'_>) -> impl Iterator<Item = &'a Value> {
        self.of_kind("PodDisruptionBudget").filter(move |pdb| {
            namespace_of(pdb) == namespace_of(pod.owner)
                && selects(pdb.pointer("/spec/selector"), pod.labels())
        })
    }
}

/// The objects of a kind that do not satisfy `ok`.
pub(super) fn objects(world: &World<'_>, kind: &str, ok: impl Fn(&Value) -> bool) -> Vec<String> {
    world.of_kind(kind).filter(|object| !ok(object)).map(title).collect()
}

/// All objects that do not satisfy `ok`.
pub(super) fn everything(world: &World<'_>, ok: impl Fn(&Value) -> bool) -> Vec<String> {
    world.objects.iter().filter(|object| !ok(object)).map(|object| title(object)).collect()
}

/// The pods that do not satisfy `ok`.
pub(super) fn pods(world: &World<'_>, ok: impl Fn(&Pod<'_>) -> bool) -> Vec<String> {
    world.pods().iter().filter(|pod| !ok(pod)).map(|pod| title(pod.owner)).collect()
}

/// The containers that do not satisfy `ok`.
pub(super) fn containers(world: &World<'_>, ok: impl Fn(&Container<'_>) -> bool) -> Vec<String> {
    let all = world.pods().into_iter().flat_map(|pod| pod.containers());
    all.filter(|container| !ok(container))
        .map(|container| format!("{}: {}", title(container.pod.owner), text(container.value, "/name")))
        .collect()
}
