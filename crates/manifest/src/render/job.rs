//! CronJobs.

use kiban_model::app::{EnvValue, Job};
use kiban_model::origin::child;
use kiban_model::text::Duration;
use serde_json::json;

use super::config::{self, Config};
use super::pod::{self, Pod};
use super::{meta, spec_json};
use crate::facts::{Facts, LEAST_GRACE};
use crate::node::Node;
use crate::rules;
use crate::rules::Rule;

/// The app's jobs.
pub(super) fn jobs(f: &Facts<'_>, config: &Config) -> Vec<Node> {
    f.r.app.jobs.iter().map(|(name, job)| cron_job(f, config, name, job)).collect()
}

/// The name of a job's objects.
pub(crate) fn job_name(app: &str, job: &str) -> String {
    format!("{app}-{job}")
}

fn cron_job(f: &Facts<'_>, config: &Config, short_name: &str, job: &Job) -> Node {
    let name = job_name(f.name(), short_name);
    let key = child("jobs", short_name);
    let defaults = &f.r.platform.jobs;
    let at = |field: &str| f.origin(&format!("{key}.{field}"));
    let stated = |rule, field: &str, profile: &str, own: Option<Duration>, default: Duration| {
        let origin = if own.is_some() { at(field) } else { f.profile_origin(profile) };
        Node::from(rule, origin, own.unwrap_or(default).as_secs_up())
    };
    // The platform's default is a bound: a run must not start after the next is due.
    let late = f.interval(short_name).map_or(defaults.deadline, |interval| interval.min(defaults.deadline));
    let timezone = job.timezone.as_ref().unwrap_or(&defaults.timezone);
    let zone_origin = if job.timezone.is_some() { at("timezone") } else { f.profile_origin("jobs.timezone") };
    let kept = |rule: &'static Rule, profile: &str, n: u32| Node::from(rule, f.profile_origin(profile), n);
    let run = Node::map([
        (
            "activeDeadlineSeconds",
            stated(&rules::JOB_DEADLINE, "timeout", "jobs.timeout", job.timeout, defaults.timeout),
        ),
        ("backoffLimit", retries(f, job, &key)),
        ("podFailurePolicy", Node::new(&rules::JOB_DISRUPTION, ignore_disruption())),
        ("podReplacementPolicy", Node::new(&rules::JOB_FORBID, "Failed")),
        ("template", template(f, config, &name, job, &key)),
        (
            "ttlSecondsAfterFinished",
            Node::from(&rules::JOB_TTL, f.profile_origin("jobs.ttl"), defaults.ttl.as_secs_up()),
        ),
    ]);
    let template_labels = Node::map([("labels", meta::labels(f, &name))]);
    let mut spec = Node::map([
        ("schedule", Node::from(&rules::SCHEDULE, at("schedule"), job.schedule.as_str())),
        ("timeZone", Node::from(&rules::JOB_ZONE, zone_origin, timezone.as_str())),
        ("concurrencyPolicy", Node::new(&rules::JOB_FORBID, "Forbid")),
        (
            "startingDeadlineSeconds",
            stated(&rules::JOB_START_DEADLINE, "deadline", "jobs.deadline", job.deadline, late),
        ),
        ("successfulJobsHistoryLimit", kept(&rules::JOB_HISTORY, "jobs.succeeded", defaults.succeeded)),
        ("failedJobsHistoryLimit", kept(&rules::JOB_HISTORY, "jobs.failed", defaults.failed)),
        ("jobTemplate", Node::map([("metadata", template_labels), ("spec", run)])),
    ]);
    if job.suspend {
        spec.put("suspend", Node::from(&rules::JOB_SUSPEND, at("suspend"), true));
    }
    let origin = f.origin(&key);
    let name_node = Node::from(&rules::NAME, origin, name.as_str());
    let mut object = meta::header(f, "batch/v1", "CronJob", name_node, &name).with("spec", spec);
    if !f.has_workload {
        let mut annotations = meta::platform_annotations(f).unwrap_or_else(Node::empty_map);
        annotations.put(meta::ANNOTATION_APP, Node::new(&rules::SPEC, spec_json(f.r)));
        meta::put_annotations(&mut object, annotations);
    }
    object
}

fn retries(f: &Facts<'_>, job: &Job, key: &str) -> Node {
    let origin = match job.retries {
        Some(_) => f.origin(&format!("{key}.retries")),
        None => f.profile_origin("jobs.retries"),
    };
    Node::from(&rules::JOB_RETRIES, origin, job.retries.unwrap_or(f.r.platform.jobs.retries))
}

/// A pod that the cluster took away is replaced without counting.
fn ignore_disruption() -> serde_json::Value {
    json!({"rules": [{
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }]})
}

fn template(f: &Facts<'_>, config: &Config, instance: &str, job: &Job, key: &str) -> Node {
    let size_key = if job.size.is_some() { format!("{key}.size") } else { "size".to_owned() };
    let pod = Pod {
        instance,
        run: job.run.as_ref().map(|run| (run, format!("{key}.run"))),
        resources: (f.r.job_resources(job), size_key),
        env: env(f, job, key),
        serves: false,
    };
    let mut template = pod::template(f, config, pod);
    if let Node::Map(map) = &mut template
        && let Some(spec) = map.get_mut("spec")
    {
        spec.put("restartPolicy", Node::new(&rules::JOB_RESTART, "Never"));
        spec.put("terminationGracePeriodSeconds", Node::new(&rules::JOB_GRACE, LEAST_GRACE));
    }
    template
}

/// The job's own variables: they stand above the app's, which come from the ConfigMap.
fn env(f: &Facts<'_>, job: &Job, key: &str) -> Vec<Node> {
    let vars = child(key, "env");
    let item = |(name, value): (&kiban_model::text::VarName, &EnvValue)| {
        let path = child(&vars, name);
        match value {
            EnvValue::Text(text) => {
                let value = json!({"name": name.as_str(), "value": text});
                Some(Node::from(&rules::JOB_ENV, f.origin(&path), value))
            }
            other => config::reference(f, &path, name, other),
        }
    };
    job.env.iter().filter_map(item).collect()
}
