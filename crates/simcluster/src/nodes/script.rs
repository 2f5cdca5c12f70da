//! What a pod asks of its node: its containers in order, and how each will behave.
//!
//! Read from the pod's spec and annotations on every look: nothing here changes with time.

use std::sync::Arc;
use std::time::Duration;

use kiban_base::duration;
use serde_json::Value;

use super::command;
use super::needs::{self, Need};
use super::timing::Timing;

/// Prefix of the annotations that direct fake pods (see [`crate::nodes`]).
pub const PREFIX: &str = "sim.kiban.dev/";

/// Grace periods without a value.
const DEFAULT_GRACE: i64 = 30;

/// When a container that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restart {
    /// Always.
    Always,
    /// After a failure.
    OnFailure,
    /// Never.
    Never,
}

impl Restart {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "Always" => Some(Self::Always),
            "OnFailure" => Some(Self::OnFailure),
            "Never" => Some(Self::Never),
            _ => None,
        }
    }

    /// Whether a run with this exit code is followed by another.
    pub fn after(self, exit: i64) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => exit != 0,
            Self::Never => false,
        }
    }
}

/// What a container is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container that stays (`restartPolicy: Always`).
    Sidecar,
    /// A container of the pod.
    Main,
    /// Added to a running pod by `kubectl debug`.
    Ephemeral,
}

/// When an image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pull {
    /// Before every start.
    Always,
    /// Where the node does not have it.
    IfNotPresent,
    /// Never.
    Never,
}

/// What a probe is for, in the order in which they are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbeKind {
    /// Holds the other two back.
    Startup,
    /// Restarts the container.
    Liveness,
    /// Takes the container out of service.
    Readiness,
}

impl ProbeKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Startup, Self::Liveness, Self::Readiness];

    /// The field of the container, and the probe's name in events, in lower case.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Startup => ("startupProbe", "startup"),
            Self::Liveness => ("livenessProbe", "liveness"),
            Self::Readiness => ("readinessProbe", "readiness"),
        }
    }
}

/// A probe's times, and what its failure sounds like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Wait before the first.
    pub delay: Duration,
    /// Time between two.
    pub period: Duration,
    /// Passes in a row that count as well.
    pub passes: u32,
    /// Failures in a row that count as ill.
    pub failures: u32,
    /// The probe's port and path, for the text of a failure.
    pub target: Target,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// `httpGet`: scheme, port, path.
    Http(String, String, String),
    /// `tcpSocket`: port.
    Tcp(String),
    /// `grpc`: port.
    Grpc(String),
    /// `exec`.
    Exec,
}

/// How a run of a container goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It goes on.
    Forever,
    /// It ends.
    Ends {
        /// After this long.
        after: Duration,
        /// With this exit code.
        exit: i64,
        /// Killed by the kernel for memory.
        oom: bool,
    },
}

/// One container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Image as the spec names it.
    pub image: String,
    /// When it is fetched.
    pub pull: Pull,
    /// Whether it is started again.
    pub restart: Restart,
    /// How a run goes.
    pub run: Run,
    /// Startup, liveness, readiness.
    pub probes: [Option<Probe>; 3],
    /// Time that the `preStop` hook takes.
    pub pre_stop: Duration,
    /// From SIGTERM to the end, where the pod says so.
    pub stop_for: Option<Duration>,
    /// A pull takes this long, where the pod says so.
    pub pull_for: Option<Duration>,
    /// The registry does not have the image: for ever, or for this long after the pod's start.
    pub missing: Option<Option<Duration>>,
    /// Not healthy before this much time has passed since the start.
    pub slow: Duration,
    /// The pod says that it is not ready.
    pub unready: bool,
    /// ConfigMaps and Secrets that its environment takes values from.
    pub needs: Vec<Need>,
}

/// A pod as its node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The pod's uid.
    pub uid: Arc<str>,
    /// `name_namespace(uid)`, as kubelets write pods in messages.
    pub full_name: String,
    /// Whether containers run again after they end.
    pub restart: Restart,
    /// The pod shares its node's network.
    pub host_network: bool,
    /// Longest time that the pod may run.
    pub deadline: Option<Duration>,
    /// Grace period of its spec.
    pub grace: Duration,
    /// Init containers in order, then the others, then ephemeral ones.
    pub parts: Vec<Part>,
    /// ConfigMaps, Secrets and claims that its volumes need.
    pub volumes: Vec<Need>,
    /// Conditions that others set and readiness waits for.
    pub gates: Vec<String>,
    /// Annotations of ours that make no sense.
    pub complaints: Vec<String>,
}

impl Script {
    /// Reads a pod.
    pub fn new(pod: &Value, timing: Timing) -> Self {
        let (meta, spec) = (&pod["metadata"], &pod["spec"]);
        let uid = text(&meta["uid"]);
        let mut reader = Reader {
            meta,
            timing,
            restart: Restart::parse(text(&spec["restartPolicy"])).unwrap_or(Restart::Always),
            main: main_container(meta, spec),
            is_job: items(&meta["ownerReferences"]).any(|o| o["kind"] == "Job"),
            complaints: Vec::new(),
        };
        let mut parts = Vec::new();
        for (list, role) in [
            ("initContainers", Role::Init),
            ("containers", Role::Main),
            ("ephemeralContainers", Role::Ephemeral),
        ] {
            parts.extend(items(&spec[list]).map(|c| reader.part(c, role)));
        }
        Self {
            uid: uid.into(),
            full_name: format!("{}_{}({uid})", text(&meta["name"]), text(&meta["namespace"])),
            restart: reader.restart,
            host_network: spec["hostNetwork"] == true,
            deadline: spec["activeDeadlineSeconds"].as_i64().map(seconds),
            grace: seconds(spec["terminationGracePeriodSeconds"].as_i64().unwrap_or(DEFAULT_GRACE)),
            parts,
            volumes: needs::of_volumes(spec),
            gates: items(&spec["readinessGates"]).map(|g| text(&g["conditionType"]).to_owned()).collect(),
            complaints: reader.complaints,
        }
    }
}

struct Reader<'a> {
    meta: &'a Value,
    timing: Timing,
    restart: Restart,
    /// The container that annotations without a container's name are about.
    main: &'a str,
    is_job: bool,
    complaints: Vec<String>,
}

impl<'a> Reader<'a> {
    /// The annotation `key` for a container.
    fn note(&self, key: &str, container: &str) -> Option<&'a str> {
        let notes =
            self.meta["annotations"].as_object().filter(|n| n.keys().any(|k| k.starts_with(PREFIX)))?;
        let own = notes.get(&format!("{PREFIX}{key}.{container}"));
        let general = || notes.get(&format!("{PREFIX}{key}")).filter(|_| container == self.main);
        own.or_else(general)?.as_str()
    }

    fn flag(&self, key: &str, container: &str) -> bool {
        self.note(key, container).is_some_and(|v| !matches!(v, "false" | "no"))
    }

    fn span(&mut self, key: &str, container: &str) -> Option<Duration> {
        let given = self.note(key, container)?;
        let parsed = parse_span(given);
        if parsed.is_none() {
            self.complaints.push(format!("annotation {PREFIX}{key}: \"{given}\" is not a duration"));
        }
        parsed
    }

    fn part(&mut self, container: &Value, role: Role) -> Part {
        let name = text(&container["name"]).to_owned();
        let own_restart = Restart::parse(text(&container["restartPolicy"]));
        let role =
            if role == Role::Init && own_restart == Some(Restart::Always) { Role::Sidecar } else { role };
        let restart = match role {
            Role::Sidecar => Restart::Always,
            Role::Ephemeral => Restart::Never,
            // An init container that succeeded is done, whatever the pod's policy.
            Role::Init if self.restart == Restart::Never => Restart::Never,
            Role::Init => Restart::OnFailure,
            Role::Main => own_restart.unwrap_or(self.restart),
        };
        let missing = self.note("image-missing", &name).filter(|v| !matches!(*v, "false" | "no"));
        Part {
            role,
            restart,
            image: text(&container["image"]).to_owned(),
            pull: match text(&container["imagePullPolicy"]) {
                "Always" => Pull::Always,
                "Never" => Pull::Never,
                _ => Pull::IfNotPresent,
            },
            run: self.run(container, &name, role, restart),
            probes: ProbeKind::ALL.map(|kind| probe(&container[kind.names().0], &container["ports"])),
            pre_stop: pre_stop(&container["lifecycle"]["preStop"]),
            stop_for: self.span("stop-for", &name),
            pull_for: self.span("pull-for", &name),
            missing: missing.map(parse_span),
            slow: self.span("slow-start", &name).unwrap_or_default(),
            unready: self.flag("unready", &name),
            needs: needs::of_environment(container),
            name,
        }
    }

    fn run(&mut self, container: &Value, name: &str, role: Role, restart: Restart) -> Run {
        let exit = self.note("exit-code", name).map(str::parse::<u8>);
        if matches!(exit, Some(Err(_))) {
            self.complaints.push(format!("annotation {PREFIX}exit-code: not a number from 0 to 255"));
        }
        let exit = exit.and_then(Result::ok).map(i64::from);
        if let Some(after) = self.span("oom-after", name) {
            return Run::Ends { after: self.timing.asked(after), exit: 137, oom: true };
        }
        if let Some(given) = self.note("crash-loop", name).filter(|v| !matches!(*v, "false" | "no")) {
            let after = parse_span(given).unwrap_or(Duration::from_secs(1));
            return Run::Ends { after: self.timing.asked(after), exit: exit.unwrap_or(1), oom: false };
        }
        if let Some(after) = self.span("run-for", name) {
            return Run::Ends { after: self.timing.asked(after), exit: exit.unwrap_or(0), oom: false };
        }
        self.unsaid(container, name, role, restart, exit)
    }

    /// How a run goes that no annotation speaks of.
    fn unsaid(&self, container: &Value, name: &str, role: Role, restart: Restart, exit: Option<i64>) -> Run {
        let words = |key: &str| items(&container[key]).map(|w| text(w).to_owned()).collect::<Vec<_>>();
        let reading = command::read(&words("command"), &words("args"));
        let runs_to_end =
            role == Role::Init || (role == Role::Main && (self.is_job || restart != Restart::Always));
        match reading {
            Some(known) if !known.guessed => match known.after {
                None => Run::Forever,
                // A `sleep 3600` that stands for a server keeps its time in fast mode too.
                Some(after) if restart == Restart::Always => {
                    Run::Ends { after, exit: exit.unwrap_or(known.exit), oom: false }
                }
                Some(after) => Run::Ends {
                    after: self.timing.asked(after),
                    exit: exit.unwrap_or(known.exit),
                    oom: false,
                },
            },
            guess if runs_to_end && (guess.is_some() || self.is_job || role == Role::Init) => {
                let millis = if role == Role::Init { 300..2_000 } else { 1_000..5_000 };
                let drawn = self.timing.draw(&format!("{}/{name}/run", text(&self.meta["uid"])), millis);
                let code = exit.or(guess.map(|g| g.exit)).unwrap_or(0);
                Run::Ends { after: self.timing.asked(drawn), exit: code, oom: false }
            }
            _ => Run::Forever,
        }
    }
}

fn main_container<'a>(meta: &'a Value, spec: &'a Value) -> &'a str {
    let first = || items(&spec["containers"]).next().map_or("", |c| text(&c["name"]));
    meta["annotations"]["kubectl.kubernetes.io/default-container"].as_str().unwrap_or_else(first)
}

fn probe(value: &Value, ports: &Value) -> Option<Probe> {
    value.as_object()?;
    let count = |key: &str, default: u32| {
        value[key].as_u64().and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(default)
    };
    let port = |v: &Value| {
        let named = v.as_str().and_then(|name| items(ports).find(|p| p["name"] == name));
        named.map_or(v, |p| &p["containerPort"]).as_i64().unwrap_or(0).to_string()
    };
    let (http, tcp, grpc) = (&value["httpGet"], &value["tcpSocket"], &value["grpc"]);
    let target = if http.is_object() {
        let scheme = http["scheme"].as_str().unwrap_or("HTTP").to_ascii_lowercase();
        Target::Http(scheme, port(&http["port"]), http["path"].as_str().unwrap_or("/").to_owned())
    } else if tcp.is_object() {
        Target::Tcp(port(&tcp["port"]))
    } else if grpc.is_object() {
        Target::Grpc(port(&grpc["port"]))
    } else {
        Target::Exec
    };
    Some(Probe {
        delay: seconds(value["initialDelaySeconds"].as_i64().unwrap_or(0)),
        period: Duration::from_secs(u64::from(count("periodSeconds", 10))),
        passes: count("successThreshold", 1),
        failures: count("failureThreshold", 3),
        target,
    })
}

/// How long a hook takes: its sleep, or no time.
fn pre_stop(hook: &Value) -> Duration {
    if let Some(secs) = hook["sleep"]["seconds"].as_i64() {
        return seconds(secs);
    }
    let words: Vec<String> = items(&hook["exec"]["command"]).map(|w| text(w).to_owned()).collect();
    command::read(&words, &[]).and_then(|r| r.after).unwrap_or_default()
}

/// `90s`, `1m30s`, or a plain number of seconds.
pub(super) fn parse_span(given: &str) -> Option<Duration> {
    let plain = given.parse::<u32>().ok().map(|s| Duration::from_secs(u64::from(s)));
    plain.or_else(|| duration::parse_go(given).ok())
}

pub(super) fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

pub(super) fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
