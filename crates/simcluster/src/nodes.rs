//! Fake nodes: kubelets that take pods through their life.
//!
//! `kiban sim --nodes N` registers N of them. A Node that somebody else creates gets a kubelet as well,
//! unless it carries the annotation `sim.kiban.dev/kubelet: none`: then its pods are left to whoever
//! plays its kubelet.
//!
//! A fake pod comes up and stays up. Its annotations direct it otherwise:
//!
//! | annotation of a pod | value | what happens |
//! |---|---|---|
//! | `sim.kiban.dev/crash-loop` | length of each run | each run ends, with exit code 1 or `exit-code` |
//! | `sim.kiban.dev/exit-code` | 0 to 255 | how a run that ends does so |
//! | `sim.kiban.dev/run-for` | duration | a run ends after this long, with exit code 0 or `exit-code` |
//! | `sim.kiban.dev/oom-after` | duration | a run is killed for memory after this long: OOMKilled, 137 |
//! | `sim.kiban.dev/slow-start` | duration | probes fail until then; without probes it is unready until then |
//! | `sim.kiban.dev/unready` | `true` | the readiness probe fails while the annotation is there |
//! | `sim.kiban.dev/image-missing` | `true`, or a duration | the registry does not have the image (for that long) |
//! | `sim.kiban.dev/pull-for` | duration | how long a pull takes |
//! | `sim.kiban.dev/stop-for` | duration | time from SIGTERM to the end; beyond the grace it is killed: 137 |
//! | `sim.kiban.dev/usage-cpu` | quantity | CPU that it uses on an average day ([`usage`]) |
//! | `sim.kiban.dev/usage-memory` | quantity | memory that it uses |
//!
//! They are about the pod's default container (`kubectl.kubernetes.io/default-container`, or the first);
//! `sim.kiban.dev/KEY.CONTAINER` is about another one. Durations are Go's (`90s`, `1m30s`) or plain
//! seconds. With `--timing fast` a second that is asked for is a millisecond, and none is longer than a
//! tenth of a second but back-offs.
//!
//! Without annotations, a command that can be read (`sleep 5`, `sh -c "…; exit 3"`) does what it says;
//! a pod of a Job, and one whose `restartPolicy` is not `Always` and that names a command, ends well
//! after a few seconds; everything else runs on.

pub mod addresses;
mod command;
mod image;
mod kubelet;
mod lost;
mod machine;
mod needs;
mod node;
mod script;
mod stand_in;
mod status;
mod taints;
#[cfg(test)]
mod tests;
mod timing;
pub mod usage;

pub use stand_in::{StandIn, stand_ins};

use crate::controllers::Controller;
use crate::controllers::scheduler::DefaultScheduler;
use crate::kind::well_known::NODE;
use crate::object::Key;
use crate::registry::{Actor, Cluster, Part};
use crate::server::Config;
use crate::status::ApiError;
use timing::Timing;

/// The annotation of nodes whose kubelet is somebody else's: its value is `none`.
pub const KUBELET: &str = "sim.kiban.dev/kubelet";

/// The controllers of the fake nodes, and the scheduler that fills them.
pub fn controllers(config: &Config) -> Vec<Box<dyn Controller>> {
    let timing = Timing { fast: config.fast, seed: config.seed };
    vec![
        Box::new(DefaultScheduler::new(config.seed)),
        Box::new(taints::TaintEviction::new(timing)),
        Box::new(kubelet::Kubelets::new(timing, config.stand_ins.clone())),
    ]
}

/// Registers the nodes: each is ready when this returns.
///
/// # Errors
/// Where one is refused, which is a defect.
pub fn register(cluster: &Cluster, config: &Config) -> Result<(), ApiError> {
    let actor = Actor::new("kubelet");
    let timing = Timing { fast: config.fast, seed: config.seed };
    for number in 0..u32::try_from(config.nodes).unwrap_or(u32::MAX) {
        let name = node::name(number);
        cluster.create(*NODE, "", node::registration(number), &actor)?;
        let made = cluster.modify(*NODE, &Key::new("", name.as_str()), Part::Status, &actor, |value| {
            node::report(value, &name, number, timing, cluster.now());
        })?;
        if let Some(made) = made {
            kubelet::announce(cluster, &made);
        }
    }
    Ok(())
}
