//! Laws on the profile.

use kiban_model::resolve::Resolution;

use super::{Finding, Severity, at_origin};

pub(super) fn check(resolution: &Resolution, findings: &mut Vec<Finding>) {
    let platform = &resolution.platform;
    let origins = &resolution.platform_origins;
    let own = env!("CARGO_PKG_VERSION");
    if let Some(wanted) = platform.renderer.as_deref().filter(|wanted| *wanted != own) {
        let message = format!("this repository is rendered by Kiban {wanted}, and this is {own}");
        findings.push(at_origin(origins.get("renderer"), "renderer", Severity::Error, message));
    }
    if platform.namespace.contains("{env}") {
        return;
    }
    for (name, other) in &platform.environments {
        if *name == resolution.env || other.cluster != resolution.environment.cluster {
            continue;
        }
        let severity = if other.cluster.is_some() { Severity::Error } else { Severity::Warning };
        let message = format!(
            "{:?} has no {{env}} in it: {} and {name} would share namespaces if they share a cluster",
            platform.namespace, resolution.env
        );
        findings.push(at_origin(origins.get("namespace"), "namespace-env", severity, message));
    }
}
