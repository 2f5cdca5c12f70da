//! Finds out how a cluster serves a kind, and when that changes.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::client::{ApiError, Cluster};
use crate::discovery::Resource;
use crate::object::Gvk;

/// What was found is taken for true this long by all who ask again.
const FRESH: Duration = Duration::from_secs(2);

/// Looks kinds up, for all kinds of a cache: however many are missing, the cluster is asked once.
pub(crate) struct Finder {
    cluster: Cluster,
    /// When the cluster was asked last.
    asked: Mutex<Option<Instant>>,
}

/// What is known of a kind.
#[derive(Debug)]
pub(crate) enum Found {
    /// The cluster serves it.
    Served(Resource),
    /// It does not.
    Absent,
    /// The server of its group does not answer, so that nobody knows.
    Unknown,
}

impl Finder {
    pub(crate) fn new(cluster: Cluster) -> Self {
        Self { cluster, asked: Mutex::new(None) }
    }

    /// Looks a kind up. `again`: what was found before is in doubt.
    pub(crate) async fn find(&self, kind: &Gvk, again: bool) -> Result<Found, ApiError> {
        if !again && let Some(resource) = self.cluster.kinds().await?.find(kind) {
            return Ok(Found::Served(resource.clone()));
        }
        let mut asked = self.asked.lock().await;
        if asked.is_none_or(|at| at.elapsed() >= FRESH) {
            self.cluster.forget_kinds().await;
            *asked = Some(Instant::now());
        }
        let kinds = self.cluster.kinds().await?;
        Ok(match kinds.find(kind) {
            Some(resource) => Found::Served(resource.clone()),
            None if kinds.stale().contains(&kind.api_version()) => Found::Unknown,
            None => Found::Absent,
        })
    }
}
