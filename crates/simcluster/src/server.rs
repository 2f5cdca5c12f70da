//! Putting it together: an embedded cluster that serves.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiban_base::clock::Clock;
use kiban_base::rng::Rng;
use kiban_runtime::shutdown::{self, Shutdown, Trigger};
use kiban_runtime::tls::{self, TlsError};
use kiban_runtime::{clock::SystemClock, http};
use tokio::net::TcpListener;

use crate::api::Api;
use crate::bootstrap;
use crate::controllers;
use crate::engine::Engine;
use crate::nodes;
use crate::registry::Cluster;

/// What an embedded cluster is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// How many fake nodes.
    pub nodes: usize,
    /// What all randomness comes from.
    pub seed: u64,
    /// Steps in a node's and pod's life take milliseconds.
    pub fast: bool,
    /// Objects that the cluster makes itself, where pods wait for them.
    pub stand_ins: Vec<nodes::StandIn>,
    /// Roles and bindings are in force: who holds another token than the administrator's may do what they say.
    pub rbac: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            nodes: 3,
            seed: 0,
            fast: false,
            stand_ins: Vec::new(),
            rbac: false,
        }
    }
}

/// Why a cluster did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not ours.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// No certificate could be made.
    #[error("cannot make the cluster's certificates")]
    Tls(#[from] TlsError),
    /// The cluster's own first objects were refused: a defect.
    #[error("cannot make the cluster's first objects: {0}")]
    Bootstrap(#[from] crate::status::ApiError),
    /// No thread could be started.
    #[error("cannot start the controllers' thread")]
    Thread(#[source] std::io::Error),
}

/// A cluster that serves until it is stopped or dropped.
pub struct Running {
    /// In-process access.
    pub cluster: Cluster,
    /// Where it listens.
    pub address: SocketAddr,
    kubeconfig: String,
    trigger: Trigger,
    server: tokio::task::JoinHandle<()>,
    engine: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// A kubeconfig for this cluster, with its token and authority inside.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// The API's address as a URL.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Stops serving, lets requests under way end, and waits for the controllers.
    pub async fn stop(mut self) {
        self.trigger.fire();
        let _ = (&mut self.server).await;
        if let Some(engine) = self.engine.take() {
            let _ = tokio::task::spawn_blocking(move || engine.join()).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.trigger.fire();
    }
}

/// Starts a cluster.
///
/// # Errors
/// See [`StartError`].
pub async fn start(config: Config) -> Result<Running, StartError> {
    let listen = |source| StartError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let certificates = tls::self_signed(
        "kiban-sim-ca",
        &["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"],
        &[address.ip(), [127, 0, 0, 1].into()],
    )?;
    let token = token();
    let cluster = Cluster::new(Arc::new(SystemClock), config.seed);
    bootstrap::install(&cluster, address)?;
    let (trigger, shutdown) = shutdown::channel();
    let engine = spawn_engine(&cluster, &config, address, &certificates.ca_pem, shutdown.clone())?;
    let api = Api::new(cluster.clone(), token.clone(), shutdown.clone()).with_rbac(config.rbac);
    let api = Arc::new(api);
    let server = tokio::spawn(http::serve(listener, Some(certificates.server), api, shutdown));
    let kubeconfig = kubeconfig(&format!("https://{address}"), &certificates.ca_pem, &token);
    Ok(Running { cluster, address, kubeconfig, trigger, server, engine: Some(engine) })
}

fn spawn_engine(
    cluster: &Cluster,
    config: &Config,
    address: SocketAddr,
    ca_pem: &str,
    shutdown: Shutdown,
) -> Result<std::thread::JoinHandle<()>, StartError> {
    let mut all = controllers::all();
    all.push(Box::new(bootstrap::OwnService::new(address)));
    all.push(Box::new(controllers::root_ca::RootCa::new(ca_pem)));
    all.extend(nodes::controllers(config));
    nodes::register(cluster, config)?;
    let mut engine = Engine::new(cluster.clone(), all, config.fast);
    let runtime = tokio::runtime::Handle::current();
    std::thread::Builder::new()
        .name("sim-engine".into())
        .spawn(move || engine.run(&runtime, shutdown.receiver()))
        .map_err(StartError::Thread)
}

/// The bearer token: not from the seed, or whoever knows the seed could call.
fn token() -> String {
    let mut rng = Rng::new(entropy());
    let mut more = Rng::new(entropy());
    format!("{:016x}{:016x}{:016x}{:016x}", rng.u64(), more.u64(), rng.u64(), more.u64())
}

/// Randomness of the operating system, by way of the standard library's hasher keys.
fn entropy() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_i64(SystemClock.now().0);
    hasher.finish()
}

fn kubeconfig(server: &str, ca_pem: &str, token: &str) -> String {
    let ca = STANDARD.encode(ca_pem);
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: kiban-sim\nclusters:\n- name: kiban-sim\n  cluster:\n    server: {server}\n    certificate-authority-data: {ca}\ncontexts:\n- name: kiban-sim\n  context:\n    cluster: kiban-sim\n    user: kiban-sim\nusers:\n- name: kiban-sim\n  user:\n    token: {token}\n"
    )
}
