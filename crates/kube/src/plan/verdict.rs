//! What the API server's answer to a trial says about an object.

use serde_json::Value;

use crate::client::Refusal;
use crate::object::{applied_fields, normalised};
use crate::report::{Conflict, Outcome};
use crate::request::MANAGER;

/// What the server says to an object that is tried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It would be created.
    Create,
    /// It would be changed.
    Configure,
    /// It would be deleted and made anew: a migration that is to run with other images.
    Replace,
    /// It would stay as it is.
    Unchanged,
    /// It will be created; it could not be tried out where it belongs. Why, and what was checked.
    Deferred(String),
    /// Others own fields of it.
    Conflict(Vec<Conflict>),
    /// It is refused, in the server's words.
    Refused(String),
}

/// What a refusal of a trial means.
pub(super) fn judge_refusal(refusal: &Refusal) -> Verdict {
    let conflicts = conflicts(refusal);
    if !conflicts.is_empty() {
        return Verdict::Conflict(conflicts);
    }
    // The API server's words when an admission webhook has side effects.
    if refusal.code == 400 && refusal.message.contains("does not support dry run") {
        return Verdict::Deferred(format!("it cannot be tried out: {}", refusal.message));
    }
    Verdict::Refused(refusal.to_string())
}

/// The conflicts that a refusal tells of.
pub(crate) fn conflicts(refusal: &Refusal) -> Vec<Conflict> {
    let causes = refusal.causes.iter().filter(|c| c.reason == "FieldManagerConflict");
    causes
        .map(|cause| {
            let owner = cause.message.strip_prefix("conflict with ").unwrap_or(&cause.message);
            let manager = owner.split('"').nth(1).unwrap_or(owner);
            Conflict { field: cause.field.clone(), owner: owner.into(), manager: manager.into() }
        })
        .collect()
}

/// Whether an apply changes anything, by the answer to its trial.
pub(super) fn compare(live: Option<&Value>, would_be: &Value) -> Verdict {
    let Some(live) = live else { return Verdict::Create };
    let same = normalised(live) == normalised(would_be)
        && applied_fields(live, MANAGER) == applied_fields(would_be, MANAGER);
    if same { Verdict::Unchanged } else { Verdict::Configure }
}

/// The outcome of an object that the plan already decides.
pub(crate) fn decided(verdict: &Verdict) -> Option<Outcome> {
    match verdict {
        Verdict::Unchanged => Some(Outcome::Unchanged),
        Verdict::Conflict(conflicts) => Some(Outcome::Conflict(conflicts.clone())),
        Verdict::Refused(why) => Some(Outcome::Failed(why.clone())),
        Verdict::Create | Verdict::Configure | Verdict::Replace | Verdict::Deferred(_) => None,
    }
}
