//! Amounts of resources, and what a pod asks for in total.

use std::sync::Arc;

use kiban_base::quantity::Quantity;
use serde_json::Value;

/// Requests of a container that names none, for scoring only: kube-scheduler's own numbers.
const DEFAULT_MILLI_CPU: i64 = 100;
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// No request counts for more: a pebibyte, or a trillion cores. It keeps sums from running over.
const REQUEST_MAX: i64 = 1 << 50;

/// Amounts of the resources that scheduling counts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Resources {
    /// Thousandths of a core.
    pub milli_cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes of local storage.
    pub ephemeral_storage: i64,
    /// Extended resources and huge pages, sorted by name, in whole units.
    pub scalar: Vec<(Arc<str>, i64)>,
}

impl Resources {
    /// Reads a resource list (`{"cpu": "500m", "memory": "1Gi"}`); what cannot be read counts as zero.
    pub fn from_json(list: &Value) -> Self {
        let mut out = Self::default();
        for (name, value) in list.as_object().into_iter().flatten() {
            let quantity = Quantity::from_json(value).unwrap_or_default();
            match name.as_str() {
                "cpu" => out.milli_cpu = quantity.milli().max(0),
                "memory" => out.memory = quantity.value().max(0),
                "ephemeral-storage" => out.ephemeral_storage = quantity.value().max(0),
                name if is_scalar(name) => out.scalar.push((name.into(), quantity.value().max(0))),
                _ => {}
            }
        }
        out
    }

    /// The amount of an extended resource.
    pub fn scalar(&self, name: &str) -> i64 {
        let at = self.scalar.binary_search_by(|(n, _)| (**n).cmp(name));
        at.ok().and_then(|at| self.scalar.get(at)).map_or(0, |(_, v)| *v)
    }

    /// Whether nothing is asked for.
    pub fn is_zero(&self) -> bool {
        self.milli_cpu == 0 && self.memory == 0 && self.ephemeral_storage == 0 && self.scalar.is_empty()
    }

    /// Adds the other's amounts. Wraps, so that taking them away again always restores what was.
    pub fn add(&mut self, other: &Self) {
        self.merge(other, i64::wrapping_add);
    }

    /// Takes the other's amounts away.
    pub fn sub(&mut self, other: &Self) {
        self.merge(other, i64::wrapping_sub);
    }

    /// Raises each amount to the other's where that is larger.
    pub fn raise(&mut self, other: &Self) {
        self.merge(other, i64::max);
    }

    fn merge(&mut self, other: &Self, f: fn(i64, i64) -> i64) {
        self.milli_cpu = f(self.milli_cpu, other.milli_cpu);
        self.memory = f(self.memory, other.memory);
        self.ephemeral_storage = f(self.ephemeral_storage, other.ephemeral_storage);
        for (name, value) in &other.scalar {
            match self.scalar.binary_search_by(|(n, _)| n.cmp(name)) {
                Ok(at) => {
                    if let Some((_, mine)) = self.scalar.get_mut(at) {
                        *mine = f(*mine, *value);
                    }
                }
                Err(at) => self.scalar.insert(at, (name.clone(), f(0, *value))),
            }
        }
    }
}

/// Names with a domain, and huge pages; plain words that Kubernetes does not know are not counted.
fn is_scalar(name: &str) -> bool {
    name.contains('/') || name.starts_with("hugepages-") || name.starts_with("attachable-volumes-")
}

/// What a pod asks for: exactly, and for scoring with defaults for containers that ask for nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Requests {
    pub(crate) exact: Resources,
    pub(crate) scoring_milli_cpu: i64,
    pub(crate) scoring_memory: i64,
}

/// The requests of a pod's spec: containers and sidecars run together, other init containers one after the
/// other before them; requests of the whole pod take the place of its containers'; overhead comes on top.
pub(crate) fn requests_of(spec: &Value) -> Requests {
    let exact = total(spec, false);
    let scoring = total(spec, true);
    Requests { exact, scoring_milli_cpu: scoring.milli_cpu, scoring_memory: scoring.memory }
}

fn total(spec: &Value, defaults: bool) -> Resources {
    let list = |field: &str| spec.get(field).and_then(Value::as_array).into_iter().flatten();
    let mut sum = Resources::default();
    for container in list("containers") {
        sum.add(&container_requests(container, defaults));
    }
    let (mut sidecars, mut peak) = (Resources::default(), Resources::default());
    for container in list("initContainers") {
        let mut own = container_requests(container, defaults);
        if container.get("restartPolicy").and_then(Value::as_str) == Some("Always") {
            sum.add(&own);
            sidecars.add(&own);
            peak.raise(&sidecars);
        } else {
            own.add(&sidecars);
            peak.raise(&own);
        }
    }
    sum.raise(&peak);
    if let Some(resources) = spec.get("resources") {
        let own = with_limits(resources);
        if own.get("cpu").is_some() {
            sum.milli_cpu = Resources::from_json(&own).milli_cpu;
        }
        if own.get("memory").is_some() {
            sum.memory = Resources::from_json(&own).memory;
        }
    }
    if let Some(overhead) = spec.get("overhead") {
        sum.add(&capped(Resources::from_json(overhead)));
    }
    capped(sum)
}

fn capped(mut amounts: Resources) -> Resources {
    let cap = |n: &mut i64| *n = (*n).clamp(0, REQUEST_MAX);
    cap(&mut amounts.milli_cpu);
    cap(&mut amounts.memory);
    cap(&mut amounts.ephemeral_storage);
    amounts.scalar.iter_mut().for_each(|(_, n)| cap(n));
    amounts
}

fn container_requests(container: &Value, defaults: bool) -> Resources {
    let requests = container.get("resources").map(with_limits).unwrap_or_default();
    let mut out = Resources::from_json(&requests);
    if defaults && requests.get("cpu").is_none() {
        out.milli_cpu = DEFAULT_MILLI_CPU;
    }
    if defaults && requests.get("memory").is_none() {
        out.memory = DEFAULT_MEMORY;
    }
    capped(out)
}

/// The requests, with limits for what has no request, as the API server fills them in.
fn with_limits(resources: &Value) -> Value {
    let mut out = resources.get("limits").and_then(Value::as_object).cloned().unwrap_or_default();
    for (name, value) in resources.get("requests").and_then(Value::as_object).into_iter().flatten() {
        out.insert(name.clone(), value.clone());
    }
    Value::Object(out)
}
