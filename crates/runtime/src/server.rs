//! The server as one thing: listeners bound by the configuration, components under supervision, an end in order.
//!
//! [`start`] binds and returns; the caller says `ready`, changes the list of components with
//! [`Running::apply`], and ends all with [`Running::stop`]: readiness first, then the components from the
//! last to the first, then the listeners.

mod exposure;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Clock;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::component::Component;
use crate::config::{ServerSection, TlsSection};
use crate::cpu::Pool;
use crate::health::{self, Process};
use crate::metrics::{Registry, register_process};
use crate::route::{Class, Route};
use crate::router::Router;
use crate::secret::SecretError;
use crate::shutdown::{self, Shutdown, Trigger};
use crate::supervisor::{Base, Changes, State, Supervisor};
use crate::tls::{CertificateFiles, FilesError};
use crate::web::{Auth, Authenticate, Hosts, Identity, Limits, Listener, TokenFile};

pub use exposure::check as check_exposure;

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It would be reachable by more than may reach it.
    #[error("{0}")]
    Exposed(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({setting})")]
    Bind {
        /// The setting.
        setting: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate cannot be used.
    #[error("{setting}")]
    Certificate {
        /// The setting.
        setting: &'static str,
        /// Why.
        source: FilesError,
    },
    /// A token cannot be read.
    #[error("server.tokens")]
    Token(#[from] SecretError),
    /// The system gives no threads.
    #[error("cannot start the threads of the CPU pool")]
    Threads(#[source] std::io::Error),
    /// The table of routes is at odds with itself.
    #[error("the table of routes: {0}")]
    Routes(String),
}

/// What a server is started with.
pub struct Setup {
    /// Its section of the configuration.
    pub section: ServerSection,
    /// Whether it may be reached from elsewhere without TLS and authentication.
    pub insecure: bool,
    /// Who else can tell whom a bearer token stands for.
    pub authenticators: Vec<Arc<dyn Authenticate>>,
    /// The data folder, which the caller holds.
    pub data: Option<PathBuf>,
    /// Where metrics are registered.
    pub metrics: Registry,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Seed of all randomness.
    pub seed: u64,
    /// The program's version.
    pub version: &'static str,
}

/// A server that runs.
pub struct Running {
    process: Process,
    supervisor: Arc<Supervisor>,
    router: Router,
    url: String,
    webhooks: Option<String>,
    drain: Duration,
    trigger: Trigger,
    tasks: Vec<JoinHandle<()>>,
}

/// Binds all listeners and begins to answer. No component runs yet.
///
/// # Errors
/// Where the configuration would expose it, or an address, certificate or token cannot be used.
pub async fn start(setup: Setup) -> Result<Running, StartError> {
    let Setup { section, insecure, authenticators, metrics, .. } = setup;
    exposure::check(&section, !authenticators.is_empty(), insecure).map_err(StartError::Exposed)?;
    register_process(&metrics, setup.version);
    let threads = section.threads.map_or_else(processors, usize::from);
    let cpu = Pool::new(threads, &metrics).map_err(StartError::Threads)?;
    let base = Base { metrics: metrics.clone(), clock: setup.clock, seed: setup.seed, data: setup.data, cpu };
    let (router, process) = (Router::new(), Process::default());
    let supervisor = Arc::new(Supervisor::new(base, router.clone()));
    let auth = Auth::new(tokens(&section), authenticators)?;
    health::install(&router, process.clone(), &supervisor, metrics.clone(), !auth.is_on())
        .map_err(StartError::Routes)?;

    let (trigger, shutdown) = shutdown::channel();
    let mut binder =
        Binder { router: router.clone(), metrics, seed: setup.seed, shutdown, tasks: Vec::new() };
    let on: BTreeSet<Class> = [Class::Health, Class::Read, Class::Console]
        .into_iter()
        .chain(section.enable.iter().map(|class| Class::from(*class)))
        .collect();
    let serves = Class::ALL.into_iter().filter(|class| *class != Class::Webhook).collect();
    let main = Port {
        name: "main",
        settings: ["server.listen", "server.tls"],
        listen: section.listen.0,
        hosts: Hosts::new(&section.hosts),
        tls: section.tls.as_ref(),
        auth: auth.clone(),
        serves,
        on,
    };
    let main = binder.bind(main).await?;
    let webhooks = match &section.webhooks {
        None => None,
        Some(webhooks) => {
            let only: BTreeSet<Class> = [Class::Webhook].into();
            let port = Port {
                name: "webhooks",
                settings: ["server.webhooks.listen", "server.webhooks.tls"],
                listen: webhooks.listen.0,
                hosts: Hosts::new(&webhooks.hosts),
                tls: webhooks.tls.as_ref(),
                auth: Auth::open(),
                serves: only.clone(),
                on: only,
            };
            Some(binder.bind(port).await?)
        }
    };
    let mut tasks = binder.tasks;
    let url = main.url.clone();
    let hooks = webhooks.as_ref().map(|bound| bound.url.clone());
    // Nothing is answered before all that can fail has not.
    for bound in [Some(main), webhooks].into_iter().flatten() {
        tasks.push(tokio::spawn(bound.listener.serve(bound.socket, binder.shutdown.clone())));
    }
    if auth.is_on() {
        tasks.push(tokio::spawn(auth.follow(binder.shutdown.clone())));
    }
    Ok(Running {
        process,
        supervisor,
        router,
        url,
        webhooks: hooks,
        drain: section.drain.get(),
        trigger,
        tasks,
    })
}

impl Running {
    /// Where it can be called.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where webhooks can be sent, if it takes them.
    pub fn webhooks(&self) -> Option<&str> {
        self.webhooks.as_deref()
    }

    /// All rows of its routes, with the component that each belongs to.
    pub fn routes(&self) -> Vec<(&'static str, Route)> {
        self.router.rows()
    }

    /// Makes `wanted` what runs; see [`Supervisor::apply`].
    pub async fn apply(&self, wanted: Vec<Arc<dyn Component>>) -> Changes {
        let changes = self.supervisor.apply(wanted).await;
        // Until the first list is there, the process is not ready, whatever its listeners say.
        self.process.bound();
        changes
    }

    /// What each component is doing.
    pub fn states(&self) -> Vec<State> {
        self.supervisor.states()
    }

    /// Ends in order. Gives back the names of what had to be cut off.
    pub async fn stop(self) -> Vec<&'static str> {
        self.process.ending();
        let forced = self.supervisor.drain(Instant::now() + self.drain).await;
        self.trigger.fire();
        for task in self.tasks {
            // Listeners end by themselves in time.
            let _ = task.await;
        }
        forced
    }
}

fn tokens(section: &ServerSection) -> Vec<TokenFile> {
    let file = |token: &crate::config::TokenSection| TokenFile {
        identity: Identity {
            name: token.name.as_str().into(),
            roles: token.roles.iter().map(|role| (*role).into()).collect(),
        },
        path: token.file.to_path_buf(),
    };
    section.tokens.iter().map(file).collect()
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A port as it is configured.
struct Port<'a> {
    name: &'static str,
    /// The settings of its address and of its certificate.
    settings: [&'static str; 2],
    listen: SocketAddr,
    hosts: Hosts,
    tls: Option<&'a TlsSection>,
    auth: Auth,
    serves: BTreeSet<Class>,
    on: BTreeSet<Class>,
}

/// A port that is bound.
struct Bound {
    socket: TcpListener,
    listener: Listener,
    url: String,
}

struct Binder {
    router: Router,
    metrics: Registry,
    seed: u64,
    shutdown: Shutdown,
    tasks: Vec<JoinHandle<()>>,
}

impl Binder {
    async fn bind(&mut self, port: Port<'_>) -> Result<Bound, StartError> {
        let [setting, of_tls] = port.settings;
        let certificate = |source| StartError::Certificate { setting: of_tls, source };
        let tls = match port.tls {
            None => None,
            Some(tls) => {
                let files = CertificateFiles::read(&tls.certificate, &tls.key, &self.metrics);
                let files = files.map_err(certificate)?;
                let server = files.server().map_err(certificate)?;
                self.tasks.push(tokio::spawn(files.follow(self.shutdown.clone())));
                Some(server)
            }
        };
        let bad = |source| StartError::Bind { setting, address: port.listen, source };
        let socket = TcpListener::bind(port.listen).await.map_err(bad)?;
        let address = socket.local_addr().map_err(bad)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        // Nobody can call "all addresses".
        let shown = match (address.ip().is_unspecified(), address.is_ipv4()) {
            (false, _) => address,
            (true, true) => SocketAddr::from(([127, 0, 0, 1], address.port())),
            (true, false) => SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, address.port())),
        };
        let listener = Listener {
            name: port.name,
            tls,
            hosts: port.hosts,
            auth: port.auth,
            serves: port.serves,
            on: port.on,
            router: self.router.clone(),
            limits: Limits::default(),
            seed: self.seed,
            metrics: self.metrics.clone(),
        };
        Ok(Bound { socket, listener, url: format!("{scheme}://{shown}") })
    }
}
