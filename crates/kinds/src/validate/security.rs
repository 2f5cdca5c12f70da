//! Checks of security contexts, of pods and of containers.

use std::collections::BTreeSet;

use kiban_base::names;
use serde_json::Value;

use super::at::{At, field};
use super::cause::Causes;
use super::rule::{self, Check, Rule, rule as r, run};
use super::volume::descending_path;

const ID: Check = Check::Within(0, i32::MAX as i64);
const POD_RULES: &[Rule] =
    &[r("fsGroup", ID), r("runAsUser", ID), r("runAsGroup", ID), r("supplementalGroups[]", ID)];
const POD_POLICIES: &[Rule] = &[
    r("fsGroupChangePolicy", Check::With(|at, out| rule::one_of(at, &["Always", "OnRootMismatch"], out))),
    r("seccompProfile", Check::With(seccomp)),
    r("windowsOptions", Check::With(windows)),
    r("appArmorProfile", Check::With(app_armor)),
    r("supplementalGroupsPolicy", Check::With(|at, out| rule::one_of(at, &["Merge", "Strict"], out))),
    r("seLinuxChangePolicy", Check::With(|at, out| rule::one_of(at, &["MountOption", "Recursive"], out))),
];
const CONTAINER_RULES: &[Rule] = &[r("runAsUser", ID), r("runAsGroup", ID)];
const SECCOMP_TYPES: &[&str] = &["Localhost", "RuntimeDefault", "Unconfined"];
const APP_ARMOR_PATH_MAX: usize = 4095;
const GMSA_SPEC_MAX: usize = 64 * 1024;
const SYSCTL_FMT: &str = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";

/// The security context of a pod; `spec` is the pod's.
pub(crate) fn pod(at: &At<'_, '_>, spec: &Value, out: &mut Causes) {
    if !at.is_set() {
        return;
    }
    run(POD_RULES, at, out);
    let host = |name| field(spec, name).as_bool() == Some(true);
    // The API server's own type keeps these two beside the security context, and so do its paths.
    if host("shareProcessNamespace") && host("hostPID") {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        out.invalid(at.path.child("shareProcessNamespace"), true, detail);
    }
    sysctls(&at.get("sysctls"), host("hostNetwork"), host("hostIPC"), out);
    run(POD_POLICIES, at, out);
}

fn sysctls(at: &At<'_, '_>, host_network: bool, host_ipc: bool, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    for item in at.items() {
        let name = item.get("name");
        if name.is_empty() {
            out.required(name, "");
        } else if !is_sysctl(name.str()) {
            let detail = format!("must have at most 253 characters and match regex {SYSCTL_FMT}");
            out.invalid(name, name.str(), &detail);
        } else if seen.contains(name.str()) {
            out.duplicate(name, name.str());
        }
        let plain = name.str().replace('/', ".");
        if host_network && plain.starts_with("net.") {
            out.invalid(name, name.str(), "may not be specified when 'hostNetwork' is true");
        } else if host_ipc && is_ipc_sysctl(&plain) {
            out.invalid(name, name.str(), "may not be specified when 'hostIPC' is true");
        }
        seen.insert(name.str());
    }
}

fn is_ipc_sysctl(name: &str) -> bool {
    name == "kernel.sem" || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|p| name.starts_with(p))
}

fn is_sysctl(name: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    name.len() <= 253
        && name.split(['.', '/']).all(|part| {
            let bytes = part.as_bytes();
            bytes.first().is_some_and(|b| alphanumeric(*b))
                && bytes.last().is_some_and(|b| alphanumeric(*b))
                && bytes.iter().all(|b| alphanumeric(*b) || matches!(b, b'-' | b'_'))
        })
}

/// The security context of a container.
pub(crate) fn container(at: &At<'_, '_>, host_users: bool, out: &mut Causes) {
    if !at.is_set() {
        return;
    }
    run(CONTAINER_RULES, at, out);
    let proc_mount = at.get("procMount");
    if proc_mount.is_set() {
        rule::one_of(&proc_mount, &["Default", "Unmasked"], out);
        if host_users && proc_mount.str() == "Unmasked" {
            out.invalid(proc_mount, "Unmasked", "`hostUsers` must be false to use `Unmasked`");
        }
    }
    run(&[r("seccompProfile", Check::With(seccomp))], at, out);
    if at.get("allowPrivilegeEscalation").value.as_bool() == Some(false) {
        if at.get("privileged").is_true() {
            out.invalid(at, at, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        let added = at.get("capabilities");
        for capability in added.get("add").items() {
            if capability.str() == "CAP_SYS_ADMIN" {
                let detail =
                    "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
                out.invalid(at, at, detail);
            }
        }
    }
    run(&[r("windowsOptions", Check::With(windows)), r("appArmorProfile", Check::With(app_armor))], at, out);
}

fn seccomp(at: &At<'_, '_>, out: &mut Causes) {
    let (kind, file) = (at.get("type"), at.get("localhostProfile"));
    if kind.is_empty() {
        out.required(kind, "type is required when seccompProfile is set");
    } else {
        rule::one_of(&kind, SECCOMP_TYPES, out);
    }
    match (kind.str() == "Localhost", file.is_set()) {
        (true, false) => out.required(file, "must be set when seccomp type is Localhost"),
        (true, true) => descending_path(file.str(), &file.path, out),
        (false, true) => out.invalid(file, at, "can only be set when seccomp type is Localhost"),
        (false, false) => {}
    }
}

fn app_armor(at: &At<'_, '_>, out: &mut Causes) {
    let (kind, file) = (at.get("type"), at.get("localhostProfile"));
    match kind.str() {
        "Localhost" => {
            let trimmed = file.str().trim();
            if file.is_set() && trimmed != file.str() {
                out.invalid(file, file.str(), "must not be padded with whitespace");
            } else if trimmed.is_empty() {
                out.required(file, "must be set when AppArmor type is Localhost");
            }
            if file.len() > APP_ARMOR_PATH_MAX {
                out.too_long(file, APP_ARMOR_PATH_MAX);
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if file.is_set() {
                out.invalid(file, &file, "can only be set when AppArmor type is Localhost");
            }
        }
        "" => out.required(kind, "type is required when appArmorProfile is set"),
        other => out.unsupported(kind, other, SECCOMP_TYPES),
    }
}

fn windows(at: &At<'_, '_>, out: &mut Causes) {
    let name = at.get("gmsaCredentialSpecName");
    if name.is_set() {
        out.invalid_each(name, name.str(), names::check_dns1123_subdomain(name.str()));
    }
    let spec = at.get("gmsaCredentialSpec");
    if spec.is_set() && spec.is_empty() {
        out.invalid(spec, "", "gmsaCredentialSpec cannot be an empty string");
    } else if spec.len() > GMSA_SPEC_MAX {
        out.invalid(spec, spec.str(), "gmsaCredentialSpec size must be under 64 KiB");
    }
    let user = at.get("runAsUserName");
    if !user.is_set() {
        return;
    }
    if user.is_empty() {
        out.invalid(user, "", "runAsUserName cannot be an empty string");
    } else if user.str().chars().any(char::is_control) {
        out.invalid(user, user.str(), "runAsUserName cannot contain control characters");
    } else if user.str().matches('\\').count() > 1 {
        out.invalid(user, user.str(), "runAsUserName cannot contain more than one backslash");
    } else {
        windows_user(&user, out);
    }
}

fn windows_user(at: &At<'_, '_>, out: &mut Causes) {
    let (domain, user) = at.str().split_once('\\').map_or((None, at.str()), |(d, u)| (Some(d), u));
    let mut wrong = |detail: &str| out.invalid(at, at.str(), detail);
    if let Some(domain) = domain {
        if domain.len() >= 256 {
            wrong("runAsUserName's Domain length must be under 256 characters");
        }
        let netbios = !domain.starts_with('.')
            && (1..=15).contains(&domain.chars().count())
            && !domain.contains(['\\', '/', ':', '*', '?', '"', '<', '>', '|']);
        if !netbios && !names::is_dns1123_subdomain(&domain.to_lowercase()) {
            wrong("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
        }
    }
    if user.is_empty() {
        wrong("runAsUserName's User cannot be empty");
    } else if user.len() > 104 {
        wrong("runAsUserName's User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|c| c == '.' || c == ' ') {
        wrong("runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        wrong(r#"runAsUserName's User cannot contain the following characters: "/\:;|=,+*?<>@[]"#);
    }
}

/// What a pod for Windows may not have: below its spec, and in each container's security context.
const NOT_WINDOWS_SPEC: &[&str] = &["hostUsers", "hostPID", "hostIPC", "shareProcessNamespace"];
const NOT_WINDOWS_POD: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];
const NOT_WINDOWS_CONTAINER: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

/// What a pod that names its operating system may not ask of another.
pub(crate) fn operating_system(spec: &At<'_, '_>, out: &mut Causes) {
    let os = spec.get("os");
    if !os.is_set() {
        return;
    }
    let name = os.get("name");
    let (on_spec, on_pod, on_container, detail): (&[&str], &[&str], &[&str], &str) = match name.str() {
        "" => return out.required(name, "cannot be empty"),
        "linux" => {
            (&[], &["windowsOptions"], &["windowsOptions"], "windows options cannot be set for a linux pod")
        }
        "windows" => {
            (NOT_WINDOWS_SPEC, NOT_WINDOWS_POD, NOT_WINDOWS_CONTAINER, "cannot be set for a windows pod")
        }
        other => return out.unsupported(os, other, &["linux", "windows"]),
    };
    forbid(spec, on_spec, detail, out);
    forbid(&spec.get("securityContext"), on_pod, detail, out);
    for list in ["initContainers", "containers", "ephemeralContainers"] {
        for container in spec.get(list).items() {
            forbid(&container.get("securityContext"), on_container, detail, out);
        }
    }
}

fn forbid(at: &At<'_, '_>, names: &[&str], detail: &str, out: &mut Causes) {
    for name in names {
        let place = at.get(name);
        let is_off = place.value.as_bool() == Some(false) && matches!(*name, "hostPID" | "hostIPC");
        if place.is_set() && !is_off {
            out.forbidden(place, detail);
        }
    }
}
