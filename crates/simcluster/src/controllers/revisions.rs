//! Revisions of pod templates: hashes, and the ControllerRevisions of stateful and daemon sets.
//!
//! Contract: Kubernetes pkg/controller/history.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{Ctx, pods};
use crate::kind::well_known::CONTROLLER_REVISION;
use crate::object::{Key, Stored};
use crate::registry::{Actor, DeleteOptions};
use crate::status::ApiError;
use crate::store::State;

/// The alphabet of hashes in names: no vowels, nothing that looks like another letter.
const SAFE: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A short, name-safe hash of a value; `salt` tells apart what collides.
pub fn hash(value: &Value, salt: i64) -> String {
    let text = value.to_string();
    let bytes = text.bytes().chain(salt.to_le_bytes());
    let mut h = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut out = String::new();
    for _ in 0..10 {
        let index = usize::try_from(h % 27).unwrap_or(0);
        out.push(char::from(SAFE[index]));
        h /= 27;
    }
    out
}

/// The revisions of a set, oldest first.
pub fn of(state: &State, owner: &Stored) -> Vec<Arc<Stored>> {
    let mut all: Vec<_> = pods::owned_of(state, owner, *CONTROLLER_REVISION).cloned().collect();
    all.sort_by_key(|r| number(r));
    all
}

/// The number of a revision.
pub fn number(revision: &Stored) -> i64 {
    revision.value()["revision"].as_i64().unwrap_or(0)
}

/// The revision for the owner's template as it is now, made if there is none; an old one that is
/// used again gets the highest number.
///
/// # Errors
/// What the API answers.
pub fn ensure(
    ctx: &Ctx<'_>,
    owner: &Stored,
    value: &Value,
    all: &[Arc<Stored>],
    label: &str,
    actor: &Actor,
) -> Result<Arc<Stored>, ApiError> {
    let data = json!({"spec": {"template": {"$patch": "replace", "metadata": value["spec"]["template"]["metadata"], "spec": value["spec"]["template"]["spec"]}}});
    let next = all.iter().map(|r| number(r)).max().unwrap_or(0) + 1;
    if let Some(found) = all.iter().find(|r| r.value()["data"] == data) {
        if number(found) + 1 == next {
            return Ok(found.clone());
        }
        let renumbered = ctx.cluster.modify(*CONTROLLER_REVISION, &found.key, crate::registry::Part::Main, actor, |r| {
            r["revision"] = next.into();
        })?;
        return Ok(renumbered.unwrap_or_else(|| found.clone()));
    }
    let collisions = value["status"]["collisionCount"].as_i64().unwrap_or(0);
    let hash = hash(&data, collisions);
    let name = format!("{}-{hash}", owner.key.name);
    let mut labels = value["spec"]["template"]["metadata"]["labels"].clone();
    labels[label] = hash.into();
    let revision = json!({
        "metadata": {"name": name, "labels": labels, "ownerReferences": [pods::owner_reference(owner)]},
        "data": data, "revision": next,
    });
    match ctx.cluster.create(*CONTROLLER_REVISION, &owner.key.namespace, revision, actor) {
        Err(e) if e.reason == "AlreadyExists" => {
            let key = Key::new(owner.key.namespace.clone(), name);
            ctx.cluster.get(*CONTROLLER_REVISION, &key).ok_or(e)
        }
        other => other,
    }
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

/// The hash in a revision's name.
pub fn hash_of<'a>(revision: &'a Stored, label: &str) -> &'a str {
    revision.label(label).unwrap_or_else(|| revision.key.name.rsplit('-').next().unwrap_or_default())
}
