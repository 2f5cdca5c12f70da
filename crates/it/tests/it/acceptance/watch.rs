//! Watching with kubectl.

use super::{cluster, holds};

#[test]
fn pods_are_watched_while_a_deployment_scales() {
    let Some((sim, kubectl)) = cluster("watch") else { return };
    kubectl.run("create deployment web --image=x --replicas=1").ok();
    kubectl.run("rollout status deploy/web --timeout=60s").ok();
    let plain = kubectl.start("get pods -w");
    let events = kubectl.start("get pods -w --output-watch-events");
    let only = kubectl.start("get pods --watch-only -o name");
    let deploy = kubectl.start("get deploy web -w -o jsonpath={.status.readyReplicas},");
    let labelled = kubectl.start("get pods -l app=other -w -o name");
    sim.wait("the first lines", || plain.out().contains("Running") && events.out().contains("ADDED"));
    kubectl.run("scale deploy/web --replicas=4").ok();
    kubectl.run("rollout status deploy/web --timeout=60s").ok();
    sim.wait("the new pods", || deploy.out().contains("4,") && only.out().lines().count() > 3);
    sim.wait("their lives", || {
        let text = plain.out();
        ["Pending", "Running"].iter().all(|s| text.contains(s))
    });
    kubectl.run("scale deploy/web --replicas=0").ok();
    sim.wait("their ends", || events.out().matches("DELETED").count() == 4);
    holds(&events.out(), &["EVENT", "ADDED", "MODIFIED", "DELETED"]);
    let pod = kubectl.start("get pods -w");
    kubectl.run("run other --image=x --labels=app=other").ok();
    sim.wait("the one with the label", || labelled.out().contains("pod/other"));
    sim.wait("it on the other watch", || pod.out().contains("other"));
    assert!(!labelled.out().contains("web"));
}
