//! Scores: each by itself against numbers worked out by hand from kube-scheduler's formulas.

use super::*;
use crate::Scores;

fn scores(s: &mut Scheduler, p: &PodBuilder) -> (String, Scores) {
    let decision = s.schedule(&p.build()).unwrap();
    (decision.node.to_string(), decision.scores)
}

#[test]
fn the_emptier_and_more_balanced_node_wins() {
    let mut s = scheduler(&[node("n1"), node("n2")]);
    s.set_pod(pod("a").cpu("2").request("memory", "2Gi").on("n1"));
    let (node, got) = scores(&mut s, &pod("b").cpu("1").request("memory", "1Gi"));
    // n2: cpu (4000-1000)/4000 = 75, memory (8-1)/8 = 87: mean 81. Balance: 1 - |0.25-0.125|/2 = 93.
    assert_eq!(node, "n2");
    assert_eq!((got.free, got.balance, got.taints), (81, 93, 300));
    assert_eq!(got.total(), 81 + 93 + 300);
}

#[test]
fn pods_without_requests_count_as_a_little_when_scored() {
    let mut s = scheduler(&[node("n1"), node("n2")]);
    let (node, got) = scores(&mut s, &pod("a"));
    // cpu (4000-100)/4000 = 97, memory (8192-200)/8192 = 97; best effort has no balance.
    assert_eq!((node.as_str(), got.free, got.balance), ("n1", 97, 0));
    s.set_pod(pod("a").on("n1"));
    assert_eq!(place(&mut s, &pod("b")).unwrap(), "n2");
}

#[test]
fn soft_taints_and_preferred_node_affinity_are_weighed() {
    let mut s = scheduler(&[
        node("n1").taint("a", "", "PreferNoSchedule").taint("b", "", "PreferNoSchedule"),
        node("n2").taint("a", "", "PreferNoSchedule"),
    ]);
    let (node, got) = scores(&mut s, &pod("x"));
    assert_eq!((node.as_str(), got.taints), ("n2", 150));
    let tolerant = pod("x").spec(json!({"tolerations": [{"key": "b", "operator": "Exists"}, {"key": "a", "operator": "Exists", "effect": "PreferNoSchedule"}]}));
    let (node, got) = scores(&mut s, &tolerant);
    assert_eq!((node.as_str(), got.taints), ("n1", 300));

    let mut s =
        super::scheduler(&[super::node("n1").label("disk", "ssd"), super::node("n2").label("gpu", "1")]);
    let prefer = |key: &str, weight: i32| json!({"weight": weight, "preference": {"matchExpressions": [{"key": key, "operator": "Exists"}]}});
    let picky =
        pod("p").affinity("nodeAffinity", "preferred", json!([prefer("disk", 20), prefer("gpu", 60)]));
    let (node, got) = scores(&mut s, &picky);
    assert_eq!((node.as_str(), got.node_affinity), ("n2", 200));
    s.set_node(super::node("n2").cordoned().build());
    s.set_node(super::node("n3").build());
    assert_eq!(place(&mut s, &picky).unwrap(), "n1");
}

#[test]
fn preferred_pod_affinity_pulls_and_pushes_both_ways() {
    let preferred = |app: &str, weight: i32| json!([{"weight": weight, "podAffinityTerm": term(app, HOST)}]);
    let nodes = [node("n1"), node("n2"), node("n3")];
    // The pod's own wish.
    let mut s = scheduler(&nodes);
    s.set_pod(pod("db").app("db").on("n2"));
    let near = pod("a").affinity("podAffinity", "preferred", preferred("db", 10));
    let (node, got) = scores(&mut s, &near);
    assert_eq!((node.as_str(), got.pod_affinity), ("n2", 200));
    let far = pod("a").affinity("podAntiAffinity", "preferred", preferred("db", 10));
    assert_ne!(place(&mut s, &far).unwrap(), "n2");
    // The wish of a pod that is there.
    let mut s = scheduler(&nodes);
    s.set_pod(pod("fan").affinity("podAffinity", "preferred", preferred("web", 10)).on("n3"));
    assert_eq!(place(&mut s, &pod("web").app("web")).unwrap(), "n3");
    let mut s = scheduler(&nodes);
    s.set_pod(pod("loner").affinity("podAntiAffinity", "preferred", preferred("web", 10)).on("n1"));
    assert_ne!(place(&mut s, &pod("web").app("web")).unwrap(), "n1");
    // A required affinity of a pod that is there pulls with weight one.
    let mut s = scheduler(&nodes);
    s.set_pod(pod("web0").app("web").on("n2"));
    s.set_pod(pod("fan").near("web", HOST).on("n2"));
    s.remove_pod(&PodKey::new("default", "web0"));
    let (node, got) = scores(&mut s, &pod("web1").app("web"));
    assert_eq!((node.as_str(), got.pod_affinity), ("n2", 200));
}

#[test]
fn soft_spread_prefers_the_emptier_domain() {
    let nodes = [node("a1").zone("a"), node("a2").zone("a"), node("b1").zone("b"), node("x1")];
    let mut s = scheduler(&nodes);
    s.set_pod(pod("w0").app("web").on("a1"));
    s.set_pod(pod("w1").app("web").on("a2"));
    s.set_pod(pod("w2").app("web").on("b1"));
    let p = pod("new").app("web").spread(ZONE, 1, "ScheduleAnyway", "web");
    let (node, got) = scores(&mut s, &p);
    // Two zones: weight ln 4. a: 2 pods, 2.77 rounds to 3; b: 1.39 rounds to 1. b: 100·(3+1-1)/3.
    assert_eq!((node.as_str(), got.spread), ("b1", 200));
    s.set_node(super::node("b1").zone("b").cordoned().build());
    // x1 lacks the label: nothing for it.
    let (node, got) = scores(&mut s, &p);
    assert_eq!((node.as_str(), got.spread), ("a1", 200));
}

#[test]
fn pods_of_a_replicaset_spread_without_being_told() {
    let owner = json!([{"kind": "ReplicaSet", "name": "web", "controller": true}]);
    let nodes: Vec<_> = (0..4).map(|i| node(&format!("n{i}")).zone(["a", "b"][i % 2])).collect();
    let mut s = scheduler(&nodes);
    // n0 is the emptiest by far, yet not all go there.
    for i in 1..4 {
        s.set_pod(pod(&format!("big-{i}")).cpu("1").on(&format!("n{i}")));
    }
    let mut seen = std::collections::BTreeSet::new();
    for i in 0..4 {
        let mut p = pod(&format!("web-{i}")).app("web");
        p.0["metadata"]["ownerReferences"] = owner.clone();
        seen.insert(bind(&mut s, &p));
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
}

#[test]
fn large_clusters_are_searched_in_turns() {
    let nodes: Vec<_> = (0..300).map(|i| node(&format!("n{i:03}")).zone(["a", "b", "c"][i % 3])).collect();
    let mut s = Scheduler::new(Options::default());
    nodes.iter().for_each(|n| s.set_node(n.build()));
    let mut seen = std::collections::BTreeSet::new();
    for i in 0..300 {
        let p = pod(&format!("p{i}")).cpu("2");
        let decision = s.schedule(&p.build()).unwrap();
        // 50 - 300/125 = 48 percent.
        assert_eq!((decision.evaluated, decision.feasible), (144, 144));
        seen.insert(decision.node.to_string());
        s.set_pod(p.on(&decision.node));
        if i > 150 {
            break;
        }
    }
    assert!(seen.len() > 150);
    let few = Options { percentage_of_nodes: 1, ..Options::default() };
    let mut s = Scheduler::new(few);
    nodes.iter().for_each(|n| s.set_node(n.build()));
    assert_eq!(s.schedule(&pod("p").build()).unwrap().evaluated, 100);
}

#[test]
fn the_seed_decides_among_equals() {
    let nodes: Vec<_> = (0..20).map(|i| node(&format!("n{i:02}"))).collect();
    let run = |seed| {
        let mut s = Scheduler::new(Options { seed, ..Options::default() });
        nodes.iter().for_each(|n| s.set_node(n.build()));
        (0..20).map(|i| bind(&mut s, &pod(&format!("p{i}")))).collect::<Vec<_>>()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
