//! Tells who waits when a pod of a namespace gets worse: restarts, no longer ready, ended. From the one watch on
//! pods, so that watching a rollout that goes well costs no request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kiban_kube::cache::{Delta, Footprint, Object, Projected, Subscription};
use serde::Deserialize;
use tokio::sync::watch;

/// What counts of a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    restarts: u32,
    ready: bool,
    ended_badly: bool,
}

impl Footprint for Health {}

/// Namespaces with what is known of their pods.
#[derive(Clone, Debug, Default)]
pub struct Pods {
    namespaces: Arc<Mutex<HashMap<String, Namespace>>>,
}

#[derive(Debug, Default)]
struct Namespace {
    restarts: u64,
    /// Grows with each pod that gets worse.
    worse: watch::Sender<u64>,
}

impl Pods {
    /// Restarts of all containers of a namespace's pods, as far as they are known.
    pub fn restarts(&self, namespace: &str) -> u64 {
        self.with(namespace, |n| n.restarts)
    }

    /// Changes whenever a pod of the namespace gets worse.
    pub fn worse(&self, namespace: &str) -> watch::Receiver<u64> {
        self.with(namespace, |n| n.worse.subscribe())
    }

    /// Follows the pods for ever.
    pub async fn follow(&self, mut pods: Subscription<Health>) {
        loop {
            self.take(pods.next().await);
        }
    }

    fn take(&self, delta: Delta<Health>) {
        match delta {
            Delta::Set { key, old, new } => {
                self.change(key.namespace(), old.as_deref().copied(), Some(*new));
            }
            Delta::Gone { key, old } => self.change(key.namespace(), Some(*old), None),
            Delta::Resync(snapshot) => {
                let mut all = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
                all.values_mut().for_each(|n| n.restarts = 0);
                for (key, health) in snapshot.iter() {
                    let namespace = all.entry(key.namespace().to_owned()).or_default();
                    namespace.restarts += u64::from(health.restarts);
                }
                // What happened in between is unknown: everybody looks again.
                all.values().for_each(|n| n.worse.send_modify(|count| *count += 1));
            }
            Delta::Synced => {}
        }
    }

    fn change(&self, namespace: &str, old: Option<Health>, new: Option<Health>) {
        self.with(namespace, |n| {
            let restarts = |h: Option<Health>| h.map_or(0, |h| u64::from(h.restarts));
            n.restarts = (n.restarts + restarts(new)).saturating_sub(restarts(old));
            if is_worse(old, new) {
                n.worse.send_modify(|count| *count += 1);
            }
        });
    }

    fn with<T>(&self, namespace: &str, get: impl FnOnce(&mut Namespace) -> T) -> T {
        let mut all = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(namespace) {
            // Those that nobody waits for and that hold nothing need no place.
            if all.len() >= 1_024 {
                all.retain(|_, n| n.worse.receiver_count() > 0 || n.restarts > 0);
            }
            all.insert(namespace.to_owned(), Namespace::default());
        }
        get(all.entry(namespace.to_owned()).or_default())
    }
}

fn is_worse(old: Option<Health>, new: Option<Health>) -> bool {
    let old = old.unwrap_or_default();
    match new {
        Some(new) => {
            new.restarts > old.restarts || (old.ready && !new.ready) || (new.ended_badly && !old.ended_badly)
        }
        None => old.ready,
    }
}

/// The projection of a pod.
pub fn health(object: &Object<'_>) -> Projected<Health> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Pod {
        status: Status,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Status {
        phase: String,
        conditions: Option<Vec<Condition>>,
        container_statuses: Option<Vec<Container>>,
        init_container_statuses: Option<Vec<Container>>,
    }
    #[derive(Deserialize)]
    struct Condition {
        #[serde(rename = "type")]
        kind: String,
        status: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Container {
        restart_count: u32,
    }
    let Pod { status } = object.read().map_err(|error| error.to_string())?;
    let containers = status.container_statuses.iter().chain(&status.init_container_statuses).flatten();
    let mut conditions = status.conditions.iter().flatten();
    Ok(Some(Health {
        restarts: containers.map(|c| c.restart_count).fold(0, u32::saturating_add),
        ready: conditions.any(|c| c.kind == "Ready" && c.status == "True"),
        ended_badly: status.phase == "Failed",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_gets_worse_by_restarts_by_not_being_ready_and_by_ending() {
        let pod = |restarts, ready, ended_badly| Some(Health { restarts, ready, ended_badly });
        for (old, new, worse) in [
            (None, pod(0, false, false), false),
            (pod(0, false, false), pod(0, true, false), false),
            (pod(0, true, false), pod(0, false, false), true),
            (pod(1, true, false), pod(2, true, false), true),
            (None, pod(1, false, false), true),
            (pod(0, false, false), pod(0, false, true), true),
            (pod(0, true, false), None, true),
            (pod(0, false, false), None, false),
        ] {
            assert_eq!(is_worse(old, new), worse, "{old:?} {new:?}");
        }
    }

    #[test]
    fn a_namespaces_restarts_follow_its_pods() {
        let pods = Pods::default();
        let waits = pods.worse("a");
        pods.change("a", None, Some(Health { restarts: 3, ..Health::default() }));
        pods.change("a", Some(Health { restarts: 3, ..Health::default() }), None);
        pods.change("a", None, Some(Health { restarts: 1, ..Health::default() }));
        assert_eq!((pods.restarts("a"), pods.restarts("b")), (1, 0));
        assert!(waits.has_changed().unwrap_or(false));
    }
}
