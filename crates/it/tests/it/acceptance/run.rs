//! Single pods: run, logs, wait, graceful deletion, debug.

use super::{cells, cluster, holds};

#[test]
fn pods_are_run_waited_for_and_removed() {
    let Some((_sim, kubectl)) = cluster("run") else { return };
    kubectl.run("run once --image=busybox --restart=Never -- sh -c 'exit 0'").ok();
    let said = kubectl.run("wait --for=jsonpath='{.status.phase}'=Succeeded pod/once --timeout=60s").ok();
    assert_eq!(said, "pod/once condition met\n");
    assert_eq!(cells(&kubectl.run("get pod once").ok(), "once")[1..3], ["0/1", "Completed"]);
    let said = kubectl.run("run gone --rm -i --image=busybox --restart=Never -- sh -c 'exit 0'").ok();
    holds(&said, &["pod \"gone\" deleted from default namespace"]);
    kubectl.run("get pod gone").fails(1);
    kubectl.run("run bad --image=busybox --restart=Never -- sh -c 'exit 3'").ok();
    kubectl.run("wait --for=jsonpath='{.status.phase}'=Failed pod/bad --timeout=60s").ok();
    assert_eq!(cells(&kubectl.run("get pod bad").ok(), "bad")[2], "Error");

    kubectl.run("run web --image=nginx:1 --port=80 --labels=app=web --env=A=b").ok();
    assert_eq!(
        kubectl.run("wait --for=condition=Ready pod/web --timeout=60s").ok(),
        "pod/web condition met\n"
    );
    let error = kubectl.run("wait --for=condition=Nothing pod/web --timeout=1s").fails(1);
    assert_eq!(error, "error: timed out waiting for the condition on pods/web\n");
    let error = kubectl.run("wait --for=condition=Ready pod/none --timeout=1s").fails(1);
    assert_eq!(error, "Error from server (NotFound): pods \"none\" not found\n");
    let wait = kubectl.start("wait --for=create pod/later --timeout=60s");
    kubectl.run("run later --image=x").ok();
    assert_eq!(wait.end().ok(), "pod/later condition met\n");
    let wait = kubectl.start("wait --for=delete pod/later --timeout=60s");
    assert_eq!(kubectl.run("delete pod later").ok(), "pod \"later\" deleted from default namespace\n");
    wait.end().ok();
    assert_eq!(kubectl.run("wait --for=delete pod/later --timeout=60s").code, 0);
    kubectl.run("delete pod web --grace-period=0 --force").ok();
    kubectl.run("delete pod web").fails(1);
    kubectl.run("delete pod web --ignore-not-found").ok();
}

/// Nodes that take their time: what is terminating can be seen.
#[test]
fn a_pod_in_its_grace_period_is_shown_as_terminating() {
    let config = kiban_simcluster::server::Config { nodes: 1, ..Default::default() };
    let sim = kiban_testkit::Sim::with(config);
    let Some(kubectl) = sim.kubectl("run: grace") else { return };
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, annotations: {sim.kiban.dev/stop-for: 1h}}\nspec: {containers: [{name: a, image: x}]}\n";
    kubectl.feed("create -f -", pod).ok();
    kubectl.run("wait --for=condition=Ready pod/web --timeout=60s").ok();
    kubectl.run("delete pod web --grace-period=5 --wait=false").ok();
    assert_eq!(cells(&kubectl.run("get pod web").ok(), "web")[2], "Terminating");
    assert_eq!(kubectl.run("get pod web -o jsonpath={.metadata.deletionGracePeriodSeconds}").ok(), "5");
    holds(&kubectl.run("describe pod web").ok(), &["Termination Grace Period:  5s"]);
    kubectl.run("wait --for=delete pod/web --timeout=60s").ok();
}

#[test]
fn logs_are_read_in_every_way() {
    let Some((sim, kubectl)) = cluster("run: logs") else { return };
    let file = concat!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: web}}\n",
        "  template:\n    metadata: {labels: {app: web}}\n    spec:\n      initContainers: [{name: first, image: x}]\n",
        "      containers: [{name: main, image: x}, {name: side, image: side}]\n",
    );
    kubectl.feed("apply -f -", file).ok();
    kubectl.run("rollout status deploy/web --timeout=60s").ok();
    let pod = kubectl.run("get pods -o jsonpath={.items[0].metadata.name}").ok();
    let logs = |rest: &str| kubectl.run(&format!("logs {pod} {rest}"));
    holds(&logs("").err, &["Defaulted container \"main\" out of: main, side, first (init)"]);
    holds(&logs("-c side").ok(), &["\"container\":\"side\""]);
    holds(&logs("-c first").ok(), &["\"container\":\"first\""]);
    sim.wait("some lines", || logs("-c main").ok().lines().count() > 3);
    assert_eq!(logs("-c main --tail=2").ok().lines().count(), 2);
    assert_eq!(logs("-c main --tail=0").ok(), "");
    assert_eq!(logs("-c main --limit-bytes=10").ok().len(), 10);
    let stamped = logs("-c main --timestamps --tail=1").ok();
    let stamp = stamped.split(' ').next().unwrap();
    assert!(stamp.starts_with("20") && stamp.ends_with('Z'), "{stamped}");
    assert!(logs("-c main --since=1h").ok().lines().count() > 3);
    assert!(logs("-c main --since-time=2020-01-01T00:00:00Z").ok().lines().count() > 3);
    assert_eq!(logs("-c main --since-time=2999-01-01T00:00:00Z").ok(), "");
    let all = logs("--all-containers --prefix --tail=1").ok();
    holds(&all, &[&format!("[pod/{pod}/main]"), &format!("[pod/{pod}/side]"), &format!("[pod/{pod}/first]")]);
    let many = kubectl.run("logs -l app=web -c main --prefix --tail=1").ok();
    assert_eq!(many.lines().count(), 2, "{many}");
    let said = kubectl.run("logs deploy/web -c main --tail=1");
    holds(&said.err, &["Found 2 pods, using pod/web-"]);
    let error = logs("-c none").fails(1);
    assert_eq!(
        error,
        format!("error: container none is not valid for pod {pod} out of: main, side, first (init)\n")
    );
    let error = logs("-c main --previous").fails(1);
    assert_eq!(
        error,
        format!(
            "Error from server (BadRequest): previous terminated container \"main\" in pod \"{pod}\" not found\n"
        )
    );
    let error = kubectl.run("logs none").fails(1);
    holds(&error, &["pods \"none\" not found in namespace \"default\""]);
    let raw = kubectl.run(&format!("get --raw /api/v1/namespaces/default/pods/{pod}/log")).fails(1);
    holds(&raw, &["a container name must be specified for pod", "choose one of: [first main side]"]);

    let follow = kubectl.start(&format!("logs -f {pod} -c main --tail=3"));
    sim.wait("a new line", || follow.out().lines().count() > 4);
    kubectl.run(&format!("delete pod {pod}")).ok();
    let said = follow.end();
    assert_eq!(said.code, 0, "{}", said.err);
}

#[test]
fn a_container_that_crashes_keeps_its_last_words() {
    let Some((sim, kubectl)) = cluster("run: previous") else { return };
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: bad}\nspec: {containers: [{name: a, image: x, command: [sh, -c, exit 7]}]}\n";
    kubectl.feed("create -f -", pod).ok();
    sim.wait("a restart", || {
        kubectl
            .run("get pod bad -o jsonpath={.status.containerStatuses[0].restartCount}")
            .ok()
            .parse::<u32>()
            .unwrap_or(0)
            > 0
    });
    holds(&kubectl.run("logs bad --previous").ok(), &["\"exit_code\":7"]);
    sim.wait("the back-off", || kubectl.run("get pod bad").ok().contains("CrashLoopBackOff"));
    let text = kubectl.run("describe pod bad").ok();
    holds(
        &text,
        &[
            "Last State:     Terminated",
            "Exit Code:    7",
            "Back-off restarting failed container a in pod bad_default(",
        ],
    );
}

#[test]
fn debug_containers_are_added_to_pods_and_nodes() {
    let Some((sim, kubectl)) = cluster("run: debug") else { return };
    kubectl.run("run web --image=nginx:1").ok();
    kubectl.run("wait --for=condition=Ready pod/web --timeout=60s").ok();
    kubectl.run("debug web --image=busybox -c probe -- sleep 1").ok();
    sim.wait("the container", || {
        kubectl.run("get pod web -o jsonpath={.status.ephemeralContainerStatuses[0].name}").ok() == "probe"
    });
    holds(&kubectl.run("describe pod web").ok(), &["Ephemeral Containers:", "probe:"]);
    kubectl.run("debug web --image=busybox --copy-to=copy --share-processes -- sleep 1").ok();
    kubectl.run("get pod copy").ok();
    holds(
        &kubectl.run("debug node/sim-node-1 --image=busybox -- sleep 1").ok(),
        &["Creating debugging pod node-debugger-sim-node-1-"],
    );
}
