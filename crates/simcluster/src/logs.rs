//! Logs of fake containers: made on demand from the container's start, the same each time.
//!
//! A container writes one line when it starts, one a second while it runs, and one when it ends. The
//! line at an index depends on the pod's uid and the container's name alone, so `tail`, `since` and
//! `follow` agree with each other and nothing is stored.

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
    /// The last so many lines; negative means all.
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
struct Log {
    seed: u64,
    container: String,
    run: Run,
}

/// Answers a log request.
///
/// # Errors
/// 400 with the kubelet's words where the container is not known or has not run.
pub fn read(cluster: &Cluster, pod: &Stored, query: Query, shutdown: Shutdown) -> Result<Body, ApiError> {
    let value = pod.value();
    let container = choose(&value, pod, &query.container)?;
    let run = run_of(&value, pod, &container, query.previous)?;
    let log = Log { seed: seed_of(&pod.uid, &container), container, run };
    let now = cluster.now();
    let from = first_line(&log, &query, now)?;
    let text = log.text(from, log.count(now), query.timestamps);
    if !query.follow || run.end.is_some() {
        return Ok(Body::full(limited(text, query.limit_bytes)));
    }
    let (sender, receiver) = mpsc::channel(4);
    let follower = Follower { cluster: cluster.clone(), key: pod.key.clone(), uid: pod.uid.to_string(), log, query };
    tokio::spawn(async move {
        let mut shutdown = shutdown;
        tokio::select! {
            () = follower.run(text, now, sender) => {}
            () = shutdown.fired() => {}
        }
    });
    Ok(Body::Stream(receiver))
}

struct Follower {
    cluster: Cluster,
    key: Key,
    uid: String,
    log: Log,
    query: Query,
}

impl Follower {
    async fn run(mut self, first: String, from: Timestamp, sender: mpsc::Sender<Bytes>) {
        let mut sent = self.log.count(from);
        let mut budget = self.query.limit_bytes.and_then(|l| usize::try_from(l).ok()).unwrap_or(usize::MAX);
        let mut text = first;
        loop {
            if !text.is_empty() {
                text.truncate(budget);
                budget -= text.len();
                if sender.send(Bytes::from(std::mem::take(&mut text))).await.is_err() || budget == 0 {
                    return;
                }
            }
            let ended = self.log.run.end.is_some();
            if ended {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = sender.closed() => return,
            }
            let now = self.cluster.now();
            self.log.run.end = self.end(now);
            let count = self.log.count(now);
            text = self.log.text(sent, count, self.query.timestamps);
            sent = count;
        }
    }

    /// When the followed run ended, if it has.
    fn end(&self, now: Timestamp) -> Option<Timestamp> {
        let pod = self.cluster.get(*POD, &self.key).filter(|p| *p.uid == *self.uid);
        let Some(pod) = pod else { return Some(now) };
        let status = status_of(&pod.value(), &self.log.container);
        [&status["state"], &status["lastState"]]
            .into_iter()
            .filter_map(|state| run_in(state, "terminated"))
            .find(|run| run.start == self.log.run.start)
            .and_then(|run| run.end)
    }
}

impl Log {
    /// How many lines there are at `now`.
    fn count(&self, now: Timestamp) -> u64 {
        let until = self.run.end.unwrap_or(now);
        let ticks = until.since(self.run.start).as_millis() / INTERVAL.as_millis();
        u64::try_from(ticks).unwrap_or(u64::MAX - 2) + 1 + u64::from(self.run.end.is_some())
    }

    fn time(&self, index: u64) -> Timestamp {
        let regular = self.run.start + INTERVAL.saturating_mul(u32::try_from(index).unwrap_or(u32::MAX));
        self.run.end.map_or(regular, |end| regular.min(end))
    }

    fn line(&self, index: u64) -> String {
        let time = self.time(index).rfc3339_micro();
        if index == 0 {
            return json!({"time": time, "level": "info", "msg": "started", "container": self.container}).to_string();
        }
        if self.run.end.is_some_and(|end| index + 1 == self.count(end)) {
            let level = if self.run.exit_code == 0 { "info" } else { "error" };
            return json!({"time": time, "level": level, "msg": "ended", "exit_code": self.run.exit_code}).to_string();
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
                let _ = write!(out, "{} ", self.time(index).rfc3339_micro());
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
    if query.since_seconds.is_some() && !query.since_time.is_empty() {
        return Err(ApiError::bad_request("at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    let since = if !query.since_time.is_empty() {
        let bad = || ApiError::bad_request(format!("invalid value for sinceTime: \"{}\"", query.since_time));
        Some(Timestamp::parse(&query.since_time).ok_or_else(bad)?)
    } else {
        query.since_seconds.map(|s| now - Duration::from_secs(u64::try_from(s).unwrap_or(0)))
    };
    let after = since.map_or(0, |since| {
        let ahead = since.since(log.run.start).as_millis().div_ceil(INTERVAL.as_millis());
        u64::try_from(ahead).unwrap_or(count).min(count)
    });
    Ok(tail.max(after))
}

fn limited(mut text: String, limit: Option<i64>) -> String {
    if let Some(limit) = limit.and_then(|l| usize::try_from(l).ok()).filter(|l| *l < text.len()) {
        // Lines are ASCII, so any place is a boundary.
        text.truncate(limit);
    }
    text
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
        Some([only]) if all.len() == 1 => Ok(only["name"].as_str().unwrap_or_default().to_owned()),
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
    if value["spec"]["nodeName"].as_str().is_none_or(str::is_empty) {
        return Err(ApiError::bad_request(format!("pod {} does not have a host assigned", pod.key.name)));
    }
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
        let reason = status["state"]["waiting"]["reason"].as_str().unwrap_or("ContainerCreating");
        ApiError::bad_request(format!(
            "container \"{container}\" in pod \"{}\" is waiting to start: {reason}",
            pod.key.name
        ))
    })
}

fn seed_of(uid: &str, container: &str) -> u64 {
    let bytes = uid.bytes().chain(container.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}
