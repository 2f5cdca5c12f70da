//! RBAC manifests from what components say that they must be allowed to do.

use std::collections::BTreeMap;
use std::fmt::Write;

use kiban_runtime::component::Permission;

/// The service account under which the server runs.
pub const ACCOUNT: &str = "kiban";

/// A rule with those who need it: component and reason.
type Rules<'a> = BTreeMap<(&'a str, &'a [String], &'a [String], &'a [String]), Vec<String>>;

/// The manifests: a ServiceAccount in `namespace`, a ClusterRole, a Role for each namespace that is named,
/// and their bindings.
pub fn manifests(namespace: &str, permissions: &[(&str, Permission)]) -> String {
    let mut by_scope: BTreeMap<Option<&str>, Rules<'_>> = BTreeMap::new();
    for (component, p) in permissions {
        let rule = (p.group.as_str(), &p.resources[..], &p.names[..], &p.verbs[..]);
        let reasons = by_scope.entry(p.namespace.as_deref()).or_default().entry(rule).or_default();
        reasons.push(format!("{component}: {}", p.why));
    }
    let mut out = String::new();
    head(&mut out, "v1", "ServiceAccount", Some(namespace));
    for (scope, rules) in &by_scope {
        out.push_str("---\n");
        let role = if scope.is_none() { "ClusterRole" } else { "Role" };
        head(&mut out, "rbac.authorization.k8s.io/v1", role, *scope);
        out.push_str("rules:\n");
        for (rule, reasons) in rules {
            write_rule(&mut out, *rule, reasons);
        }
        out.push_str("---\n");
        head(&mut out, "rbac.authorization.k8s.io/v1", &format!("{role}Binding"), *scope);
        let _ = write!(
            out,
            "roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {role}\n  name: {ACCOUNT}\n\
             subjects:\n- kind: ServiceAccount\n  name: {ACCOUNT}\n  namespace: {}\n",
            quoted(namespace)
        );
    }
    out
}

fn head(out: &mut String, version: &str, kind: &str, namespace: Option<&str>) {
    let _ = write!(out, "apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {ACCOUNT}\n");
    if let Some(namespace) = namespace {
        let _ = writeln!(out, "  namespace: {}", quoted(namespace));
    }
    out.push_str("  labels:\n    app.kubernetes.io/name: kiban\n    app.kubernetes.io/managed-by: kiban\n");
}

fn write_rule(
    out: &mut String,
    (group, resources, names, verbs): (&str, &[String], &[String], &[String]),
    reasons: &[String],
) {
    for reason in reasons {
        let _ = writeln!(out, "# {}", reason.replace(['\n', '\r'], " "));
    }
    let _ = writeln!(out, "- apiGroups: [{}]", quoted(group));
    let _ = writeln!(out, "  resources: {}", list(resources));
    if !names.is_empty() {
        let _ = writeln!(out, "  resourceNames: {}", list(names));
    }
    let _ = writeln!(out, "  verbs: {}", list(verbs));
}

fn list(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", texts.join(", "))
}

/// JSON's form of a text is YAML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
