//! Turns: of several programs that want the same, one works and the others wait, by a Lease of
//! `coordination.k8s.io`.
//!
//! As in Kubernetes' own leader election, the clocks of two machines are never compared: a holder
//! counts as gone when its lease has not changed for its whole duration as seen from here.

mod process;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Method;
use kiban_base::clock::{Clock, Timestamp};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::client::{ApiError, Call, Cluster, JSON, encode};
use crate::object::text_at;

/// How a lease is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseTimes {
    /// How long a holder may be silent before another takes over.
    pub duration: Duration,
    /// How often it renews.
    pub renew: Duration,
    /// How often one who waits looks.
    pub look: Duration,
}

impl Default for LeaseTimes {
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew: Duration::from_secs(5),
            look: Duration::from_millis(500),
        }
    }
}

/// Why a lease is not held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Another held it for as long as the caller would wait.
    #[error("{holder} holds the lease {lease} until {until} unless it is renewed; waited {waited:?}")]
    Held {
        /// `namespace/name`.
        lease: String,
        /// Who.
        holder: String,
        /// When it runs out unless it is renewed, as seen from here.
        until: Timestamp,
        /// How long.
        waited: Duration,
    },
    /// It was held and is no longer.
    #[error("lost the lease {lease}: {why}")]
    Lost {
        /// `namespace/name`.
        lease: String,
        /// How.
        why: String,
    },
    /// The API refused.
    #[error("lease {lease}: {error}")]
    Api {
        /// `namespace/name`.
        lease: String,
        /// Its words.
        error: ApiError,
    },
}

/// How a lease stands, seen from here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody holds it, or its holder was silent for too long.
    Free,
    /// Somebody holds it, at least until then.
    Held { holder: String, until: Timestamp },
}

/// What one who waits has seen of a lease so far.
#[derive(Debug, Default)]
pub(crate) struct Observer {
    seen: Option<(String, Timestamp)>,
    /// True once a holder was found to be gone for certain.
    pub(crate) saw_the_dead: bool,
}

impl Observer {
    /// Judges the lease as it is now. A lease that changed since the last look is held for its whole
    /// duration from now on, whatever its renew time says.
    pub(crate) fn look(&mut self, lease: &Value, now: Timestamp) -> Standing {
        let spec = &lease["spec"];
        let holder = text_at(spec, &["holderIdentity"]).unwrap_or("");
        if holder.is_empty() || self.is_gone(lease) {
            return Standing::Free;
        }
        let record = format!("{holder} {} {}", spec["renewTime"], spec["leaseTransitions"]);
        let since = match &self.seen {
            Some((seen, since)) if *seen == record => *since,
            _ => {
                self.seen = Some((record, now));
                now
            }
        };
        // Somebody else's number: an hour at most, so that a wrong one does not wait forever.
        let seconds = spec["leaseDurationSeconds"].as_u64().unwrap_or(15).min(3600);
        let until = since + Duration::from_secs(seconds);
        if now >= until { Standing::Free } else { Standing::Held { holder: holder.into(), until } }
    }

    /// True for a holder that is a process of this very machine and no longer lives: killed, most often.
    fn is_gone(&mut self, lease: &Value) -> bool {
        let note = text_at(lease, &["metadata", "annotations", process::ANNOTATION]);
        let gone = note.and_then(process::Process::parse).is_some_and(|p| p.is_gone());
        self.saw_the_dead |= gone;
        gone
    }
}

/// A lease that this program holds. Keep it with [`Lease::keep`], give it back with
/// [`Lease::release`]; dropped without, it runs out after its duration.
#[derive(Debug)]
pub struct Lease {
    cluster: Cluster,
    namespace: String,
    name: String,
    holder: String,
    times: LeaseTimes,
    /// As the server answered last.
    object: Value,
    turn: Turn,
    /// True when another held it first.
    waited: bool,
}

/// How long a lease that is held may be relied upon, for whoever writes while it is: two thirds of its
/// duration after it was last renewed, by the wall clock and by the machine's own, whichever is first.
/// The wall clock goes on while the machine sleeps; the other does not jump.
#[derive(Clone)]
pub(crate) struct Turn {
    name: Arc<str>,
    path: Arc<str>,
    holder: Arc<str>,
    clock: Arc<dyn Clock>,
    good_for: Duration,
    renewed: Arc<Mutex<(Timestamp, Instant)>>,
    /// Set once another was seen to hold the lease: then it is over, whatever the clocks say.
    ended: Arc<AtomicBool>,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Turn {
    fn new(cluster: &Cluster, request: &LeaseRequest<'_>, since: Timestamp) -> Self {
        let times = &request.times;
        // Since when is counted from before the write was sent: the lease began no earlier.
        let ago = cluster.clock().now().since(since);
        let began = Instant::now().checked_sub(ago).unwrap_or_else(Instant::now);
        Self {
            name: full_name(request).into(),
            path: path(request.namespace, request.name).into(),
            holder: request.holder.into(),
            clock: cluster.clock().clone(),
            good_for: times.duration.saturating_sub(times.duration / 3),
            renewed: Arc::new(Mutex::new((since, began))),
            ended: Arc::default(),
        }
    }

    fn renew(&self, at: Timestamp, began: Instant) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = (at, began);
    }

    /// How much of it is left.
    fn left(&self) -> Duration {
        let (wall, own) = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = self.clock.now().since(wall).max(own.elapsed());
        self.good_for.saturating_sub(passed)
    }

    /// Reads the lease: an error where another holds it, or nobody.
    pub(crate) async fn verify(&self, cluster: &Cluster) -> Result<(), ApiError> {
        let found = match cluster.call(&Call::get(self.path.to_string())).await {
            Ok(answer) => answer.body,
            Err(e) if e.is_not_found() => Value::Null,
            Err(e) => return Err(e),
        };
        let held = text_at(&found, &["spec", "holderIdentity"]) == Some(&self.holder);
        if held {
            return Ok(());
        }
        self.ended.store(true, Ordering::SeqCst);
        Err(ApiError::TurnIsOver { lease: self.name.to_string() })
    }

    /// The lease's name once the turn is over.
    pub(crate) fn is_over(&self) -> Option<String> {
        let over = self.ended.load(Ordering::SeqCst) || self.left().is_zero();
        over.then(|| self.name.to_string())
    }
}

/// What to take and for whom.
#[derive(Debug, Clone)]
pub struct LeaseRequest<'a> {
    /// The namespace of the lease.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Who takes it, for the eyes of those who wait.
    pub holder: &'a str,
    /// How it is held.
    pub times: LeaseTimes,
    /// How long to wait for another holder.
    pub patience: Duration,
}

impl Lease {
    /// Takes the lease when it is free. `on_wait` is told who holds it: once at first, and whenever
    /// that changes.
    ///
    /// # Errors
    /// Another held it for all the caller's patience, or the API refused.
    pub async fn acquire(
        cluster: &Cluster,
        request: &LeaseRequest<'_>,
        on_wait: &(dyn Fn(&str, Timestamp) + Sync),
    ) -> Result<Self, LeaseError> {
        let started = cluster.clock().now();
        let mut observer = Observer::default();
        let mut told = String::new();
        let mut tried = None;
        loop {
            let now = cluster.clock().now();
            let found = get(cluster, request).await?;
            if let (Some(lease), Some(at)) = (&found, tried)
                && is_ours(lease, request.holder, at)
            {
                let waited = !told.is_empty() || observer.saw_the_dead;
                return Ok(Self::held(cluster, request, lease.clone(), at, waited));
            }
            let standing = found.as_ref().map_or(Standing::Free, |lease| observer.look(lease, now));
            let Standing::Held { holder, until } = standing else {
                if let Some(object) = take(cluster, request, found.as_ref(), now).await? {
                    let waited = !told.is_empty() || observer.saw_the_dead;
                    return Ok(Self::held(cluster, request, object, now, waited));
                }
                tried = Some(now);
                tokio::time::sleep(cluster.pause(1, None)).await;
                continue;
            };
            if now.since(started) >= request.patience {
                let lease = full_name(request);
                return Err(LeaseError::Held { lease, holder, until, waited: request.patience });
            }
            if holder != told {
                on_wait(&holder, until);
                told = holder;
            }
            tracing::debug!(lease = request.name, holder = told, %until, "lease is held");
            tokio::time::sleep(request.times.look).await;
        }
    }

    fn held(
        cluster: &Cluster,
        request: &LeaseRequest<'_>,
        object: Value,
        now: Timestamp,
        waited: bool,
    ) -> Self {
        Self {
            cluster: cluster.clone(),
            namespace: request.namespace.into(),
            name: request.name.into(),
            holder: request.holder.into(),
            times: request.times.clone(),
            object,
            turn: Turn::new(cluster, request, now),
            waited,
        }
    }

    /// How long the lease may be relied upon; it goes on as the lease is renewed.
    pub(crate) fn turn(&self) -> &Turn {
        &self.turn
    }

    /// True when somebody else held the lease before: what was read before it was taken may be old.
    pub fn waited(&self) -> bool {
        self.waited
    }

    /// Renews the lease until it is lost; returns only then. To be run beside the work, which stops
    /// when this returns.
    pub async fn keep(&mut self) -> LeaseError {
        loop {
            tokio::time::sleep(self.times.renew).await;
            if let Err(error) = self.renew().await {
                return error;
            }
        }
    }

    /// Renews once, trying until little is left of the duration.
    async fn renew(&mut self) -> Result<(), LeaseError> {
        loop {
            let (now, began) = (self.cluster.clock().now(), Instant::now());
            // The margin in which this side is sure to have stopped before another starts is kept.
            let left = self.turn.left();
            if left.is_zero() {
                return Err(self.lost("it could not be renewed in time".into()));
            }
            let mut wanted = self.object.clone();
            wanted["spec"]["renewTime"] = json!(now.rfc3339_micro());
            let call = Call::new(Method::PUT, self.path(), Some(wanted.clone()), JSON);
            match tokio::time::timeout(left, self.cluster.call(&call)).await {
                Ok(Ok(answer)) => {
                    self.object = answer.body;
                    self.turn.renew(now, began);
                    return Ok(());
                }
                Ok(Err(e)) if e.is_conflict() => self.adopt(&wanted).await?,
                Ok(Err(e)) if e.is_not_found() => return Err(self.lost("it was deleted".into())),
                Ok(Err(ApiError::Unreachable { .. })) | Err(_) => {}
                Ok(Err(ApiError::Refused(r))) if r.is_passing() => {}
                Ok(Err(error)) => return Err(LeaseError::Api { lease: self.full_name(), error }),
            }
            tokio::time::sleep(self.times.look.min(left)).await;
        }
    }

    /// After a conflict: another took the lease, or the answer to our own write got lost.
    async fn adopt(&mut self, wanted: &Value) -> Result<(), LeaseError> {
        let answer = self.cluster.call(&Call::get(self.path())).await;
        let lease = self.full_name();
        let found = answer.map_err(|error| LeaseError::Api { lease, error })?.body;
        let same = |field: &str| {
            let time = |v: &Value| v["spec"][field].as_str().and_then(Timestamp::parse);
            time(&found) == time(wanted) || time(&found) == time(&self.object)
        };
        let holder = text_at(&found, &["spec", "holderIdentity"]).unwrap_or("nobody");
        if holder == self.holder && same("renewTime") {
            self.object = found;
            return Ok(());
        }
        Err(self.lost(format!("{holder} has it now")))
    }

    /// Gives the lease back, so that the next one need not wait for it to run out. Failing that is no
    /// matter: it runs out.
    pub async fn release(mut self) {
        let patience = self.times.renew;
        let freed = async {
            match self.cluster.call(&self.deletion()).await {
                // A renewal that was cut short may have gone through after all.
                Err(e) if e.is_conflict() => {
                    let found = self.cluster.call(&Call::get(self.path())).await?.body;
                    if text_at(&found, &["spec", "holderIdentity"]) == Some(&self.holder) {
                        self.object = found;
                        self.cluster.call(&self.deletion()).await?;
                    }
                    Ok(())
                }
                Err(e) if e.is_not_found() => Ok(()),
                other => other.map(|_| ()),
            }
        };
        let outcome: Result<Result<(), ApiError>, _> = tokio::time::timeout(patience, freed).await;
        if !matches!(outcome, Ok(Ok(()))) {
            tracing::debug!(?outcome, "lease was not released");
        }
    }

    fn deletion(&self) -> Call {
        let text = |field: &str| text_at(&self.object, &["metadata", field]).unwrap_or("").to_string();
        let body = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": text("uid"), "resourceVersion": text("resourceVersion")},
        });
        Call::new(Method::DELETE, self.path(), Some(body), JSON)
    }

    fn path(&self) -> String {
        path(&self.namespace, &self.name)
    }

    fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn lost(&self, why: String) -> LeaseError {
        LeaseError::Lost { lease: self.full_name(), why }
    }
}

/// The annotations of a lease that a process holds.
#[cfg(test)]
pub(crate) fn note_of(pid: u32) -> Option<Value> {
    Some(json!({process::ANNOTATION: process::Process::of(pid)?.to_string()}))
}

fn full_name(request: &LeaseRequest<'_>) -> String {
    format!("{}/{}", request.namespace, request.name)
}

fn collection(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", encode(namespace))
}

fn path(namespace: &str, name: &str) -> String {
    format!("{}/{}", collection(namespace), encode(name))
}

/// True for the lease that this program wrote at that time: the answer to the write got lost.
fn is_ours(lease: &Value, holder: &str, at: Timestamp) -> bool {
    let acquired = text_at(lease, &["spec", "acquireTime"]).and_then(Timestamp::parse);
    text_at(lease, &["spec", "holderIdentity"]) == Some(holder) && acquired == Some(at)
}

async fn get(cluster: &Cluster, request: &LeaseRequest<'_>) -> Result<Option<Value>, LeaseError> {
    match cluster.call(&Call::get(path(request.namespace, request.name))).await {
        Ok(answer) => Ok(Some(answer.body)),
        Err(e) if e.is_not_found() => Ok(None),
        Err(error) => Err(LeaseError::Api { lease: full_name(request), error }),
    }
}

/// Writes this program's name into a free lease; none where another was faster.
async fn take(
    cluster: &Cluster,
    request: &LeaseRequest<'_>,
    found: Option<&Value>,
    now: Timestamp,
) -> Result<Option<Value>, LeaseError> {
    let transitions = found.and_then(|l| l["spec"]["leaseTransitions"].as_i64()).unwrap_or(0);
    let spec = json!({
        "holderIdentity": request.holder,
        "leaseDurationSeconds": request.times.duration.as_secs().max(1),
        "acquireTime": now.rfc3339_micro(),
        "renewTime": now.rfc3339_micro(),
        "leaseTransitions": if found.is_some() { transitions.saturating_add(1) } else { 0 },
    });
    let note = match process::Process::this() {
        Some(process) => json!({process::ANNOTATION: process.to_string()}),
        None => json!({}),
    };
    let call = match found {
        None => {
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": request.name,
                    "namespace": request.namespace,
                    "labels": {"app.kubernetes.io/managed-by": "kiban"},
                    "annotations": note,
                },
                "spec": spec,
            });
            Call::new(Method::POST, collection(request.namespace), Some(lease), JSON)
        }
        Some(found) => {
            let mut lease = found.clone();
            lease["spec"] = spec;
            // Somebody else's process is not to be taken for this one.
            if let Some(Value::Object(meta)) = lease.get_mut("metadata") {
                meta.insert("annotations".into(), note);
            }
            Call::new(Method::PUT, path(request.namespace, request.name), Some(lease), JSON)
        }
    };
    match cluster.call(&call).await {
        Ok(answer) => Ok(Some(answer.body)),
        Err(e) if e.is_conflict() => Ok(None),
        // Deleted between the look and the write: by its holder, who is done.
        Err(e) if e.is_not_found() && found.is_some() => Ok(None),
        Err(error) => Err(LeaseError::Api { lease: full_name(request), error }),
    }
}

#[cfg(test)]
mod tests;
