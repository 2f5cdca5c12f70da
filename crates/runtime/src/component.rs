//! A component of the server: a part that can be switched off and on, and fails alone.
//!
//! A component is a section of the configuration, [`Component::build`] that binds and returns, and
//! [`Run::run`] under supervision. Beside its code it states name, permissions, routes and metrics; the
//! server's list of components is what `kiban components` prints.
//!
//! ```ignore
//! struct Hello { greeting: String }                        // its section of kiban.yaml, and what it works on
//!
//! impl Component for Hello {
//!     fn name(&self) -> &'static str { "hello" }
//!     fn about(&self) -> &'static str { "says hello" }
//!     fn settings(&self) -> String { self.greeting.clone() } // another text: a reload starts it anew
//!     fn permissions(&self) -> Vec<Permission> {
//!         vec![Permission::new("", &["pods"], &["list", "watch"], "counts whom to greet")]
//!     }
//!     fn routes(&self) -> Vec<Route> {
//!         vec![Route::get("/hello", Class::Read, "a greeting")]
//!     }
//!     fn metrics(&self) -> &'static [&'static str] { &["kiban_hello_greetings_total"] }
//!     fn build<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Built, Failure>> {
//!         Box::pin(async move {
//!             let count = context.metrics.counter("kiban_hello_greetings_total", "Greetings.");
//!             let greeting = self.greeting.clone();
//!             let greet = move |_: Asked| { count.inc(); Answer::text(greeting.clone()) };
//!             let ready = context.readiness.clone();
//!             let run = move |mut shutdown: Shutdown| async move {
//!                 ready.set();                             // until then /readyz says that it is not
//!                 shutdown.fired().await;                  // real ones select over their work and this
//!                 Ok(())
//!             };
//!             Ok(Built::new(run).route("/hello", greet))
//!         })
//!     }
//! }
//! ```
//!
//! Rules: `build` is quick and has no effect that outlives its answer; `run` ends soon after `shutdown`
//! fires and puts its work in order first; what is queued is bounded; an error ends `run` only where going
//! on makes no sense, because it is then built anew after a pause.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Clock;

use crate::BoxFuture;
use crate::metrics::Registry;
use crate::readiness::Readiness;
use crate::route::{Respond, Route};
use crate::shutdown::Shutdown;

/// How long a component may take to put its work in order unless it says otherwise.
pub const DRAIN: Duration = Duration::from_secs(10);

/// A part of the server, as it is configured: what it states, and how it is built. It is built anew each
/// time that it failed.
pub trait Component: Send + Sync + 'static {
    /// Its name: that of its section, in lower case with `-`; the `component` of logs and metrics.
    fn name(&self) -> &'static str;

    /// What it does, in a few words.
    fn about(&self) -> &'static str;

    /// What it was configured with, as a text: where a reload gives another one, it is started anew. It may
    /// hold names of files, never secrets.
    fn settings(&self) -> String {
        String::new()
    }

    /// What it must be allowed to do on the cluster.
    fn permissions(&self) -> Vec<Permission> {
        Vec::new()
    }

    /// The kinds that it watches: `apps/v1 Deployment`.
    fn watches(&self) -> Vec<Cow<'static, str>> {
        Vec::new()
    }

    /// The rows of its routes.
    fn routes(&self) -> Vec<Route> {
        Vec::new()
    }

    /// Names of its metrics.
    fn metrics(&self) -> &'static [&'static str] {
        &[]
    }

    /// How long it may take to put its work in order at the end.
    fn drain(&self) -> Duration {
        DRAIN
    }

    /// Binds what it needs and returns; the work itself is [`Run::run`].
    fn build<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Built, Failure>>;
}

/// What every component is given. What it needs beyond that (a cluster, a client) it holds itself.
#[derive(Clone)]
#[non_exhaustive]
pub struct Context {
    /// Its name.
    pub name: &'static str,
    /// Where its metrics are registered; they go when it is switched off.
    pub metrics: Registry,
    /// Says whether it is ready.
    pub readiness: Readiness,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Seed of its randomness.
    pub seed: u64,
    /// A folder of its own below the server's data folder, there already; `None`: the server keeps nothing.
    pub data: Option<PathBuf>,
    /// Where work that takes longer than 10 ms belongs.
    pub cpu: crate::cpu::Pool,
}

impl Context {
    /// A context of its own, for a test.
    pub fn new(name: &'static str, clock: Arc<dyn Clock>, cpu: crate::cpu::Pool) -> Self {
        let readiness = Readiness::default();
        Self { name, metrics: Registry::new(), readiness, clock, seed: 0, data: None, cpu }
    }
}

/// A component that is bound and can run.
pub struct Built {
    /// Who answers each of its routes, by the row's path.
    pub(crate) handlers: Vec<(&'static str, Arc<dyn Respond>)>,
    pub(crate) run: Box<dyn Run>,
}

impl Built {
    /// One whose work is `run`.
    pub fn new(run: impl Run) -> Self {
        Self { handlers: Vec::new(), run: Box::new(run) }
    }

    /// Runs it by itself, outside of a server: without its routes, and not built anew when it fails.
    pub fn start(self, shutdown: Shutdown) -> BoxFuture<'static, Result<(), Failure>> {
        self.run.run(shutdown)
    }

    /// Answers the route whose row has `path`. Each row has one who answers, and each of those a row.
    pub fn route(mut self, path: &'static str, respond: impl Respond) -> Self {
        self.handlers.push((path, Arc::new(respond)));
        self
    }
}

/// The work of a component. Any `FnOnce(Shutdown) -> Future` is one.
pub trait Run: Send + 'static {
    /// Works until `shutdown` fires, puts its work in order, and returns. Returning earlier is a failure.
    fn run(self: Box<Self>, shutdown: Shutdown) -> BoxFuture<'static, Result<(), Failure>>;
}

impl<F, W> Run for F
where
    F: FnOnce(Shutdown) -> W + Send + 'static,
    W: Future<Output = Result<(), Failure>> + Send + 'static,
{
    fn run(self: Box<Self>, shutdown: Shutdown) -> BoxFuture<'static, Result<(), Failure>> {
        Box::pin(self(shutdown))
    }
}

/// Why a component cannot go on, in words; made from any error with its causes.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure(String);

impl Failure {
    /// A failure with these words.
    pub fn new(words: impl Into<String>) -> Self {
        Self(words.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(crate::client::chain(&error))
    }
}

/// One rule of what a component must be allowed to do on the cluster; RBAC manifests are made of them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// The namespace that it is for; `None`: the whole cluster.
    pub namespace: Option<String>,
    /// The API group; empty: the core one.
    pub group: String,
    /// Resources, in the plural; with a subresource as `pods/log`.
    pub resources: Vec<String>,
    /// Names of the objects; empty: all.
    pub names: Vec<String>,
    /// Verbs.
    pub verbs: Vec<String>,
    /// What it is for.
    pub why: String,
}

impl Permission {
    /// On the whole cluster: what `why` needs.
    pub fn new(group: &str, resources: &[&str], verbs: &[&str], why: &str) -> Self {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        Self {
            namespace: None,
            group: group.to_owned(),
            resources: owned(resources),
            names: Vec::new(),
            verbs: owned(verbs),
            why: why.to_owned(),
        }
    }

    /// In one namespace only.
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespace = Some(namespace.to_owned());
        self
    }

    /// On objects of these names only.
    pub fn on(mut self, names: &[&str]) -> Self {
        self.names.extend(names.iter().map(ToString::to_string));
        self
    }
}

#[cfg(test)]
mod tests;
