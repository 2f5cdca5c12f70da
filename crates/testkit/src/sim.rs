//! An embedded cluster for one test.

use std::path::Path;
use std::time::Duration;

use kiban_simcluster::server::{self, Config, Running};

use crate::client::Kubectl;

/// How long a test waits for something to become true. Nothing is asserted about how long it took.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running cluster with a kubeconfig in a folder of its own.
pub struct Sim {
    /// The cluster.
    pub running: Running,
    folder: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Sim {
    /// A fast cluster of `nodes` nodes.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn start(nodes: usize) -> Self {
        Self::with(Config { nodes, fast: true, ..Config::default() })
    }

    /// A cluster of any kind.
    ///
    /// # Panics
    /// Where it does not start.
    pub fn with(config: Config) -> Self {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().expect("a runtime starts");
        let running = runtime.block_on(server::start(config)).expect("the embedded cluster starts");
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        std::fs::write(folder.path().join("kubeconfig"), running.kubeconfig())
            .expect("the kubeconfig can be written");
        Self { running, folder, runtime }
    }

    /// A folder that goes with the cluster.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The kubeconfig's path.
    pub fn kubeconfig(&self) -> std::path::PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Real kubectl against this cluster; `None` with a note where there is none.
    pub fn kubectl(&self, test: &str) -> Option<Kubectl> {
        let program = crate::tool(test, "kubectl")?;
        Some(Kubectl::new(program, self.kubeconfig(), self.folder.path().join("cache")))
    }

    /// Real helm against this cluster; `None` with a note where there is none.
    pub fn helm(&self, test: &str) -> Option<Kubectl> {
        let program = crate::tool(test, "helm")?;
        Some(Kubectl::new(program, self.kubeconfig(), self.folder.path().join("cache")))
    }

    /// Runs async test code.
    pub fn block_on<F: Future>(&self, work: F) -> F::Output {
        self.runtime.block_on(work)
    }

    /// Writes a file into the cluster's folder and returns its path.
    ///
    /// # Panics
    /// Where it cannot be written.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path.display().to_string()
    }

    /// Waits until `holds` does.
    ///
    /// # Panics
    /// After a minute, with `what`.
    pub fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let turn = Duration::from_millis(20);
        let mut left = PATIENCE.as_millis() / turn.as_millis();
        while !holds() {
            assert!(left > 0, "waited a minute for: {what}");
            left -= 1;
            self.runtime.block_on(async { tokio::time::sleep(turn).await });
        }
    }
}
