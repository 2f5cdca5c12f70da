//! What fake containers use: CPU and memory as a pure function of pod and time.
//!
//! ```text
//!   cpu    = base × day(time, namespace) × noise(pod, time)         average day: base
//!   memory = base × warm-up(age) × noise, or a ramp to the limit where the pod is told to run out of it
//! ```
//!
//! The base is the annotation `sim.kiban.dev/usage-cpu` or `usage-memory` (see [`crate::nodes`]), or a
//! share of what the container requests. Nothing is stored: asking twice gives the same answer, and a
//! chart of last week is what was asked then.

use std::f64::consts::TAU;
use std::ops::Add;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use kiban_base::quantity::Quantity;
use kiban_base::rng::splitmix64;
use serde_json::Value;

use super::script::{PREFIX, items, parse_span, text};
use crate::store::State;

const DAY: f64 = 86_400.0;

/// The hour (UTC) at which a namespace is busiest, more or less.
const PEAK_HOUR: f64 = 13.0;

/// How far the busiest and the quietest hour lie from the average.
const SWING: f64 = 0.6;

/// Time constant of the warm-up of memory, and its share.
const WARM_UP: f64 = 600.0;
const COLD: f64 = 0.75;

/// Shares of the request or the limit that a container uses, and what one uses that states neither.
const CPU_OF_REQUEST: f64 = 0.35;
const CPU_OF_LIMIT: f64 = 0.2;
const CPU_DEFAULT: f64 = 20e6;
const MEMORY_OF_REQUEST: f64 = 0.7;
const MEMORY_OF_LIMIT: f64 = 0.5;
const MEMORY_DEFAULT: f64 = 48.0 * 1024.0 * 1024.0;

/// What a node's own programs use.
const SYSTEM: Usage = Usage { cpu_nano: 120_000_000, memory: 900 << 20 };

/// CPU and memory in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Nanocores.
    pub cpu_nano: u64,
    /// Bytes of the working set.
    pub memory: u64,
}

impl Usage {
    /// Millicores, rounded up as the metrics API does.
    pub fn cpu_milli(self) -> u64 {
        self.cpu_nano.div_ceil(1_000_000)
    }
}

impl Add for Usage {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            cpu_nano: self.cpu_nano.saturating_add(other.cpu_nano),
            memory: self.memory.saturating_add(other.memory),
        }
    }
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// How one running container uses its node: all that [`Profile::at`] needs, small enough to keep.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    seed: u64,
    peak: f64,
    started: Timestamp,
    cpu: f64,
    memory: f64,
    cpu_limit: f64,
    memory_limit: f64,
    oom_after: Option<Duration>,
}

impl Profile {
    /// The profiles of a pod's running containers, by name in the order of its status.
    pub fn of_pod(pod: &Value) -> Vec<(String, Self)> {
        let statuses = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"];
        let running = statuses.iter().flat_map(|list| items(&pod["status"][list])).filter_map(|status| {
            let started = status["state"]["running"]["startedAt"].as_str().and_then(Timestamp::parse)?;
            Some((text(&status["name"]).to_owned(), started))
        });
        running.map(|(name, started)| (name.clone(), Self::new(pod, &name, started))).collect()
    }

    fn new(pod: &Value, name: &str, started: Timestamp) -> Self {
        let (meta, spec) = (&pod["metadata"], &pod["spec"]);
        let specs = ["containers", "initContainers", "ephemeralContainers"];
        let container = specs.iter().flat_map(|list| items(&spec[list])).find(|c| c["name"] == name);
        let amount = |kind: &str, resource: &str, scale: f64| {
            let given = container.map(|c| &c["resources"][kind][resource]).filter(|v| !v.is_null());
            given.and_then(|v| Quantity::from_json(v).ok()).map(|q| q.as_f64() * scale).filter(|v| *v > 0.0)
        };
        let main = items(&spec["containers"]).next().is_some_and(|c| c["name"] == name);
        let note = |key: &str| {
            let own = meta["annotations"][format!("{PREFIX}{key}.{name}")].as_str();
            own.or_else(|| meta["annotations"][format!("{PREFIX}{key}")].as_str().filter(|_| main))
        };
        let told = |key: &str, scale: f64| {
            note(key).and_then(|t| Quantity::parse(t).ok()).map(|q| q.as_f64() * scale).filter(|v| *v >= 0.0)
        };
        let base = |key: &str, resource: &str, scale: f64, shares: (f64, f64), default: f64| {
            told(key, scale)
                .or_else(|| amount("requests", resource, scale).map(|v| v * shares.0))
                .or_else(|| amount("limits", resource, scale).map(|v| v * shares.1))
                .unwrap_or(default)
        };
        let seed = hash(text(&meta["uid"])) ^ hash(name).rotate_left(17);
        let offset = unit(hash(text(&meta["namespace"]))) * 3.0 - 1.5;
        Self {
            seed,
            peak: (PEAK_HOUR + offset) * 3_600.0,
            started,
            cpu: base("usage-cpu", "cpu", 1e9, (CPU_OF_REQUEST, CPU_OF_LIMIT), CPU_DEFAULT),
            memory: base("usage-memory", "memory", 1.0, (MEMORY_OF_REQUEST, MEMORY_OF_LIMIT), MEMORY_DEFAULT),
            cpu_limit: amount("limits", "cpu", 1e9).unwrap_or(f64::INFINITY),
            memory_limit: amount("limits", "memory", 1.0).unwrap_or(f64::INFINITY),
            oom_after: note("oom-after").and_then(parse_span),
        }
    }

    /// What it uses at a time.
    pub fn at(&self, now: Timestamp) -> Usage {
        let secs = now.0 as f64 / 1e6;
        let age = now.since(self.started).as_secs_f64();
        let day = 1.0 + SWING * ((secs - self.peak) / DAY * TAU).cos();
        let noise = 1.0 + 0.15 * wave(self.seed, secs, 900.0) + 0.1 * wave(self.seed ^ 1, secs, 60.0);
        let cpu = (self.cpu * day * noise).min(self.cpu_limit);
        let warm = 1.0 - (1.0 - COLD) * (-age / WARM_UP).exp();
        let mut memory = self.memory * warm * (1.0 + 0.03 * wave(self.seed ^ 2, secs, 600.0));
        if let Some(after) = self.oom_after {
            let top = if self.memory_limit.is_finite() { self.memory_limit } else { self.memory * 4.0 };
            memory += (top - memory).max(0.0) * (age / after.as_secs_f64().max(1.0)).min(1.0);
        }
        Usage { cpu_nano: whole(cpu), memory: whole(memory.min(self.memory_limit)) }
    }
}

/// What a pod's running containers use, by name.
pub fn of_containers(pod: &Value, now: Timestamp) -> Vec<(String, Usage)> {
    Profile::of_pod(pod).into_iter().map(|(name, profile)| (name, profile.at(now))).collect()
}

/// What a pod uses.
pub fn of_pod(pod: &Value, now: Timestamp) -> Usage {
    Profile::of_pod(pod).iter().map(|(_, profile)| profile.at(now)).sum()
}

/// What a node uses: its pods and its own programs.
pub fn of_node(state: &State, node: &str, now: Timestamp) -> Usage {
    let pods: Usage = state.pods_on(node).map(|pod| of_pod(&pod.value(), now)).sum();
    let factor = 1.0 + 0.1 * wave(hash(node), now.0 as f64 / 1e6, 300.0);
    let system = |amount: u64| whole(amount as f64 * factor);
    pods + Usage { cpu_nano: system(SYSTEM.cpu_nano), memory: system(SYSTEM.memory) }
}

/// Smooth noise between -1 and 1: random points every `period` seconds, eased into each other.
fn wave(seed: u64, secs: f64, period: f64) -> f64 {
    let place = secs / period;
    let (left, share) = (place.floor(), place - place.floor());
    let point = |at: f64| {
        let mut state = seed ^ (at as i64 as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        unit(splitmix64(&mut state)) * 2.0 - 1.0
    };
    let ease = share * share * (3.0 - 2.0 * share);
    point(left) * (1.0 - ease) + point(left + 1.0) * ease
}

/// A number in `[0, 1)` from 64 bits.
fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

fn whole(value: f64) -> u64 {
    if value.is_finite() && value > 0.0 { value as u64 } else { 0 }
}

fn hash(text: &str) -> u64 {
    let mut state = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    splitmix64(&mut state)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn pod(annotations: Value, resources: Value) -> Value {
        json!({
            "metadata": {"uid": "u-1", "namespace": "shop", "annotations": annotations},
            "spec": {"containers": [{"name": "app", "resources": resources}, {"name": "side"}]},
            "status": {"containerStatuses": [
                {"name": "app", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}},
                {"name": "side", "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            ]},
        })
    }

    fn at(hours: u64) -> Timestamp {
        Timestamp::parse("2026-01-05T00:00:00Z").unwrap() + Duration::from_secs(hours * 3_600)
    }

    #[test]
    fn an_average_day_uses_the_base_and_peaks_in_the_afternoon() {
        let pod =
            pod(json!({"sim.kiban.dev/usage-cpu": "200m", "sim.kiban.dev/usage-memory": "100Mi"}), json!({}));
        let day: Vec<Usage> = (0..24).map(|h| of_pod(&pod, at(h))).collect();
        let mean = day.iter().map(|u| u.cpu_milli()).sum::<u64>() / 24;
        assert!((170..230).contains(&mean), "{mean}");
        let busy = day[12].cpu_milli();
        let quiet = day[1].cpu_milli();
        assert!(busy > 2 * quiet, "{busy} {quiet}");
        assert!(day.iter().all(|u| (90 << 20..110 << 20).contains(&u.memory)), "{day:?}");
    }

    #[test]
    fn only_running_containers_use_anything_and_limits_hold() {
        let limits =
            json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "300m", "memory": "512Mi"}});
        let all = of_containers(&pod(json!({}), limits), at(12));
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].0, "app");
        assert_eq!((all[0].1.cpu_milli(), all[0].1.memory), (300, 512 << 20));
    }

    #[test]
    fn usage_is_a_function_of_pod_and_time() {
        let one = pod(json!({}), json!({}));
        assert_eq!(of_pod(&one, at(3)), of_pod(&one, at(3)));
        let mut other = one.clone();
        other["metadata"]["uid"] = "u-2".into();
        assert_ne!(of_pod(&one, at(3)), of_pod(&other, at(3)));
        // Neighbouring moments are close.
        let (a, b) = (of_pod(&one, at(3)), of_pod(&one, at(3) + Duration::from_secs(1)));
        assert!(a.cpu_nano.abs_diff(b.cpu_nano) < a.cpu_nano / 50, "{a:?} {b:?}");
    }

    #[test]
    fn a_pod_that_is_to_run_out_of_memory_climbs_to_its_limit() {
        let notes = json!({"sim.kiban.dev/oom-after": "10m"});
        let pod = pod(notes, json!({"requests": {"memory": "100Mi"}, "limits": {"memory": "200Mi"}}));
        let start = Timestamp::parse("2026-01-01T00:00:00Z").unwrap();
        let after = |secs| of_pod(&pod, start + Duration::from_secs(secs)).memory;
        assert!(after(0) < 80 << 20);
        assert!(after(300) > 110 << 20);
        assert_eq!(after(600), 200 << 20);
    }

    #[test]
    fn nonsense_in_annotations_is_passed_over() {
        let pod =
            pod(json!({"sim.kiban.dev/usage-cpu": "lots", "sim.kiban.dev/usage-memory": "-5"}), json!({}));
        let usage = of_pod(&pod, at(0));
        assert!(usage.cpu_nano > 0 && usage.memory > 0);
    }
}
