//! Nodes: taints, cordon, drain against a budget.

use super::{cells, cluster, holds};

#[test]
fn nodes_are_tainted_labelled_and_cordoned() {
    let Some((sim, kubectl)) = cluster("nodes") else { return };
    assert_eq!(kubectl.run("taint node sim-node-1 a=b:NoSchedule").ok(), "node/sim-node-1 tainted\n");
    let error = kubectl.run("taint node sim-node-1 a=c:NoSchedule").fails(1);
    assert_eq!(
        error,
        "error: node sim-node-1 already has a taint(s) with same effect(s) and --overwrite is false\n"
    );
    kubectl.run("taint node sim-node-1 a=c:NoSchedule --overwrite").ok();
    kubectl.run("create deployment web --image=x --replicas=6").ok();
    kubectl.run("rollout status deploy/web --timeout=60s").ok();
    assert_eq!(kubectl.run("get pods --field-selector spec.nodeName=sim-node-1 -o name").ok(), "");
    assert_eq!(kubectl.run("taint node sim-node-1 a-").ok(), "node/sim-node-1 untainted\n");
    kubectl.run("label node sim-node-2 pool=fast").ok();
    assert_eq!(kubectl.run("get nodes -l pool=fast -o name").ok(), "node/sim-node-2\n");

    assert_eq!(kubectl.run("cordon sim-node-2").ok(), "node/sim-node-2 cordoned\n");
    assert_eq!(cells(&kubectl.run("get node sim-node-2").ok(), "sim-node-2")[1], "Ready,SchedulingDisabled");
    sim.wait("the taint", || {
        kubectl.run("get node sim-node-2 -o jsonpath={.spec.taints[0].key}").ok()
            == "node.kubernetes.io/unschedulable"
    });
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {nodeSelector: {pool: fast}, containers: [{name: a, image: x}]}\n";
    kubectl.feed("create -f -", pod).ok();
    kubectl.run("wait --for=condition=PodScheduled=false pod/p --timeout=60s").ok();
    holds(&kubectl.run("describe pod p").ok(), &["FailedScheduling", "0/3 nodes are available:"]);
    kubectl.run("uncordon sim-node-2").ok();
    kubectl.run("wait --for=condition=Ready pod/p --timeout=60s").ok();
    // NoExecute takes what does not tolerate it.
    kubectl.run("taint node sim-node-2 out=now:NoExecute").ok();
    kubectl.run("wait --for=delete pod/p --timeout=60s").ok();
}

#[test]
fn a_drain_waits_for_the_budget() {
    let Some((sim, kubectl)) = cluster("nodes: drain") else { return };
    kubectl.run("cordon sim-node-2").ok();
    kubectl.run("cordon sim-node-3").ok();
    kubectl.run("create deployment web --image=x --replicas=2").ok();
    kubectl.run("create pdb web --selector=app=web --min-available=2").ok();
    kubectl.run("rollout status deploy/web --timeout=60s").ok();
    kubectl.run("uncordon sim-node-2").ok();
    sim.wait("the budget", || kubectl.run("get pdb web -o jsonpath={.status.currentHealthy}").ok() == "2");
    let said = kubectl.run("drain sim-node-1 --timeout=1s");
    assert_eq!(said.code, 1);
    holds(&said.out, &["node/sim-node-1 cordoned"]);
    holds(&said.err, &["Cannot evict pod as it would violate the pod's disruption budget."]);
    let drain = kubectl.start("drain sim-node-1 --timeout=60s");
    kubectl.args(&["patch", "pdb", "web", "--type=merge", "-p", r#"{"spec":{"minAvailable":1}}"#]).ok();
    let said = drain.end().ok();
    holds(&said, &["evicting pod default/web-", "evicted", "node/sim-node-1 drained"]);
    assert_eq!(kubectl.run("get pods --field-selector spec.nodeName=sim-node-1 -o name").ok(), "");
    kubectl.run("rollout status deploy/web --timeout=60s").ok();
    assert_eq!(
        kubectl.run("get pods --field-selector spec.nodeName=sim-node-2 -o name").ok().lines().count(),
        2
    );

    // What nobody would make again is not evicted without force, nor are daemons.
    kubectl.run("run alone --image=x").ok();
    kubectl.run("wait --for=condition=Ready pod/alone --timeout=60s").ok();
    let error = kubectl.run("drain sim-node-2 --timeout=5s").fails(1);
    holds(&error, &["that declare no controller (use --force to override): default/alone"]);
    kubectl.run("uncordon sim-node-3").ok();
    kubectl.run("drain sim-node-2 --force --ignore-daemonsets --delete-emptydir-data --timeout=60s").ok();
    kubectl.run("get pod alone").fails(1);
}
