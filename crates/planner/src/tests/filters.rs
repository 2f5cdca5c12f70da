//! Each filter by itself, and the messages of pods that no node takes.

use super::*;

#[test]
fn each_filter_gives_kube_schedulers_reason() {
    let plain = || node("n1");
    let want = |n: NodeBuilder, p: PodBuilder, reason: &str| {
        let message = place(&mut scheduler(&[n]), &p).err();
        let want = (!reason.is_empty()).then(|| format!("0/1 nodes are available: 1 {reason}."));
        assert_eq!(message, want, "{}", p.0);
    };
    want(plain(), pod("a"), "");
    want(plain().cordoned(), pod("a"), "node(s) were unschedulable");
    let tolerant = pod("a").spec(json!({"tolerations": [{"operator": "Exists"}]}));
    want(plain().cordoned(), tolerant.clone(), "");
    want(plain().taint("gpu", "yes", "NoSchedule"), pod("a"), "node(s) had untolerated taint(s)");
    want(plain().taint("gpu", "yes", "NoExecute"), pod("a"), "node(s) had untolerated taint(s)");
    want(plain().taint("gpu", "yes", "PreferNoSchedule"), pod("a"), "");
    want(plain().taint("gpu", "yes", "NoSchedule"), tolerant, "");
    let selective = pod("a").spec(json!({"nodeSelector": {"disk": "ssd"}}));
    want(plain(), selective.clone(), "node(s) didn't match Pod's node affinity/selector");
    want(plain().label("disk", "ssd"), selective, "");
    want(plain(), pod("a").cpu("4"), "");
    want(plain(), pod("a").cpu("4001m"), "Insufficient cpu");
    want(plain(), pod("a").request("memory", "9Gi"), "Insufficient memory");
    want(plain(), pod("a").request("ephemeral-storage", "1Ti"), "Insufficient ephemeral-storage");
    want(plain(), pod("a").request("nvidia.com/gpu", "1"), "Insufficient nvidia.com/gpu");
    want(plain().allocatable("nvidia.com/gpu", "1"), pod("a").request("nvidia.com/gpu", "1"), "");
    want(plain(), pod("a").request("hugepages-2Mi", "4Mi"), "Insufficient hugepages-2Mi");
    want(plain().allocatable("pods", "0"), pod("a"), "Too many pods");
    want(plain(), pod("a").near("db", HOST), "node(s) didn't match pod affinity rules");
    let bad = pod("a").spread("rack", 1, "DoNotSchedule", "a");
    let text = "node(s) didn't match pod topology spread constraints (missing required label)";
    want(plain(), bad, text);
}

#[test]
fn all_resources_that_lack_are_named() {
    let mut s = scheduler(&[node("n1").allocatable("pods", "0")]);
    let greedy = pod("a").cpu("5").request("memory", "9Gi");
    assert_eq!(
        place(&mut s, &greedy).unwrap_err(),
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 Too many pods."
    );
}

#[test]
fn the_message_counts_and_sorts_reasons_as_texts() {
    let mut nodes: Vec<NodeBuilder> =
        (0..11).map(|i| node(&format!("small-{i}")).allocatable("cpu", "1")).collect();
    nodes.push(node("tainted-1").taint("a", "1", "NoSchedule"));
    nodes.push(node("tainted-2").taint("b", "", "NoSchedule"));
    nodes.push(node("cordoned").cordoned());
    let mut s = scheduler(&nodes);
    let outcome = s.run(&pod("a").cpu("2").build(), &[]);
    let crate::Outcome::Wait(pending) = outcome else { panic!("{outcome:?}") };
    assert_eq!(
        pending.message(),
        "0/14 nodes are available: 1 node(s) were unschedulable, 11 Insufficient cpu, \
         2 node(s) had untolerated taint(s). preemption: 0/14 nodes are available: \
         14 Preemption is not helpful for scheduling."
    );
    assert_eq!(pending.condition_reason(), "Unschedulable");
    let taints = pending.reasons().filter(|(r, _)| matches!(r, crate::Reason::Taint(..)));
    assert_eq!(taints.map(|(_, n)| n).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn an_empty_cluster_and_scheduling_gates_have_messages_of_their_own() {
    let mut s = scheduler(&[]);
    assert_eq!(place(&mut s, &pod("a")).unwrap_err(), "no nodes available to schedule pods");
    let gated = pod("a").spec(json!({"schedulingGates": [{"name": "example.com/quota"}]}));
    let pending = s.schedule(&gated.build()).unwrap_err();
    assert_eq!(pending.message(), "Scheduling is blocked due to non-empty scheduling gates");
    assert_eq!(pending.condition_reason(), "SchedulingGated");
}

#[test]
fn tolerations_cover_what_the_api_says() {
    let tainted = node("n1").taint("k", "5", "NoSchedule");
    let table = [
        (json!({"key": "k", "operator": "Equal", "value": "5", "effect": "NoSchedule"}), true),
        (json!({"key": "k", "value": "5"}), true),
        (json!({"key": "k", "value": "6"}), false),
        (json!({"key": "k", "operator": "Exists"}), true),
        (json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), false),
        (json!({"key": "other", "operator": "Exists"}), false),
        (json!({"operator": "Exists"}), true),
        (json!({"operator": "Equal", "value": "5"}), false),
        (json!({"key": "k", "operator": "Lt", "value": "6"}), true),
        (json!({"key": "k", "operator": "Gt", "value": "6"}), false),
        (json!({"key": "k", "operator": "Gt", "value": "x"}), false),
        (json!({"key": "k", "operator": "Near", "value": "5"}), false),
        (json!({"key": "k", "operator": "Exists", "effect": "Sometimes"}), false),
    ];
    for (toleration, want) in table {
        let p = pod("a").spec(json!({"tolerations": [toleration]}));
        assert_eq!(place(&mut scheduler(std::slice::from_ref(&tainted)), &p).is_ok(), want, "{toleration}");
    }
}

#[test]
fn node_affinity_terms_are_alternatives_and_their_conditions_are_not() {
    let n = node("n1").label("disk", "ssd").label("size", "5");
    let on = |key: &str, op: &str, values: &[&str]| json!({"key": key, "operator": op, "values": values});
    let table = [
        (json!([{"matchExpressions": [on("disk", "In", &["ssd", "nvme"])]}]), true),
        (json!([{"matchExpressions": [on("disk", "NotIn", &["ssd"])]}]), false),
        (json!([{"matchExpressions": [on("rack", "NotIn", &["r1"])]}]), true),
        (json!([{"matchExpressions": [on("disk", "Exists", &[])]}]), true),
        (json!([{"matchExpressions": [on("disk", "DoesNotExist", &[])]}]), false),
        (json!([{"matchExpressions": [on("size", "Gt", &["4"])]}]), true),
        (json!([{"matchExpressions": [on("size", "Lt", &["5"])]}]), false),
        (json!([{"matchExpressions": [on("disk", "Gt", &["4"])]}]), false),
        (json!([{"matchExpressions": [on("disk", "In", &["ssd"]), on("size", "In", &["6"])]}]), false),
        (
            json!([{"matchExpressions": [on("size", "In", &["6"])]}, {"matchExpressions": [on("disk", "Exists", &[])]}]),
            true,
        ),
        (json!([{"matchFields": [on("metadata.name", "In", &["n1"])]}]), true),
        (json!([{"matchFields": [on("metadata.name", "NotIn", &["n1"])]}]), false),
        (json!([{"matchFields": [on("metadata.name", "In", &["n2"])]}]), false),
        (json!([{"matchFields": [on("metadata.uid", "In", &["n1"])]}]), false),
        (json!([{}]), false),
        (json!([]), false),
        (json!([{"matchExpressions": [on("disk", "Like", &["s"])]}]), false),
    ];
    for (terms, want) in table {
        let p = pod("a").affinity("nodeAffinity", "required", json!({"nodeSelectorTerms": terms}));
        assert_eq!(place(&mut scheduler(std::slice::from_ref(&n)), &p).is_ok(), want, "{terms}");
    }
}

#[test]
fn a_pod_that_names_its_node_looks_at_no_other() {
    let names = |names: &[&str]| {
        let field = json!({"key": "metadata.name", "operator": "In", "values": names});
        pod("ds").cpu("1").affinity(
            "nodeAffinity",
            "required",
            json!({"nodeSelectorTerms": [{"matchFields": [field]}]}),
        )
    };
    let mut s = scheduler(&[node("n1"), node("n2"), node("n3").allocatable("cpu", "500m")]);
    let decision = s.schedule(&names(&["n2"]).build()).unwrap();
    assert_eq!((&*decision.node, decision.evaluated), ("n2", 1));
    assert_eq!(
        place(&mut s, &names(&["n3"])).unwrap_err(),
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    );
    assert_eq!(
        place(&mut s, &names(&["n9"])).unwrap_err(),
        "0/3 nodes are available: 3 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    );
    let both = json!([{"matchFields": [
        {"key": "metadata.name", "operator": "In", "values": ["n1"]},
        {"key": "metadata.name", "operator": "In", "values": ["n2"]}]}]);
    let torn = pod("a").affinity("nodeAffinity", "required", json!({"nodeSelectorTerms": both}));
    assert_eq!(place(&mut s, &torn).unwrap_err(), "0/3 nodes are available: pod affinity terms conflict.");
}

#[test]
fn host_ports_conflict_by_protocol_and_address() {
    let table = [
        ((80, "TCP", ""), (80, "TCP", ""), false),
        ((80, "TCP", ""), (81, "TCP", ""), true),
        ((80, "TCP", ""), (80, "UDP", ""), true),
        ((80, "TCP", "127.0.0.1"), (80, "TCP", "127.0.0.2"), true),
        ((80, "TCP", "127.0.0.1"), (80, "TCP", "0.0.0.0"), false),
        ((80, "TCP", "127.0.0.1"), (80, "TCP", "127.0.0.1"), false),
    ];
    for (first, second, want) in table {
        let mut s = scheduler(&[node("n1")]);
        let holder = pod("a").host_port(first.0, first.1, first.2);
        s.set_pod(holder.on("n1"));
        let asker = pod("b").host_port(second.0, second.1, second.2);
        let got = place(&mut s, &asker);
        assert_eq!(got.is_ok(), want, "{first:?} {second:?} {got:?}");
        if !want {
            let text =
                "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.";
            assert_eq!(got.unwrap_err(), text);
        }
        s.remove_pod(&PodKey::new("default", "a"));
        assert!(place(&mut s, &asker).is_ok());
    }
}

#[test]
fn room_comes_back_with_pods_that_end_or_go() {
    let mut s = scheduler(&[node("n1")]);
    let p = |name: &str| pod(name).cpu("3");
    bind(&mut s, &p("a"));
    assert!(place(&mut s, &p("b")).is_err());
    let mut ended = p("a");
    ended.0["status"]["phase"] = json!("Succeeded");
    s.set_pod(ended.on("n1"));
    assert_eq!(bind(&mut s, &p("b")), "n1");
    s.remove_pod(&PodKey::new("default", "b"));
    s.remove_pod(&PodKey::new("default", "b"));
    assert_eq!(s.requested("n1").unwrap().milli_cpu, 0);
    assert_eq!((s.nodes(), s.pods()), (1, 0));
}

#[test]
fn pods_may_be_known_before_their_node() {
    let mut s = scheduler(&[]);
    s.set_pod(pod("a").cpu("3").on("n1"));
    assert_eq!(s.pods(), 0);
    s.set_node(node("n1").build());
    assert_eq!(s.requested("n1").unwrap().milli_cpu, 3000);
    s.remove_node("n1");
    assert_eq!((s.nodes(), s.pods()), (0, 0));
    s.set_node(node("n1").build());
    assert_eq!(s.pods_on("n1").map(ToString::to_string).collect::<Vec<_>>(), ["default/a"]);
    s.remove_node("n1");
    s.remove_pod(&PodKey::new("default", "a"));
    s.set_node(node("n1").build());
    assert_eq!(s.pods(), 0);
    assert!(s.node("n1").is_some() && s.node("n2").is_none());
}
