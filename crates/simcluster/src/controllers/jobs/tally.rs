//! How a Job's pods stand: what is counted already, what has yet to be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use serde_json::Value;

use super::indexes::{self, Indexes};
use super::policy::{self, Verdict};
use super::{INDEX, Run, TRACKING};
use crate::controllers::{Again, pods};
use crate::object::{Phase, Stored};

/// First and last wait before failed pods are replaced (10 s doubling to 10 min).
const BACKOFF: Duration = Duration::from_secs(10);
const BACKOFF_LAST: Duration = Duration::from_secs(600);

const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const IGNORED_FAILURES: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

/// A pod that failed, or that goes before it ended and so counts as failed.
pub(super) struct Failure {
    pub pod: Arc<Stored>,
    pub value: Value,
    pub verdict: Verdict,
    /// It carries the finalizer: it may have to be counted yet.
    pub tracked: bool,
    /// When it ended.
    at: Timestamp,
}

/// How a Job's pods stand.
#[derive(Default)]
pub(super) struct Tally {
    pub active: Vec<Arc<Stored>>,
    pub ready: i64,
    pub terminating: i64,
    /// Pods that succeeded and carry the finalizer.
    pub fresh_successes: Vec<Arc<Stored>>,
    pub failures: Vec<Failure>,
    /// All successes: those of the status and the fresh ones.
    pub succeeded: i64,
    /// All failures that count.
    pub failed: i64,
    pub succeeded_indexes: Indexes,
    pub failed_indexes: Indexes,
    last_success: Option<Timestamp>,
}

/// The uids of a list in `status.uncountedTerminatedPods`.
pub(super) fn uncounted(status: &Value, list: &str) -> BTreeSet<String> {
    let uids = status["uncountedTerminatedPods"][list].as_array().into_iter().flatten();
    uids.filter_map(|u| u.as_str().map(str::to_owned)).collect()
}

pub(super) fn index_of(pod: &Stored) -> Option<i64> {
    pod.label(INDEX)?.parse().ok()
}

pub(super) fn has_tracking(pod: &Value) -> bool {
    pod["metadata"]["finalizers"].as_array().is_some_and(|f| f.iter().any(|x| x == TRACKING))
}

impl Tally {
    pub(super) fn of(run: &Run<'_>, owned: &[Arc<Stored>]) -> Self {
        let status = &run.value["status"];
        let mut tally = Self::default();
        for pod in owned {
            tally.see(run, pod);
        }
        let (succeeded, failed) = (uncounted(status, "succeeded"), uncounted(status, "failed"));
        let length = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let counted = |key: &str| status[key].as_i64().unwrap_or(0);
        let fresh = tally.fresh_successes.iter().filter(|p| !succeeded.contains(&*p.uid)).count();
        tally.succeeded = counted("succeeded") + length(succeeded.len() + fresh);
        let counts = |f: &&Failure| {
            f.tracked && !f.verdict.ignored && !failed.contains(&*f.pod.uid) && run.has_index(&f.pod)
        };
        tally.failed =
            counted("failed") + length(failed.len() + tally.failures.iter().filter(counts).count());
        if run.is_indexed() {
            tally.see_indexes(run);
        }
        tally
    }

    fn see(&mut self, run: &Run<'_>, pod: &Arc<Stored>) {
        let Some(digest) = pod.pod else { return };
        if pod.deleting && !digest.phase.is_terminal() {
            self.terminating += 1;
        }
        if digest.phase == Phase::Succeeded {
            self.last_success = self.last_success.max(Some(digest.ready_since));
            if pod.finalizers && has_tracking(&pod.value()) {
                self.fresh_successes.push(pod.clone());
            }
        } else if digest.phase == Phase::Failed || pod.deleting && !run.replaces_failed_only() {
            let value = pod.value();
            let verdict = policy::judge(&run.value, &value);
            let tracked = pod.finalizers && has_tracking(&value);
            let ended = ended_at(pod, &value);
            let exact = if run.ctx.now.since(ended) < Duration::from_secs(1) { run.ctx.now } else { ended };
            let mut noticed = run.noticed.borrow_mut();
            let at =
                *noticed.entry(run.object.uid.clone()).or_default().entry(pod.uid.clone()).or_insert(exact);
            // A pod that was taken away by the Job itself is no failure.
            if tracked || digest.phase == Phase::Failed {
                self.failures.push(Failure { pod: pod.clone(), value, verdict, tracked, at });
            }
        } else if !pod.deleting {
            self.ready += i64::from(digest.ready);
            self.active.push(pod.clone());
        }
    }

    fn see_indexes(&mut self, run: &Run<'_>) {
        let completions = run.completions();
        let status = &run.value["status"];
        let read = |key: &str| indexes::parse(status[key].as_str().unwrap_or_default(), completions);
        self.succeeded_indexes = read("completedIndexes");
        let fresh = self.fresh_successes.iter().filter_map(|p| index_of(p)).filter(|i| *i < completions);
        self.succeeded_indexes.extend(fresh);
        self.succeeded = i64::try_from(self.succeeded_indexes.len()).unwrap_or(0);
        let Some(limit) = run.number("backoffLimitPerIndex") else { return };
        self.failed_indexes = read("failedIndexes");
        for failure in self.failures.iter().filter(|f| f.tracked) {
            let Some(index) = index_of(&failure.pod).filter(|i| *i < completions) else { continue };
            let over = !failure.verdict.ignored && noted(&failure.value, FAILURES) >= limit;
            if failure.verdict.fails_index || over {
                self.failed_indexes.insert(index);
            }
        }
        self.failed_indexes.retain(|i| !self.succeeded_indexes.contains(i));
    }

    /// With a limit per index: the failed pods that keep their finalizer until they are replaced, since
    /// they hold the number of their index's failures.
    pub(super) fn delayed(&self, run: &Run<'_>) -> BTreeMap<i64, &Failure> {
        let mut delayed: BTreeMap<i64, &Failure> = BTreeMap::new();
        if run.number("backoffLimitPerIndex").is_none() {
            return delayed;
        }
        let active: BTreeSet<_> = self.active.iter().filter_map(|p| index_of(p)).collect();
        for failure in self.failures.iter().filter(|f| f.tracked) {
            let Some(index) = index_of(&failure.pod).filter(|i| *i < run.completions()) else { continue };
            let settled = self.succeeded_indexes.contains(&index) || self.failed_indexes.contains(&index);
            let older =
                delayed.get(&index).is_some_and(|d| failures_of(&d.value) > failures_of(&failure.value));
            if !settled && !active.contains(&index) && !older {
                delayed.insert(index, failure);
            }
        }
        delayed
    }

    /// How long to wait before pods are made, because of the failures since the last success.
    pub(super) fn wait(&self, run: &Run<'_>) -> Again {
        let noticed = run.noticed.borrow();
        let all = noticed.get(&run.object.uid).into_iter().flat_map(|pods| pods.values().copied());
        let mut since: Vec<_> = all.filter(|at| Some(*at) > self.last_success).collect();
        since.sort_unstable();
        wait_after(run, *since.last()?, since.len())
    }
}

impl Failure {
    /// How long to wait before this pod of an index is replaced.
    pub(super) fn wait(&self, run: &Run<'_>) -> Again {
        let failures = usize::try_from(failures_of(&self.value) + 1).unwrap_or(1);
        wait_after(run, self.at, failures)
    }

    /// The failure counts that the replacement carries.
    pub(super) fn counts_of_next(&self) -> [(&'static str, i64); 2] {
        let ignored = i64::from(self.verdict.ignored);
        [
            (FAILURES, noted(&self.value, FAILURES) + 1 - ignored),
            (IGNORED_FAILURES, noted(&self.value, IGNORED_FAILURES) + ignored),
        ]
    }
}

/// The failure counts of an index's first pod.
pub(super) fn first_counts() -> [(&'static str, i64); 2] {
    [(FAILURES, 0), (IGNORED_FAILURES, 0)]
}

fn wait_after(run: &Run<'_>, last: Timestamp, failures: usize) -> Again {
    let doublings = u32::try_from(failures.saturating_sub(1).min(16)).unwrap_or(0);
    let wait = BACKOFF.saturating_mul(1 << doublings).min(BACKOFF_LAST);
    let wait = if run.ctx.fast { wait / 1_000 } else { wait };
    let due = last + wait;
    (due > run.ctx.now).then(|| due.since(run.ctx.now))
}

fn noted(pod: &Value, annotation: &str) -> i64 {
    pod["metadata"]["annotations"][annotation].as_str().and_then(|t| t.parse().ok()).unwrap_or(0)
}

fn failures_of(pod: &Value) -> i64 {
    noted(pod, FAILURES) + noted(pod, IGNORED_FAILURES)
}

/// When a pod ended: its last container's end, or when it was last seen ready, or its deletion.
fn ended_at(pod: &Stored, value: &Value) -> Timestamp {
    let time = |v: &Value| v.as_str().and_then(Timestamp::parse);
    let containers = value["status"]["containerStatuses"].as_array().into_iter().flatten();
    let finished = containers.filter_map(|c| time(&c["state"]["terminated"]["finishedAt"])).max();
    let since = || pods::condition(value, "Ready").and_then(|c| time(&c["lastTransitionTime"]));
    let grace = value["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(0);
    let deleted = || time(&value["metadata"]["deletionTimestamp"]).map(|t| t - Duration::from_secs(grace));
    finished.or_else(deleted).or_else(since).unwrap_or(pod.created)
}
