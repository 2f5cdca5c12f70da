//! kube-score's rules (`README_CHECKS.md` of 1.20), in its order.

use serde_json::Value;

use super::world::{
    World, containers, everything, int, is_true, kind_of, list, namespace_of, objects, pods, selects, text,
};
use super::{Check, Default, Linter, Practice, Stance};
use Default::{Off, On};
use Stance::{Exempt, Kept, KeptUnless};

const fn row(id: &'static str, default: Default, stance: Stance, check: Check) -> Practice {
    Practice { linter: Linter::KubeScore, id, default, stance, check }
}

/// API versions that kube-score calls deprecated: any of these groups' betas, and `extensions`.
fn is_stable(object: &Value) -> bool {
    let version = text(object, "/apiVersion");
    const GROUPS: [&str; 7] =
        ["extensions", "apps", "batch", "policy", "autoscaling", "networking.k8s.io", "scheduling.k8s.io"];
    let is_builtin = GROUPS.iter().any(|group| version.split('/').next() == Some(group));
    !is_builtin
        || (!version.contains("beta") && !version.contains("alpha") && !version.starts_with("extensions"))
}

fn is_label_value(value: &Value) -> bool {
    let Some(text) = value.as_str() else { return false };
    let alphanumeric = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && alphanumeric(text.chars().next())
        && alphanumeric(text.chars().next_back())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// The tag as kube-score sees it: whatever follows the last colon.
fn tag(image: &str) -> &str {
    image.rsplit_once(':').map_or("", |(_, tag)| tag)
}

fn equal_resources(container: &Value, resource: &str) -> bool {
    let amount = |kind: &str| container.pointer(&format!("/resources/{kind}/{resource}"));
    match (amount("requests"), amount("limits")) {
        (Some(request), Some(limit)) => crate::quantity::is_same(request, limit),
        (None, None) => true,
        _ => false,
    }
}

fn has(container: &Value, kind: &str, resource: &str) -> bool {
    container.pointer(&format!("/resources/{kind}/{resource}")).is_some()
}

fn same_probe(container: &Value) -> bool {
    let (ready, live) = (container.get("readinessProbe"), container.get("livenessProbe"));
    let (Some(ready), Some(live)) = (ready, live) else { return false };
    ["httpGet", "tcpSocket", "exec", "grpc"]
        .iter()
        .any(|how| ready.get(how).is_some() && ready.get(how) == live.get(how))
}

fn unique_env(container: &Value) -> bool {
    let mut names: Vec<&str> = list(container, "/env").iter().map(|env| text(env, "/name")).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    names.len() == all
}

fn ports_are_sane(container: &Value) -> bool {
    let ports = list(container, "/ports");
    let mut names: Vec<&str> =
        ports.iter().map(|port| text(port, "/name")).filter(|n| !n.is_empty()).collect();
    let named = names.len();
    names.sort_unstable();
    names.dedup();
    names.len() == named
        && names.iter().all(|name| name.len() <= 15)
        && ports.iter().all(|port| int(port, "/containerPort").is_some_and(|number| number > 0))
}

fn spreads_over_hosts(pod: &super::world::Pod<'_>) -> bool {
    let affinity = "/spec/affinity/podAntiAffinity";
    let preferred =
        list(pod.template, &format!("{affinity}/preferredDuringSchedulingIgnoredDuringExecution"));
    let required = list(pod.template, &format!("{affinity}/requiredDuringSchedulingIgnoredDuringExecution"));
    let terms = preferred.iter().filter_map(|term| term.get("podAffinityTerm")).chain(required);
    let keys = ["kubernetes.io/hostname", "topology.kubernetes.io/zone", "topology.kubernetes.io/region"];
    terms.into_iter().any(|term| {
        keys.contains(&text(term, "/topologyKey")) && selects(term.get("labelSelector"), pod.labels())
    })
}

fn spread_is_valid(constraint: &Value) -> bool {
    constraint.get("labelSelector").is_some()
        && int(constraint, "/maxSkew").is_some_and(|skew| skew > 0)
        && int(constraint, "/minDomains") != Some(0)
        && !text(constraint, "/topologyKey").is_empty()
        && matches!(text(constraint, "/whenUnsatisfiable"), "DoNotSchedule" | "ScheduleAnyway")
}

fn isolates(world: &World<'_>, pod: &super::world::Pod<'_>, direction: &str) -> bool {
    world.of_kind("NetworkPolicy").any(|policy| {
        namespace_of(policy) == namespace_of(pod.owner)
            && selects(policy.pointer("/spec/podSelector"), pod.labels())
            && list(policy, "/spec/policyTypes").iter().any(|t| t == direction)
    })
}

fn ingress_backends_exist(world: &World<'_>, ingress: &Value) -> bool {
    let paths = list(ingress, "/spec/rules").iter().flat_map(|rule| list(rule, "/http/paths"));
    paths.into_iter().all(|path| {
        world.of_kind("Service").any(|service| {
            namespace_of(service) == namespace_of(ingress)
                && text(service, "/metadata/name") == text(path, "/backend/service/name")
        })
    })
}

fn has_headless_service(world: &World<'_>, set: &Value) -> bool {
    world.of_kind("Service").any(|service| {
        namespace_of(service) == namespace_of(set)
            && text(service, "/metadata/name") == text(set, "/spec/serviceName")
            && text(service, "/spec/clusterIP") == "None"
            && selects(service.pointer("/spec/selector"), set.pointer("/spec/template/metadata/labels"))
    })
}

fn target_exists(world: &World<'_>, hpa: &Value) -> bool {
    world.objects.iter().any(|object| {
        namespace_of(object) == namespace_of(hpa)
            && text(object, "/apiVersion") == text(hpa, "/spec/scaleTargetRef/apiVersion")
            && kind_of(object) == text(hpa, "/spec/scaleTargetRef/kind")
            && text(object, "/metadata/name") == text(hpa, "/spec/scaleTargetRef/name")
    })
}

/// Deployments and StatefulSets of one replica are not asked for a budget or for spread.
fn is_single(workload: &Value) -> bool {
    int(workload, "/spec/replicas").is_some_and(|replicas| replicas < 2)
}

fn owned_pods(world: &World<'_>, kind: &str, ok: impl Fn(&super::world::Pod<'_>) -> bool) -> Vec<String> {
    pods(world, |pod| kind_of(pod.owner) != kind || ok(pod))
}

fn budgeted(world: &World<'_>, kind: &str) -> Vec<String> {
    owned_pods(world, kind, |pod| is_single(pod.owner) || world.budgets(pod).next().is_some())
}

fn selector_matches(world: &World<'_>, kind: &str) -> Vec<String> {
    owned_pods(world, kind, |pod| selects(pod.owner.pointer("/spec/selector"), pod.labels()))
}

fn low_id(container: &super::world::Container<'_>, field: &str) -> bool {
    container.security(field).and_then(Value::as_i64).is_none_or(|id| id < 10_000)
}

fn is_served(world: &World<'_>, pod: &super::world::Pod<'_>) -> bool {
    world.is_selected(pod, "Service", "/spec/selector")
}

pub(super) const ROWS: &[Practice] = &[
    row("deployment-strategy", On, Kept, |w| {
        let rolling = |pod: &super::world::Pod<'_>| {
            matches!(text(pod.owner, "/spec/strategy/type"), "RollingUpdate" | "")
        };
        owned_pods(w, "Deployment", |pod| !is_served(w, pod) || rolling(pod))
    }),
    row("deployment-replicas", On, Kept, |w| {
        owned_pods(w, "Deployment", |pod| {
            let enough = int(pod.owner, "/spec/replicas").unwrap_or(1) >= 2;
            !is_served(w, pod) || w.autoscaler(pod.owner).is_some() || enough
        })
    }),
    row("ingress-targets-service", On, Kept, |w| objects(w, "Ingress", |i| ingress_backends_exist(w, i))),
    row("cronjob-has-deadline", On, Kept, |w| {
        objects(w, "CronJob", |job| int(job, "/spec/startingDeadlineSeconds").is_some())
    }),
    row("cronjob-restartpolicy", On, Kept, |w| {
        let policy = "/spec/jobTemplate/spec/template/spec/restartPolicy";
        objects(w, "CronJob", |job| matches!(text(job, policy), "Never" | "OnFailure"))
    }),
    row("container-resources", On, Kept, |w| {
        containers(w, |c| {
            ["cpu", "memory"]
                .iter()
                .all(|resource| has(c.value, "requests", resource) && has(c.value, "limits", resource))
        })
    }),
    row("container-resource-requests-equal-limits", Off, Exempt(BURST), |w| {
        containers(w, |c| equal_resources(c.value, "cpu") && equal_resources(c.value, "memory"))
    }),
    row("container-cpu-requests-equal-limits", Off, Exempt(BURST), |w| {
        containers(w, |c| equal_resources(c.value, "cpu"))
    }),
    row("container-memory-requests-equal-limits", Off, Kept, |w| {
        containers(w, |c| equal_resources(c.value, "memory"))
    }),
    row("container-image-tag", On, Kept, |w| {
        containers(w, |c| !matches!(tag(text(c.value, "/image")), "" | "latest"))
    }),
    row("container-image-pull-policy", On, Kept, |w| {
        containers(w, |c| text(c.value, "/imagePullPolicy") == "Always")
    }),
    row("container-ephemeral-storage-request-and-limit", On, Kept, |w| {
        containers(w, |c| ["requests", "limits"].iter().all(|kind| has(c.value, kind, "ephemeral-storage")))
    }),
    row("container-ephemeral-storage-request-equals-limit", Off, Kept, |w| {
        containers(w, |c| equal_resources(c.value, "ephemeral-storage"))
    }),
    row("container-ports-check", Off, Kept, |w| containers(w, |c| ports_are_sane(c.value))),
    row("environment-variable-key-duplication", On, Kept, |w| containers(w, |c| unique_env(c.value))),
    row("statefulset-has-poddisruptionbudget", On, Kept, |w| budgeted(w, "StatefulSet")),
    row("deployment-has-poddisruptionbudget", On, Kept, |w| budgeted(w, "Deployment")),
    row("poddisruptionbudget-has-policy", On, Kept, |w| {
        objects(w, "PodDisruptionBudget", |pdb| {
            pdb.pointer("/spec/minAvailable").or_else(|| pdb.pointer("/spec/maxUnavailable")).is_some()
        })
    }),
    row("pod-networkpolicy", On, Kept, |w| {
        pods(w, |pod| isolates(w, pod, "Ingress") && isolates(w, pod, "Egress"))
    }),
    row("networkpolicy-targets-pod", On, Kept, |w| {
        objects(w, "NetworkPolicy", |policy| w.has_pod(policy, "/spec/podSelector"))
    }),
    row("pod-probes", On, Kept, |w| {
        pods(w, |pod| {
            let any = |probe: &str| pod.containers().iter().any(|c| c.value.get(probe).is_some());
            pod.is_job() || !is_served(w, pod) || (any("readinessProbe") && any("livenessProbe"))
        })
    }),
    row("pod-probes-identical", On, Kept, |w| {
        pods(w, |pod| pod.is_job() || !pod.containers().iter().any(|c| same_probe(c.value)))
    }),
    row("container-security-context-user-group-id", On, Kept, |w| {
        containers(w, |c| !low_id(c, "runAsUser") && !low_id(c, "runAsGroup"))
    }),
    row("container-security-context-privileged", On, Kept, |w| {
        containers(w, |c| !is_true(c.value, "/securityContext/privileged"))
    }),
    row("container-security-context-readonlyrootfilesystem", On, Kept, |w| {
        containers(w, |c| is_true(c.value, "/securityContext/readOnlyRootFilesystem"))
    }),
    row("container-seccomp-profile", Off, Kept, |w| {
        containers(w, |c| c.security("seccompProfile").is_some())
    }),
    row("service-targets-pod", On, Kept, |w| {
        objects(w, "Service", |service| {
            text(service, "/spec/type") == "ExternalName" || w.has_pod(service, "/spec/selector")
        })
    }),
    row("service-type", On, KeptUnless("the platform chooses `service: nodeport`"), |w| {
        objects(w, "Service", |service| text(service, "/spec/type") != "NodePort")
    }),
    row("stable-version", On, Kept, |w| everything(w, is_stable)),
    row("deployment-has-host-podantiaffinity", On, Kept, |w| {
        owned_pods(w, "Deployment", |pod| is_single(pod.owner) || spreads_over_hosts(pod))
    }),
    row("statefulset-has-host-podantiaffinity", On, Kept, |w| {
        owned_pods(w, "StatefulSet", |pod| is_single(pod.owner) || spreads_over_hosts(pod))
    }),
    row("deployment-targeted-by-hpa-does-not-have-replicas-configured", On, Kept, |w| {
        objects(w, "Deployment", |d| w.autoscaler(d).is_none() || d.pointer("/spec/replicas").is_none())
    }),
    row("statefulset-has-servicename", On, Kept, |w| {
        objects(w, "StatefulSet", |set| has_headless_service(w, set))
    }),
    row("deployment-pod-selector-labels-match-template-metadata-labels", On, Kept, |w| {
        selector_matches(w, "Deployment")
    }),
    row("statefulset-pod-selector-labels-match-template-metadata-labels", On, Kept, |w| {
        selector_matches(w, "StatefulSet")
    }),
    row("label-values", On, Kept, |w| {
        everything(w, |object| {
            let labels = object.pointer("/metadata/labels").and_then(Value::as_object);
            labels.is_none_or(|labels| labels.values().all(is_label_value))
        })
    }),
    row("horizontalpodautoscaler-has-target", On, Kept, |w| {
        objects(w, "HorizontalPodAutoscaler", |hpa| target_exists(w, hpa))
    }),
    row("horizontalpodautoscaler-replicas", On, Kept, |w| {
        objects(w, "HorizontalPodAutoscaler", |hpa| int(hpa, "/spec/minReplicas").unwrap_or(1) >= 2)
    }),
    row("pod-topology-spread-constraints", On, Kept, |w| {
        pods(w, |pod| list(pod.template, "/spec/topologySpreadConstraints").iter().all(spread_is_valid))
    }),
];

const BURST: &str = "a CPU limit above the request lets a pod start and absorb a spike with idle CPU; memory, \
     which cannot be taken back, has its request as limit";
