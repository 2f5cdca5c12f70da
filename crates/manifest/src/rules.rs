//! The rules that set values: what each does, why, and who may change it.
//!
//! Every leaf of a rendered object names one of these. A rule has one reason: where two fields are
//! set for different reasons they have two rules.

/// Who may change a value, and with which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The app's team, in `app.yaml` or in `env/<env>.yaml`.
    App(&'static str),
    /// The platform team, in `platform.yaml`.
    Platform(&'static str),
    /// Whoever ships: `env/<env>.pin.yaml`, written by tools.
    Pin,
    /// The app's team, under `override` (a counted escape hatch).
    Override,
    /// Nobody: other parts of the system rely on it.
    Nobody,
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Who::App(key) => write!(f, "the app's team: `{key}` in app.yaml or env/<env>.yaml"),
            Who::Platform(key) => write!(f, "the platform team: `{key}` in platform.yaml"),
            Who::Pin => f.write_str("whoever ships: env/<env>.pin.yaml, written by tools"),
            Who::Override => f.write_str("the app's team: `override` (counted as an escape hatch)"),
            Who::Nobody => f.write_str("nobody: other parts of the system rely on it"),
        }
    }
}

/// One rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Stable id, `<topic>.<rule>`.
    pub id: &'static str,
    /// What it sets.
    pub what: &'static str,
    /// Why, in one sentence.
    pub why: &'static str,
    /// Who may change the outcome, nearest first.
    pub who: &'static [Who],
}

/// Declares the rules as statics and collects them in [`RULES`].
macro_rules! rules {
    ($($name:ident = $id:literal, $what:literal, $why:literal, [$($who:expr),* $(,)?];)*) => {
        $(
            #[doc = concat!("`", $id, "`: ", $what, ".")]
            pub static $name: Rule = Rule { id: $id, what: $what, why: $why, who: &[$($who),*] };
        )*
        /// Every rule, in the order of this file.
        pub static RULES: &[&Rule] = &[$(&$name),*];
    };
}

/// The rule with this id.
pub fn by_id(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

use Who::{App, Nobody, Override, Pin, Platform};

rules! {
    // What an object is.
    API_VERSION = "identity.type", "apiVersion and kind: the stable version of each kind",
        "A version that is going away would turn an upgrade of the cluster into an outage.", [Nobody];
    NAME = "identity.name", "the object's name, from the app's",
        "One name for an app's Deployment, Service, HPA and the rest means that nobody has to look them up.",
        [App("name")];
    NAMESPACE = "identity.namespace", "the namespace, by the platform's pattern",
        "Team and environment in the namespace keep quotas, permissions and network rules apart.",
        [Platform("namespace"), App("team")];
    LABELS = "identity.labels", "the labels that say which app, team, environment and tier an object belongs to",
        "Metrics, alerts, the console and the NetworkPolicies of other apps find an app by these labels.",
        [App("team"), App("tier")];
    OWN_LABELS = "identity.own-labels", "labels that the app adds",
        "A team's own tools may need labels that Kiban does not know.", [App("labels")];
    OWN_ANNOTATIONS = "identity.own-annotations", "annotations that the app adds",
        "A team's own tools may need annotations that Kiban does not know.", [App("annotations")];
    PLATFORM_LABELS = "identity.platform-labels", "labels that the platform puts on every object",
        "Cost reports and other tools of the platform group by them.", [Platform("labels")];
    PLATFORM_ANNOTATIONS = "identity.platform-annotations", "annotations that the platform puts on every object",
        "Tools of the platform read them.", [Platform("annotations")];
    SELECTOR = "identity.selector", "the labels by which an object finds its pods",
        "A selector cannot be changed on a running Deployment, so it holds only what never changes.", [Nobody];
    SPEC = "identity.spec", "the resolved spec as JSON, in the annotation kiban.dev/app",
        "Whoever reads the cluster knows the app's intent without access to the repository.", [Nobody];
    DEFAULT_CONTAINER = "identity.default-container", "the container that kubectl means when none is named",
        "Beside a mesh's sidecar, `kubectl logs` and `kubectl exec` should reach the app.", [Nobody];

    // Namespaces and what an environment shares.
    POD_SECURITY = "namespace.pod-security", "the Pod Security level that the namespace enforces",
        "Every rendered pod meets the restricted level, so the cluster can refuse whatever does not.",
        [Platform("security.standard")];
    NAMESPACE_LABELS = "namespace.labels", "labels that the platform puts on every namespace",
        "Quotas and policies of the platform select namespaces by them.", [Platform("namespaceLabels")];
    MESH_INJECTION = "namespace.mesh", "the label that lets the mesh add its proxy to pods",
        "Timeouts, retries and circuit breaking act only where the proxy is.", [Platform("mesh")];
    PRIORITY = "priority.class", "the priority of a tier",
        "When nodes run short, the scheduler evicts the less important tier instead of the youngest pod.",
        [Platform("tiers"), App("tier")];
    PRIORITY_SHARED = "priority.shared", "how the priority class behaves beside others",
        "A class of Kiban applies to the pods that name it, never to those of somebody else.", [Nobody];

    // Accounts and permissions.
    SERVICE_ACCOUNT = "account.own", "a ServiceAccount of the app's own",
        "Permissions given to one app must not leak to its neighbours in the namespace.", [Override];
    DEPLOYER = "account.deployer", "the service account as which a namespace's objects are written, and its rights",
        "A pull request to one team's folder must not be able to change another team's namespace.",
        [Platform("deployer")];
    DEPLOYER_KINDS = "account.deployer-kinds", "rights on routes and the mesh's objects, as a part of the role admin",
        "Kubernetes' own role for a namespace knows its own kinds only.", [Platform("deployer")];
    NO_TOKEN = "account.no-token", "no API token in the pods",
        "An app that does not call the Kubernetes API cannot lose a token to an attacker.", [Override];
    API_TOKEN = "account.token", "the API token that the app asks for",
        "An app that works on the cluster's objects says so, in review.", [App("identity.token")];
    CLOUD_IDENTITY = "account.identity", "annotations and labels that give the pods an identity outside the cluster",
        "A role that comes with the pod needs no key that could leak.",
        [App("identity"), Platform("identities")];
    PULL_SECRET = "image.pull-secret", "the Secret with the registry's credentials",
        "A private registry refuses pulls without them.", [Platform("registry.pullSecrets")];

    // Configuration.
    CONFIG = "config.env", "environment variables, in a ConfigMap",
        "Plain settings are readable in the repository and in the cluster.", [App("env")];
    CONFIG_NAME = "config.name", "the hash of the content in the ConfigMap's name",
        "A changed setting starts a rollout, and a rollback finds the settings it ran with.", [App("env")];
    CONFIG_IMMUTABLE = "config.immutable", "the ConfigMap cannot be edited in place",
        "A pod that starts later must not see other settings than its siblings.", [Nobody];
    ABOUT = "config.about", "the app's name and environment, as environment variables",
        "Logs and traces of the app can carry them without a setting of their own.", [Nobody];
    CALL_ADDRESS = "config.call-address", "the address of each called app, as an environment variable",
        "The address depends on the environment; code that builds it would repeat the naming pattern.",
        [App("calls"), App("env")];
    CONFIG_REF = "config.reference", "the container reads its environment from the ConfigMap",
        "One reference carries all settings, so adding a variable is one line of app.yaml.", [App("env")];
    SECRET_FILES = "secrets.files", "secrets mounted as read-only files under the secrets folder",
        "Environment variables leak into crash reports and child processes; files do not.", [App("secrets")];
    SECRET_ENV = "secrets.env", "secrets as environment variables, where the app asks for it",
        "Some programs read credentials from nowhere else.", [App("secrets"), App("env")];
    POD_FIELDS = "config.pod-fields", "fields of the pod as environment variables",
        "A program may want to know which replica it is.", [App("env")];
    FILES = "config.files", "files of the app's folder, mounted where the app asks for them",
        "Settings that do not fit in a variable are reviewed like the rest.", [App("files")];

    // Containers.
    IMAGE = "image.pin", "the image by digest",
        "A digest names the same bytes for ever, so review, rollback and scan speak of what runs.",
        [Pin, App("image")];
    PULL_ALWAYS = "image.pull-policy", "pull policy Always",
        "The registry's permission is checked at each start, and with a digest it costs one small request.",
        [Platform("registry.pullPolicy")];
    COMMAND = "container.run", "what the container runs",
        "The image's entry point runs unless the app says otherwise.", [App("run")];
    PORTS = "container.ports", "the ports that the app listens on, by name",
        "Probes, Services and NetworkPolicies refer to names, so a number is changed in one place.",
        [App("ports")];
    CPU = "resources.cpu", "CPU request and limit by size",
        "The request places the pod and drives the autoscaler; the limit keeps one pod from starving a node.",
        [App("size"), Platform("sizes"), Platform("cpuLimit")];
    MEMORY = "resources.memory", "memory request equal to the limit",
        "A pod that may use more than it asked for is killed when its node is busy, that is, at the worst time.",
        [App("size"), Platform("sizes")];
    DISK = "resources.disk", "ephemeral storage request and limit",
        "A log or a temporary file that grows evicts its own pod, not its neighbours.",
        [App("size"), Platform("sizes")];
    WRITABLE = "container.writable", "empty folders that the app may write to",
        "The root filesystem is read-only, so what is written is stated and bounded.", [App("writable")];
    CONTAINER_NAME = "container.name", "the container's name, from the app's",
        "`kubectl logs -c`, metrics and the autoscaler name it.", [Nobody];
    NON_ROOT = "security.non-root", "user and group ids of 10000 and more, never root",
        "An id that no user of the host has is worth nothing outside the container.",
        [Platform("security.user"), Platform("security.group")];
    VOLUME_GROUP = "security.volume-group", "mounted files belong to the app's group",
        "A process that is not root could not read its own secrets otherwise.", [Override];
    SECCOMP = "security.seccomp", "the runtime's default seccomp profile",
        "Hundreds of system calls that apps never use are closed to an attacker.", [Override];
    NO_CAPABILITIES = "security.capabilities", "all capabilities dropped",
        "A port above 1024 needs none, and each is a step towards the host.", [Override];
    NO_ESCALATION = "security.no-escalation", "no process may gain privileges",
        "A setuid binary in the image must not undo the other restrictions.", [Override];
    READ_ONLY_ROOT = "security.read-only-root", "the root filesystem is read-only",
        "An intruder cannot plant a tool, and nothing is lost when the pod goes.",
        [Platform("security.readOnlyRoot")];
    NO_SERVICE_LINKS = "container.no-service-links", "no environment variables for each Service",
        "Thousands of Services would fill the environment, and a Service named like a setting would shadow it.",
        [Override];
    NDOTS = "dns.ndots", "external names are looked up directly",
        "The cluster's default tries several search domains first and multiplies DNS traffic.", [Override];

    NODE_SELECTOR = "nodes.selector", "labels that a node must have",
        "Some nodes are not for apps.", [Platform("nodes.selector")];
    TOLERATIONS = "nodes.tolerations", "taints that the pods bear",
        "Nodes that are kept for apps are tainted against everything else.", [Platform("nodes.tolerations")];

    // Life of a pod.
    RESTART_ALWAYS = "restart.always", "a container that ends is started again",
        "A service has no end of its own.", [Nobody];
    READY = "health.ready", "the readiness probe",
        "A pod gets requests only while it says that it can serve them.", [App("health.ready"), Platform("probes")];
    LIVE = "health.live", "the liveness probe, more patient than readiness",
        "A process that hangs is restarted, one that is merely busy is not.", [App("health.live"), Platform("probes")];
    STARTUP = "health.startup", "the startup probe, with the time that the app asks for",
        "A slow start must not be taken for a hang.", [App("health.startup"), Platform("probes.startup")];
    PRE_STOP = "shutdown.pre-stop", "a pause before the stop signal",
        "Proxies and load balancers learn of a leaving pod some seconds late; until then it still serves.",
        [App("shutdown.delay"), Platform("rollout.delay")];
    GRACE = "shutdown.grace", "the grace period: pause, longest request, drain, and never below 30 s",
        "A pod that is killed before its last request is answered loses that request.",
        [App("shutdown.drain"), App("calls"), Platform("rollout.drain")];
    PRIORITY_NAME = "priority.name", "the priority class of the app's tier",
        "When nodes run short, the scheduler evicts the less important tier instead of the youngest pod.",
        [App("tier")];
    HOST_SPREAD = "spread.hosts", "pods of an app prefer different nodes",
        "The loss of one node must not take all pods; a preference still lets a small cluster run them.",
        [Platform("spread.hosts")];
    ZONE_SPREAD = "spread.zones", "pods of an app spread evenly over zones and nodes",
        "The loss of a zone must leave the share of pods that the other zones hold.",
        [Platform("spread.zones")];

    // Rollout and number.
    REPLICAS = "scale.fixed", "a fixed number of replicas where nothing scales",
        "An autoscaler whose minimum is its maximum only adds a moving part.", [App("scale")];
    ROLLOUT = "rollout.strategy", "a rollout removes no pod before its successor is ready",
        "Capacity never drops below what the autoscaler asked for.", [Platform("rollout.surge")];
    MIN_READY = "rollout.min-ready", "a new pod counts only after some seconds of being ready",
        "A process that crashes right after its first probe stops the rollout instead of finishing it.",
        [Platform("rollout.settle")];
    ROLLOUT_DEADLINE = "rollout.deadline", "when a rollout counts as stuck",
        "Someone has to hear of it, and a slow start has to fit in.",
        [App("health.startup"), Platform("rollout.deadline")];
    HISTORY = "rollout.history", "how many old ReplicaSets stay",
        "The repository holds the history; a few are enough for `kubectl rollout undo`.",
        [Platform("rollout.history")];
    SCALE_BOUNDS = "scale.bounds", "the autoscaler's least and most replicas",
        "The least carries a failure, the most protects the budget and whatever lies behind.",
        [App("scale.from"), App("scale.to"), Platform("scaling.headroom")];
    SCALE_TARGET = "scale.target", "what the autoscaler aims for",
        "The gap up to 100 % is what carries a surge until new pods are ready.", [App("scale.cpu"), App("scale.memory"), Platform("scaling.cpu")];
    SCALE_REF = "scale.reference", "the workload that the autoscaler scales",
        "It owns the number of replicas; nothing else sets one.", [Nobody];
    SCALE_UP = "scale.up", "scaling up at once, at most doubling each quarter minute",
        "A surge is answered faster than pods start, without a jump to the maximum on one bad sample.",
        [Platform("scaling.up")];
    SCALE_DOWN = "scale.down", "scaling down slowly, after some quiet minutes",
        "Load that comes in waves must not make pods come and go.", [Platform("scaling.down")];
    BUDGET = "disruption.budget", "how many pods may be missing while nodes are drained",
        "Maintenance goes on, and the app keeps serving while it does.",
        [App("tier"), Platform("tiers")];
    BUDGET_UNHEALTHY = "disruption.unhealthy", "pods that are not ready may always be evicted",
        "A broken app must not block the drain of the node it is broken on.", [Override];

    // Network.
    SERVICE_TYPE = "service.type", "ClusterIP, or NodePort where the platform keeps its load balancer outside",
        "A load balancer outside the cluster's life lets clusters be replaced behind it.",
        [Platform("service")];
    SERVICE_PORT = "service.port", "the ports that other apps call; never the metrics port",
        "Callers use one well-known port whatever the app listens on.", [App("ports")];
    NODE_PORT = "service.node-port", "a fixed node port",
        "The load balancer outside the cluster is configured with it and survives the cluster.",
        [App("ports")];
    POLICY_TYPES = "network.isolation", "both directions are closed but for what is listed",
        "An intruder in one pod reaches only what that app calls.", [Nobody];
    POLICY_CALLERS = "network.callers", "ingress from the apps that list this one in their `calls`",
        "The call graph is stated once and enforced on both ends.", [App("calls")];
    POLICY_CALLS = "network.calls", "egress to the apps in `calls`",
        "The call graph is stated once and enforced on both ends.", [App("calls")];
    POLICY_EXTERNAL = "network.external", "egress to addresses outside the platform",
        "What leaves the cluster is listed and reviewed.", [App("calls")];
    POLICY_DNS = "network.dns", "egress to the cluster's DNS",
        "Every name lookup needs it.", [Platform("network.dns"), Platform("network.nodeDns")];
    POLICY_GATEWAY = "network.gateway", "ingress from the gateway, for a public app",
        "Requests from outside come through the gateway and from nowhere else.",
        [App("public"), Platform("network.entry")];
    POLICY_METRICS = "network.metrics", "ingress from monitoring to the metrics port",
        "A scraper needs the metrics port, and nobody else does.", [Platform("network.monitoring")];
    POLICY_MESH = "network.mesh", "egress to the mesh's control plane, ingress to the proxy's own metrics",
        "Without it the proxy gets neither configuration nor certificates.", [Platform("mesh")];
    POLICY_NODES = "network.nodes", "ingress from nodes and load balancers",
        "Requests through a node port come from their addresses.", [Platform("network.nodes")];
    POLICY_FOREIGN = "network.foreign-callers", "ingress from callers that this repository does not hold",
        "They cannot state the call themselves.", [App("callers")];
    ROUTE_PARENT = "public.gateway", "the gateway or ingress class that takes the traffic",
        "The platform owns the listeners, certificates and addresses; apps attach to them.",
        [Platform("entry")];
    ROUTE_HOST = "public.host", "the host name", "The app is reached by it.", [App("public")];
    ROUTE_BACKEND = "public.backend", "the app's Service and the port that answers",
        "The main port answers unless the app names another.", [App("public")];
    ROUTE_TIMEOUT = "public.timeout", "how long the gateway waits for an answer: the app's time to drain",
        "A request that may last longer than a replica has when it ends would be lost in a rollout.",
        [App("shutdown.drain"), Platform("rollout.drain")];
    ROUTE_ANNOTATIONS = "public.annotations", "annotations for the controller that reads the route",
        "Each controller has settings of its own.", [Platform("entry.annotations")];
    ROUTE_PATH = "public.path", "the paths below a prefix", "The app says which of the host's paths are its.",
        [App("public")];
    ROUTE_TLS = "public.tls", "the certificate's Secret", "Public traffic is encrypted.", [Platform("entry")];

    // Mesh.
    MESH_HOST = "mesh.host", "the called Service's full name",
        "A short name means another Service in another namespace.", [Nobody];
    MESH_CALLER = "mesh.caller", "the rule applies to one caller",
        "Two callers may wait for the same app with different patience.", [App("calls")];
    MESH_TIMEOUT = "mesh.timeout", "how long the caller waits in all, retries included",
        "Without a limit one slow app holds the threads of every app above it.",
        [App("calls.<app>.timeout"), Platform("mesh.timeout")];
    MESH_RETRIES = "mesh.retries", "how often a failed call is tried again, within the timeout",
        "One lost pod is hidden from users, and the retries cannot outlast the caller's patience.",
        [App("calls.<app>.retries"), App("calls.<app>.perTry"), Platform("mesh.retries")];
    MESH_RETRY_ON = "mesh.retry-on", "which failures are tried again",
        "Only requests that cannot have been carried out are repeated unless the app declares its retries.",
        [Platform("mesh.retryOn")];
    MESH_EXTERNAL = "mesh.external", "hosts outside that the app calls, made known to the mesh",
        "The mesh can then count them, and leave them out when they fail.",
        [App("calls"), Platform("externals")];
    MESH_VISIBLE = "mesh.visible", "the object holds for the caller's namespace alone",
        "What one team sets for its calls must not change another team's.", [Nobody];
    MESH_POOL = "mesh.connection-pool", "limits on connections, waiting requests and concurrent retries",
        "The mesh's own limits are practically infinite, so a slow app would drag its callers down.",
        [Platform("mesh.pool")];
    MESH_OUTLIER = "mesh.outlier-detection", "a pod that keeps failing gets no requests for a while",
        "Readiness is the pod's opinion; this is its callers'.", [Platform("mesh.outliers")];
    MESH_LOCAL = "mesh.default-route", "the route for callers that declare nothing",
        "They keep working, without retries and with the platform's timeout.", [Platform("mesh.timeout")];
    ACCESS_LOG = "mesh.access-log", "one access log format for every app",
        "Dashboards, alerts and searches work on every app from its first request.",
        [Platform("accessLog")];

    // Jobs.
    SCHEDULE = "job.schedule", "when the job starts", "The app says so.", [App("jobs.<job>.schedule")];
    JOB_ZONE = "job.time-zone", "the schedule's time zone",
        "Without one the schedule depends on how the control plane's machine is set.",
        [App("jobs.<job>.timezone"), Platform("jobs.timezone")];
    JOB_SUSPEND = "job.suspend", "the job is kept from running", "The app says so.",
        [App("jobs.<job>.suspend")];
    JOB_ENV = "job.env", "environment variables of the job alone", "The app says so.", [App("jobs.<job>.env")];
    JOB_RUN = "job.run", "what the job runs", "The app says so.", [App("jobs.<job>.run")];
    JOB_FORBID = "job.no-overlap", "a run that is due while the last one runs is skipped",
        "Two runs at a time are what most jobs are not written for.", [Override];
    JOB_GRACE = "job.grace", "how long a run has to end when its node is drained",
        "A run that is told to stop may want to note how far it got.", [Override];
    JOB_START_DEADLINE = "job.start-deadline", "how late a missed run may still start",
        "A control plane that was away must not start a run just before the next.",
        [App("jobs.<job>.deadline"), Platform("jobs.deadline")];
    JOB_DEADLINE = "job.deadline", "how long a run may take in all",
        "A run that hangs would block all that follow.", [App("jobs.<job>.timeout"), Platform("jobs.timeout")];
    JOB_RETRIES = "job.retries", "how often a failed run is tried again",
        "A failure that repeats is for a person to see, not to be retried for hours.",
        [App("jobs.<job>.retries"), Platform("jobs.retries")];
    JOB_DISRUPTION = "job.disruption", "pods lost to a drained node do not count as failures",
        "Maintenance is not the job's fault.", [Override];
    JOB_TTL = "job.ttl", "finished runs are removed after a while",
        "Their pods keep logs and events readable for a while and then stop filling the API.",
        [Platform("jobs.ttl")];
    JOB_HISTORY = "job.history", "how many finished runs are kept",
        "The last few say whether it works; the rest is history for metrics.",
        [Platform("jobs.succeeded"), Platform("jobs.failed")];
    JOB_RESTART = "job.restart", "a failed pod is replaced, not restarted in place",
        "The failed pod's logs stay readable, and failures are counted in one place.", [Nobody];

    // Escape hatches.
    OVERRIDE = "escape.override", "a value that the app sets itself",
        "What the spec cannot say can still be said, in the open and checked against the schema.",
        [App("override")];
    EXTRA = "escape.extra", "an object that the app brings itself",
        "What the spec has no kind for can still be shipped with the app.", [App("extra/")];
    PLATFORM_OBJECT = "platform.object", "an object of the platform team",
        "Cluster-wide objects are the platform team's.", [Platform("platform/")];
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_every_rule_says_what_why_and_who() {
        let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), RULES.len());
        for rule in RULES {
            assert!(rule.id.contains('.'), "{}", rule.id);
            assert!(!rule.what.is_empty() && !rule.what.ends_with('.'), "{}", rule.id);
            assert!(rule.why.ends_with('.'), "{}: a reason is a sentence", rule.id);
            assert!(!rule.who.is_empty(), "{}", rule.id);
            assert_eq!(by_id(rule.id), Some(*rule));
        }
    }
}
