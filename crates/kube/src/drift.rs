//! Drift: a field of ours that somebody else changed, found from a watched object without a request.
//!
//! After each write, [`Digest::of`] keeps the fields that this program owns as a hash. An object that a
//! watch brings and whose digest equals has no drift, whatever else of it changed (status, the replicas
//! that an autoscaler owns). Only where the digest differs a dry run is worth a request, and [`drift`]
//! names the fields from its answer, with who changed them.

mod compare;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::fields;
use crate::object::normalised;
use crate::request::MANAGER;

/// The fields that this program owns, as they were after its last write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 16]);

/// A field of ours that is not as we left it.
#[derive(Debug, Clone, PartialEq)]
pub struct Drift {
    /// Path of the field, as in `.spec.template.spec.containers[name="orders"].image`.
    pub path: String,
    /// As it was rendered; none where it is to go.
    pub ours: Option<Value>,
    /// As it is; none where it is gone.
    pub theirs: Option<Value>,
    /// Who owns it now, by `managedFields`: whoever wrote it last. None where nobody does: it was removed.
    pub owner: Option<String>,
}

impl Digest {
    /// Of an object as the API returned it; none where this program owns nothing of it.
    pub fn of(object: &Value) -> Option<Self> {
        let set = fields::owned(object, MANAGER)?;
        let mut hasher = Sha256::new();
        // The set itself counts: a field that another forced from us is gone from it.
        hash(&mut hasher, &Value::Object(set.clone()));
        hash(&mut hasher, &fields::pick(object, &set));
        let digest = hasher.finalize();
        let mut short = [0; 16];
        short.iter_mut().zip(digest.iter()).for_each(|(to, from)| *to = *from);
        Some(Self(short))
    }

    /// Its bytes, for a digest over several.
    pub fn bytes(&self) -> [u8; 16] {
        self.0
    }
}

/// Canonical JSON: `serde_json`'s maps are sorted.
fn hash(hasher: &mut Sha256, value: &Value) {
    hasher.update(serde_json::to_vec(value).unwrap_or_default());
    hasher.update(b"\n");
}

/// The fields of `desired` that a dry-run apply changed: `live` is the object as it is, `would_be` the
/// server's answer to the forced dry run of `desired`. Empty where nothing of ours was changed.
///
/// What differs between the two and is not in `desired` is to go: a field that is ours and is no longer
/// rendered. What others own and we do not (the replicas that an autoscaler sets) is equal on both sides.
pub fn drift(live: &Value, would_be: &Value) -> Vec<Drift> {
    let (live_form, would_be_form) = (normalised(live), normalised(would_be));
    let mut found = Vec::new();
    compare::differences(&live_form, &would_be_form, &mut |path, theirs, ours| {
        found.push(Drift {
            path: compare::text(path),
            ours: ours.cloned(),
            theirs: theirs.cloned(),
            owner: fields::owner(live, path, theirs.is_some()),
        });
    });
    found
}

#[cfg(test)]
mod tests;
