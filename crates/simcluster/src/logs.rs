//! Logs of fake containers: made on demand from the container's start, the same each time.
//!
//! A container writes one line when it starts, one a second while it runs, and one when it ends. The
//! line at an index depends on the pod's uid, the container's name and the run's start alone, so that
//! `tail`, `since` and `follow` agree with each other and nothing is stored.
//!
//! Contract: Kubernetes pkg/registry/core/pod (LogLocation) and pkg/kubelet (validateContainerLogStatus):
//! their errors are what people read.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use kiban_base::clock::Timestamp;
use kiban_base::rng::Rng;
use kiban_runtime::http::Body;
use kiban_runtime::shutdown::Shutdown;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::kind::well_known::POD;
use crate::object::{Key, Stored};
use crate::registry::Cluster;
use crate::status::ApiError;

#[cfg(test)]
mod tests;

/// Time between two lines.
const INTERVAL: Duration = Duration::from_secs(1);

/// Lines kept of a container: a kubelet rotates at 10 MiB, which is about as many.
const KEPT: u64 = 100_000;

/// How often a follower looks for new lines.
const POLL: Duration = Duration::from_millis(200);

/// What is asked of a container's log.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// Container; may be empty where the pod has one.
    pub container: String,
    /// Go on until the container ends.
    pub follow: bool,
    /// Of the last run before the current one.
    pub previous: bool,
    /// Put the time before each line.
    pub timestamps: bool,
    /// The last so many lines.
    pub tail: Option<i64>,
    /// Lines of the last so many seconds.
    pub since_seconds: Option<i64>,
    /// Lines from this time on, RFC 3339.
    pub since_time: String,
    /// At most so many bytes.
    pub limit_bytes: Option<i64>,
}

/// One run of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    start: Timestamp,
    end: Option<Timestamp>,
    exit_code: i64,
}

/// The lines of one run.
#[derive(Debug, Clone)]
struct Log {
    seed: u64,
    container: String,
    run: Run,
}

/// Answers a log request.
///
/// # Errors
/// 400 with the kubelet's words where the container is not known or has not run, 422 for numbers that
/// make no sense.
pub fn read(cluster: &Cluster, pod: &Stored, query: Query, shutdown: Shutdown) -> Result<Body, ApiError> {
    let now = cluster.now();
    let Some((first, follower)) = open(cluster, pod, &query, now)? else { return Ok(Body::full("")) };
    let Some(mut follower) = follower else { return Ok(Body::full(first)) };
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut shutdown = shutdown;
        tokio::select! {
            () = follower.run(first, sender) => {}
            () = shutdown.fired() => {}
        }
    });
    Ok(Body::Stream(receiver))
}

/// What there is now, and who goes on from there where that is asked for and can be.
///
/// `None` where the pod has no node: the API server answers nothing then.
fn open(
    cluster: &Cluster,
    pod: &Stored,
    query: &Query,
    now: Timestamp,
) -> Result<Option<(String, Option<Follower>)>, ApiError> {
    check(pod, query)?;
    let value = pod.value();
    let container = choose(&value, pod, &query.container)?;
    if value["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        return Ok(None);
    }
    let run = run_of(&value, pod, &container, query.previous)?;
    let log = Log { seed: seed_of(&pod.uid, &container, run.start), container, run };
    let from = first_line(&log, query, now)?;
    let count = log.count(now);
    let mut text = log.text(from, count, query.timestamps);
    let limit = query.limit_bytes.and_then(|l| usize::try_from(l).ok()).unwrap_or(usize::MAX);
    // Lines are ASCII, so any place is a boundary.
    text.truncate(limit);
    let left = limit - text.len();
    if !query.follow || run.end.is_some() || left == 0 {
        return Ok(Some((text, None)));
    }
    let follower = Follower {
        cluster: cluster.clone(),
        key: pod.key.clone(),
        uid: pod.uid.to_string(),
        seen: pod.revision,
        log,
        timestamps: query.timestamps,
        sent: count.max(from),
        left,
    };
    Ok(Some((text, Some(follower))))
}

/// Contract: Kubernetes pkg/apis/core/validation (ValidatePodLogOptions).
fn check(pod: &Stored, query: &Query) -> Result<(), ApiError> {
    let invalid = |field: &str, what: String| {
        let text = format!("PodLogOptions \"{}\" is invalid: {field}: {what}", pod.key.name);
        let reason = if what.starts_with("Forbidden") { "FieldValueForbidden" } else { "FieldValueInvalid" };
        Err(ApiError::new(422, "Invalid", text).cause(reason, what, Some(field)))
    };
    let too_small = |value: i64, least: &str| format!("Invalid value: {value}: must be greater than {least}");
    if let Some(tail) = query.tail.filter(|t| *t < 0) {
        return invalid("tailLines", too_small(tail, "or equal to 0"));
    }
    if let Some(limit) = query.limit_bytes.filter(|l| *l < 1) {
        return invalid("limitBytes", too_small(limit, "0"));
    }
    if query.since_seconds.is_some() && !query.since_time.is_empty() {
        let text = "Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified";
        return invalid("sinceSeconds", text.to_owned());
    }
    match query.since_seconds.filter(|s| *s < 1) {
        Some(seconds) => invalid("sinceSeconds", too_small(seconds, "0")),
        None => Ok(()),
    }
}

/// Goes on with a log until the run ends.
#[derive(Clone)]
struct Follower {
    cluster: Cluster,
    key: Key,
    uid: String,
    /// The pod's revision that was looked at last.
    seen: u64,
    log: Log,
    timestamps: bool,
    /// Lines that the reader has.
    sent: u64,
    /// Bytes that the reader may still have.
    left: usize,
}

impl Follower {
    async fn run(&mut self, first: String, sender: mpsc::Sender<Bytes>) {
        let mut text = first;
        let mut ended = false;
        loop {
            if !text.is_empty() && sender.send(Bytes::from(std::mem::take(&mut text))).await.is_err() {
                return;
            }
            if ended {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = sender.closed() => return,
            }
            (text, ended) = self.next(self.cluster.now());
        }
    }

    /// New text, and whether that was the last.
    fn next(&mut self, now: Timestamp) -> (String, bool) {
        self.look(now);
        let count = self.log.count(now);
        let mut text = self.log.text(self.sent, count, self.timestamps);
        self.sent = self.sent.max(count);
        text.truncate(self.left);
        self.left -= text.len();
        (text, self.left == 0 || self.log.run.end.is_some())
    }

    /// Notices the end of the run.
    fn look(&mut self, now: Timestamp) {
        let run = &mut self.log.run;
        let Some(pod) = self.cluster.get(*POD, &self.key).filter(|p| *p.uid == *self.uid) else {
            run.end = Some(now);
            return;
        };
        if pod.revision == self.seen {
            return;
        }
        self.seen = pod.revision;
        let status = status_of(&pod.value(), &self.log.container);
        let current = run_in(&status["state"], "running");
        if current.is_some_and(|c| c.start == run.start) {
            return;
        }
        let ended =
            [&status["state"], &status["lastState"]].into_iter().filter_map(|s| run_in(s, "terminated"));
        // A run that nothing tells of any more was followed by others while nobody looked.
        *run = ended
            .into_iter()
            .find(|r| r.start == run.start)
            .unwrap_or(Run { end: Some(current.map_or(now, |c| c.start.max(run.start))), ..*run });
    }
}

impl Log {
    /// How many lines there are at `now`.
    fn count(&self, now: Timestamp) -> u64 {
        self.ticks(self.run.end.unwrap_or(now)) + 1 + u64::from(self.run.end.is_some())
    }

    /// Whole intervals between the start and a time.
    fn ticks(&self, until: Timestamp) -> u64 {
        let ticks = until.since(self.run.start).as_millis() / INTERVAL.as_millis();
        u64::try_from(ticks).unwrap_or(u64::MAX).min(u64::MAX / 2)
    }

    fn time(&self, index: u64) -> Timestamp {
        let regular = self.run.start + INTERVAL.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX));
        self.run.end.map_or(regular, |end| regular.min(end))
    }

    /// The first line that is not older than `since`.
    fn first_since(&self, since: Timestamp, count: u64) -> u64 {
        if self.run.end.is_some_and(|end| end < since) {
            return count;
        }
        let ahead = since.since(self.run.start).as_micros().div_ceil(INTERVAL.as_micros());
        u64::try_from(ahead).unwrap_or(count).min(count)
    }

    fn line(&self, index: u64) -> String {
        let time = self.time(index).rfc3339_micro();
        if index == 0 {
            return json!({"time": time, "level": "info", "msg": "started", "container": self.container})
                .to_string();
        }
        if self.run.end.is_some_and(|end| index + 1 == self.count(end)) {
            let level = if self.run.exit_code == 0 { "info" } else { "error" };
            return json!({"time": time, "level": level, "msg": "ended", "exit_code": self.run.exit_code})
                .to_string();
        }
        let mut draw = Rng::new(self.seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let status = if draw.below(200) == 0 { 500 } else { 200 };
        json!({
            "time": time, "level": if status == 500 { "error" } else { "info" }, "msg": "request",
            "status": status, "duration_ms": 1 + draw.below(60),
        })
        .to_string()
    }

    fn text(&self, from: u64, to: u64, timestamps: bool) -> String {
        let mut out = String::new();
        for index in from.max(to.saturating_sub(KEPT))..to {
            if timestamps {
                // Container runtimes stamp nanoseconds.
                let micro = self.time(index).rfc3339_micro();
                let _ = write!(out, "{}000Z ", micro.trim_end_matches('Z'));
            }
            out.push_str(&self.line(index));
            out.push('\n');
        }
        out
    }
}

fn first_line(log: &Log, query: &Query, now: Timestamp) -> Result<u64, ApiError> {
    let count = log.count(now);
    let tail = query.tail.and_then(|t| u64::try_from(t).ok()).map_or(0, |t| count.saturating_sub(t));
    let since = if query.since_time.is_empty() {
        query.since_seconds.map(|s| now - Duration::from_secs(s.unsigned_abs()))
    } else {
        let bad = || ApiError::bad_request(format!("invalid value for sinceTime: \"{}\"", query.since_time));
        Some(Timestamp::parse(&query.since_time).ok_or_else(bad)?)
    };
    Ok(tail.max(since.map_or(0, |since| log.first_since(since, count))))
}

fn names(value: &Value) -> Vec<&str> {
    ["initContainers", "containers", "ephemeralContainers"]
        .iter()
        .flat_map(|list| value["spec"][list].as_array().into_iter().flatten())
        .filter_map(|c| c["name"].as_str())
        .collect()
}

fn choose(value: &Value, pod: &Stored, asked: &str) -> Result<String, ApiError> {
    let all = names(value);
    if !asked.is_empty() {
        let known = all.contains(&asked);
        let text = format!("container {asked} is not valid for pod {}", pod.key.name);
        return if known { Ok(asked.to_owned()) } else { Err(ApiError::bad_request(text)) };
    }
    match value["spec"]["containers"].as_array().map(Vec::as_slice) {
        Some([only]) => Ok(only["name"].as_str().unwrap_or_default().to_owned()),
        _ => Err(ApiError::bad_request(format!(
            "a container name must be specified for pod {}, choose one of: [{}]",
            pod.key.name,
            all.join(" ")
        ))),
    }
}

fn status_of(value: &Value, container: &str) -> Value {
    ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"]
        .iter()
        .flat_map(|list| value["status"][list].as_array().into_iter().flatten())
        .find(|s| s["name"] == container)
        .cloned()
        .unwrap_or(Value::Null)
}

fn run_in(state: &Value, phase: &str) -> Option<Run> {
    let state = &state[phase];
    let time = |key: &str| state[key].as_str().and_then(Timestamp::parse);
    Some(Run {
        start: time("startedAt")?,
        end: time("finishedAt"),
        exit_code: state["exitCode"].as_i64().unwrap_or(0),
    })
}

fn run_of(value: &Value, pod: &Stored, container: &str, previous: bool) -> Result<Run, ApiError> {
    let status = status_of(value, container);
    if previous {
        return run_in(&status["lastState"], "terminated").ok_or_else(|| {
            ApiError::bad_request(format!(
                "previous terminated container \"{container}\" in pod \"{}\" not found",
                pod.key.name
            ))
        });
    }
    let current = run_in(&status["state"], "running").or_else(|| run_in(&status["state"], "terminated"));
    // Between two runs the last one is shown, as a kubelet does.
    current.or_else(|| run_in(&status["lastState"], "terminated")).ok_or_else(|| {
        let why = match status["state"]["waiting"]["reason"].as_str() {
            Some("ErrImagePull") => "image can't be pulled",
            Some("ImagePullBackOff") => "trying and failing to pull image",
            Some(reason) => reason,
            // The kubelet has not reported yet.
            None => "ContainerCreating",
        };
        ApiError::bad_request(format!(
            "container \"{container}\" in pod \"{}\" is waiting to start: {why}",
            pod.key.name
        ))
    })
}

fn seed_of(uid: &str, container: &str, start: Timestamp) -> u64 {
    let bytes = uid.bytes().chain(container.bytes());
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    hash ^ start.0.unsigned_abs().rotate_left(32)
}
