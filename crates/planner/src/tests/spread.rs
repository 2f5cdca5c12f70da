//! Topology spread: skew, minimum domains, who counts and which nodes do.

use super::*;

/// Zones a, a, b with `counts` pods of the app on each node.
fn cluster(counts: [usize; 3]) -> Scheduler {
    let mut s = scheduler(&[node("a1").zone("a"), node("a2").zone("a"), node("b1").zone("b")]);
    for (name, count) in ["a1", "a2", "b1"].iter().zip(counts) {
        for i in 0..count {
            s.set_pod(pod(&format!("{name}-{i}")).app("web").on(name));
        }
    }
    s
}

const NODES: [&str; 3] = ["a1", "a2", "b1"];

#[test]
fn skew_is_measured_from_the_emptiest_domain() {
    let web = |skew| pod("new").app("web").spread(ZONE, skew, "DoNotSchedule", "web");
    let host = pod("new").app("web").spread(HOST, 1, "DoNotSchedule", "web");
    let table = [
        ([0, 0, 0], web(1), vec!["a1", "a2", "b1"]),
        ([1, 0, 0], web(1), vec!["b1"]),
        ([1, 0, 1], web(1), vec!["a1", "a2", "b1"]),
        ([2, 1, 1], web(1), vec!["b1"]),
        ([2, 1, 1], web(3), vec!["a1", "a2", "b1"]),
        ([1, 0, 1], host.clone(), vec!["a2"]),
        ([1, 1, 1], host, vec!["a1", "a2", "b1"]),
        // A pod that the selector does not match adds nothing itself.
        ([1, 0, 0], pod("new").spread(ZONE, 1, "DoNotSchedule", "web"), vec!["a1", "a2", "b1"]),
        ([2, 0, 0], pod("new").spread(ZONE, 1, "DoNotSchedule", "web"), vec!["b1"]),
        // Soft constraints forbid nothing.
        ([5, 0, 0], pod("new").app("web").spread(ZONE, 1, "ScheduleAnyway", "web"), vec!["a1", "a2", "b1"]),
        // Both constraints must hold.
        ([1, 0, 1], web(1).spread(HOST, 1, "DoNotSchedule", "web"), vec!["a2"]),
    ];
    for (counts, p, want) in table {
        assert_eq!(takers(&mut cluster(counts), &p, &NODES), want, "{counts:?} {}", p.0["spec"]);
    }
}

#[test]
fn too_few_domains_make_the_emptiest_count_as_zero() {
    let mut p = pod("new").app("web").spread(ZONE, 1, "DoNotSchedule", "web");
    p.0["spec"]["topologySpreadConstraints"][0]["minDomains"] = json!(3);
    assert_eq!(takers(&mut cluster([1, 0, 1]), &p, &NODES), [""; 0]);
    assert_eq!(takers(&mut cluster([1, 0, 0]), &p, &NODES), ["b1"]);
    p.0["spec"]["topologySpreadConstraints"][0]["minDomains"] = json!(2);
    assert_eq!(takers(&mut cluster([1, 0, 1]), &p, &NODES), ["a1", "a2", "b1"]);
    assert_eq!(
        place(
            &mut cluster([3, 0, 0]),
            &pod("x")
                .app("web")
                .spread(ZONE, 1, "DoNotSchedule", "web")
                .spec(json!({"nodeSelector": {"topology.kubernetes.io/zone": "a"}}))
        ),
        Ok("a2".to_string()),
        "a zone outside the pod's node selector is no domain"
    );
}

#[test]
fn node_policies_decide_which_nodes_are_domains() {
    let nodes =
        [node("a1").zone("a"), node("b1").zone("b"), node("c1").zone("c").taint("x", "", "NoSchedule")];
    let build = |affinity: &str, taints: &str| {
        let mut p = pod("new").app("web").spread(ZONE, 1, "DoNotSchedule", "web").affinity(
            "nodeAffinity",
            "required",
            json!({"nodeSelectorTerms": [
                {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["a", "c"]}]}]}),
        );
        p.0["spec"]["topologySpreadConstraints"][0]["nodeAffinityPolicy"] = json!(affinity);
        p.0["spec"]["topologySpreadConstraints"][0]["nodeTaintsPolicy"] = json!(taints);
        p
    };
    let table = [
        // c is tainted but counts, and is empty.
        ("Honor", "Ignore", vec![]),
        // c does not count; a is the only domain.
        ("Honor", "Honor", vec!["a1"]),
        // b counts, and is empty.
        ("Ignore", "Honor", vec![]),
    ];
    for (affinity, taints, want) in table {
        let mut s = scheduler(&nodes);
        s.set_pod(pod("old").app("web").on("a1"));
        let got = takers(&mut s, &build(affinity, taints), &["a1", "b1", "c1"]);
        assert_eq!(got, want, "{affinity} {taints}");
    }
}

#[test]
fn only_living_pods_of_the_namespace_count() {
    let mut s = cluster([0, 0, 0]);
    s.set_pod(pod("other").namespace("elsewhere").app("web").on("a1"));
    let mut dying = pod("dying").app("web");
    dying.0["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    s.set_pod(dying.on("a1"));
    let p = pod("new").app("web").spread(ZONE, 1, "DoNotSchedule", "web");
    assert_eq!(takers(&mut s, &p, &NODES), NODES);
    s.set_pod(pod("dying").app("web").on("a1"));
    assert_eq!(takers(&mut s, &p, &NODES), ["b1"]);
}

#[test]
fn match_label_keys_narrow_the_selector_to_the_pods_own_revision() {
    let mut s = cluster([0, 0, 0]);
    s.set_pod(pod("old").app("web").label("pod-template-hash", "1").on("a1"));
    let mut p = pod("new").app("web").label("pod-template-hash", "2").spread(ZONE, 1, "DoNotSchedule", "web");
    assert_eq!(takers(&mut s, &p, &NODES), ["b1"]);
    p.0["spec"]["topologySpreadConstraints"][0]["matchLabelKeys"] = json!(["pod-template-hash", "none"]);
    assert_eq!(takers(&mut s, &p, &NODES), NODES);
}

#[test]
fn a_node_that_lacks_a_label_is_no_domain() {
    let mut s = scheduler(&[node("a1").zone("a"), node("x1")]);
    let p = pod("new").app("web").spread(ZONE, 1, "DoNotSchedule", "web");
    for i in 0..3 {
        assert_eq!(bind(&mut s, &p.clone()), "a1", "{i}");
    }
    assert_eq!(
        place(&mut scheduler(&[node("x1")]), &p).unwrap_err(),
        "0/1 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label)."
    );
}

#[test]
fn a_full_domain_is_told_in_kube_schedulers_words() {
    let mut s = scheduler(&[node("a1").zone("a"), node("b1").zone("b").cordoned()]);
    s.set_pod(pod("old").app("web").on("a1"));
    let p = pod("new").app("web").spread(ZONE, 1, "DoNotSchedule", "web");
    assert_eq!(
        place(&mut s, &p).unwrap_err(),
        "0/2 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 node(s) were unschedulable."
    );
}

#[test]
fn domains_follow_nodes_that_come_change_and_go() {
    let mut s = cluster([1, 0, 1]);
    let p = pod("new").app("web").spread(ZONE, 1, "DoNotSchedule", "web");
    assert_eq!(takers(&mut s, &p, &NODES), NODES);
    s.set_node(node("c1").zone("c").build());
    assert_eq!(takers(&mut s, &p, &["a1", "a2", "b1", "c1"]), ["c1"]);
    s.set_node(node("c1").zone("b").build());
    assert_eq!(takers(&mut s, &p, &["a1", "a2", "b1", "c1"]), ["a1", "a2", "b1", "c1"]);
    s.set_node(node("a1").zone("b").build());
    assert_eq!(takers(&mut s, &p, &["a1", "a2", "b1", "c1"]), ["a2"]);
    s.remove_node("b1");
    assert_eq!(takers(&mut s, &p, &["a1", "a2", "c1"]), ["a2"]);
    s.remove_node("a2");
    assert_eq!(takers(&mut s, &p, &["a1", "c1"]), ["a1", "c1"]);
}

#[test]
fn replicas_end_up_even() {
    let nodes: Vec<_> = (0..6).map(|i| node(&format!("n{i}")).zone(["a", "b", "c"][i % 3])).collect();
    let mut s = scheduler(&nodes);
    let mut per_node = std::collections::BTreeMap::new();
    for i in 0..12 {
        let p = pod(&format!("web-{i}"))
            .app("web")
            .cpu("100m")
            .spread(ZONE, 1, "DoNotSchedule", "web")
            .spread(HOST, 1, "ScheduleAnyway", "web");
        *per_node.entry(bind(&mut s, &p)).or_insert(0) += 1;
    }
    assert!(per_node.values().all(|n| *n == 2), "{per_node:?}");
}
