//! Laws on jobs: a run ends before the next is due.

use kiban_model::app::Job;

use super::{Finding, Severity, at};
use crate::facts::Facts;

/// The CronJob controller looks every ten seconds: a shorter deadline may miss every run.
const LEAST_START: u64 = 10;

pub(super) fn check(f: &Facts<'_>, findings: &mut Vec<Finding>) {
    for (name, job) in &f.r.app.jobs {
        job_time(f, name, job, findings);
    }
}

fn job_time(f: &Facts<'_>, name: &str, job: &Job, findings: &mut Vec<Finding>) {
    let Some(interval) = f.interval(name) else { return };
    let timeout = job.timeout.unwrap_or(f.r.platform.jobs.timeout);
    if timeout >= interval {
        let key = if job.timeout.is_some() { "timeout" } else { "schedule" };
        let message = format!(
            "a run may take {timeout}, but the next is due {interval} after it and would be skipped; state a timeout below that"
        );
        findings.push(at(f, &["jobs", name, key], "job-time", Severity::Error, message));
    }
    let Some(deadline) = job.deadline else { return };
    if deadline > interval {
        let message = format!("a run may start {deadline} late, after the next is due ({interval})");
        findings.push(at(f, &["jobs", name, "deadline"], "job-start", Severity::Error, message));
    }
    if deadline.as_secs_up() < LEAST_START {
        let message =
            format!("a deadline of {deadline} may miss every run: Kubernetes looks every {LEAST_START}s");
        findings.push(at(f, &["jobs", name, "deadline"], "job-start", Severity::Error, message));
    }
}
