//! The embedded cluster as a person meets it first.

use kiban_testkit::Sim;

#[test]
fn a_deployment_made_by_kubectl_rolls_out_and_is_shown() {
    let sim = Sim::start(3);
    let Some(kubectl) = sim.kubectl("basics") else { return };
    kubectl.run("create deployment web --image=nginx:1.25 --replicas=3").ok();
    kubectl.run("rollout status deploy/web --timeout=60s").ok();
    let table = kubectl.run("get deploy web").ok();
    assert!(table.contains("3/3"), "{table}");
}
