//! Waiting: until objects are ready, until deleted ones are gone. By watch; where the caller may not
//! watch, by looking again.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;

use super::event::{Event, Progress};
use crate::client::{Call, Cluster};
use crate::discovery::Resource;
use crate::object::{ObjectId, text_at};
use crate::plan::Removal;
use crate::readiness::{Readiness, Status, blocks_apply, readiness};
use crate::watch::{Change, Selection, follow};

/// An object that is waited for.
pub(super) struct Target {
    pub(super) id: ObjectId,
    pub(super) resource: Resource,
    /// As it was seen last.
    pub(super) last: Option<Value>,
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

/// Waits until all are ready, none of those left can become ready, or the time is over. Returns those
/// that are not ready.
pub(super) async fn until_ready(
    cluster: &Cluster,
    targets: Vec<Target>,
    timeout: Duration,
    progress: &Progress<'_>,
) -> BTreeMap<ObjectId, Readiness> {
    let mut states: BTreeMap<ObjectId, (Option<Value>, Readiness)> = BTreeMap::new();
    let now = cluster.clock().now();
    for target in &targets {
        let state = target.last.as_ref().map_or_else(Readiness::not_found, |o| readiness(o, now));
        let (object, told) = (target.id.clone(), state.clone());
        progress.tell(Event::Waiting { object, readiness: told });
        states.insert(target.id.clone(), (target.last.clone(), state));
    }
    let mut sightings = stream::select_all(sightings(cluster, targets));
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);
    while states.values().any(|(_, r)| can_change(r)) {
        tokio::select! {
            () = &mut deadline => break,
            seen = sightings.next() => match seen {
                Some((id, seen)) => see(cluster, &mut states, &id, seen, progress),
                None => break,
            },
            () = tokio::time::sleep(TICK) => judge_again(cluster, &mut states, progress),
        }
    }
    states.into_iter().map(|(id, (_, state))| (id, state)).collect()
}

/// A failure by kstatus' rules is final as far as an apply is concerned; so is an object that is gone.
fn can_change(readiness: &Readiness) -> bool {
    !matches!(readiness.status, Status::Failed | Status::NotFound)
}

fn see(
    cluster: &Cluster,
    states: &mut BTreeMap<ObjectId, (Option<Value>, Readiness)>,
    id: &ObjectId,
    seen: Result<Option<Value>, String>,
    progress: &Progress<'_>,
) {
    let Some((_, known)) = states.get(id) else { return };
    let (object, state) = match seen {
        Ok(Some(object)) => {
            let state = readiness(&object, cluster.clock().now());
            (Some(object), state)
        }
        Ok(None) => (None, Readiness::not_found()),
        Err(message) => (None, Readiness { status: Status::Unknown, message, conditions: Vec::new() }),
    };
    if object.as_ref().is_some_and(|o| !blocks_apply(o, &state)) {
        states.remove(id);
        progress.tell(Event::Ready { object: id.clone() });
        return;
    }
    if *known != state {
        progress.tell(Event::Waiting { object: id.clone(), readiness: state.clone() });
    }
    states.insert(id.clone(), (object, state));
}

fn judge_again(
    cluster: &Cluster,
    states: &mut BTreeMap<ObjectId, (Option<Value>, Readiness)>,
    progress: &Progress<'_>,
) {
    let objects: Vec<_> = states.iter().filter_map(|(id, (o, _))| Some((id.clone(), o.clone()?))).collect();
    for (id, object) in objects {
        see(cluster, states, &id, Ok(Some(object)), progress);
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
