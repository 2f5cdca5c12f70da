//! Checks of environment variables and of where their values come from.

use kiban_base::names;
use kiban_base::quantity::Quantity;

use super::at::At;
use super::cause::Causes;
use super::rule::{dns_subdomain, qualified_name};

const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
/// Fields of a pod that a file may show.
pub(crate) const FILE_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const HUGE_PAGES: &[&str] = &["limits.hugepages-", "requests.hugepages-"];
/// What the API server knows by name as a field of pods, be it allowed where it is used or not.
const POD_FIELDS: &[&str] = &["spec.restartPolicy", "spec.schedulerName", "status.phase", "spec.host"];

/// The list `env`.
pub(crate) fn variables(at: &At<'_, '_>, out: &mut Causes) {
    for variable in at.items() {
        let name = variable.get("name");
        if name.is_empty() {
            out.required(name, "");
        } else {
            out.invalid_each(name, name.str(), names::check_env_var_name(name.str()));
        }
        value_from(&variable, out);
    }
}

fn value_from(variable: &At<'_, '_>, out: &mut Causes) {
    let at = variable.get("valueFrom");
    if !at.is_set() {
        return;
    }
    let mut sources = 0;
    let pod_field = at.get("fieldRef");
    if pod_field.is_set() {
        sources += 1;
        field_ref(&pod_field, ENV_FIELDS, out);
    }
    let resource = at.get("resourceFieldRef");
    if resource.is_set() {
        sources += 1;
        resource_ref(&resource, false, out);
    }
    for name in ["configMapKeyRef", "secretKeyRef"] {
        let source = at.get(name);
        if source.is_set() {
            sources += 1;
            key_ref(&source, out);
        }
    }
    let file = at.get("fileKeyRef");
    if file.is_set() {
        sources += 1;
        file_ref(&file, out);
    }
    if sources == 0 {
        let detail =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        out.invalid(at, "", detail);
    } else if !variable.get("value").is_empty() {
        out.invalid(at, "", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        out.invalid(at, "", "may not have more than one field specified at a time");
    }
}

fn key_ref(at: &At<'_, '_>, out: &mut Causes) {
    dns_subdomain(&at.get("name"), out);
    let key = at.get("key");
    if key.is_empty() {
        out.required(key, "");
    } else {
        out.invalid_each(key, key.str(), names::check_config_map_key(key.str()));
    }
}

fn file_ref(at: &At<'_, '_>, out: &mut Causes) {
    for name in ["key", "volumeName", "path"] {
        let part = at.get(name);
        if part.is_empty() {
            out.required(part, "");
        }
    }
}

/// A reference to a field of the pod, which has to be one of `allowed`.
pub(crate) fn field_ref(at: &At<'_, '_>, allowed: &[&str], out: &mut Causes) {
    let (version, path) = (at.get("apiVersion"), at.get("fieldPath"));
    for part in [&version, &path] {
        if part.is_empty() {
            return out.required(part, "");
        }
    }
    if version.str() != "v1" {
        let detail = format!("error converting fieldPath: unsupported pod version: {}", version.str());
        return out.invalid(path, path.str(), &detail);
    }
    if let Some((base, key)) = subscript(path.str()) {
        return match base {
            "metadata.annotations" => {
                out.invalid_each(at, key, names::check_qualified_name(&key.to_lowercase()))
            }
            "metadata.labels" => out.invalid_each(at, key, names::check_qualified_name(key)),
            _ => {
                let detail = format!(
                    "error converting fieldPath: field label does not support subscript: {}",
                    path.str()
                );
                out.invalid(path, path.str(), &detail);
            }
        };
    }
    let known = |list: &[&str]| list.contains(&path.str());
    if known(allowed) {
    } else if known(ENV_FIELDS) || known(FILE_FIELDS) || known(POD_FIELDS) {
        out.unsupported(path, path.str(), allowed);
    } else {
        let detail = format!("error converting fieldPath: field label not supported: {}", path.str());
        out.invalid(path, path.str(), &detail);
    }
}

/// `metadata.labels['app']` as path and key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']").and_then(|head| head.split_once("['"))
}

/// A reference to a container's own limits or requests.
pub(crate) fn resource_ref(at: &At<'_, '_>, in_volume: bool, out: &mut Causes) {
    let (container, resource) = (at.get("containerName"), at.get("resource"));
    if in_volume && container.is_empty() {
        out.required(container, "");
    } else if resource.is_empty() {
        out.required(resource, "");
    } else if !RESOURCES.contains(&resource.str())
        && !HUGE_PAGES.iter().any(|p| resource.str().starts_with(p))
    {
        out.unsupported(resource, resource.str(), RESOURCES);
    }
    divisor(at, resource.str(), out);
}

fn divisor(at: &At<'_, '_>, resource: &str, out: &mut Causes) {
    let place = at.get("divisor");
    let amount = Quantity::from_json(place.value).unwrap_or_default();
    if amount.is_zero() {
        return;
    }
    let amount = amount.to_string();
    let of_bytes = matches!(
        amount.as_str(),
        "1" | "1k" | "1M" | "1G" | "1T" | "1P" | "1E" | "1Ki" | "1Mi" | "1Gi" | "1Ti" | "1Pi" | "1Ei"
    );
    let bytes = "1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei";
    let what = match resource {
        "limits.cpu" | "requests.cpu" => {
            if !matches!(amount.as_str(), "1" | "1m") {
                let detail = "only divisor's values 1m and 1 are supported with the cpu resource";
                out.invalid(place, resource, detail);
            }
            return;
        }
        "limits.memory" | "requests.memory" => "memory",
        "limits.ephemeral-storage" | "requests.ephemeral-storage" => "local ephemeral storage",
        other if HUGE_PAGES.iter().any(|p| other.starts_with(p)) => "hugepages",
        _ => return,
    };
    if !of_bytes {
        let detail = format!("only divisor's values {bytes} are supported with the {what} resource");
        out.invalid(place, resource, &detail);
    }
}

/// The list `envFrom`; upstream names the list, not the entry, for a missing source.
pub(crate) fn sources(at: &At<'_, '_>, out: &mut Causes) {
    for source in at.items() {
        let prefix = source.get("prefix");
        if !prefix.is_empty() {
            out.invalid_each(prefix, prefix.str(), names::check_env_var_name(prefix.str()));
        }
        let mut count = 0;
        for name in ["configMapRef", "secretRef"] {
            let reference = source.get(name);
            if !reference.is_set() {
                continue;
            }
            count += 1;
            let name = reference.get("name");
            if name.is_empty() {
                out.required(name, "");
            } else {
                let masked = names::mask_generate_name(name.str());
                out.invalid_each(name, name.str(), names::check_dns1123_subdomain(&masked));
            }
        }
        if count == 0 {
            out.invalid(at, "", "must specify one of: `configMapRef` or `secretRef`");
        } else if count > 1 {
            out.invalid(at, "", "may not have more than one field specified at a time");
        }
    }
}

/// A list of readiness gates.
pub(crate) fn readiness_gates(at: &At<'_, '_>, out: &mut Causes) {
    for gate in at.items() {
        qualified_name(&gate.get("conditionType"), out);
    }
}
