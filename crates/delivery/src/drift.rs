//! Drift: fields of ours that somebody else changed, and objects that are gone.
//!
//! Watches tell of each object that this program applied when a field of its own is no longer as it was left
//! ([`kiban_kube::drift::Digest`]); nothing is asked for that. Only then a dry run of that app says which fields
//! differ and who owns them now. It is told by log, metric and Event, and, where the environment says
//! `drift: correct`, the app is applied once more. What is put right again and again is fought over: after
//! [`BUDGET`] times in an hour it is only told.
//!
//! Objects are found by the inventories, so that plain manifests count as well. Secrets are not watched: they
//! are read by name alone, with the dry run.

mod apps;
mod check;
mod marks;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use kiban_base::clock::Timestamp;
use kiban_base::object::{Gvk, ObjectId};
use kiban_kube::cache::Cache;
use kiban_runtime::metrics::{CounterVec, GaugeVec, Registry};
use kiban_runtime::shutdown::Shutdown;
use serde::Serialize;

use crate::environment::Environment;
use crate::rollout::Rollouts;

/// How often an app is put right in an hour.
pub const BUDGET: usize = 5;

/// A field of ours that is not as it was rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The object.
    pub object: ObjectId,
    /// Its kind, as it was applied.
    pub gvk: Gvk,
    /// Its `metadata.uid`; empty where it is gone.
    pub uid: String,
    /// The field, as in `.spec.template.spec.containers[name="orders"].image`; empty where the object is gone.
    pub path: String,
    /// As it is rendered, as text; none where it is not.
    pub ours: Option<String>,
    /// As it is; none where it is gone.
    pub theirs: Option<String>,
    /// Who wrote it last; none where nobody says so.
    pub owner: Option<String>,
}

impl Field {
    /// In words.
    pub fn words(&self) -> String {
        if self.path.is_empty() {
            return "it was deleted".to_owned();
        }
        let is = self.theirs.as_deref().unwrap_or("gone");
        let ours = self.ours.as_deref().unwrap_or("not there");
        let by = self.owner.as_ref().map(|owner| format!(", by {owner}")).unwrap_or_default();
        format!("{} is {is}{by}; it is rendered as {ours}", self.path)
    }
}

/// What differs of one app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppDrift {
    /// The environment.
    pub env: String,
    /// The app.
    pub app: String,
    /// Its namespace.
    pub namespace: String,
    /// When it was found.
    pub since: Timestamp,
    /// The fields.
    pub fields: Vec<Field>,
    /// What is done about it, in words.
    pub then: String,
}

/// What differs, for who asks. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub struct Drifts {
    apps: Arc<Mutex<BTreeMap<Place, AppDrift>>>,
}

/// Environment, namespace and app.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
struct Place {
    env: String,
    namespace: String,
    app: String,
}

impl Drifts {
    /// All that differs, by environment, namespace and app.
    pub fn all(&self) -> Vec<AppDrift> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn set(&self, place: &Place, drift: Option<AppDrift>) {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        match drift {
            Some(drift) => drop(apps.insert(place.clone(), drift)),
            None => drop(apps.remove(place)),
        }
    }
}

/// What is published of drift.
#[derive(Clone)]
pub struct Figures {
    fields: GaugeVec,
    checks: CounterVec,
    corrections: CounterVec,
}

/// Names of the metrics of [`Figures`].
pub const METRICS: &[&str] =
    &["kiban_delivery_drift", "kiban_delivery_drift_checks_total", "kiban_delivery_drift_corrections_total"];

impl Figures {
    /// Registers them.
    pub fn new(registry: &Registry) -> Self {
        Self {
            fields: registry.gauge_vec(
                "kiban_delivery_drift",
                "Fields of an app that somebody else changed, as far as it is reported.",
                &["env", "app"],
            ),
            checks: registry.counter_vec(
                "kiban_delivery_drift_checks_total",
                "Dry runs of an app because of a change that a watch told of.",
                &["env", "result"],
            ),
            corrections: registry.counter_vec(
                "kiban_delivery_drift_corrections_total",
                "Times that an app was applied once more because of drift.",
                &["env", "result"],
            ),
        }
    }
}

/// Watches the objects of an environment.
pub struct DriftWatch {
    /// The environment. What it says of drift is known once [`crate::reconcile::follow`] took a commit in.
    pub environment: Arc<Environment>,
    /// What applies its apps.
    pub rollouts: Rollouts,
    /// Where objects are watched.
    pub cache: Cache,
    /// Where what differs is told.
    pub drifts: Drifts,
    /// Figures.
    pub figures: Figures,
}

impl DriftWatch {
    /// Watches until `shutdown`.
    pub async fn run(self, shutdown: Shutdown) {
        apps::Apps::new(self).run(shutdown).await;
    }
}
