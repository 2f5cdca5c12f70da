//! Polaris' rules (`pkg/config/default.yaml` of 10.2), in its order. All of them are on.

use serde_json::Value;

use super::world::{Pod, World, containers, int, is_true, list, namespace_of, objects, pods, selects, text};
use super::{Check, Default, Linter, Practice, Stance};
use Stance::{Exempt, Kept, KeptUnless};

const fn row(id: &'static str, stance: Stance, check: Check) -> Practice {
    Practice { linter: Linter::Polaris, id, default: Default::On, stance, check }
}

/// Words that Polaris will not see in the names of variables and of ConfigMap keys.
const SENSITIVE: [&str; 4] = ["password", "token", "bearer", "secret"];
/// Names that it will not see at all.
const CREDENTIALS: [&str; 3] =
    ["aws_secret_access_key", "google_application_credentials", "oci_cli_key_content"];

fn is_sensitive(name: &str) -> bool {
    let name = name.to_lowercase();
    SENSITIVE.iter().any(|word| name.contains(word))
        || CREDENTIALS.contains(&name.as_str())
        || (name.starts_with("azure_") && name.ends_with("key"))
}

fn holds_private_key(value: &str) -> bool {
    let upper = value.to_uppercase();
    upper.contains("-BEGIN ") && upper.contains("PRIVATE KEY-")
}

fn clear_env_is_harmless(container: &Value) -> bool {
    list(container, "/env").iter().all(|env| {
        let Some(value) = env.get("value").and_then(Value::as_str) else { return true };
        !is_sensitive(text(env, "/name")) && !holds_private_key(value)
    })
}

fn config_is_harmless(map: &Value) -> bool {
    let data = map.get("data").and_then(Value::as_object);
    data.is_none_or(|data| {
        data.iter().all(|(key, value)| !is_sensitive(key) && !value.as_str().is_some_and(holds_private_key))
    })
}

/// One policy of the pod's namespace picks the pod by exactly one of its labels, and has rules in
/// both directions.
fn has_policy(world: &World<'_>, pod: &Pod<'_>) -> bool {
    world.of_kind("NetworkPolicy").any(|policy| {
        let wanted = policy.pointer("/spec/podSelector/matchLabels").and_then(Value::as_object);
        let hits = wanted.into_iter().flatten();
        let hits = hits.filter(|(key, value)| pod.labels().and_then(|labels| labels.get(key)) == Some(value));
        namespace_of(policy) == namespace_of(pod.owner)
            && hits.count() == 1
            && !list(policy, "/spec/ingress").is_empty()
            && !list(policy, "/spec/egress").is_empty()
    })
}

/// A budget that asks for more pods than the autoscaler guarantees.
fn budget_exceeds_autoscaler(world: &World<'_>, deployment: &Value) -> bool {
    let least = world.autoscaler(deployment).and_then(|hpa| int(hpa, "/spec/minReplicas"));
    let Some(least) = least else { return false };
    world.of_kind("PodDisruptionBudget").any(|pdb| {
        let labels = deployment.pointer("/spec/template/metadata/labels");
        namespace_of(pdb) == namespace_of(deployment)
            && selects(pdb.pointer("/spec/selector"), labels)
            && int(pdb, "/spec/minAvailable").is_some_and(|wanted| wanted > least)
    })
}

fn is_hardened(container: &super::world::Container<'_>) -> bool {
    let seccomp =
        container.security("seccompProfile").is_some_and(|p| !matches!(text(p, "/type"), "" | "Unconfined"));
    let selinux = container.security("seLinuxOptions").is_some();
    seccomp || selinux || !list(container.value, "/securityContext/capabilities/drop").is_empty()
}

fn is_root_allowed(container: &super::world::Container<'_>) -> bool {
    let user = container.security("runAsUser").and_then(Value::as_i64);
    let non_root = container.security("runAsNonRoot") == Some(&Value::Bool(true));
    !(user.is_some_and(|user| user >= 1) || (user.is_none() && non_root))
}

fn adds(container: &Value, capability: &str) -> bool {
    list(container, "/securityContext/capabilities/add")
        .iter()
        .any(|added| added.as_str().is_some_and(|added| added.eq_ignore_ascii_case(capability)))
}

fn is_system(object: &Value) -> bool {
    text(object, "/metadata/name").starts_with("system:")
}

fn any(rule: &Value, pointer: &str, words: &[&str]) -> bool {
    list(rule, pointer).iter().any(|item| item.as_str().is_some_and(|item| words.contains(&item)))
}

/// A role with a rule that lets its holder into pods.
fn may_exec(role: &Value) -> bool {
    list(role, "/rules").iter().any(|rule| {
        any(rule, "/apiGroups", &["", "*"])
            && any(rule, "/resources", &["*", "pods/exec", "pods/attach"])
            && any(rule, "/verbs", &["*", "get", "create"])
    })
}

/// A role that may do everything.
fn is_admin(role: &Value) -> bool {
    const VERBS: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];
    list(role, "/rules").iter().any(|rule| {
        let all_verbs = any(rule, "/verbs", &["*"]) || VERBS.iter().all(|verb| any(rule, "/verbs", &[verb]));
        any(rule, "/apiGroups", &["*"]) && any(rule, "/resources", &["*"]) && all_verbs
    })
}

/// The roles that a binding grants, among the judged objects.
fn bound<'a>(world: &World<'a>, binding: &Value, kind: &str) -> Vec<&'a Value> {
    if text(binding, "/roleRef/kind") != kind {
        return Vec::new();
    }
    let name = text(binding, "/roleRef/name");
    world.of_kind(kind).filter(|role| text(role, "/metadata/name") == name).collect()
}

fn bindings(world: &World<'_>, kind: &str, role: &str, bad: impl Fn(&Value) -> bool) -> Vec<String> {
    objects(world, kind, |binding| is_system(binding) || !bound(world, binding, role).into_iter().any(&bad))
}

fn grants_cluster_admin(binding: &Value) -> bool {
    text(binding, "/roleRef/kind") == "ClusterRole" && text(binding, "/roleRef/name") == "cluster-admin"
}

fn flag(pod: &Pod<'_>, pointer: &str) -> bool {
    pod.spec(pointer) == Some(&Value::Bool(true))
}

pub(super) const ROWS: &[Practice] = &[
    row("deploymentMissingReplicas", Exempt(HPA), |w| {
        objects(w, "Deployment", |deployment| int(deployment, "/spec/replicas").is_some_and(|n| n >= 2))
    }),
    row("priorityClassNotSet", Kept, |w| pods(w, |pod| pod.spec("/priorityClassName").is_some())),
    row("tagNotSpecified", Kept, |w| {
        containers(w, |c| {
            let image = text(c.value, "/image");
            image.contains(':') && !image.ends_with(":latest")
        })
    }),
    row("pullPolicyNotAlways", KeptUnless("the platform sets `registry.pullPolicy`"), |w| {
        containers(w, |c| text(c.value, "/imagePullPolicy") == "Always")
    }),
    row("readinessProbeMissing", Kept, |w| {
        containers(w, |c| c.pod.is_job() || c.value.get("readinessProbe").is_some())
    }),
    row("livenessProbeMissing", Kept, |w| {
        containers(w, |c| c.pod.is_job() || c.value.get("livenessProbe").is_some())
    }),
    row("metadataAndInstanceMismatched", Kept, |w| {
        let pods = w.pods();
        pods.iter()
            .filter(|pod| {
                let instance = pod.owner.pointer("/metadata/labels/app.kubernetes.io~1instance");
                instance != pod.owner.pointer("/metadata/name")
            })
            .map(|pod| super::world::title(pod.owner))
            .collect()
    }),
    row("pdbDisruptionsIsZero", Kept, |w| {
        objects(w, "PodDisruptionBudget", |pdb| {
            let most = pdb.pointer("/spec/maxUnavailable");
            let zero = most.is_some_and(|most| most == 0 || most == "0%");
            !zero && pdb.pointer("/spec/minAvailable").is_none_or(|least| least != "100%")
        })
    }),
    row("missingPodDisruptionBudget", Kept, |w| {
        pods(w, |pod| !pod.is_deployment() || w.budgets(pod).next().is_some())
    }),
    row("topologySpreadConstraint", Kept, |w| {
        pods(w, |pod| pod.is_job() || !list(pod.template, "/spec/topologySpreadConstraints").is_empty())
    }),
    row("hpaMaxAvailability", Kept, |w| {
        objects(w, "HorizontalPodAutoscaler", |hpa| {
            int(hpa, "/spec/maxReplicas") > Some(int(hpa, "/spec/minReplicas").unwrap_or(0))
        })
    }),
    row("hpaMinAvailability", Kept, |w| {
        objects(w, "HorizontalPodAutoscaler", |hpa| int(hpa, "/spec/minReplicas").is_none_or(|n| n >= 2))
    }),
    row("pdbMinAvailableGreaterThanHPAMinReplicas", Kept, |w| {
        objects(w, "Deployment", |deployment| !budget_exceeds_autoscaler(w, deployment))
    }),
    row("cpuRequestsMissing", Kept, |w| {
        containers(w, |c| c.value.pointer("/resources/requests/cpu").is_some())
    }),
    row("cpuLimitsMissing", KeptUnless("the platform sets `cpuLimit: none`"), |w| {
        containers(w, |c| c.value.pointer("/resources/limits/cpu").is_some())
    }),
    row("memoryRequestsMissing", Kept, |w| {
        containers(w, |c| c.value.pointer("/resources/requests/memory").is_some())
    }),
    row("memoryLimitsMissing", Kept, |w| {
        containers(w, |c| c.value.pointer("/resources/limits/memory").is_some())
    }),
    row("automountServiceAccountToken", KeptUnless("the app asks for a token (`identity.token`)"), |w| {
        pods(w, |pod| pod.spec("/automountServiceAccountToken") == Some(&Value::Bool(false)))
    }),
    row("hostIPCSet", Kept, |w| pods(w, |pod| !flag(pod, "/hostIPC"))),
    row("hostPathSet", Kept, |w| {
        pods(w, |pod| {
            list(pod.template, "/spec/volumes").iter().all(|volume| volume.get("hostPath").is_none())
        })
    }),
    row("hostProcess", Kept, |w| {
        containers(w, |c| {
            let options = c.security("windowsOptions");
            !options.is_some_and(|options| is_true(options, "/hostProcess"))
        })
    }),
    row("hostPIDSet", Kept, |w| pods(w, |pod| !flag(pod, "/hostPID"))),
    row("linuxHardening", Kept, |w| containers(w, is_hardened)),
    row("missingNetworkPolicy", KeptUnless(POLICY), |w| pods(w, |pod| has_policy(w, pod))),
    row("notReadOnlyRootFilesystem", KeptUnless("the platform sets `security.readOnlyRoot: false`"), |w| {
        containers(w, |c| is_true(c.value, "/securityContext/readOnlyRootFilesystem"))
    }),
    row("privilegeEscalationAllowed", Kept, |w| {
        containers(w, |c| {
            c.value.pointer("/securityContext/allowPrivilegeEscalation") == Some(&Value::Bool(false))
        })
    }),
    row("procMount", Kept, |w| {
        containers(w, |c| matches!(text(c.value, "/securityContext/procMount"), "" | "Default"))
    }),
    row("runAsRootAllowed", Kept, |w| containers(w, |c| !is_root_allowed(c))),
    row("runAsPrivileged", Kept, |w| containers(w, |c| !is_true(c.value, "/securityContext/privileged"))),
    row("dangerousCapabilities", Kept, |w| {
        containers(w, |c| !["ALL", "SYS_ADMIN", "NET_ADMIN"].iter().any(|cap| adds(c.value, cap)))
    }),
    row("insecureCapabilities", Kept, |w| {
        containers(w, |c| {
            list(c.value, "/securityContext/capabilities/drop").iter().any(|dropped| dropped == "ALL")
        })
    }),
    row("hostNetworkSet", Kept, |w| pods(w, |pod| !flag(pod, "/hostNetwork"))),
    row("hostPortSet", Kept, |w| {
        containers(w, |c| list(c.value, "/ports").iter().all(|port| int(port, "/hostPort").unwrap_or(0) == 0))
    }),
    row("tlsSettingsMissing", KeptUnless("the platform's `entry` is an Ingress without `tls`"), |w| {
        objects(w, "Ingress", |ingress| ingress.pointer("/spec/tls").is_some_and(Value::is_array))
    }),
    row("sensitiveContainerEnvVar", Kept, |w| containers(w, |c| clear_env_is_harmless(c.value))),
    row("sensitiveConfigmapContent", Kept, |w| objects(w, "ConfigMap", config_is_harmless)),
    row("clusterrolePodExecAttach", Kept, |w| {
        objects(w, "ClusterRole", |role| is_system(role) || !may_exec(role))
    }),
    row("rolePodExecAttach", Kept, |w| objects(w, "Role", |role| is_system(role) || !may_exec(role))),
    row("clusterrolebindingPodExecAttach", Kept, |w| {
        bindings(w, "ClusterRoleBinding", "ClusterRole", may_exec)
    }),
    row("rolebindingClusterRolePodExecAttach", Kept, |w| bindings(w, "RoleBinding", "ClusterRole", may_exec)),
    row("rolebindingRolePodExecAttach", Kept, |w| bindings(w, "RoleBinding", "Role", may_exec)),
    row("clusterrolebindingClusterAdmin", Kept, |w| {
        let mut found = bindings(w, "ClusterRoleBinding", "ClusterRole", is_admin);
        found.extend(objects(w, "ClusterRoleBinding", |binding| !grants_cluster_admin(binding)));
        found
    }),
    row("rolebindingClusterAdminClusterRole", Kept, |w| {
        let mut found = bindings(w, "RoleBinding", "ClusterRole", is_admin);
        found.extend(objects(w, "RoleBinding", |binding| !grants_cluster_admin(binding)));
        found
    }),
    row("rolebindingClusterAdminRole", Kept, |w| bindings(w, "RoleBinding", "Role", is_admin)),
];

const HPA: &str = "the autoscaler owns the number of replicas (kube-score's \
     `deployment-targeted-by-hpa-does-not-have-replicas-configured`); a number in the Deployment would undo \
     its work at every apply";
const POLICY: &str = "the platform sets `network.policies: false`, or nothing calls the app and it offers no \
     metrics: then its list of callers is empty, which closes ingress, and Polaris wants an entry in it";
