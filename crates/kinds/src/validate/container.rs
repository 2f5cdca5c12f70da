//! Checks of containers: what every container has, and what init and ephemeral ones may not.

use std::collections::{BTreeMap, BTreeSet};

use kiban_base::names;
use serde_json::Value;

use super::at::{At, field, list, text};
use super::cause::Causes;
use super::pod::PodScope;
use super::rule::{self, Check, Rule, dns_label, rule as r, run};
use super::volume::{backsteps, descending_path};
use super::{env, probe, resources, security};

const PULL_POLICIES: &[&str] = &["Always", "IfNotPresent", "Never"];
/// Transport protocols of ports.
pub(crate) const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];
const PROPAGATIONS: &[&str] = &["Bidirectional", "HostToContainer", "None"];
const RECURSIVE: &[&str] = &["Disabled", "Enabled", "IfPossible"];
const RESTART_POLICIES: &[&str] = &["Always", "Never", "OnFailure"];
const RESTART_RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;

const BEFORE_PORTS: &[Rule] = &[
    r("name", Check::RequiredText(names::check_dns1123_label)),
    r("image", Check::Required),
    r("terminationMessagePolicy", Check::MustBe(&["File", "FallbackToLogsOnError"])),
];

/// Regular containers.
pub(crate) fn containers(at: &At<'_, '_>, pod: &PodScope<'_>, out: &mut Causes) {
    if at.is_empty() {
        return out.required(at, "");
    }
    let mut seen = BTreeSet::new();
    for container in at.items() {
        common(&container, pod, out);
        let name = container.get("name");
        if !seen.insert(name.str()) {
            out.duplicate(name, name.str());
        }
        running(&container, pod, out);
        restart_policy(&container, out);
    }
    host_ports(at, out);
}

/// Init containers; those that restart always live beside the regular ones and may be probed like them.
pub(crate) fn init_containers(at: &At<'_, '_>, regular: &Value, pod: &PodScope<'_>, out: &mut Causes) {
    let mut seen: BTreeSet<&str> = list(regular).iter().map(|c| text(field(c, "name"))).collect();
    for container in at.items() {
        common(&container, pod, out);
        restart_policy(&container, out);
        let name = container.get("name");
        if seen.contains(name.str()) {
            out.duplicate(name, name.str());
        } else if !name.is_empty() {
            seen.insert(name.str());
        }
        host_ports_of(&container, &at.path, &mut BTreeSet::new(), 0, out);
        if container.get("restartPolicy").str() == "Always" {
            running(&container, pod, out);
            continue;
        }
        for hook in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
            let hook = container.get(hook);
            if hook.is_set() {
                out.forbidden(hook, "may not be set for init containers without restartPolicy=Always");
            }
        }
    }
}

const NOT_EPHEMERAL: &[&str] = &[
    "ports",
    "resources",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
];

/// Ephemeral containers: for looking around, so no ports, probes or resources.
pub(crate) fn ephemeral_containers(at: &At<'_, '_>, spec: &Value, pod: &PodScope<'_>, out: &mut Causes) {
    let names_of = |key| list(field(spec, key)).iter().map(|c| text(field(c, "name")));
    let others: BTreeSet<&str> = names_of("containers").chain(names_of("initContainers")).collect();
    let mut seen = others.clone();
    for container in at.items() {
        common(&container, pod, out);
        image_padding(&container, out);
        let name = container.get("name");
        if !seen.insert(name.str()) {
            out.duplicate(name, name.str());
        }
        let target = container.get("targetContainerName");
        if !target.is_empty() && !others.contains(target.str()) {
            out.not_found(target, target.str());
        }
        for name in NOT_EPHEMERAL {
            let place = container.get(name);
            if place.is_set() && !super::same::same(place.value, &Value::Null) {
                out.forbidden(place, "cannot be set for an Ephemeral Container");
            }
        }
        for mount in container.get("volumeMounts").items() {
            for name in ["subPath", "subPathExpr"] {
                if !mount.get(name).is_empty() {
                    out.forbidden(mount.get(name), "cannot be set for an Ephemeral Container");
                }
            }
        }
    }
}

/// Images of a pod may not be padded; templates may, for compatibility.
pub(crate) fn image_padding(at: &At<'_, '_>, out: &mut Causes) {
    let image = at.get("image");
    if image.str().trim().len() != image.len() {
        out.invalid(image, image.str(), "must not have leading or trailing whitespace");
    }
}

fn common(at: &At<'_, '_>, pod: &PodScope<'_>, out: &mut Causes) {
    run(BEFORE_PORTS, at, out);
    ports(&at.get("ports"), out);
    env::variables(&at.get("env"), out);
    env::sources(&at.get("envFrom"), out);
    mounts(at, pod, out);
    devices(at, pod, out);
    rule::must_be(&at.get("imagePullPolicy"), PULL_POLICIES, out);
    resources::requirements(&at.get("resources"), resources::Scope::Container, &pod.claims, out);
    resize_policy(&at.get("resizePolicy"), pod, out);
    security::container(&at.get("securityContext"), pod.host_users, out);
}

fn running(at: &At<'_, '_>, pod: &PodScope<'_>, out: &mut Causes) {
    probe::lifecycle(&at.get("lifecycle"), pod.grace, out);
    probe::liveness(&at.get("livenessProbe"), pod.grace, out);
    probe::readiness(&at.get("readinessProbe"), pod.grace, out);
    probe::liveness(&at.get("startupProbe"), pod.grace, out);
}

fn restart_policy(at: &At<'_, '_>, out: &mut Causes) {
    let policy = at.get("restartPolicy");
    let rules = at.get("restartPolicyRules");
    if !policy.is_set() {
        if !rules.is_empty() {
            out.required(policy, "must specify restartPolicy when restart rules are used");
        }
    } else {
        rule::one_of(&policy, RESTART_POLICIES, out);
    }
    if rules.len() > RESTART_RULES_MAX {
        out.too_many(rules, rules.len(), RESTART_RULES_MAX);
    }
    for item in rules.items() {
        rule::one_of(&item.get("action"), &["Restart", "RestartAllContainers"], out);
        let codes = item.get("exitCodes");
        if !codes.is_set() {
            out.required(codes, "must be specified");
            continue;
        }
        rule::must_be(&codes.get("operator"), &["In", "NotIn"], out);
        let values = codes.get("values");
        if values.len() > EXIT_CODES_MAX {
            out.too_many(values, values.len(), EXIT_CODES_MAX);
        }
    }
}

fn ports(at: &At<'_, '_>, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    for port in at.items() {
        let name = port.get("name");
        if !name.is_empty() {
            let wrong = names::check_port_name(name.str());
            if wrong.is_empty() && !seen.insert(name.str()) {
                out.duplicate(name, name.str());
            }
            out.invalid_each(name, name.str(), wrong);
        }
        let number = port.get("containerPort");
        if number.int_or_zero() == 0 {
            out.required(number, "");
        } else {
            rule::within(&number, 1, 65535, out);
        }
        let host = port.get("hostPort");
        if host.int_or_zero() != 0 {
            rule::within(&host, 1, 65535, out);
        }
        rule::must_be(&port.get("protocol"), PROTOCOLS, out);
    }
}

fn host_ports(at: &At<'_, '_>, out: &mut Causes) {
    let mut taken = BTreeSet::new();
    for (i, container) in at.items().enumerate() {
        host_ports_of(&container, &at.path, &mut taken, i, out);
    }
}

fn host_ports_of(
    container: &At<'_, '_>,
    list: &super::at::Path<'_>,
    taken: &mut BTreeSet<String>,
    index: usize,
    out: &mut Causes,
) {
    let ports = container.get("ports");
    let place = list.index(index);
    let place = place.child("ports");
    for (i, port) in ports.items().enumerate() {
        let number = port.get("hostPort").int_or_zero();
        if number == 0 {
            continue;
        }
        let key = format!("{}/{}/{number}", port.get("protocol").str(), port.get("hostIP").str());
        if taken.contains(&key) {
            out.duplicate(place.index(i).child("hostPort"), key.as_str());
        } else {
            taken.insert(key);
        }
    }
}

fn mounts(container: &At<'_, '_>, pod: &PodScope<'_>, out: &mut Causes) {
    let devices = by_name(container.get("volumeDevices").value, "devicePath");
    let at = container.get("volumeMounts");
    let mut points = BTreeSet::new();
    for mount in at.items() {
        let name = mount.get("name");
        if name.is_empty() {
            out.required(name, "");
        }
        let volume = pod.volumes.get(name.str());
        if volume.is_none() {
            out.not_found(name, name.str());
        }
        let path = mount.get("mountPath");
        if path.is_empty() {
            out.required(path, "");
        }
        if !points.insert(path.str()) {
            out.invalid(path, path.str(), "must be unique");
        }
        if devices.contains_key(name.str()) {
            out.invalid(name, name.str(), "must not already exist in volumeDevices");
        }
        if devices.values().any(|device| *device == path.str()) {
            out.invalid(path, path.str(), "must not already exist as a path in volumeDevices");
        }
        sub_paths(&mount, &at, volume.copied(), out);
        propagation(&mount, &at, container, out);
        recursive_read_only(&mount, &at, out);
    }
}

/// Upstream names the list, not the mount, for what it finds here.
fn sub_paths(mount: &At<'_, '_>, mounts: &At<'_, '_>, volume: Option<&Value>, out: &mut Causes) {
    let (sub, expression) = (mount.get("subPath"), mount.get("subPathExpr"));
    if volume.is_some_and(|v| !field(v, "image").is_null()) {
        for place in [&sub, &expression] {
            if !place.is_empty() {
                out.invalid(place, place.str(), "not allowed in image volume sources");
            }
        }
    }
    if !sub.is_empty() {
        descending_path(sub.str(), &mounts.path.child("subPath"), out);
    }
    if !expression.is_empty() {
        if !sub.is_empty() {
            out.invalid(expression, expression.str(), "subPathExpr and subPath are mutually exclusive");
        }
        descending_path(expression.str(), &mounts.path.child("subPathExpr"), out);
    }
}

fn propagation(mount: &At<'_, '_>, mounts: &At<'_, '_>, container: &At<'_, '_>, out: &mut Causes) {
    let mode = mount.get("mountPropagation");
    if !mode.is_set() {
        return;
    }
    let place = mounts.path.child("mountPropagation");
    if !PROPAGATIONS.contains(&mode.str()) {
        out.unsupported(place, mode.str(), PROPAGATIONS);
    }
    if mode.str() == "Bidirectional" && !container.get("securityContext").get("privileged").is_true() {
        out.forbidden(place, "Bidirectional mount propagation is available only to privileged containers");
    }
}

fn recursive_read_only(mount: &At<'_, '_>, mounts: &At<'_, '_>, out: &mut Causes) {
    let mode = mount.get("recursiveReadOnly");
    if !mode.is_set() {
        return;
    }
    let place = mounts.path.child("recursiveReadOnly");
    match mode.str() {
        "Disabled" => {}
        "Enabled" | "IfPossible" => {
            if !mount.get("readOnly").is_true() {
                out.forbidden(place, "may only be specified when readOnly is true");
            }
            if !matches!(mount.get("mountPropagation").str(), "" | "None") {
                out.forbidden(place, "may only be specified when mountPropagation is None or not specified");
            }
        }
        other => out.unsupported(place, other, RECURSIVE),
    }
}

fn devices(container: &At<'_, '_>, pod: &PodScope<'_>, out: &mut Causes) {
    let mounts = by_name(container.get("volumeMounts").value, "mountPath");
    let at = container.get("volumeDevices");
    let (mut names_seen, mut paths_seen) = (BTreeSet::new(), BTreeSet::new());
    for device in at.items() {
        let (name, path) = (device.get("name"), device.get("devicePath"));
        if name.is_empty() {
            out.required(name, "");
        } else if !names_seen.insert(name.str()) {
            out.invalid(name, name.str(), "must be unique");
        }
        match pod.volumes.get(name.str()) {
            None => out.not_found(name, name.str()),
            Some(volume)
                if field(volume, "persistentVolumeClaim").is_null()
                    && field(volume, "ephemeral").is_null() =>
            {
                let detail =
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode";
                out.invalid(name, name.str(), detail);
            }
            Some(_) => {}
        }
        if path.is_empty() {
            out.required(path, "");
        }
        if paths_seen.contains(path.str()) {
            out.invalid(path, path.str(), "must be unique");
        }
        if backsteps(path.str()) {
            out.invalid(path, path.str(), "can not contain backsteps ('..')");
        } else {
            paths_seen.insert(path.str());
        }
        if mounts.contains_key(name.str()) {
            out.invalid(name, name.str(), "must not already exist in volumeMounts");
        }
        if mounts.values().any(|mount| *mount == path.str()) {
            out.invalid(path, path.str(), "must not already exist as a path in volumeMounts");
        }
    }
}

fn by_name<'v>(items: &'v Value, path: &str) -> BTreeMap<&'v str, &'v str> {
    list(items).iter().map(|item| (text(field(item, "name")), text(field(item, path)))).collect()
}

const RESIZE_POLICIES: &[&str] = &["NotRequired", "RestartContainer"];

fn resize_policy(at: &At<'_, '_>, pod: &PodScope<'_>, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    for policy in at.items() {
        let resource = policy.get("resourceName");
        if !seen.insert(resource.str()) {
            out.duplicate(policy, resource.str());
        }
        rule::must_be(&at.with(resource.value), &["cpu", "memory"], out);
        let restart = policy.get("restartPolicy");
        rule::must_be(&at.with(restart.value), RESIZE_POLICIES, out);
        if pod.restart == "Never" && restart.str() != "NotRequired" {
            out.invalid(at, restart.str(), "must be 'NotRequired' when `restartPolicy` is 'Never'");
        }
    }
}

/// Names that pods claim resources by, and what each stands for.
pub(crate) fn resource_claims(at: &At<'_, '_>, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    for claim in at.items() {
        let name = claim.get("name");
        if name.is_empty() {
            out.required(name, "");
        } else if seen.insert(name.str()) {
            dns_label(&name, out);
        } else {
            out.duplicate(name, name.str());
        }
        let (direct, template) = (claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName"));
        match (direct.is_set(), template.is_set()) {
            (true, true) => {
                let detail =
                    "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified";
                out.invalid(claim, &claim, detail);
            }
            (false, false) => {
                let detail = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`";
                out.invalid(claim, &claim, detail);
            }
            _ => {}
        }
        for place in [direct, template] {
            if place.is_set() {
                rule::dns_subdomain(&place, out);
            }
        }
    }
}
