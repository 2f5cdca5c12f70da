//! Checks of pods and of the templates they are made from.

use std::collections::{BTreeMap, BTreeSet};

use kiban_base::names;
use kiban_base::quantity::Quantity;
use serde_json::{Value, json};

use super::at::{At, dig, field, list, text};
use super::cause::Causes;
use super::meta::{annotations, labels};
use super::rule::{self, Check, Rule, rule as r, run};
use super::{container, env, net, resources, scheduling, security, volume};

const RESTART_POLICIES: &[&str] = &["Always", "OnFailure", "Never"];
const DNS_POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
/// Marks the image of a pod that a kubelet runs on its own.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
/// Prefix of the annotations that once named profiles.
pub(crate) const APP_ARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";

/// What the checks of a container need to know of its pod.
pub(crate) struct PodScope<'v> {
    /// The volumes that are right, by name.
    pub(crate) volumes: BTreeMap<&'v str, &'v Value>,
    /// The names of its resource claims.
    pub(crate) claims: BTreeSet<&'v str>,
    /// Its grace period in seconds.
    pub(crate) grace: Option<i64>,
    /// Its restart policy.
    pub(crate) restart: &'v str,
    /// Whether it shares the node's users.
    pub(crate) host_users: bool,
}

const SPEC: &[Rule] = &[
    r("serviceAccountName", Check::Text(names::check_dns1123_subdomain)),
    r("nodeName", Check::Text(names::check_dns1123_subdomain)),
    r("activeDeadlineSeconds", Check::Within(1, i32::MAX as i64)),
    r("hostname", Check::Text(names::check_dns1123_label)),
    r("subdomain", Check::Text(names::check_dns1123_label)),
    r("tolerations", Check::With(scheduling::tolerations)),
    r("hostAliases[].ip", Check::Always(net::ip)),
    r("hostAliases[].hostnames[]", Check::TextAsIs(names::check_dns1123_subdomain)),
    r("priorityClassName", Check::Text(names::check_dns1123_subdomain)),
    r("runtimeClassName", Check::With(rule::dns_subdomain)),
    r("preemptionPolicy", Check::With(|at, out| rule::must_be(at, &["PreemptLowerPriority", "Never"], out))),
    r("overhead", Check::With(overhead)),
    r("", Check::Always(security::operating_system)),
];

/// The spec of a pod, or of a template when `pod_meta` is absent.
pub(crate) fn spec(at: &At<'_, '_>, pod_meta: Option<&Value>, out: &mut Causes) {
    let value = at.value;
    let grace = at.get("terminationGracePeriodSeconds");
    if !grace.is_set() {
        out.required(grace, "");
    }
    let pod_name = pod_meta.map_or("", |meta| text(field(meta, "name")));
    let volumes_at = at.get("volumes");
    let scope = PodScope {
        volumes: volume::volumes(&volumes_at, pod_name, pod_meta.is_some(), out),
        claims: list(field(value, "resourceClaims")).iter().map(|c| text(field(c, "name"))).collect(),
        grace: grace.int(),
        restart: text(field(value, "restartPolicy")),
        host_users: field(value, "hostUsers").as_bool() != Some(false),
    };
    container::resource_claims(&at.get("resourceClaims"), out);
    container::containers(&at.get("containers"), &scope, out);
    container::init_containers(&at.get("initContainers"), field(value, "containers"), &scope, out);
    container::ephemeral_containers(&at.get("ephemeralContainers"), value, &scope, out);
    pod_resources(at, &scope, out);
    host_network_ports(at, pod_meta.is_some(), out);
    rule::must_be(&at.get("restartPolicy"), RESTART_POLICIES, out);
    rule::must_be(&at.get("dnsPolicy"), DNS_POLICIES, out);
    labels(&at.get("nodeSelector"), out);
    security::pod(&at.get("securityContext"), value, out);
    scheduling::affinity(&at.get("affinity"), out);
    dns_config(at, out);
    env::readiness_gates(&at.get("readinessGates"), out);
    scheduling::scheduling_gates(&at.get("schedulingGates"), out);
    scheduling::spread(&at.get("topologySpreadConstraints"), out);
    host_users(at, &scope, out);
    run(SPEC, at, out);
}

fn overhead(at: &At<'_, '_>, out: &mut Causes) {
    let parent = json!({ "limits": at.value });
    let wrapped = at.with(&parent);
    resources::requirements(&wrapped, resources::Scope::Container, &BTreeSet::new(), out);
}

fn pod_resources(at: &At<'_, '_>, scope: &PodScope<'_>, out: &mut Causes) {
    let own = at.get("resources");
    if !own.is_set() {
        return;
    }
    if own.get("claims").is_set() {
        out.forbidden(own.get("claims"), "claims cannot be set for Resources at pod-level");
    }
    resources::requirements(&own, resources::Scope::Pod, &scope.claims, out);
    let requests = own.get("requests");
    for (name, sum) in container_requests(at.value) {
        let mine = resources::amount(field(requests.value, &name));
        if sum > mine {
            let detail = format!("must be greater than or equal to aggregate container requests of {sum}");
            out.invalid(requests.path.key(&name), mine.to_string(), &detail);
        }
    }
    let limits = own.get("limits");
    let containers = own.path.child("containers");
    for (index, container) in at.get("containers").items().enumerate() {
        let resources = container.get("resources");
        for (name, entry) in resources.get("limits").entries() {
            let pod = field(limits.value, name);
            let (mine, pod_limit) = (resources::amount(entry.value), resources::amount(pod));
            if !pod.is_null() && mine > pod_limit {
                let place = containers.index(index);
                let place = place.key(name);
                let detail = format!("must be less than or equal to pod limits of {pod_limit}");
                out.invalid(place.child("limits"), mine.to_string(), &detail);
            }
        }
    }
}

/// Amounts by the name of their resource.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// What the containers of a pod ask for together: regular and restartable ones at the same time, each
/// other init container alone beside the restartable ones started before it.
pub(crate) fn container_requests(spec: &Value) -> Amounts {
    let mut sum = Amounts::new();
    for container in list(field(spec, "containers")) {
        add(&mut sum, &requests_of(container));
    }
    let (mut beside, mut peak) = (Amounts::new(), Amounts::new());
    for container in list(field(spec, "initContainers")) {
        let own = requests_of(container);
        let mut at_once = beside.clone();
        add(&mut at_once, &own);
        raise(&mut peak, &at_once);
        if text(field(container, "restartPolicy")) == "Always" {
            add(&mut sum, &own);
            beside = at_once;
        }
    }
    raise(&mut sum, &peak);
    sum
}

fn requests_of(container: &Value) -> Amounts {
    super::at::entries(dig(container, "resources.requests"))
        .map(|(name, value)| (name.to_string(), resources::amount(value)))
        .collect()
}

fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let total = sum.get(name).copied().unwrap_or_default() + *amount;
        sum.insert(name.clone(), total);
    }
}

fn raise(to: &mut Amounts, at_least: &Amounts) {
    for (name, amount) in at_least {
        let most = to.get(name).map_or(*amount, |have| (*have).max(*amount));
        to.insert(name.clone(), most);
    }
}

fn host_network_ports(at: &At<'_, '_>, is_pod: bool, out: &mut Causes) {
    if !at.get("hostNetwork").is_true() {
        return;
    }
    for container in at.get("containers").items() {
        for port in container.get("ports").items() {
            let (host, own) = (port.get("hostPort"), port.get("containerPort").int_or_zero());
            let number = host.int_or_zero();
            if (is_pod || number != 0) && number != own {
                out.invalid(host, number, "must match `containerPort` when `hostNetwork` is true");
            }
        }
    }
}

fn host_users(at: &At<'_, '_>, scope: &PodScope<'_>, out: &mut Causes) {
    if scope.host_users {
        return;
    }
    for (name, place) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if at.get(name).is_true() {
            out.forbidden(at.path.child(place), "when `pod.Spec.HostUsers` is false");
        }
    }
}

const NAMESERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;

fn dns_config(spec: &At<'_, '_>, out: &mut Causes) {
    let at = spec.get("dnsConfig");
    let servers = at.get("nameservers");
    if spec.get("dnsPolicy").str() == "None" {
        if !at.is_set() {
            return out.required(at, "must provide `dnsConfig` when `dnsPolicy` is None");
        }
        if servers.is_empty() {
            return out
                .required(servers, "must provide at least one DNS nameserver when `dnsPolicy` is None");
        }
    }
    if servers.len() > NAMESERVERS_MAX {
        out.invalid(servers, &servers, &format!("must not have more than {NAMESERVERS_MAX} nameservers"));
    }
    for server in servers.items() {
        net::ip(&server, out);
    }
    let searches = at.get("searches");
    if searches.len() > SEARCHES_MAX {
        out.invalid(searches, &searches, &format!("must not have more than {SEARCHES_MAX} search paths"));
    }
    let joined: usize = searches.items().map(|s| s.len() + 1).sum();
    if joined > SEARCH_CHARS_MAX + 1 {
        let detail = format!(
            "must not have more than {SEARCH_CHARS_MAX} characters (including spaces) in the search list"
        );
        out.invalid(searches, &searches, &detail);
    }
    for search in searches.items() {
        let name = search.str().strip_suffix('.').unwrap_or(search.str());
        if search.str() != "." {
            out.invalid_each(search, name, net::check_subdomain_with_underscore(name));
        }
    }
    for option in at.get("options").items() {
        if option.get("name").is_empty() {
            out.required(option, "must not be empty");
        }
    }
}

/// Metadata and spec of a template.
pub(crate) fn template(at: &At<'_, '_>, out: &mut Causes) {
    template_meta(at, out);
    let pod = at.get("spec");
    spec(&pod, None, out);
    profiles_match(&at.get("metadata"), &pod, out);
    let ephemeral = pod.get("ephemeralContainers");
    if !ephemeral.is_empty() {
        out.forbidden(ephemeral, "ephemeral containers not allowed in pod template");
    }
}

/// A template's labels and annotations. Causes leave `metadata` out of the path, as upstream's do.
fn template_meta(at: &At<'_, '_>, out: &mut Causes) {
    let meta = at.get("metadata");
    labels(&At { value: meta.get("labels").value, path: at.path.child("labels") }, out);
    let notes = At { value: meta.get("annotations").value, path: at.path.child("annotations") };
    annotations(&notes, out);
    pod_annotations(&notes, &at.get("spec"), out);
}

fn pod_annotations(at: &At<'_, '_>, spec: &At<'_, '_>, out: &mut Causes) {
    let mirror = field(at.value, MIRROR);
    if !mirror.is_null() && spec.get("nodeName").is_empty() {
        let detail = "must set spec.nodeName if mirror pod annotation is set";
        out.invalid(at.path.key(MIRROR), mirror, detail);
    }
    if let Some(cost) = field(at.value, DELETION_COST).as_str()
        && !is_deletion_cost(cost)
    {
        out.invalid(at.path.key(DELETION_COST), cost, "must be a 32bit integer");
    }
    for (key, value) in at.entries() {
        if key == SECCOMP_POD || key.starts_with(SECCOMP_CONTAINER) {
            seccomp_annotation(value.str(), &at.path.child(key), out);
        }
        if let Some(name) = key.strip_prefix(APP_ARMOR) {
            app_armor_annotation(name, &value, spec, out);
        }
    }
}

fn is_deletion_cost(text: &str) -> bool {
    let padded = text.starts_with('+') || (text.len() > 1 && text.starts_with('0'));
    !padded && text.parse::<i32>().is_ok()
}

fn seccomp_annotation(profile: &str, place: &super::at::Path<'_>, out: &mut Causes) {
    if let Some(file) = profile.strip_prefix("localhost/") {
        volume::descending_path(file, place, out);
    } else if !matches!(profile, "runtime/default" | "docker/default" | "unconfined") {
        out.invalid(place, profile, "must be a valid seccomp profile");
    }
}

fn app_armor_annotation(name: &str, at: &At<'_, '_>, spec: &At<'_, '_>, out: &mut Causes) {
    let exists = CONTAINER_LISTS
        .iter()
        .any(|l| list(field(spec.value, l)).iter().any(|c| text(field(c, "name")) == name));
    if !exists {
        out.invalid(at, name, "container not found");
    }
    let profile = at.str();
    let good = matches!(profile, "" | "runtime/default" | "unconfined") || profile.starts_with("localhost/");
    if !good {
        out.invalid(at, profile, &format!("invalid AppArmor profile name: {}", super::cause::quote(profile)));
    }
}

const CONTAINER_LISTS: &[&str] = &["initContainers", "containers", "ephemeralContainers"];

/// Where annotations of old and fields of new both name a profile, they agree.
fn profiles_match(meta: &At<'_, '_>, spec: &At<'_, '_>, out: &mut Causes) {
    let notes = meta.get("annotations");
    let pod = spec.get("securityContext");
    profile_matches(field(notes.value, SECCOMP_POD), &pod.get("seccompProfile"), "seccomp", out);
    let pod_app_armor = field(pod.value, "appArmorProfile");
    for name in CONTAINER_LISTS {
        for container in spec.get(name).items() {
            let own = container.get("securityContext");
            let key = format!("{SECCOMP_CONTAINER}{}", container.get("name").str());
            profile_matches(field(notes.value, &key), &own.get("seccompProfile"), "seccomp", out);
            let key = format!("{APP_ARMOR}{}", container.get("name").str());
            let app_armor = own.get("appArmorProfile");
            let effective = if app_armor.is_set() { app_armor.value } else { pod_app_armor };
            profile_matches(field(notes.value, &key), &app_armor.with(effective), "apparmor", out);
        }
    }
}

fn profile_matches(annotation: &Value, at: &At<'_, '_>, what: &str, out: &mut Causes) {
    let Some(annotation) = annotation.as_str() else { return };
    let file = at.get("localhostProfile");
    let kind_matches = match at.get("type").str() {
        "Unconfined" => annotation == "unconfined",
        "RuntimeDefault" => {
            annotation == "runtime/default" || (what == "seccomp" && annotation == "docker/default")
        }
        "Localhost" => annotation.starts_with("localhost/"),
        _ => return,
    };
    if !kind_matches {
        out.forbidden(at.get("type"), &format!("{what} type in annotation and field must match"));
    } else if at.get("type").str() == "Localhost"
        && annotation.strip_prefix("localhost/") != file.value.as_str()
    {
        out.forbidden(file, &format!("{what} profile in annotation and field must match"));
    }
}

/// A pod's annotations and spec, and what holds for pods but not for templates.
pub(crate) fn metadata_and_spec(at: &At<'_, '_>, out: &mut Causes) {
    let (meta, pod) = (at.get("metadata"), at.get("spec"));
    pod_annotations(&meta.get("annotations"), &pod, out);
    spec(&pod, Some(meta.value), out);
    if pod.get("serviceAccountName").is_empty() {
        for volume in pod.get("volumes").items() {
            let projected = volume.get("projected");
            for source in projected.get("sources").items() {
                let token = source.get("serviceAccountToken");
                if token.is_set() {
                    out.forbidden(token, "must not be specified when serviceAccountName is not set");
                }
            }
        }
    }
    for name in ["containers", "initContainers"] {
        for container in pod.get(name).items() {
            container::image_padding(&container, out);
        }
    }
}

/// A new pod.
pub(crate) fn create(at: &At<'_, '_>, out: &mut Causes) {
    metadata_and_spec(at, out);
    let pod = at.get("spec");
    if !pod.get("ephemeralContainers").is_empty() {
        out.forbidden(pod.get("ephemeralContainers"), "cannot be set on create");
    }
    if !pod.get("nodeName").is_empty() && !pod.get("schedulingGates").is_empty() {
        out.forbidden(pod.get("nodeName"), "cannot be set until all schedulingGates have been cleared");
    }
    profiles_match(&at.get("metadata"), &pod, out);
}
