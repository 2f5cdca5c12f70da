//! The component `cluster`: whether the cluster's API answers, and which cluster it is.

use std::time::Duration;

use kiban_kube::client::Cluster;
use kiban_runtime::BoxFuture;
use kiban_runtime::component::{Built, Component, Context, Failure, Permission};
use kiban_runtime::metrics::{Counter, Gauge};
use kiban_runtime::readiness::Readiness;
use kiban_runtime::shutdown::Shutdown;

/// Its name.
pub const NAME: &str = "cluster";

/// How often the API is asked.
const EVERY: Duration = Duration::from_secs(15);

/// Asks the cluster who it is, again and again.
pub struct Watch {
    cluster: Option<Cluster>,
}

impl Watch {
    /// One that asks `cluster`; without, it can only be listed.
    pub fn new(cluster: Option<Cluster>) -> Self {
        Self { cluster }
    }
}

impl Component for Watch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "asks the cluster's API whether it answers, and which cluster it is"
    }

    fn settings(&self) -> String {
        self.cluster.as_ref().map(|cluster| cluster.target().to_string()).unwrap_or_default()
    }

    fn permissions(&self) -> Vec<Permission> {
        let why = "the UID of kube-system names the cluster";
        vec![Permission::new("", &["namespaces"], &["get"], why).on(&["kube-system"])]
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["kiban_cluster_up", "kiban_cluster_checks_failed_total"]
    }

    fn build<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Built, Failure>> {
        Box::pin(async move {
            let cluster = self.cluster.clone().ok_or_else(|| Failure::new("there is no cluster to ask"))?;
            let asking = Asking {
                cluster,
                ready: context.readiness.clone(),
                up: context
                    .metrics
                    .gauge("kiban_cluster_up", "Whether the cluster's API answers (1) or not (0)."),
                failed: context.metrics.counter(
                    "kiban_cluster_checks_failed_total",
                    "Times that the cluster's API did not say which cluster it is.",
                ),
                known: None,
            };
            Ok(Built::new(move |shutdown| asking.run(shutdown)))
        })
    }
}

/// What it works with.
struct Asking {
    cluster: Cluster,
    ready: Readiness,
    up: Gauge,
    failed: Counter,
    /// The UID of the cluster that answered last.
    known: Option<String>,
}

impl Asking {
    async fn run(mut self, mut shutdown: Shutdown) -> Result<(), Failure> {
        let target = self.cluster.target().to_string();
        loop {
            let asked = tokio::select! {
                asked = self.cluster.uid() => asked,
                () = shutdown.fired() => return Ok(()),
            };
            match asked {
                Ok(uid) => {
                    if self.known.as_ref() != Some(&uid) {
                        tracing::info!(target, uid, "the cluster answers");
                    }
                    self.known = Some(uid);
                    self.up.set(1.0);
                    self.ready.set();
                }
                Err(error) => {
                    self.failed.inc();
                    self.up.set(0.0);
                    tracing::warn!(target, %error, "the cluster does not answer");
                    self.ready.unset("the cluster's API does not answer; the log says why");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.fired() => return Ok(()),
            }
        }
    }
}
