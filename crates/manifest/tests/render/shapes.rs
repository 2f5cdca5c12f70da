//! What single settings do to the objects.

use serde_json::{Value, json};

use crate::support::{PLATFORM, app, object, of_kind, platform_with, render, rendered};

fn one(more: &str) -> kiban_manifest::Rendered {
    render(&platform_with(PLATFORM, &[("a", more)]), "prod")
}

fn under(platform: &str, more: &str) -> kiban_manifest::Rendered {
    render(&platform_with(&format!("{PLATFORM}{platform}"), &[("a", more)]), "prod")
}

fn at(value: &Value, pointer: &str) -> Value {
    value.pointer(pointer).unwrap_or(&Value::Null).clone()
}

#[test]
fn the_grace_period_covers_pause_longest_call_and_drain_and_is_never_below_30_s() {
    let grace = |more: &str| {
        let deployment = object(&one(more), "Deployment", "a");
        at(&deployment, "/spec/template/spec/terminationGracePeriodSeconds")
    };
    // The platform's pause is 10 s, its drain 30 s.
    assert_eq!(grace(""), 40);
    assert_eq!(grace("shutdown: 5s\n"), 30);
    assert_eq!(grace("shutdown: 20s\ncalls: { pg:db: { timeout: 12s } }\n"), 42);
    assert_eq!(grace("shutdown: { drain: 20s, delay: 25s }\n"), 45);
}

#[test]
fn the_autoscaler_owns_the_number_of_replicas() {
    let with = one("");
    assert_eq!(at(&object(&with, "Deployment", "a"), "/spec/replicas"), Value::Null);
    assert_eq!(at(&object(&with, "HorizontalPodAutoscaler", "a"), "/spec/maxReplicas"), 9);
    let files =
        [("platform.yaml", PLATFORM), ("a/app.yaml", &app("a", "").replace("{ from: 3, to: 9 }", "2"))];
    let without = rendered(&files, "dev");
    assert_eq!(at(&object(&without, "Deployment", "a"), "/spec/replicas"), 2);
    assert!(of_kind(&without, "HorizontalPodAutoscaler").is_empty());
}

#[test]
fn an_app_that_says_nothing_about_scale_gets_its_tiers_number_in_prod_and_one_elsewhere() {
    let text = app("a", "").replace("scale: { from: 3, to: 9 }\n", "");
    let files = [("platform.yaml", PLATFORM), ("a/app.yaml", text.as_str())];
    let hpa = object(&rendered(&files, "prod"), "HorizontalPodAutoscaler", "a");
    assert_eq!((at(&hpa, "/spec/minReplicas"), at(&hpa, "/spec/maxReplicas")), (json!(2), json!(6)));
    assert_eq!(at(&object(&rendered(&files, "dev"), "Deployment", "a"), "/spec/replicas"), 1);
}

#[test]
fn an_app_of_jobs_alone_has_no_deployment_and_carries_its_spec_in_the_jobs() {
    let text = "apiVersion: kiban.dev/v1\nkind: App\nname: a\nteam: t\ntier: 3\nimage: registry.example/a\n\
                jobs: { j: { schedule: \"@daily\", run: [x] } }\n";
    let rendered = rendered(&[("platform.yaml", PLATFORM), ("a/app.yaml", text)], "dev");
    for kind in ["Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler"] {
        assert!(of_kind(&rendered, kind).is_empty(), "{kind}");
    }
    let job = object(&rendered, "CronJob", "a-j");
    let spec = at(&job, "/metadata/annotations/kiban.dev~1app");
    let spec: Value = serde_json::from_str(spec.as_str().unwrap()).unwrap();
    assert_eq!((&spec["name"], &spec["environment"]), (&json!("a"), &json!("dev")));
    // Nothing listens, so nothing may come in.
    assert_eq!(at(&object(&rendered, "NetworkPolicy", "a"), "/spec/ingress"), json!([]));
}

#[test]
fn calls_open_both_ends_and_nothing_else() {
    let r = render(&platform_with(PLATFORM, &[("a", "calls: { b: {} }\n"), ("b", ""), ("c", "")]), "prod");
    let peers = |name: &str, direction: &str, side: &str| {
        let policy = object(&r, "NetworkPolicy", name);
        let rules = at(&policy, &format!("/spec/{direction}"));
        let names = rules.as_array().unwrap().iter().flat_map(|rule| rule[side].as_array().unwrap().clone());
        names
            .filter_map(|peer| {
                Some(at(&peer, "/podSelector/matchLabels/app.kubernetes.io~1name").as_str()?.to_owned())
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(peers("b", "ingress", "from"), ["a"]);
    assert_eq!(peers("a", "egress", "to"), ["b"]);
    assert!(peers("a", "ingress", "from").is_empty() && peers("c", "ingress", "from").is_empty());
}

#[test]
fn a_wide_rule_leaves_out_what_the_platform_forbids() {
    let r = one("calls: { api.example.com: {}, 10.1.0.0/16: { port: 9000 } }\n");
    let egress = at(&object(&r, "NetworkPolicy", "a"), "/spec/egress");
    let wide = json!({"to": [
        {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}},
        {"ipBlock": {"cidr": "::/0"}},
    ], "ports": [{"port": 443, "protocol": "TCP"}]});
    assert!(egress.as_array().unwrap().contains(&wide), "{egress:#}");
    let block =
        json!({"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 9000, "protocol": "TCP"}]});
    assert!(egress.as_array().unwrap().contains(&block), "{egress:#}");
}

#[test]
fn the_entry_chooses_route_ingress_or_node_port() {
    let public = "public: [a.example.com, { host: b.example.com, path: /x }]\nports: { http: { port: 8080, nodePort: 30080 }, metrics: 9090 }\n";
    let more = public.replace("ports:", "env: {}\n#");
    let gateway = one(&more);
    let names: Vec<Value> = of_kind(&gateway, "HTTPRoute").iter().map(|r| at(r, "/metadata/name")).collect();
    assert_eq!(names, ["a-a-example-com", "a-b-example-com"]);
    let ingress = under(
        "entry: { kind: ingress, class: nginx, tls: { issuer: letsencrypt } }\n",
        "public: a.example.com\n",
    );
    let object_of = object(&ingress, "Ingress", "a");
    assert_eq!(at(&object_of, "/spec/tls/0/secretName"), "a-tls");
    assert_eq!(at(&object_of, "/metadata/annotations/cert-manager.io~1cluster-issuer"), "letsencrypt");
    assert_eq!(at(&object_of, "/spec/rules/0/http/paths/0/backend/service/port/name"), "http");
    let nodeport = under("entry: nodeport\nnetwork: { nodes: [10.0.0.0/8] }\n", "public: a.example.com\n");
    assert_eq!(at(&object(&nodeport, "Service", "a"), "/spec/type"), "NodePort");
    assert!(of_kind(&nodeport, "HTTPRoute").is_empty());
    let inside = under("entry: nodeport\n", "");
    assert_eq!(at(&object(&inside, "Service", "a"), "/spec/type"), "ClusterIP", "not public");
}

#[test]
fn the_metrics_port_is_in_no_service() {
    let ports = at(&object(&one(""), "Service", "a"), "/spec/ports");
    assert_eq!(ports.as_array().unwrap().len(), 1);
    assert_eq!(
        (&ports[0]["name"], &ports[0]["port"], &ports[0]["targetPort"]),
        (&json!("http"), &json!(80), &json!("http"))
    );
}

#[test]
fn the_mesh_has_one_route_a_caller_and_bounds_a_call() {
    let apps =
        [("a", "calls: { c: { timeout: 900ms, retries: 2 } }\n"), ("b", "calls: { c: {} }\n"), ("c", "")];
    let r = render(&platform_with(&format!("{PLATFORM}mesh: istio\n"), &apps), "prod");
    let http = at(&object(&r, "VirtualService", "c"), "/spec/http");
    let row = |i: usize| {
        let route = &http[i];
        (
            at(route, "/match/0/sourceLabels/app.kubernetes.io~1name"),
            at(route, "/timeout"),
            at(route, "/retries/attempts"),
            at(route, "/retries/perTryTimeout"),
        )
    };
    assert_eq!(row(0), (json!("a"), json!("900ms"), json!(2), json!("300ms")));
    assert_eq!(row(1), (json!("b"), json!("5s"), json!(2), json!("1666ms")));
    assert_eq!(row(2), (Value::Null, json!("5s"), json!(0), Value::Null));
    let rule = object(&r, "DestinationRule", "a-to-c");
    assert_eq!(at(&rule, "/spec/workloadSelector/matchLabels/app.kubernetes.io~1name"), "a");
    assert_eq!(at(&rule, "/spec/host"), "c.checkout-prod.svc.cluster.local");
    assert!(at(&rule, "/spec/trafficPolicy/connectionPool/http/maxRetries").is_u64());
    let hpa = object(&r, "HorizontalPodAutoscaler", "a");
    assert_eq!(at(&hpa, "/spec/metrics/0/containerResource/container"), "a");
    let namespace = object(&r, "Namespace", "checkout-prod");
    assert_eq!(at(&namespace, "/metadata/labels/istio-injection"), "enabled");
}

#[test]
fn the_access_log_has_one_format_without_what_identifies_people() {
    let log = "mesh: istio\naccessLog: { drop: [client], sample: 25% }\n";
    let r = under(log, "");
    let telemetry = object(&r, "Telemetry", "kiban-access-log");
    let expression = at(&telemetry, "/spec/accessLogging/0/filter/expression");
    let digits = ["0", "1", "2", "3"].map(|d| format!(" || request.id.endsWith('{d}')")).concat();
    assert_eq!(expression, format!("response.code >= 400{digits}"));
    let config = at(&object(&r, "ConfigMap", "kiban-access-log"), "/data/mesh");
    let config: Value = serde_json::from_str(config.as_str().unwrap()).unwrap();
    let labels = at(&config, "/extensionProviders/0/envoyFileAccessLog/logFormat/labels");
    assert_eq!(labels["status"], "%RESPONSE_CODE%");
    assert_eq!(labels["client"], Value::Null);
    let all = under("mesh: istio\n", "");
    assert_eq!(
        at(&object(&all, "Telemetry", "kiban-access-log"), "/spec/accessLogging/0/filter"),
        Value::Null
    );
}

#[test]
fn what_an_environment_shares_names_no_environment() {
    let r = one("");
    let class = object(&r, "PriorityClass", "kiban-tier-2");
    assert_eq!(at(&class, "/metadata/labels"), json!({"app.kubernetes.io/managed-by": "kiban"}));
    let paths: Vec<String> = r.of_platform().map(|o| o.path("prod")).collect();
    assert_eq!(
        paths,
        ["prod/platform/namespace-checkout-prod.yaml", "prod/platform/priorityclass-kiban-tier-2.yaml"]
    );
    let labels = at(&object(&r, "Namespace", "checkout-prod"), "/metadata/labels");
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn settings_reach_the_container_in_the_form_that_the_app_asks_for() {
    let more = "\
secrets: [db, { name: keys, as: env }, { name: certs, path: /etc/certs }]
env:
  LEVEL: info
  DB_USER: { secret: db, key: user }
  POD: { field: metadata.name }
files: { /etc/app/app.conf: \"x = 1\\n\", /etc/other/app.conf: \"y\" }
writable: { /cache: 64Mi, /shm: { size: 16Mi, memory: true } }
jobs:
  j: { schedule: \"@daily\", run: [x], env: { POD: job, MODE: batch } }
";
    let r = one(more);
    let pod = at(&object(&r, "Deployment", "a"), "/spec/template/spec");
    let container = at(&pod, "/containers/0");
    let mounts: Vec<String> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["mountPath"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        mounts,
        ["/etc/app/app.conf", "/etc/other/app.conf", "/secrets/db", "/etc/certs", "/cache", "/shm"]
    );
    assert_eq!(at(&container, "/env/0/valueFrom/secretKeyRef"), json!({"name": "db", "key": "user"}));
    assert_eq!(at(&container, "/env/1/valueFrom/fieldRef/fieldPath"), "metadata.name");
    assert_eq!(at(&container, "/envFrom/1/secretRef/name"), "keys");
    let files =
        of_kind(&r, "ConfigMap").into_iter().find(|c| at(c, "/data/app.conf") != Value::Null).unwrap();
    assert_eq!(at(&files, "/data"), json!({"app.conf": "x = 1\n", "app.conf-2": "y"}));
    assert_eq!(at(&pod, "/volumes/4/emptyDir"), json!({"medium": "Memory", "sizeLimit": "16Mi"}));
    let job = at(&object(&r, "CronJob", "a-j"), "/spec/jobTemplate/spec/template/spec/containers/0/env");
    let names: Vec<&str> = job.as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["DB_USER", "MODE", "POD"], "a job's own variable stands in the app's place");
}

#[test]
fn a_config_map_is_called_by_its_content() {
    let name = |value: &str| {
        let r = one(&format!("env: {{ LEVEL: {value} }}\n"));
        at(&of_kind(&r, "ConfigMap")[0], "/metadata/name").as_str().unwrap().to_owned()
    };
    assert_eq!(name("info"), name("info"));
    assert_ne!(name("info"), name("debug"));
    assert!(name("info").starts_with("a-config-"));
}

#[test]
fn a_late_job_never_starts_after_the_next_is_due() {
    let job = |schedule: &str| {
        let r = one(&format!("jobs: {{ j: {{ schedule: \"{schedule}\", run: [x], timeout: 1m }} }}\n"));
        at(&object(&r, "CronJob", "a-j"), "/spec/startingDeadlineSeconds")
    };
    assert_eq!(job("@daily"), 600);
    assert_eq!(job("*/2 * * * *"), 120);
}

#[test]
fn a_token_and_a_cloud_identity_come_only_when_asked_for() {
    let identities = "identities: { reader: { annotations: { example.com/role: r }, podLabels: { example.com/use: \"true\" } } }\n";
    let r = under(identities, "identity: { role: reader, token: true }\n");
    let account = object(&r, "ServiceAccount", "a");
    assert_eq!(account["automountServiceAccountToken"], true);
    assert_eq!(at(&account, "/metadata/annotations/example.com~1role"), "r");
    let pod = at(&object(&r, "Deployment", "a"), "/spec/template");
    assert_eq!(at(&pod, "/metadata/labels/example.com~1use"), "true");
    assert_eq!(object(&one(""), "ServiceAccount", "a")["automountServiceAccountToken"], false);
}

#[test]
fn files_lie_where_the_layout_says() {
    let r = one("jobs: { j: { schedule: \"@daily\", run: [x] } }\n");
    let files: Vec<String> = r.files().into_keys().collect();
    assert!(files.contains(&"prod/a/cronjob-a-j.yaml".to_owned()), "{files:#?}");
    assert!(files.contains(&"prod/a/deployment-a.yaml".to_owned()));
    assert_eq!(r.objects.len(), files.len());
}
