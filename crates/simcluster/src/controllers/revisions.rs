//! Revisions of pod templates: hashes, and the ControllerRevisions of stateful and daemon sets.
//!
//! Contract: Kubernetes pkg/controller/history.

use std::sync::Arc;

use kiban_base::selector::LabelSelector;
use serde_json::{Value, json};

use super::{Ctx, pods};
use crate::kind::well_known::CONTROLLER_REVISION;
use crate::object::{Key, Stored};
use crate::registry::{Actor, DeleteOptions};
use crate::status::ApiError;
use crate::store::State;

/// The alphabet of hashes in names: no vowels, nothing that looks like another letter.
const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// How a controller labels its revisions and pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Pods carry the revision's whole name.
    StatefulSet,
    /// Pods carry the hash alone.
    DaemonSet,
}

impl Style {
    /// The label of a revision that holds its hash.
    fn label(self) -> &'static str {
        match self {
            Self::StatefulSet => "controller.kubernetes.io/hash",
            Self::DaemonSet => POD_LABEL,
        }
    }

    /// The value of a pod's `controller-revision-hash` that stands for a revision.
    pub fn mark(self, revision: &Stored) -> &str {
        match self {
            Self::StatefulSet => &revision.key.name,
            Self::DaemonSet => revision.label(POD_LABEL).unwrap_or_default(),
        }
    }
}

/// The label of pods that says from which revision they were made.
pub const POD_LABEL: &str = "controller-revision-hash";

/// A short, name-safe hash of a value; `salt` tells apart what collides.
pub fn hash(value: &Value, salt: i64) -> String {
    let text = value.to_string();
    let bytes = text.bytes().chain(salt.to_le_bytes());
    let mut h =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut out = String::new();
    for _ in 0..10 {
        let index = usize::try_from(h % 27).unwrap_or(0);
        out.push(char::from(SAFE[index]));
        h /= 27;
    }
    out
}

/// The revisions of a set, oldest first; orphans that its selector matches are adopted.
///
/// # Errors
/// What the API answers, apart from 404.
pub fn claim(
    ctx: &Ctx<'_>,
    state: &State,
    owner: &Stored,
    selector: &LabelSelector,
    actor: &Actor,
) -> Result<Vec<Arc<Stored>>, ApiError> {
    let mut all: Vec<_> = pods::owned_of(state, owner, *CONTROLLER_REVISION).cloned().collect();
    if !owner.deleting {
        for orphan in state.range(*CONTROLLER_REVISION, &owner.key.namespace, None) {
            if orphan.controller().is_none() && !orphan.deleting && selector.matches(&**orphan) {
                all.extend(pods::adopt(ctx, owner, orphan, actor)?);
            }
        }
    }
    all.sort_by_key(|r| number(r));
    Ok(all)
}

/// The number of a revision.
pub fn number(revision: &Stored) -> i64 {
    revision.value()["revision"].as_i64().unwrap_or(0)
}

/// The revision for the owner's template as it is now, made if there is none; an old one that is
/// used again gets the highest number. Comes with the owner's count of collisions.
///
/// # Errors
/// What the API answers.
pub fn ensure(
    ctx: &Ctx<'_>,
    owner: &Stored,
    value: &Value,
    all: &[Arc<Stored>],
    style: Style,
    actor: &Actor,
) -> Result<(Arc<Stored>, i64), ApiError> {
    let data = json!({"spec": {"template": {"$patch": "replace", "metadata": value["spec"]["template"]["metadata"], "spec": value["spec"]["template"]["spec"]}}});
    let next = all.iter().map(|r| number(r)).max().unwrap_or(0) + 1;
    if let Some(found) = all.iter().find(|r| r.value()["data"] == data) {
        if number(found) + 1 == next {
            return Ok((found.clone(), value["status"]["collisionCount"].as_i64().unwrap_or(0)));
        }
        let renumbered = ctx.cluster.modify(
            *CONTROLLER_REVISION,
            &found.key,
            crate::registry::Part::Main,
            actor,
            |r| {
                r["revision"] = next.into();
            },
        )?;
        let collisions = value["status"]["collisionCount"].as_i64().unwrap_or(0);
        return Ok((renumbered.unwrap_or_else(|| found.clone()), collisions));
    }
    let mut collisions = value["status"]["collisionCount"].as_i64().unwrap_or(0);
    loop {
        let revision = new_revision(owner, value, &data, next, collisions, style);
        let key =
            Key::new(owner.key.namespace.clone(), revision["metadata"]["name"].as_str().unwrap_or_default());
        match ctx.cluster.create(*CONTROLLER_REVISION, &owner.key.namespace, revision, actor) {
            Err(e) if e.reason == "AlreadyExists" => {
                let found = ctx.cluster.get(*CONTROLLER_REVISION, &key).ok_or(e)?;
                if found.value()["data"] == data && found.controller().is_some_and(|c| c.uid == owner.uid) {
                    return Ok((found, collisions));
                }
                // The name is another's: the hash is salted anew.
                collisions += 1;
            }
            other => return other.map(|made| (made, collisions)),
        }
    }
}

fn new_revision(
    owner: &Stored,
    value: &Value,
    data: &Value,
    number: i64,
    collisions: i64,
    style: Style,
) -> Value {
    let hash = hash(data, collisions);
    let mut labels = value["spec"]["template"]["metadata"]["labels"].clone();
    labels[style.label()] = hash.clone().into();
    let mut meta = json!({
        "name": format!("{}-{hash}", owner.key.name), "labels": labels,
        "ownerReferences": [pods::owner_reference(owner)],
    });
    if value["metadata"]["annotations"].is_object() {
        meta["annotations"] = value["metadata"]["annotations"].clone();
    }
    json!({"metadata": meta, "data": data, "revision": number})
}

/// Deletes the oldest revisions that nothing uses, beyond the limit.
///
/// # Errors
/// What the API answers.
pub fn trim(
    ctx: &Ctx<'_>,
    value: &Value,
    all: &[Arc<Stored>],
    in_use: impl Fn(&Stored) -> bool,
    actor: &Actor,
) -> Result<(), ApiError> {
    let limit = usize::try_from(value["spec"]["revisionHistoryLimit"].as_i64().unwrap_or(10)).unwrap_or(0);
    let unused: Vec<_> = all.iter().filter(|r| !in_use(r)).collect();
    for revision in unused.iter().take(unused.len().saturating_sub(limit)) {
        match ctx.cluster.delete(*CONTROLLER_REVISION, &revision.key, &DeleteOptions::default(), actor) {
            Err(e) if e.code != 404 => return Err(e),
            _ => {}
        }
    }
    Ok(())
}
