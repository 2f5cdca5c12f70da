//! kube-linter's rules (`docs/generated/checks.md` of 0.8.3), in its order.

use serde_json::Value;

use super::world::{
    Pod, World, containers, everything, int, is_true, kind_of, list, namespace_of, objects, pods, selects,
    text,
};
use super::{Check, Default, Linter, Practice, Stance};
use Default::{Off, On};
use Stance::{Exempt, Kept, KeptUnless};

const fn row(id: &'static str, default: Default, stance: Stance, check: Check) -> Practice {
    Practice { linter: Linter::KubeLinter, id, default, stance, check }
}

const ROLES: [&str; 2] = ["Role", "ClusterRole"];
const WORKLOADS: [&str; 6] = ["Pod", "Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob"];

fn has(rule: &Value, pointer: &str, words: &[&str]) -> bool {
    list(rule, pointer).iter().any(|item| item.as_str().is_some_and(|item| words.contains(&item)))
}

/// Roles with a rule that grants one of the verbs on one of the resources.
fn grants(world: &World<'_>, resources: &[&str], verbs: &[&str]) -> Vec<String> {
    everything(world, |object| {
        let rules = list(object, "/rules").iter();
        !ROLES.contains(&kind_of(object))
            || !rules.into_iter().any(|rule| has(rule, "/resources", resources) && has(rule, "/verbs", verbs))
    })
}

fn names_service(world: &World<'_>, ingress: &Value) -> bool {
    let paths = list(ingress, "/spec/rules").iter().flat_map(|rule| list(rule, "/http/paths"));
    let exists = |name: &str| {
        world.of_kind("Service").any(|service| {
            namespace_of(service) == namespace_of(ingress) && text(service, "/metadata/name") == name
        })
    };
    paths.into_iter().all(|path| exists(text(path, "/backend/service/name")))
}

/// Peers that pick pods of the policy's own namespace must pick some. Peers with a namespace
/// selector are taken on trust, as kube-linter does.
fn peers_exist(world: &World<'_>, policy: &Value) -> bool {
    let rules = |pointer, peers| list(policy, pointer).iter().flat_map(move |rule| list(rule, peers));
    let peers = rules("/spec/ingress", "/from").chain(rules("/spec/egress", "/to"));
    peers.into_iter().all(|peer| {
        let Some(selector) = peer.get("podSelector") else { return true };
        peer.get("namespaceSelector").is_some()
            || world.pods().iter().any(|pod| {
                namespace_of(pod.owner) == namespace_of(policy) && selects(Some(selector), pod.labels())
            })
    })
}

fn hpa_target_exists(world: &World<'_>, hpa: &Value) -> bool {
    world.objects.iter().any(|object| {
        namespace_of(object) == namespace_of(hpa)
            && kind_of(object) == text(hpa, "/spec/scaleTargetRef/kind")
            && text(object, "/metadata/name") == text(hpa, "/spec/scaleTargetRef/name")
    })
}

fn monitors_service(world: &World<'_>, monitor: &Value) -> bool {
    world
        .of_kind("Service")
        .any(|service| selects(monitor.pointer("/spec/selector"), service.pointer("/metadata/labels")))
}

fn host_paths<'a>(pod: &Pod<'a>) -> impl Iterator<Item = &'a str> + use<'a> {
    list(pod.template, "/spec/volumes").iter().map(|volume| text(volume, "/hostPath/path"))
}

fn mounts_no_host_path(pod: &Pod<'_>, forbidden: impl Fn(&str) -> bool) -> bool {
    host_paths(pod).all(|path| path.is_empty() || !forbidden(path))
}

fn unique_env(container: &Value) -> bool {
    let mut names: Vec<&str> = list(container, "/env").iter().map(|env| text(env, "/name")).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    names.len() == all
}

/// Every `valueFrom` of a variable refers to a ConfigMap that is rendered with the app. Secrets are
/// applied from their encrypted files and never rendered.
fn references_exist(world: &World<'_>, container: &super::world::Container<'_>) -> bool {
    list(container.value, "/env").iter().all(|env| {
        if env.pointer("/valueFrom/secretKeyRef").is_some() {
            return false;
        }
        let name = text(env, "/valueFrom/configMapKeyRef/name");
        name.is_empty()
            || world.of_kind("ConfigMap").any(|map| {
                namespace_of(map) == namespace_of(container.pod.owner) && text(map, "/metadata/name") == name
            })
    })
}

fn is_port_name(name: &str) -> bool {
    name.is_empty() || kiban_base::names::is_port_name(name)
}

fn replicas(workload: &Value) -> i64 {
    int(workload, "/spec/replicas").unwrap_or(1)
}

fn anti_affine(pod: &Pod<'_>) -> bool {
    let affinity = "/spec/affinity/podAntiAffinity";
    let preferred =
        list(pod.template, &format!("{affinity}/preferredDuringSchedulingIgnoredDuringExecution"));
    let required = list(pod.template, &format!("{affinity}/requiredDuringSchedulingIgnoredDuringExecution"));
    let terms = preferred.iter().filter_map(|term| term.get("podAffinityTerm")).chain(required);
    terms.into_iter().any(|term| {
        text(term, "/topologyKey") == "kubernetes.io/hostname"
            && selects(term.get("labelSelector"), pod.labels())
    })
}

fn account_exists(world: &World<'_>, pod: &Pod<'_>) -> bool {
    let name = pod.spec("/serviceAccountName").and_then(Value::as_str).unwrap_or_default();
    matches!(name, "" | "default")
        || world.of_kind("ServiceAccount").any(|account| {
            namespace_of(account) == namespace_of(pod.owner) && text(account, "/metadata/name") == name
        })
}

fn is_zero_or_all(value: Option<&Value>, all: &str) -> bool {
    value.is_some_and(|value| value == 0 || value == "0%" || value == all)
}

/// A budget's `minAvailable` that leaves no pod to evict.
fn blocks_eviction(world: &World<'_>, pdb: &Value) -> bool {
    let Some(least) = pdb.pointer("/spec/minAvailable") else { return false };
    if least == "100%" {
        return true;
    }
    let Some(least) = least.as_i64() else { return false };
    world.of_kind("Deployment").any(|deployment| {
        let labels = deployment.pointer("/spec/template/metadata/labels");
        let hpa = world.autoscaler(deployment).and_then(|hpa| int(hpa, "/spec/minReplicas"));
        namespace_of(deployment) == namespace_of(pdb)
            && selects(pdb.pointer("/spec/selector"), labels)
            && hpa.unwrap_or_else(|| replicas(deployment)) <= least
    })
}

fn is_root(container: &super::world::Container<'_>) -> bool {
    let id = |field| container.security(field).and_then(Value::as_i64);
    let non_root = container.security("runAsNonRoot") == Some(&Value::Bool(true));
    id("runAsGroup") == Some(0)
        || !(id("runAsUser").is_some_and(|user| user > 0) || (non_root && id("runAsUser").is_none()))
}

fn port_numbers<'a>(container: &super::world::Container<'a>) -> impl Iterator<Item = i64> + use<'a> {
    list(container.value, "/ports").iter().filter_map(|port| int(port, "/containerPort"))
}

fn drops(container: &Value, capability: &str) -> bool {
    list(container, "/securityContext/capabilities/drop")
        .iter()
        .any(|dropped| dropped == "ALL" || dropped == capability)
        && !list(container, "/securityContext/capabilities/add").iter().any(|added| added == capability)
}

pub(super) const ROWS: &[Practice] = &[
    row("access-to-create-pods", Off, Kept, |w| {
        let kinds = ["pods", "deployments", "statefulsets", "replicasets", "cronjobs", "jobs", "daemonsets"];
        grants(w, &kinds, &["create"])
    }),
    row("access-to-secrets", Off, Kept, |w| {
        grants(w, &["secrets"], &["get", "list", "delete", "create", "watch", "*"])
    }),
    row("cluster-admin-role-binding", Off, Kept, |w| {
        objects(w, "ClusterRoleBinding", |binding| text(binding, "/roleRef/name") != "cluster-admin")
    }),
    row("dangling-horizontalpodautoscaler", Off, Kept, |w| {
        objects(w, "HorizontalPodAutoscaler", |hpa| hpa_target_exists(w, hpa))
    }),
    row("dangling-ingress", Off, Kept, |w| objects(w, "Ingress", |ingress| names_service(w, ingress))),
    row("dangling-networkpolicy", Off, Kept, |w| {
        objects(w, "NetworkPolicy", |policy| w.has_pod(policy, "/spec/podSelector"))
    }),
    row("dangling-networkpolicypeer-podselector", Off, Kept, |w| {
        objects(w, "NetworkPolicy", |policy| peers_exist(w, policy))
    }),
    row("dangling-service", On, Kept, |w| {
        objects(w, "Service", |service| {
            text(service, "/spec/type") == "ExternalName" || w.has_pod(service, "/spec/selector")
        })
    }),
    row("dangling-servicemonitor", Off, Kept, |w| {
        objects(w, "ServiceMonitor", |monitor| monitors_service(w, monitor))
    }),
    row("default-service-account", Off, Kept, |w| {
        pods(w, |pod| {
            let name = pod.spec("/serviceAccountName").and_then(Value::as_str);
            !matches!(name, None | Some("" | "default"))
        })
    }),
    row("deprecated-service-account-field", On, Kept, |w| {
        pods(w, |pod| pod.spec("/serviceAccount").is_none())
    }),
    row("dnsconfig-options", Off, Kept, |w| {
        pods(w, |pod| {
            let options = list(pod.template, "/spec/dnsConfig/options");
            options.iter().any(|option| text(option, "/name") == "ndots" && text(option, "/value") == "2")
        })
    }),
    row("docker-sock", On, Kept, |w| {
        pods(w, |pod| mounts_no_host_path(pod, |path| path.ends_with("docker.sock")))
    }),
    row("drop-net-raw-capability", On, Kept, |w| containers(w, |c| drops(c.value, "NET_RAW"))),
    row("duplicate-env-var", On, Kept, |w| containers(w, |c| unique_env(c.value))),
    row("env-value-from", Off, KeptUnless("the app takes a key of a secret as a variable"), |w| {
        containers(w, |c| references_exist(w, c))
    }),
    row("env-var-secret", On, Kept, |w| {
        containers(w, |c| {
            list(c.value, "/env").iter().all(|env| {
                !text(env, "/name").to_lowercase().contains("secret") || text(env, "/value").is_empty()
            })
        })
    }),
    row("exposed-services", Off, KeptUnless("the platform chooses `service: nodeport`"), |w| {
        objects(w, "Service", |s| !matches!(text(s, "/spec/type"), "NodePort" | "LoadBalancer"))
    }),
    row("host-ipc", On, Kept, |w| pods(w, |pod| pod.spec("/hostIPC") != Some(&Value::Bool(true)))),
    row("host-network", On, Kept, |w| pods(w, |pod| pod.spec("/hostNetwork") != Some(&Value::Bool(true)))),
    row("host-pid", On, Kept, |w| pods(w, |pod| pod.spec("/hostPID") != Some(&Value::Bool(true)))),
    row("hpa-minimum-three-replicas", Off, KeptUnless("the app's tier and its scale ask for fewer"), |w| {
        objects(w, "HorizontalPodAutoscaler", |hpa| int(hpa, "/spec/minReplicas").unwrap_or(1) >= 3)
    }),
    row("invalid-target-ports", On, Kept, |w| {
        let mut found =
            containers(w, |c| list(c.value, "/ports").iter().all(|port| is_port_name(text(port, "/name"))));
        found.extend(objects(w, "Service", |service| {
            list(service, "/spec/ports").iter().all(|port| is_port_name(text(port, "/targetPort")))
        }));
        found
    }),
    row("job-ttl-seconds-after-finished", On, Exempt(TTL), |w| {
        let mut found = objects(w, "Job", |job| job.pointer("/spec/ttlSecondsAfterFinished").is_some());
        let of_cron_job = "/spec/jobTemplate/spec/ttlSecondsAfterFinished";
        found.extend(objects(w, "CronJob", |job| job.pointer(of_cron_job).is_none()));
        found
    }),
    row("latest-tag", On, Kept, |w| {
        containers(w, |c| {
            let image = text(c.value, "/image");
            let name = image.rsplit('/').next().unwrap_or(image);
            name.contains(':') && !image.ends_with(":latest")
        })
    }),
    row("liveness-port", On, Kept, |w| containers(w, |c| c.declares("livenessProbe"))),
    row("minimum-three-replicas", Off, Exempt(HPA), |w| {
        objects(w, "Deployment", |deployment| replicas(deployment) >= 3)
    }),
    row("mismatching-selector", On, Kept, |w| {
        pods(w, |pod| {
            let selector = pod.owner.pointer("/spec/selector");
            pod.is_job() || kind_of(pod.owner) == "Pod" || selects(selector, pod.labels())
        })
    }),
    row("no-anti-affinity", On, Kept, |w| {
        pods(w, |pod| {
            !pod.is_deployment()
                || replicas(pod.owner) < 2 && w.autoscaler(pod.owner).is_none()
                || anti_affine(pod)
        })
    }),
    row("no-extensions-v1beta", On, Kept, |w| {
        everything(w, |object| !text(object, "/apiVersion").starts_with("extensions/v1beta"))
    }),
    row("no-liveness-probe", Off, Kept, |w| {
        containers(w, |c| c.pod.is_job() || c.value.get("livenessProbe").is_some())
    }),
    row("no-node-affinity", Off, Exempt(NODES), |w| {
        pods(w, |pod| pod.spec("/affinity/nodeAffinity").is_some())
    }),
    row("no-read-only-root-fs", On, KeptUnless("the platform sets `security.readOnlyRoot: false`"), |w| {
        containers(w, |c| is_true(c.value, "/securityContext/readOnlyRootFilesystem"))
    }),
    row("no-readiness-probe", Off, Kept, |w| {
        containers(w, |c| c.pod.is_job() || c.value.get("readinessProbe").is_some())
    }),
    row("no-rolling-update-strategy", Off, Kept, |w| {
        objects(w, "Deployment", |deployment| text(deployment, "/spec/strategy/type") == "RollingUpdate")
    }),
    row("non-existent-service-account", On, Kept, |w| pods(w, |pod| account_exists(w, pod))),
    row("non-isolated-pod", Off, KeptUnless("the platform sets `network.policies: false`"), |w| {
        pods(w, |pod| w.is_selected(pod, "NetworkPolicy", "/spec/podSelector"))
    }),
    row("pdb-max-unavailable", On, Kept, |w| {
        objects(w, "PodDisruptionBudget", |pdb| !is_zero_or_all(pdb.pointer("/spec/maxUnavailable"), "0"))
    }),
    row("pdb-min-available", On, Kept, |w| objects(w, "PodDisruptionBudget", |pdb| !blocks_eviction(w, pdb))),
    row("pdb-unhealthy-pod-eviction-policy", On, Kept, |w| {
        objects(w, "PodDisruptionBudget", |pdb| !text(pdb, "/spec/unhealthyPodEvictionPolicy").is_empty())
    }),
    row("priority-class-name", Off, Exempt(PRIORITY), |w| {
        pods(w, |pod| {
            let name = pod.spec("/priorityClassName").and_then(Value::as_str).unwrap_or_default();
            matches!(name, "" | "system-cluster-critical" | "system-node-critical")
        })
    }),
    row("privilege-escalation-container", On, Kept, |w| {
        containers(w, |c| {
            c.value.pointer("/securityContext/allowPrivilegeEscalation") == Some(&Value::Bool(false))
        })
    }),
    row("privileged-container", On, Kept, |w| {
        containers(w, |c| !is_true(c.value, "/securityContext/privileged"))
    }),
    row("privileged-ports", Off, KeptUnless("the app listens on one"), |w| {
        containers(w, |c| port_numbers(c).all(|port| port > 1024))
    }),
    row("read-secret-from-env-var", Off, KeptUnless("the app takes a secret as variables"), |w| {
        containers(w, |c| {
            list(c.value, "/env").iter().all(|env| env.pointer("/valueFrom/secretKeyRef").is_none())
                && list(c.value, "/envFrom").iter().all(|source| source.get("secretRef").is_none())
        })
    }),
    row("readiness-port", On, Kept, |w| containers(w, |c| c.declares("readinessProbe"))),
    row("required-annotation-email", Off, Exempt(OWNER), |w| {
        everything(w, |object| object.pointer("/metadata/annotations/email").is_some())
    }),
    row("required-label-owner", Off, Exempt(OWNER), |w| {
        everything(w, |object| object.pointer("/metadata/labels/owner").is_some())
    }),
    row("restart-policy", Off, Exempt(RESTART), |w| {
        pods(w, |pod| {
            let policy = pod.spec("/restartPolicy").and_then(Value::as_str);
            matches!(policy, Some("Always" | "OnFailure"))
        })
    }),
    row("run-as-non-root", On, Kept, |w| containers(w, |c| !is_root(c))),
    row("scc-deny-privileged-container", Off, Kept, |w| {
        objects(w, "SecurityContextConstraints", |scc| !is_true(scc, "/allowPrivilegedContainer"))
    }),
    row("schema-validation", Off, Kept, |w| {
        everything(w, |object| crate::check::against_schema(object).is_empty())
    }),
    row("sensitive-host-mounts", On, Kept, |w| {
        const FOLDERS: [&str; 8] = ["/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr"];
        pods(w, |pod| mounts_no_host_path(pod, |path| FOLDERS.contains(&path)))
    }),
    row("sorted-keys", Off, Kept, |w| w.unsorted.clone()),
    row("ssh-port", On, Kept, |w| containers(w, |c| port_numbers(c).all(|port| port != 22))),
    row("startup-port", On, Kept, |w| containers(w, |c| c.declares("startupProbe"))),
    row("unsafe-proc-mount", Off, Kept, |w| {
        containers(w, |c| text(c.value, "/securityContext/procMount") != "Unmasked")
    }),
    row("unsafe-sysctls", On, Kept, |w| {
        pods(w, |pod| list(pod.template, "/spec/securityContext/sysctls").is_empty())
    }),
    row("unset-cpu-requirements", On, Kept, |w| {
        containers(w, |c| c.value.pointer("/resources/requests/cpu").is_some())
    }),
    row("unset-memory-requirements", On, Kept, |w| {
        containers(w, |c| c.value.pointer("/resources/limits/memory").is_some())
    }),
    row("use-namespace", Off, Kept, |w| {
        everything(w, |object| {
            let belongs = WORKLOADS.contains(&kind_of(object)) || kind_of(object) == "Service";
            !belongs || !matches!(namespace_of(object), "" | "default")
        })
    }),
    row("wildcard-in-rules", Off, Kept, |w| {
        everything(w, |object| {
            let wild = |rule: &Value| {
                ["/resources", "/verbs", "/apiGroups"].iter().any(|pointer| has(rule, pointer, &["*"]))
            };
            !ROLES.contains(&kind_of(object)) || !list(object, "/rules").iter().any(wild)
        })
    }),
    row("writable-host-mount", Off, Kept, |w| pods(w, |pod| host_paths(pod).all(str::is_empty))),
];

const TTL: &str = "finished runs must also go when they are more than the history keeps or the CronJob is \
     suspended; the TTL is a day, far above the interval that the histories cover";
const HPA: &str = "the autoscaler owns the number of replicas (kube-score's \
     `deployment-targeted-by-hpa-does-not-have-replicas-configured`); its minimum is what \
     `hpa-minimum-three-replicas` looks at";
const NODES: &str = "which nodes exist is the platform's business (`nodes` in platform.yaml), not each app's";
const PRIORITY: &str = "it knows only the classes of the cluster's own components, which apps must not use; the \
     tiers have classes of their own";
const OWNER: &str = "the owner is the label `kiban.dev/team`, by which alerts find people";
const RESTART: &str = "jobs use `Never`: Kubernetes demands it beside a pod failure policy, which keeps drained \
     nodes from counting as failures";
