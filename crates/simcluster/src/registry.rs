//! The one write path: admission, defaults, checks, ownership of fields, graceful deletion.
//!
//! Every write of a client, a controller or a fake kubelet goes through [`Cluster::create`],
//! [`Cluster::update`] or [`Cluster::delete`]; each ends in one [`Store::commit`].

mod admit;
mod bind;
mod custom;
mod delete;
mod identity;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex};

use kiban_base::clock::{Clock, Timestamp};
use kiban_base::rng::Rng;
use kiban_kinds::{defaults, prepare, validate};
use kiban_schema::ssa;
use kiban_schema::table::Schema;
use serde_json::Value;

pub use bind::bind_pod;
pub use delete::{DeleteOptions, Deleted, Propagation};

use crate::controllers::events;
use crate::custom::{Customs, Table};
use crate::kind::{KindId, kind_count, well_known::DEFINITION};
use crate::object::{Key, Stored};
use crate::status::ApiError;
use crate::store::{State, Store, Write};

/// Who writes, as managedFields record it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// `fieldManager`, or the start of the client's User-Agent.
    pub manager: String,
    /// Run everything but keep nothing (`dryRun=All`).
    pub dry_run: bool,
}

impl Actor {
    /// An actor that writes for real.
    pub fn new(manager: &str) -> Self {
        Self { manager: manager.to_owned(), dry_run: false }
    }
}

/// Which part of an object a write may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The object itself: everything but its status, where the kind has a status subresource.
    Main,
    /// `/status`.
    Status,
    /// Another subresource, which changes just what it is for (`scale`, `binding`, `finalize`).
    Sub(&'static str),
}

impl Part {
    pub(crate) fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Sub(name) => name,
        }
    }
}

/// One attempt at an update: the object as it was read, and who changes which part of it.
struct Attempt<'a> {
    kind: KindId,
    live: &'a Arc<Stored>,
    old: &'a Value,
    part: Part,
    actor: &'a Actor,
}

/// What a writer hands in for an update.
pub enum Desired {
    /// The object as the client wants it: the writer comes to own what changed.
    Update(Value),
    /// The result of a server-side apply: its managedFields are already right.
    Applied(Value),
}

/// The embedded cluster's state with its one way in. Clones share it.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    rng: Mutex<Rng>,
    allocations: Mutex<admit::Allocations>,
    events: Mutex<events::Names>,
    customs: Customs,
}

/// The default for how often a write starts again because another one came first. A writer that
/// loses this often in a row is not racing, it is wrong.
const ATTEMPTS: usize = 1_000;

impl Cluster {
    /// An empty cluster.
    pub fn new(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self::with_store(Store::default(), clock, seed)
    }

    /// A cluster that starts from another's state and goes its own way.
    pub fn fork(&self, clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self::with_store(Store::from_state(self.0.store.snapshot()), clock, seed)
    }

    /// A cluster whose logs hold next to nothing, so that every reader is outrun.
    #[cfg(test)]
    pub(crate) fn with_short_logs(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self::with_store(Store::with_logs(Store::default().snapshot(), 30_000, 5), clock, seed)
    }

    fn with_store(store: Store, clock: Arc<dyn Clock>, seed: u64) -> Self {
        let allocations = Mutex::new(admit::Allocations::of(&store.snapshot()));
        let customs = Customs::of(&store.snapshot(), &store);
        Self(Arc::new(Inner {
            store,
            clock,
            rng: Mutex::new(Rng::new(seed)),
            allocations,
            events: Mutex::default(),
            customs,
        }))
    }

    /// The store, for reading.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The custom kinds as they are now.
    pub fn customs(&self) -> Arc<Table> {
        self.0.customs.table()
    }

    /// Every kind that objects are kept under: the built-in ones, and the custom ones of this cluster.
    pub fn kinds(&self) -> Vec<KindId> {
        let builtin = (0..kind_count()).filter_map(|i| u16::try_from(i).ok()).map(KindId);
        builtin.chain(self.customs().kept()).collect()
    }

    /// What follows from a write, once it is stored.
    fn wrote(&self, kind: KindId, key: &Key) {
        if kind == *DEFINITION {
            self.0.customs.follow(key, &self.0.store);
        }
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The current state; cheap.
    pub fn snapshot(&self) -> State {
        self.0.store.snapshot()
    }

    /// One object.
    pub fn get(&self, kind: KindId, key: &Key) -> Option<Arc<Stored>> {
        self.0.store.with(|s| s.get(kind, key).cloned())
    }

    /// The names of recent events.
    pub(crate) fn events(&self) -> std::sync::MutexGuard<'_, events::Names> {
        self.0.events.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Draws from the cluster's seeded randomness.
    pub fn random<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.0.rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Creates an object; `value` is what the client sent, already of the kind's type.
    ///
    /// # Errors
    /// What the API server answers: 403, 404 (namespace), 409, 422.
    pub fn create(
        &self,
        kind: KindId,
        namespace: &str,
        value: Value,
        actor: &Actor,
    ) -> Result<Arc<Stored>, ApiError> {
        self.create_as(kind, namespace, Desired::Update(value), actor)
    }

    /// Creates an object from a full update or from the result of an apply.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn create_as(
        &self,
        kind: KindId,
        namespace: &str,
        desired: Desired,
        actor: &Actor,
    ) -> Result<Arc<Stored>, ApiError> {
        let (value, applied) = match desired {
            Desired::Update(v) => (v, false),
            Desired::Applied(v) => (v, true),
        };
        let generated = identity::is_generated(&value);
        // A generated name that is taken is drawn again, as the API server does.
        for attempt in 0.. {
            let result = self.create_once(kind, namespace, value.clone(), applied, actor);
            match result {
                Err(e) if generated && e.reason == "AlreadyExists" && attempt < 8 => {}
                other => return other,
            }
        }
        Err(ApiError::new(500, "InternalError", "no free name was found"))
    }

    fn create_once(
        &self,
        kind: KindId,
        namespace: &str,
        mut value: Value,
        applied: bool,
        actor: &Actor,
    ) -> Result<Arc<Stored>, ApiError> {
        let info = kind.info();
        identity::stamp(self, kind, namespace, &mut value)?;
        let key = identity::key_of(&value);
        self.check_namespace(kind, &key)?;
        if self.get(kind, &key).is_some() {
            return Err(ApiError::already_exists(kind, &key.name));
        }
        if kind.is_custom() {
            return self.create_custom(kind, &key, value, applied, actor);
        }
        defaults::apply(&info.group, &info.kind, &mut value);
        ssa::normalize(Schema::builtin(), info.type_id, &mut value);
        if !applied {
            value = self.track(kind, Part::Main, None, value, actor);
        }
        prepare::create(&info.group, &info.kind, &mut value);
        let taken = self.admit_create(kind, &mut value)?;
        if let Err(e) = refuse(kind, &key.name, &validate::create(&info.group, &info.kind, &value)) {
            self.give_back(taken);
            return Err(e);
        }
        if actor.dry_run {
            self.give_back(taken);
            return Ok(unsaved(kind, &value, None));
        }
        let made = self.0.store.commit(kind, &key, 0, Write::Put(value));
        self.wrote(kind, &key);
        made.ok_or_else(|| {
            self.give_back(taken);
            ApiError::already_exists(kind, &key.name)
        })
    }

    /// Changes an object: `change` is given the live one and returns what it should be. It may run
    /// more than once, when another write comes first.
    ///
    /// # Errors
    /// What `change` answers, or the API server's 404, 409 and 422.
    pub fn update(
        &self,
        kind: KindId,
        key: &Key,
        part: Part,
        actor: &Actor,
        mut change: impl FnMut(&Value) -> Result<Desired, ApiError>,
    ) -> Result<Arc<Stored>, ApiError> {
        for _ in 0..ATTEMPTS {
            let live = self.get(kind, key).ok_or_else(|| ApiError::not_found(kind, &key.name))?;
            let old = live.value();
            let desired = change(&old)?;
            let attempt = Attempt { kind, live: &live, old: &old, part, actor };
            if let Some(done) = self.update_once(&attempt, desired)? {
                return Ok(done);
            }
        }
        Err(ApiError::stale(kind, &key.name))
    }

    /// One attempt; `None` when another write came first.
    fn update_once(&self, attempt: &Attempt<'_>, desired: Desired) -> Result<Option<Arc<Stored>>, ApiError> {
        let Attempt { kind, live, old, part, .. } = *attempt;
        let info = kind.info();
        let (mut value, applied) = match desired {
            Desired::Update(v) => (v, false),
            Desired::Applied(v) => (v, true),
        };
        identity::keep(kind, live, old, &mut value)?;
        if kind.is_custom() {
            return self.update_custom(attempt, value, applied);
        }
        // What these subresources take is an object as a client writes it.
        if matches!(part, Part::Main | Part::Sub("ephemeralcontainers" | "resize")) {
            defaults::apply(&info.group, &info.kind, &mut value);
        }
        match part {
            // A scale is a change of the object's spec, and counts as one.
            Part::Main | Part::Sub("scale") => prepare::update(&info.group, &info.kind, old, &mut value),
            Part::Status => prepare::status_update(&info.group, &info.kind, old, &mut value),
            Part::Sub("ephemeralcontainers") => prepare::ephemeral_containers_update(old, &mut value),
            Part::Sub("resize") => prepare::resize_update(old, &mut value),
            Part::Sub(_) => {}
        }
        let taken = self.admit_update(kind, old, &mut value)?;
        let done = self.write_update(attempt, value, applied);
        // Nothing was kept: the write was refused, changed nothing, was a dry run, or came second.
        if !matches!(&done, Ok(Some(new)) if new.revision > live.revision) {
            self.give_back(taken);
        }
        done
    }

    /// The end of [`Self::update_once`]: ownership, checks, commit.
    fn write_update(
        &self,
        attempt: &Attempt<'_>,
        mut value: Value,
        applied: bool,
    ) -> Result<Option<Arc<Stored>>, ApiError> {
        let Attempt { kind, live, old, part, actor } = *attempt;
        let info = kind.info();
        // What the process' own controllers write has not been through a decoder.
        ssa::normalize(Schema::builtin(), info.type_id, &mut value);
        if !applied {
            value = self.track(kind, part, Some(old), value, actor);
        }
        if ssa::settle(old, &mut value) {
            return Ok(Some(live.clone()));
        }
        let causes = match part {
            Part::Main | Part::Sub("scale") => validate::update(&info.group, &info.kind, old, &value),
            Part::Status => validate::status(&info.group, &info.kind, old, &value),
            Part::Sub("ephemeralcontainers") => validate::ephemeral_containers(old, &value),
            Part::Sub("resize") => validate::resize(old, &value),
            // What these change, nothing but the server itself decides.
            Part::Sub(_) => Vec::new(),
        };
        refuse(kind, &live.key.name, &causes)?;
        if actor.dry_run {
            return Ok(Some(unsaved(kind, &value, Some(live))));
        }
        let finished = identity::is_finished(kind, &value);
        let write = if finished { Write::Remove(value) } else { Write::Put(value) };
        let done = self.0.store.commit(kind, &live.key, live.revision, write);
        self.wrote(kind, &live.key);
        match &done {
            Some(gone) if finished => self.release(kind, gone),
            Some(new) => self.release_unused(kind, old, new),
            None => {}
        }
        Ok(done)
    }

    /// A change by an actor inside the process: mutates a copy of the live object in place.
    ///
    /// Returns `None` where the object is gone.
    ///
    /// # Errors
    /// As [`Self::update`], apart from 404.
    pub fn modify(
        &self,
        kind: KindId,
        key: &Key,
        part: Part,
        actor: &Actor,
        mut change: impl FnMut(&mut Value),
    ) -> Result<Option<Arc<Stored>>, ApiError> {
        let result = self.update(kind, key, part, actor, |live| {
            let mut next = live.clone();
            change(&mut next);
            Ok(Desired::Update(next))
        });
        match result {
            Err(e) if e.code == 404 => Ok(None),
            other => other.map(Some),
        }
    }

    fn track(&self, kind: KindId, part: Part, old: Option<&Value>, new: Value, actor: &Actor) -> Value {
        let ctx = self.ownership(kind, part);
        ssa::track_update(&ctx, old, new, &actor.manager, self.now())
    }

    /// The context in which fields of a kind are owned.
    pub fn ownership(&self, kind: KindId, part: Part) -> ssa::Ctx<'static> {
        ssa::Ctx::new(Schema::builtin(), kind.info(), part.subresource())
    }

    /// Checks that an object's namespace exists and takes new objects.
    fn check_namespace(&self, kind: KindId, key: &Key) -> Result<(), ApiError> {
        use crate::kind::well_known::NAMESPACE;
        if !kind.info().namespaced {
            return Ok(());
        }
        let name = key.namespace.clone();
        let Some(namespace) = self.get(*NAMESPACE, &Key::new("", name.clone())) else {
            return Err(ApiError::not_found(*NAMESPACE, &name));
        };
        if namespace.deleting {
            let why =
                format!("unable to create new content in namespace {name} because it is being terminated");
            let cause = format!("namespace {name} is being terminated");
            return Err(ApiError::forbidden(kind, &key.name, &why).cause(
                "NamespaceTerminating",
                cause,
                Some("metadata.namespace"),
            ));
        }
        Ok(())
    }
}

/// Turns causes into a 422.
fn refuse(kind: KindId, name: &str, causes: &[validate::Cause]) -> Result<(), ApiError> {
    if causes.is_empty() {
        return Ok(());
    }
    let info = kind.info();
    Err(ApiError::from_status(&validate::status_of(&info.group, &info.kind, name, causes)))
}

/// What a dry run answers: the object as it would be, at the revision it has now.
fn unsaved(kind: KindId, value: &Value, live: Option<&Arc<Stored>>) -> Arc<Stored> {
    let revision = live.map_or(0, |l| l.revision);
    Arc::new(Stored::new(kind, value, revision, crate::store::encode(value), live.map(AsRef::as_ref)))
}
