//! What follows from a resolved app before any object is written: numbers of replicas, times,
//! ports, and who calls whom.

use std::collections::BTreeMap;

use kiban_model::app::{App, Call, CallTarget, Port, PortRef, Protocol};
use kiban_model::origin::Origin;
use kiban_model::profile::{EntryKind, MeshKind, ServiceType};
use kiban_model::resolved::Resolved;
use kiban_model::text::Duration;

/// The shortest grace period: what Kubernetes itself gives, and what people expect.
pub const LEAST_GRACE: u64 = 30;
/// Disk of a replica where neither app nor platform say: enough for logs between two rotations.
pub const DEFAULT_DISK: &str = "1Gi";
/// Seconds between two startup probes: short, so that a fast start is not waited for.
pub const STARTUP_PERIOD: u64 = 2;

/// The apps of one environment, and the calls between them.
#[derive(Debug)]
pub struct Graph<'a> {
    /// What follows from each app, sorted by name.
    pub apps: Vec<Facts<'a>>,
    by_name: BTreeMap<&'a str, usize>,
    /// Calls from an app to an app of this repository, by caller and target.
    pub edges: Vec<Edge<'a>>,
    /// Indexes of edges by caller and by callee.
    from: Vec<Vec<usize>>,
    into: Vec<Vec<usize>>,
}

/// One call from an app to another one of this repository.
#[derive(Debug, Clone, Copy)]
pub struct Edge<'a> {
    /// Index of the caller in [`Graph::apps`].
    pub caller: usize,
    /// Index of the callee.
    pub callee: usize,
    /// How the caller writes it.
    pub target: &'a CallTarget,
    /// What the caller says about it.
    pub call: &'a Call,
    /// How patiently it is made.
    pub patience: Patience,
}

/// How patiently a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The longest time, retries included.
    pub timeout: Duration,
    /// Tries after the first.
    pub retries: u32,
    /// The longest time of one try.
    pub per_try: Duration,
}

/// The least and most replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The least.
    pub from: u32,
    /// The most; equal to `from`: nothing scales.
    pub to: u32,
}

/// A port of the app's Service.
#[derive(Debug, Clone, Copy)]
pub struct ServicePort<'a> {
    /// Its name, of the Service and of the container.
    pub name: &'a str,
    /// Its number in the container.
    pub target: u16,
    /// Its number at the Service.
    pub number: u16,
    /// What it speaks.
    pub protocol: Protocol,
    /// What the app says about it.
    pub port: &'a Port,
}

/// What follows from one resolved app.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The app.
    pub r: &'a Resolved,
    /// Its namespace.
    pub namespace: String,
    /// Whether it has a Deployment: an app of jobs alone has none.
    pub has_workload: bool,
    /// Its least and most replicas.
    pub bounds: Bounds,
    /// The ports of its Service, by name; empty: no Service.
    pub ports: Vec<ServicePort<'a>>,
    /// The port of its metrics.
    pub metrics: Option<u16>,
    /// Seconds between leaving the Service and the stop signal.
    pub delay: u64,
    /// Seconds for the requests it holds then.
    pub drain: u64,
    /// Seconds in all before it is killed.
    pub grace: u64,
    /// The shortest time between two runs of each job, where there are two.
    intervals: BTreeMap<&'a str, Duration>,
}

impl<'a> Facts<'a> {
    /// Derives the facts of one app.
    pub fn new(r: &'a Resolved) -> Self {
        let app = &r.app;
        let batch_only =
            app.ports.is_empty() && app.health.is_none() && app.scale.is_none() && app.run.is_none();
        let has_workload = !batch_only || app.jobs.is_empty();
        let shutdown = app.shutdown.as_ref();
        let seconds = |own: Option<Duration>, default: Duration| own.unwrap_or(default).as_secs_up();
        let delay = seconds(shutdown.and_then(|s| s.delay), r.platform.rollout.delay);
        let drain = seconds(shutdown.and_then(|s| s.drain), r.platform.rollout.drain);
        let longest = longest_call(r).map_or(0, |(timeout, _)| timeout.as_secs_up());
        let metrics = app.metrics_endpoint().map(|(port, _)| port);
        Self {
            r,
            namespace: r.namespace(),
            has_workload,
            bounds: bounds(r),
            ports: service_ports(app, metrics),
            metrics,
            delay,
            drain,
            grace: LEAST_GRACE.max(delay.saturating_add(longest).saturating_add(drain)),
            intervals: app
                .jobs
                .iter()
                .filter_map(|(name, job)| Some((name.as_str(), Duration::secs(interval(&job.schedule)?))))
                .collect(),
        }
    }

    /// The app's name.
    pub fn name(&self) -> &'a str {
        &self.r.app.name
    }

    /// Where the key `path` of the app's files was set.
    pub fn origin(&self, path: &str) -> Option<&'a Origin> {
        self.r.origins.nearest(path)
    }

    /// Where the key `path` of the profile was set; `None`: it has its default.
    pub fn profile_origin(&self, path: &str) -> Option<&'a Origin> {
        let origins = &self.r.platform_origins;
        let found = origins.nearest(path)?;
        // What holds everything is the file itself: the key was not set.
        (origins.get("") != Some(found)).then_some(found)
    }

    /// Where the app's or else the platform's `shutdown` key was set.
    pub fn origin_of_shutdown(&self, key: &str) -> Option<&'a Origin> {
        let own = self.r.app.shutdown.as_ref();
        let is_own = own.is_some_and(|s| if key == "drain" { s.drain.is_some() } else { s.delay.is_some() });
        if is_own {
            self.origin(&format!("shutdown.{key}"))
        } else {
            self.profile_origin(&format!("rollout.{key}"))
        }
    }

    /// Where the app's or else the platform's `scale` key was set.
    pub fn origin_of_scale(&self, key: &str) -> Option<&'a Origin> {
        if self.r.app.scale.is_some() {
            return self.origin(&format!("scale.{key}"));
        }
        self.profile_origin(&format!("tiers.{}", self.r.app.tier)).or_else(|| self.origin("tier"))
    }

    /// Whether the autoscaler owns the number of replicas.
    pub fn scales(&self) -> bool {
        self.has_workload && self.bounds.to > self.bounds.from
    }

    /// Whether pods run beside a mesh's proxy.
    pub fn in_mesh(&self) -> bool {
        self.r.platform.mesh.kind == MeshKind::Istio
    }

    /// Whether the Service listens on the nodes.
    pub fn on_nodes(&self) -> bool {
        let by_entry = self.r.platform.entry.kind == EntryKind::NodePort && !self.r.app.public.is_empty();
        self.r.platform.service == ServiceType::NodePort || by_entry
    }

    /// The Service's port that a reference means; without one the main port.
    pub fn service_port(&self, wanted: Option<&PortRef>) -> Option<ServicePort<'a>> {
        let (name, _) = self.r.app.find_port(wanted)?;
        self.ports.iter().copied().find(|port| port.name == name.as_str())
    }

    /// The shortest time between two runs of a job; `None`: it runs once or never.
    pub fn interval(&self, job: &str) -> Option<Duration> {
        self.intervals.get(job).copied()
    }

    /// The Service's full name.
    pub fn host(&self) -> String {
        format!("{}.{}.svc.cluster.local", self.name(), self.namespace)
    }
}

impl<'a> Graph<'a> {
    /// The graph of an environment's apps.
    pub fn new(apps: &'a [Resolved]) -> Self {
        let mut facts: Vec<Facts<'a>> = apps.iter().map(Facts::new).collect();
        facts.sort_by(|a, b| a.name().cmp(b.name()));
        let by_name: BTreeMap<&str, usize> = facts.iter().enumerate().map(|(i, f)| (f.name(), i)).collect();
        let mut graph = Self { apps: facts, by_name, edges: Vec::new(), from: Vec::new(), into: Vec::new() };
        for caller in 0..graph.apps.len() {
            let r = graph.apps.get(caller).map(|f| f.r);
            for (target, call) in r.into_iter().flat_map(|r| &r.app.calls) {
                if let Some(callee) = graph.callee(target) {
                    let patience = r.map(|r| patience(r, call)).unwrap_or_else(Patience::none);
                    graph.edges.push(Edge { caller, callee, target, call, patience });
                }
            }
        }
        graph.from = vec![Vec::new(); graph.apps.len()];
        graph.into = vec![Vec::new(); graph.apps.len()];
        for (index, edge) in graph.edges.iter().enumerate() {
            graph.from.get_mut(edge.caller).into_iter().for_each(|list| list.push(index));
            graph.into.get_mut(edge.callee).into_iter().for_each(|list| list.push(index));
        }
        graph
    }

    /// The app of this name.
    pub fn app(&self, name: &str) -> Option<&Facts<'a>> {
        self.apps.get(*self.by_name.get(name)?)
    }

    /// Index of the app of this repository that a target means.
    fn callee(&self, target: &CallTarget) -> Option<usize> {
        let CallTarget::App { team, app } = target else { return None };
        let index = *self.by_name.get(app.as_str())?;
        let is_same_team =
            |t: &kiban_model::text::Name| self.apps.get(index).is_some_and(|f| f.r.app.team == *t);
        team.as_ref().is_none_or(is_same_team).then_some(index)
    }

    /// The calls that an app makes to apps of this repository.
    pub fn calls_of<'g>(&'g self, app: &str) -> impl Iterator<Item = &'g Edge<'a>> + use<'g, 'a> {
        self.listed(&self.from, self.by_name.get(app).copied())
    }

    /// The calls that apps of this repository make to an app.
    pub fn calls_to<'g>(&'g self, app: &str) -> impl Iterator<Item = &'g Edge<'a>> + use<'g, 'a> {
        self.listed(&self.into, self.by_name.get(app).copied())
    }

    /// [`Graph::calls_of`] by index.
    pub fn calls_from<'g>(&'g self, app: usize) -> impl Iterator<Item = &'g Edge<'a>> + use<'g, 'a> {
        self.listed(&self.from, Some(app))
    }

    /// [`Graph::calls_to`] by index.
    pub fn calls_into<'g>(&'g self, app: usize) -> impl Iterator<Item = &'g Edge<'a>> + use<'g, 'a> {
        self.listed(&self.into, Some(app))
    }

    fn listed<'g>(
        &'g self,
        lists: &'g [Vec<usize>],
        app: Option<usize>,
    ) -> impl Iterator<Item = &'g Edge<'a>> + use<'g, 'a> {
        let list = app.and_then(|app| lists.get(app)).map_or(&[][..], Vec::as_slice);
        list.iter().filter_map(|index| self.edges.get(*index))
    }

    /// Caller and callee of a call.
    pub fn ends(&self, edge: &Edge<'a>) -> Option<(&Facts<'a>, &Facts<'a>)> {
        Some((self.apps.get(edge.caller)?, self.apps.get(edge.callee)?))
    }
}

impl Patience {
    fn none() -> Self {
        Self { timeout: Duration::secs(0), retries: 0, per_try: Duration::secs(0) }
    }
}

/// How patiently an app makes a call: what it says, else what the platform says.
pub fn patience(r: &Resolved, call: &Call) -> Patience {
    let timeout = call.timeout.unwrap_or(r.platform.mesh.timeout);
    let retries = call.retries.unwrap_or(r.platform.mesh.retries);
    let share = timeout.as_millis() / (u64::from(retries) + 1);
    Patience { timeout, retries, per_try: call.per_try.unwrap_or_else(|| Duration::millis(share.max(1))) }
}

/// The longest call that an app states, or that the mesh grants it, with its target. Calls to
/// databases and the like count only where the app states a timeout: nothing else enforces one.
pub fn longest_call(r: &Resolved) -> Option<(Duration, &CallTarget)> {
    let in_mesh = r.platform.mesh.kind == MeshKind::Istio;
    let timeout = |(target, call): (&'_ CallTarget, &Call)| match (call.timeout, target) {
        (Some(timeout), _) => Some(timeout),
        (None, CallTarget::App { .. }) if in_mesh => Some(r.platform.mesh.timeout),
        _ => None,
    };
    r.app.calls.iter().filter_map(|entry| Some((timeout(entry)?, entry.0))).max_by_key(|found| found.0)
}

/// The app's own bounds; else in production the tier's least number with room above, elsewhere one.
fn bounds(r: &Resolved) -> Bounds {
    if let Some(scale) = &r.app.scale {
        return Bounds { from: scale.from, to: scale.to };
    }
    let from = r.least_replicas().max(1);
    let room = if r.environment.production { r.platform.scaling.headroom.max(1) } else { 1 };
    Bounds { from, to: from.saturating_mul(room) }
}

/// The well-known numbers of HTTP at the Service; other ports keep the container's number.
fn service_ports<'a>(app: &'a App, metrics: Option<u16>) -> Vec<ServicePort<'a>> {
    let listed =
        app.ports.iter().filter(|(name, port)| Some(port.port) != metrics && name.as_str() != "metrics");
    listed
        .map(|(name, port)| {
            let number = match name.as_str() {
                "http" => 80,
                "https" => 443,
                _ => port.port,
            };
            ServicePort { name, target: port.port, number, protocol: port.protocol(name), port }
        })
        .collect()
}

/// Runs of a schedule that are looked at for the shortest time between two.
const RUNS: usize = 64;

/// The shortest time in seconds between two runs of a schedule, the days on which clocks change left aside;
/// `None`: it runs once or never, or cannot be read.
fn interval(schedule: &str) -> Option<u64> {
    let parsed = kiban_base::cron::Schedule::parse(schedule).ok()?;
    // The pattern of a schedule does not depend on the year.
    let mut last = parsed.next_after(kiban_base::clock::Timestamp::parse("2026-01-01T00:00:00Z")?, None)?;
    let mut shortest = None;
    for _ in 1..RUNS {
        let Some(next) = parsed.next_after(last, None) else { break };
        let gap = next.since(last).as_secs();
        shortest = Some(shortest.map_or(gap, |shortest: u64| shortest.min(gap)));
        last = next;
    }
    shortest
}
