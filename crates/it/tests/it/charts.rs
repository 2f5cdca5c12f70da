//! Real helm: two charts of ours, and the stock charts that need no kinds of their own.

use kiban_simcluster::nodes::StandIn;
use kiban_simcluster::server::Config;
use kiban_testkit::{Kubectl, Sim};
use serde_json::Value;

fn ours(name: &str) -> String {
    kiban_testkit::root().join("tests/charts").join(name).display().to_string()
}

/// A cluster, helm and kubectl.
fn cluster(test: &str, config: Config) -> Option<(Sim, Kubectl, Kubectl)> {
    let sim = Sim::with(config);
    let (helm, kubectl) = (sim.helm(test)?, sim.kubectl(test)?);
    Some((sim, helm, kubectl))
}

fn fast() -> Config {
    Config { fast: true, ..Config::default() }
}

fn status(helm: &Kubectl, release: &str, namespace: &str) -> (String, u64) {
    let json = helm.run(&format!("status {release} -n {namespace} -o json")).ok();
    let value: Value = serde_json::from_str(&json).unwrap();
    (value["info"]["status"].as_str().unwrap().to_owned(), value["version"].as_u64().unwrap())
}

#[test]
fn a_chart_with_hooks_and_a_stateful_set_lives_its_whole_life() {
    let Some((sim, helm, kubectl)) = cluster("charts: shelf", fast()) else { return };
    let chart = ours("shelf");
    let said =
        helm.run(&format!("install books {chart} -n lib --create-namespace --wait --timeout 60s")).ok();
    for part in ["STATUS: deployed", "REVISION: 1", "books keeps 1Gi on each of 3."] {
        assert!(said.contains(part), "{said}");
    }
    let replicas = || kubectl.run("get sts books -n lib -o jsonpath={.status.readyReplicas}").ok();
    assert_eq!(replicas(), "3", "--wait waits");
    assert_eq!(kubectl.run("get cm books-settings -n lib -o jsonpath={.data.policy}").ok(), "true");
    assert_eq!(kubectl.run("get pvc -n lib -o name").ok().lines().count(), 3);
    // The hook before stays, the hook after goes once it went well.
    assert_eq!(kubectl.run("get jobs -n lib -o name").ok(), "job.batch/books-migrate\n");
    let password = kubectl.run("get secret books-password -n lib -o jsonpath={.data.password}").ok();
    let account = kubectl.run("get sa books-migrate -n lib -o jsonpath={.metadata.uid}").ok();

    let said = helm
        .run(&format!(
            "upgrade books {chart} -n lib --set replicas=2 --set image.tag=3.2 --wait --timeout 60s"
        ))
        .ok();
    assert!(said.contains("Release \"books\" has been upgraded") && said.contains("REVISION: 2"), "{said}");
    sim.wait("two of them", || replicas() == "2");
    let image = || kubectl.run("get pod books-0 -n lib -o jsonpath={.spec.containers[0].image}").ok();
    assert_eq!(image(), "registry.example/shelf:3.2");
    assert_eq!(
        kubectl.run("get secret books-password -n lib -o jsonpath={.data.password}").ok(),
        password,
        "lookup found it"
    );
    assert_ne!(
        kubectl.run("get sa books-migrate -n lib -o jsonpath={.metadata.uid}").ok(),
        account,
        "made anew"
    );

    // A hook that fails stops the upgrade before anything else changes.
    let error = helm.run(&format!(
        "upgrade books {chart} -n lib --set 'migrate.command=exit 4' --set image.tag=bad --wait --timeout 30s"
    ));
    assert_ne!(error.code, 0);
    assert!(error.err.contains("UPGRADE FAILED: pre-upgrade hooks failed"), "{}", error.err);
    assert_eq!(status(&helm, "books", "lib"), ("failed".to_owned(), 3));
    assert_eq!(image(), "registry.example/shelf:3.2");

    helm.run("rollback books 1 -n lib --wait --timeout 60s").ok();
    assert_eq!(status(&helm, "books", "lib"), ("deployed".to_owned(), 4));
    sim.wait("three of them", || replicas() == "3");
    assert_eq!(image(), "registry.example/shelf:3.1");
    let history = helm.run("history books -n lib").ok();
    assert_eq!(history.lines().count(), 5, "{history}");
    assert!(history.contains("Rollback to 1"), "{history}");

    let said = helm.run("test books -n lib --timeout 60s").ok();
    assert!(said.contains("Phase:          Succeeded"), "{said}");
    assert!(helm.run("list -n lib").ok().contains("shelf-1.2.0"));
    assert!(helm.run("get values books -n lib --all").ok().contains("storage: 1Gi"));

    let said = helm.run("uninstall books -n lib --wait --timeout 60s").ok();
    assert!(
        said.contains("release \"books\" uninstalled") && said.contains("[Secret] books-password"),
        "{said}"
    );
    assert_eq!(kubectl.run("get sts,svc,pdb -n lib -o name").ok(), "");
    assert_eq!(
        kubectl.run("get cm books-farewell -n lib -o jsonpath={.data.revision}").ok(),
        "1",
        "as it was rendered"
    );
    assert_eq!(kubectl.run("get secret -n lib -o name").ok(), "secret/books-password\n");
    sim.wait("the pods to go", || {
        kubectl.run("get pods -n lib -l app.kubernetes.io/name=shelf -o name").ok().is_empty()
    });
}

#[test]
fn a_web_chart_is_installed_changed_and_rolled_back() {
    let Some((_sim, helm, kubectl)) = cluster("charts: notice", fast()) else { return };
    let chart = ours("notice");
    let dry = helm.run(&format!("install web {chart} --dry-run=server")).ok();
    assert!(dry.contains("kind: HorizontalPodAutoscaler"), "{dry}");
    assert!(helm.run("list -q").ok().is_empty());
    helm.run(&format!("install web {chart} --wait --timeout 60s")).ok();
    let error = helm.run(&format!("install web {chart}"));
    assert!(error.err.contains("cannot reuse a name that is still in use"), "{}", error.err);
    kubectl.run("get deploy,svc,ing,netpol,hpa,cj,role,rolebinding,sa web --ignore-not-found").ok();
    let managers = kubectl
        .run("get deploy web --show-managed-fields -o jsonpath={.metadata.managedFields[*].operation}")
        .ok();
    assert!(managers.contains("Apply"), "helm 4 applies on the server: {managers}");

    helm.run(&format!("upgrade --install web {chart} --set autoscaling=false --set replicas=4 --set greeting=bye --wait --timeout 60s")).ok();
    assert_eq!(kubectl.run("get hpa -o name").ok(), "");
    assert_eq!(kubectl.run("get deploy web -o jsonpath={.status.readyReplicas}").ok(), "4");
    assert_eq!(kubectl.run("get cm web -o jsonpath={.data.greeting}").ok(), "bye");
    let diff = helm.run("get manifest web").ok();
    assert!(diff.contains("replicas: 4"), "{diff}");

    helm.run("rollback web --wait --timeout 60s").ok();
    assert_eq!(status(&helm, "web", "default"), ("deployed".to_owned(), 3));
    assert_eq!(kubectl.run("get hpa -o name").ok(), "horizontalpodautoscaler.autoscaling/web\n");
    assert_eq!(kubectl.run("get cm web -o jsonpath={.data.greeting}").ok(), "hello");
    let error = helm
        .run(&format!("upgrade web {chart} --set image=a:b:c:d --set autoscaling=false --set replicas=-1"));
    assert!(error.code != 0 && error.err.contains("spec.replicas: Invalid value: -1"), "{}", error.err);
    let said = helm
        .run(&format!("upgrade web {chart} --set replicas=3 --rollback-on-failure --wait --timeout 60s"))
        .ok();
    assert!(said.contains("STATUS: deployed"), "{said}");
    helm.run("uninstall web --cascade foreground --wait --timeout 60s").ok();
    assert_eq!(kubectl.run("get deploy,rs,pods,svc,ing,cj -o name").ok(), "service/kubernetes\n");
    helm.run("status web").fails(1);
}

/// Chart, values that another user would set, a workload that must be there.
const STOCK: [(&str, &str, &str); 5] = [
    (
        "podinfo",
        "--set replicaCount=2 --set hpa.enabled=true --set redis.enabled=true --set ingress.enabled=true",
        "deploy/podinfo",
    ),
    ("prometheus-node-exporter", "--set service.port=9111", "ds/prometheus-node-exporter"),
    (
        "kube-state-metrics",
        "--set replicas=2 --set podDisruptionBudget.maxUnavailable=1",
        "deploy/kube-state-metrics",
    ),
    ("metrics-server", "--set replicas=2 --set podDisruptionBudget.enabled=true", "deploy/metrics-server"),
    (
        "ingress-nginx",
        "--set controller.replicaCount=2 --set controller.autoscaling.enabled=true",
        "deploy/ingress-nginx-controller",
    ),
];

#[test]
fn stock_charts_are_installed_upgraded_rolled_back_and_removed() {
    // The certificate that ingress-nginx' job would make, had its image a program in it.
    let certificate = StandIn {
        kind: "Secret".into(),
        namespace: "*".into(),
        name: "ingress-nginx-admission".into(),
        data: vec![("cert".into(), "x".into()), ("key".into(), "x".into()), ("ca".into(), "x".into())],
    };
    let config = Config { stand_ins: vec![certificate], ..fast() };
    let Some((_sim, helm, kubectl)) = cluster("charts: stock", config) else { return };
    let Some(charts) = kiban_testkit::testdata("charts: stock", "helm-charts") else { return };
    for (name, values, workload) in STOCK {
        let chart = charts.join(name).display().to_string();
        let place = format!("-n {name} --wait --timeout 60s");
        let said = helm.run(&format!("install {name} {chart} --create-namespace {place}"));
        assert!(said.code == 0 && said.out.contains("STATUS: deployed"), "{name}: {} {}", said.out, said.err);
        kubectl.run(&format!("rollout status {workload} -n {name} --timeout=60s")).ok();
        let said = helm.run(&format!("upgrade {name} {chart} {values} {place}"));
        assert!(said.code == 0 && said.out.contains("REVISION: 2"), "{name}: {} {}", said.out, said.err);
        let said = helm.run(&format!("rollback {name} 1 {place}")).ok();
        assert!(said.contains("Rollback was a success"), "{name}: {said}");
        assert_eq!(status(&helm, name, name), ("deployed".to_owned(), 3), "{name}");
        if name == "podinfo" {
            let said = helm.run(&format!("test {name} -n {name} --timeout 60s")).ok();
            assert_eq!(said.matches("Phase:          Succeeded").count(), 3, "{said}");
        }
        let said = helm.run(&format!("uninstall {name} {place}")).ok();
        assert!(said.contains("uninstalled"), "{name}: {said}");
        kubectl.run(&format!("delete ns {name} --timeout=60s")).ok();
    }
    assert_eq!(helm.run("list -A -q").ok(), "");
}
