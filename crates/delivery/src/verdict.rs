//! Whether a rollout is good: what its new pods do after they got ready. Pure.
//!
//! Running is not enough. The number of restarts must not grow, the pods must stay ready, and nothing
//! of the new revision's own may stand in the way; pods that a drain, a preemption or an eviction took
//! count for nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use kiban_base::object::ObjectId;
use kiban_kube::diagnose::{Diagnosis, Finding, Gravity};

/// How long new pods may be fewer than wanted, in one piece, before the rollout counts as bad.
pub const SHORTFALL: Duration = Duration::from_secs(30);

/// What a rollout is found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was watched to its end, and nothing was wrong.
    Good,
    /// Something is wrong.
    Bad(Vec<Fault>),
    /// A newer commit took its place before it was judged.
    Superseded,
}

/// What is wrong with one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The workload.
    pub object: ObjectId,
    /// In one line.
    pub message: String,
    /// The last lines of the log that tells more.
    pub lines: Vec<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.message)
    }
}

/// What is seen of a rollout's workloads over time, from the moment that all were ready.
#[derive(Debug, Default)]
pub struct Watch {
    workloads: BTreeMap<ObjectId, Seen>,
}

#[derive(Debug)]
struct Seen {
    /// Restarts when the watch began.
    restarts: u64,
    /// Since when fewer pods are ready than wanted.
    short_since: Option<Timestamp>,
}

impl Watch {
    /// Begins with a workload none of whose containers was started again yet.
    pub fn begin(&mut self, object: &ObjectId) {
        self.workloads.insert(object.clone(), Seen { restarts: 0, short_since: None });
    }

    /// Whether a workload has fewer pods ready than it wants.
    pub fn is_short(&self) -> bool {
        self.workloads.values().any(|seen| seen.short_since.is_some())
    }

    /// Takes in what a workload looks like now; says what is wrong with it.
    pub fn see(&mut self, object: &ObjectId, now: Timestamp, diagnosis: &Diagnosis) -> Option<Fault> {
        let seen = self
            .workloads
            .entry(object.clone())
            .or_insert_with(|| Seen { restarts: diagnosis.restarts, short_since: None });
        // Pods that were replaced take their restarts with them.
        seen.restarts = seen.restarts.min(diagnosis.restarts);
        let short = diagnosis.ready < diagnosis.wanted;
        seen.short_since = if short { seen.short_since.or(Some(now)) } else { None };
        let fault = |message: String, finding: Option<&Finding>| {
            let lines = finding.map(|f| f.lines.clone()).unwrap_or_default();
            Some(Fault { object: object.clone(), message, lines })
        };
        let telling = diagnosis.faults().next();
        if let Some(finding) = diagnosis.faults().find(|f| f.gravity == Gravity::Stuck) {
            return fault(finding.to_string(), Some(finding));
        }
        let grown = diagnosis.restarts - seen.restarts;
        if grown > 0 {
            let times = if grown == 1 { "once".to_owned() } else { format!("{grown} times") };
            let why = telling.map(|f| format!(": {f}")).unwrap_or_default();
            return fault(
                format!("its containers were started again {times} since they got ready{why}"),
                telling,
            );
        }
        let since = seen.short_since?;
        // Lost to a drain or the like: others are on their way, and it is no fault of the revision.
        let lost = diagnosis.lost.len();
        if now.since(since) < SHORTFALL || diagnosis.ready + lost >= diagnosis.wanted {
            return None;
        }
        let first = diagnosis.findings.first();
        let why = first.map(|f| format!(": {f}")).unwrap_or_default();
        fault(
            format!(
                "{} of {} pods ready for {} s{why}",
                diagnosis.ready,
                diagnosis.wanted,
                now.since(since).as_secs()
            ),
            first,
        )
    }
}
