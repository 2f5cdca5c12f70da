//! Waiting: until objects are ready, until deleted ones are gone. By watch; where the caller may not
//! watch, by looking again.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;

use crate::client::{Call, Cluster};
use crate::diagnose::{self, Diagnosis};
use crate::discovery::Resource;
use crate::migration;
use crate::object::{ObjectId, text_at};
use crate::plan::Removal;
use crate::readiness::{Readiness, Status, blocks_apply, readiness};
use crate::report::{Event, Progress};
use crate::watch::{Change, Selection, follow};

/// An object that is waited for.
pub(super) struct Target {
    pub(super) id: ObjectId,
    pub(super) resource: Resource,
    /// As it was seen last.
    pub(super) last: Option<Value>,
    /// What it is to come to.
    pub(super) goal: Goal,
    /// The Deployment's condition `Progressing` as it was before this apply changed it.
    pub(super) stale: Option<Value>,
}

/// What an object is to come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// Ready by kstatus' rules.
    Ready,
    /// A Job that is over.
    Finished,
}

/// The condition `Progressing`.
pub(super) fn progressing(object: &Value) -> Option<Value> {
    let list = object.get("status")?.get("conditions")?.as_array()?;
    list.iter().find(|c| text_at(c, &["type"]) == Some("Progressing")).cloned()
}

/// From this many objects of one kind in one namespace on, one watch follows them all.
const SHARED_WATCH: usize = 8;

/// How often states are judged anew without an event: some change with time alone.
const TICK: Duration = Duration::from_secs(1);

/// How often an object is looked at that may not be watched.
const LOOK: Duration = Duration::from_secs(2);

/// What is known of an object; none where it does not exist.
type Seen = (ObjectId, Result<Option<Value>, String>);
type Sightings = Pin<Box<dyn Stream<Item = Seen> + Send>>;

/// An object that is waited for, and how it stands.
struct Waited {
    object: Option<Value>,
    state: Readiness,
    goal: Goal,
    stale: Option<Value>,
}

/// All that is waited for.
struct Waiting<'a> {
    cluster: &'a Cluster,
    progress: &'a Progress<'a>,
    states: BTreeMap<ObjectId, Waited>,
}

/// Waits until all are ready, none of those left can become ready, or the time is over. Returns those
/// that are not ready; why not is told, and recorded with the progress.
pub(super) async fn until_ready(
    cluster: &Cluster,
    targets: Vec<Target>,
    timeout: Duration,
    progress: &Progress<'_>,
) -> BTreeMap<ObjectId, Readiness> {
    let mut waiting = Waiting { cluster, progress, states: BTreeMap::new() };
    for target in &targets {
        waiting.begin(target);
    }
    let mut sightings = stream::select_all(sightings(cluster, targets));
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);
    let mut inquiry: Option<Inquiry<'_>> = None;
    let mut ticks = 0_u64;
    while waiting.states.values().any(|w| can_change(&w.state)) {
        let asked = async {
            match &mut inquiry {
                Some(inquiry) => inquiry.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = &mut deadline => break,
            seen = sightings.next() => match seen {
                Some((id, seen)) => waiting.see(&id, seen),
                None => break,
            },
            found = asked => {
                inquiry = None;
                waiting.found(found);
            }
            () = tokio::time::sleep(TICK) => {
                waiting.judge_again();
                ticks += 1;
                if ticks.is_multiple_of(INQUIRE) && inquiry.is_none() {
                    inquiry = Some(inquire(cluster, waiting.suspects()));
                }
            }
        }
    }
    if let Ok(found) = tokio::time::timeout(LAST_INQUIRY, inquire(cluster, waiting.suspects())).await {
        waiting.found(found);
    }
    waiting.states.into_iter().map(|(id, waited)| (id, waited.state)).collect()
}

/// So many ticks lie between two looks for what stands in the way.
const INQUIRE: u64 = 3;

/// How long the last look may take, when the wait is over.
const LAST_INQUIRY: Duration = Duration::from_secs(10);

/// What was found to stand in the way of which object.
type Inquiry<'a> = Pin<Box<dyn Future<Output = Vec<(ObjectId, Diagnosis)>> + Send + 'a>>;

/// Finds out why workloads are not ready, a few at a time. What cannot be found out is left out.
fn inquire(cluster: &Cluster, suspects: Vec<(ObjectId, Value)>) -> Inquiry<'_> {
    const AT_A_TIME: usize = 4;
    let looks = stream::iter(suspects).map(move |(id, object)| async move {
        match diagnose::fetch::of(cluster, &object).await {
            Ok(diagnosis) => Some((id, diagnosis)),
            Err(error) => {
                tracing::debug!(object = %id, %error, "why it is not ready could not be found out");
                None
            }
        }
    });
    Box::pin(looks.buffer_unordered(AT_A_TIME).filter_map(std::future::ready).collect())
}

/// A failure by kstatus' rules is final as far as an apply is concerned; so is an object that is gone.
fn can_change(readiness: &Readiness) -> bool {
    !matches!(readiness.status, Status::Failed | Status::NotFound)
}

impl Waiting<'_> {
    fn begin(&mut self, target: &Target) {
        let (goal, stale) = (target.goal, target.stale.clone());
        let mut waited = Waited { object: target.last.clone(), state: Readiness::not_found(), goal, stale };
        if let Some(object) = &target.last {
            waited.state = self.judge(&waited, object);
        }
        let (object, readiness) = (target.id.clone(), waited.state.clone());
        self.progress.tell(Event::Waiting { object, readiness });
        self.states.insert(target.id.clone(), waited);
    }

    fn judge(&self, waited: &Waited, object: &Value) -> Readiness {
        let now = self.cluster.clock().now();
        let state = match waited.goal {
            Goal::Ready => readiness(object, now),
            Goal::Finished => return migration::readiness(object, now),
        };
        // The controller leaves the condition of a rollout that ran out of time as it is until the next
        // one makes progress, even where it has seen the new spec.
        let old =
            state.status == Status::Failed && waited.stale.is_some() && progressing(object) == waited.stale;
        if !old {
            return state;
        }
        let text = "the deadline of the rollout before this one is over; this one has not progressed yet";
        Readiness::in_progress("NotProgressedYet", text)
    }

    fn see(&mut self, id: &ObjectId, seen: Result<Option<Value>, String>) {
        let Some(waited) = self.states.get(id) else { return };
        let (object, state) = match seen {
            Ok(Some(object)) => {
                let state = self.judge(waited, &object);
                (Some(object), state)
            }
            Ok(None) => (None, Readiness::not_found()),
            Err(message) => (None, Readiness { status: Status::Unknown, message, conditions: Vec::new() }),
        };
        if object.as_ref().is_some_and(|o| !blocks_apply(o, &state)) {
            self.states.remove(id);
            self.progress.found(id, Vec::new());
            self.progress.tell(Event::Ready { object: id.clone() });
            return;
        }
        if waited.state != state {
            self.progress.tell(Event::Waiting { object: id.clone(), readiness: state.clone() });
        }
        if let Some(waited) = self.states.get_mut(id) {
            (waited.object, waited.state) = (object, state);
        }
    }

    fn judge_again(&mut self) {
        let objects: Vec<_> =
            self.states.iter().filter_map(|(id, w)| Some((id.clone(), w.object.clone()?))).collect();
        for (id, object) in objects {
            self.see(&id, Ok(Some(object)));
        }
    }

    /// The workloads among those that are waited for.
    fn suspects(&self) -> Vec<(ObjectId, Value)> {
        let workload = |id: &ObjectId| {
            matches!(
                (id.group.as_str(), id.kind.as_str()),
                ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
                    | ("batch", "Job")
                    | ("", "Pod")
            )
        };
        let known = self.states.iter().filter(|(id, _)| workload(id));
        known.filter_map(|(id, w)| Some((id.clone(), w.object.clone()?))).collect()
    }

    fn found(&self, found: Vec<(ObjectId, Diagnosis)>) {
        for (id, diagnosis) in found.into_iter().filter(|(id, _)| self.states.contains_key(id)) {
            self.progress.found(&id, diagnosis.findings);
        }
    }
}

/// One stream an object, or one for many objects of a kind and namespace.
fn sightings(cluster: &Cluster, targets: Vec<Target>) -> Vec<Sightings> {
    let mut groups: BTreeMap<(String, String), Vec<Target>> = BTreeMap::new();
    for target in targets {
        let key = (target.resource.collection(&target.id.namespace), target.id.namespace.clone());
        groups.entry(key).or_default().push(target);
    }
    let mut streams: Vec<Sightings> = Vec::new();
    for group in groups.into_values() {
        if group.len() < SHARED_WATCH {
            streams.extend(group.into_iter().map(|t| {
                let selection = Selection::Name(t.id.name.clone());
                sighting(cluster, t.resource, vec![t.id], selection)
            }));
        } else if let Some(resource) = group.first().map(|t| t.resource.clone()) {
            let ids = group.into_iter().map(|t| t.id).collect();
            streams.push(sighting(cluster, resource, ids, Selection::Labels(String::new())));
        }
    }
    streams
}

fn sighting(cluster: &Cluster, resource: Resource, ids: Vec<ObjectId>, selection: Selection) -> Sightings {
    let namespace = ids.first().map(|id| id.namespace.clone()).unwrap_or_default();
    let changes = follow(cluster, &resource, &namespace, &selection);
    let cluster = cluster.clone();
    Box::pin(changes.flat_map(move |change| -> Sightings {
        let find = |name: &str| ids.iter().find(|id| id.name == name).cloned();
        let name = |object: &Value| text_at(object, &["metadata", "name"]).unwrap_or("").to_string();
        match change {
            Ok(Change::Set(object)) => {
                let seen = find(&name(&object)).map(|id| (id, Ok(Some(object))));
                Box::pin(stream::iter(seen))
            }
            Ok(Change::Gone(object)) => {
                let seen = find(&name(&object)).map(|id| (id, Ok(None)));
                Box::pin(stream::iter(seen))
            }
            Ok(Change::Listed(objects)) => {
                let mut seen: BTreeMap<ObjectId, Option<Value>> =
                    ids.iter().map(|id| (id.clone(), None)).collect();
                for object in objects {
                    if let Some(id) = find(&name(&object)) {
                        seen.insert(id, Some(object));
                    }
                }
                Box::pin(stream::iter(seen.into_iter().map(|(id, o)| (id, Ok(o)))))
            }
            Err(error) => {
                tracing::debug!(%error, "looking again and again, for want of a watch");
                let looks = ids.iter().map(|id| looks(&cluster, &resource, id.clone()));
                Box::pin(stream::select_all(looks.collect::<Vec<_>>()))
            }
        }
    }))
}

/// Looks at one object every now and then.
fn looks(cluster: &Cluster, resource: &Resource, id: ObjectId) -> Sightings {
    let cluster = cluster.clone();
    let path = resource.object(&id.namespace, &id.name);
    Box::pin(stream::unfold(true, move |first| {
        let (cluster, path, id) = (cluster.clone(), path.clone(), id.clone());
        async move {
            if !first {
                tokio::time::sleep(LOOK).await;
            }
            let seen = match cluster.call(&Call::get(path)).await {
                Ok(answer) => Ok(Some(answer.body)),
                Err(e) if e.is_not_found() => Ok(None),
                Err(e) => Err(e.to_string()),
            };
            Some(((id, seen), false))
        }
    }))
}

/// Waits until a deleted object is gone, or another of its name has taken its place.
pub(super) async fn until_gone(
    cluster: &Cluster,
    removal: &Removal,
    timeout: Duration,
    progress: &Progress<'_>,
) -> Result<(), String> {
    let id = &removal.id;
    let selection = Selection::Name(id.name.clone());
    let mut sightings = sighting(cluster, removal.resource.clone(), vec![id.clone()], selection);
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);
    let mut told = false;
    let mut finalizers = String::new();
    loop {
        let seen = tokio::select! {
            () = &mut deadline => None,
            seen = sightings.next() => seen,
        };
        match seen {
            None => return Err(format!("it is still there after {timeout:?}{finalizers}")),
            Some((_, Ok(None))) => return Ok(()),
            Some((_, Err(why))) => {
                return Err(format!("it was deleted, but whether it is gone is not known: {why}"));
            }
            Some((_, Ok(Some(object)))) => {
                if text_at(&object, &["metadata", "uid"]).unwrap_or("") != removal.uid {
                    return Ok(());
                }
                finalizers = held_by(&object);
                if !told {
                    progress.tell(Event::Deleting { object: id.clone() });
                    told = true;
                }
            }
        }
    }
}

fn held_by(object: &Value) -> String {
    let list = object.get("metadata").and_then(|m| m.get("finalizers")).and_then(Value::as_array);
    let names: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
    if names.is_empty() { String::new() } else { format!(", held by the finalizers {}", names.join(", ")) }
}
