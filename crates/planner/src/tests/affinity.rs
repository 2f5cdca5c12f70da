//! Affinity between pods: both directions, the first of a group, namespaces.

use super::*;

const NODES: [&str; 3] = ["a1", "a2", "b1"];

fn cluster(pods: &[(PodBuilder, &str)]) -> Scheduler {
    let mut s = scheduler(&[node("a1").zone("a"), node("a2").zone("a"), node("b1").zone("b")]);
    for (p, n) in pods {
        s.set_pod(p.on(n));
    }
    s
}

#[test]
fn anti_affinity_works_both_ways() {
    let web = || pod("web").app("web");
    let shy = || pod("shy").app("shy").away_from("web", ZONE);
    // The incoming pod avoids those that are there.
    assert_eq!(takers(&mut cluster(&[(web(), "a1")]), &shy(), &NODES), ["b1"]);
    // Those that are there keep the incoming pod away.
    assert_eq!(takers(&mut cluster(&[(shy(), "a1")]), &web(), &NODES), ["b1"]);
    // Terms about others do not concern the pod.
    assert_eq!(takers(&mut cluster(&[(shy(), "a1")]), &pod("x").app("x"), &NODES), NODES);
    let texts = [
        (cluster(&[(web(), "a1"), (web().label("n", "2"), "b1")]), shy(), ""),
        (cluster(&[(shy(), "a1"), (pod("shy2").app("shy").away_from("web", ZONE), "b1")]), web(), "x"),
    ];
    let mut messages = Vec::new();
    for (mut s, p, _) in texts {
        s.set_pod(pod("web-b").app("web").on("b1"));
        messages.push(place(&mut s, &p).err());
    }
    assert_eq!(
        messages[1].as_deref(),
        Some("0/3 nodes are available: 3 node(s) didn't satisfy existing pods anti-affinity rules.")
    );
}

#[test]
fn reasons_tell_whose_rule_it_is() {
    let mut s = cluster(&[(pod("w1").app("web"), "a1"), (pod("w2").app("web"), "b1")]);
    assert_eq!(
        place(&mut s, &pod("shy").away_from("web", ZONE)).unwrap_err(),
        "0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules."
    );
    assert_eq!(
        place(&mut s, &pod("friend").near("db", ZONE)).unwrap_err(),
        "0/3 nodes are available: 3 node(s) didn't match pod affinity rules."
    );
}

#[test]
fn replicas_that_avoid_each_other_take_a_node_each() {
    let mut s = cluster(&[]);
    let replica = |i: usize| pod(&format!("r{i}")).app("r").away_from("r", HOST);
    let mut taken: Vec<String> = (0..3).map(|i| bind(&mut s, &replica(i))).collect();
    taken.sort();
    assert_eq!(taken, NODES);
    assert!(place(&mut s, &replica(3)).is_err());
    s.remove_pod(&PodKey::new("default", "r1"));
    assert!(place(&mut s, &replica(3)).is_ok());
}

#[test]
fn affinity_needs_company_in_the_domain() {
    let friend = |key| pod("friend").app("friend").near("web", key);
    let web = (pod("web").app("web"), "a1");
    assert_eq!(takers(&mut cluster(std::slice::from_ref(&web)), &friend(HOST), &NODES), ["a1"]);
    assert_eq!(takers(&mut cluster(std::slice::from_ref(&web)), &friend(ZONE), &NODES), ["a1", "a2"]);
    assert_eq!(takers(&mut cluster(std::slice::from_ref(&web)), &friend("rack"), &NODES), [""; 0]);
    assert_eq!(takers(&mut cluster(&[]), &friend(ZONE), &NODES), [""; 0]);
}

#[test]
fn the_first_of_a_group_may_go_anywhere_with_the_label() {
    let group = |name: &str| pod(name).app("group").near("group", ZONE);
    let mut s = cluster(&[]);
    s.set_node(node("x1").build());
    assert_eq!(takers(&mut s, &group("g1"), &["a1", "a2", "b1", "x1"]), NODES);
    s.set_pod(group("g1").on("b1"));
    assert_eq!(takers(&mut s, &group("g2"), &["a1", "a2", "b1", "x1"]), ["b1"]);
    s.remove_pod(&PodKey::new("default", "g1"));
    assert_eq!(takers(&mut s, &group("g2"), &["a1", "a2", "b1", "x1"]), NODES);
}

#[test]
fn all_affinity_terms_must_be_met_by_the_same_pods() {
    let terms =
        json!([term("web", ZONE), {"topologyKey": HOST, "labelSelector": {"matchLabels": {"tier": "1"}}}]);
    let picky = pod("picky").affinity("podAffinity", "required", terms);
    let half = cluster(&[(pod("w").app("web"), "a1"), (pod("t").label("tier", "1"), "a1")]);
    assert_eq!(takers(&mut half.clone(), &picky, &NODES), [""; 0]);
    let mut whole = half;
    whole.set_pod(pod("wt").app("web").label("tier", "1").on("a2"));
    assert_eq!(takers(&mut whole, &picky, &NODES), ["a2"]);
}

#[test]
fn terms_look_at_their_namespaces() {
    let with = |fields: serde_json::Value| {
        let mut t = term("web", ZONE);
        t.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        pod("shy").affinity("podAntiAffinity", "required", json!([t]))
    };
    let table = [
        (json!({}), vec!["a1", "a2", "b1"]),
        (json!({"namespaces": ["shop"]}), vec!["b1"]),
        (json!({"namespaces": ["default"]}), vec!["a1", "a2", "b1"]),
        (json!({"namespaceSelector": {}}), vec!["b1"]),
        (json!({"namespaceSelector": {"matchLabels": {"team": "checkout"}}}), vec!["b1"]),
        (json!({"namespaceSelector": {"matchLabels": {"team": "search"}}}), vec!["a1", "a2", "b1"]),
        (json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}}), vec!["b1"]),
    ];
    for (fields, want) in table {
        let mut s = cluster(&[(pod("web").namespace("shop").app("web"), "a1")]);
        s.set_namespace("shop", Labels::new([("team", "checkout"), ("kubernetes.io/metadata.name", "shop")]));
        assert_eq!(takers(&mut s, &with(fields.clone()), &NODES), want, "{fields}");
    }
}

#[test]
fn namespaces_that_change_their_labels_are_matched_again() {
    let mut t = term("web", ZONE);
    t["namespaceSelector"] = json!({"matchLabels": {"team": "checkout"}});
    let shy = pod("shy").app("shy").affinity("podAntiAffinity", "required", json!([t]));
    let mut s = cluster(&[(pod("web").namespace("shop").app("web"), "a1")]);
    let web = pod("web2").namespace("shop").app("web");
    assert_eq!(takers(&mut s, &shy, &NODES), NODES);
    s.set_namespace("shop", Labels::new([("team", "checkout")]));
    assert_eq!(takers(&mut s, &shy, &NODES), ["b1"]);
    s.set_pod(shy.on("b1"));
    assert_eq!(takers(&mut s, &web, &NODES), ["a1", "a2"]);
    s.remove_namespace("shop");
    assert_eq!(takers(&mut s, &web, &NODES), NODES);
    assert_eq!(takers(&mut s, &pod("shy2").app("shy"), &NODES), NODES);
}

#[test]
fn wishes_about_namespaces_count_once_however_often_labels_change() {
    let mut t = term("web", HOST);
    t["namespaceSelector"] = json!({"matchLabels": {"team": "checkout"}});
    let fan = |name: &str, weight: i32| {
        pod(name).affinity("podAffinity", "preferred", json!([{"weight": weight, "podAffinityTerm": t}]))
    };
    let mut s = cluster(&[(fan("f1", 10), "a1"), (fan("f2", 15), "b1")]);
    let web = pod("web").namespace("shop").app("web");
    s.set_pod(web.on("a2"));
    for team in ["checkout", "search", "checkout"] {
        s.set_namespace("shop", Labels::new([("team", team), ("changed", team)]));
        let decision = s.schedule(&pod("web2").namespace("shop").app("web").build()).unwrap();
        let (node, score) = if team == "checkout" { ("b1", 200) } else { ("a1", 0) };
        assert_eq!((&*decision.node, decision.scores.pod_affinity), (node, score), "{team}");
    }
}

#[test]
fn match_label_keys_keep_revisions_apart() {
    let mut t = term("web", HOST);
    t["matchLabelKeys"] = json!(["pod-template-hash"]);
    let new = pod("new").app("web").label("pod-template-hash", "2");
    let new = new.affinity("podAntiAffinity", "required", json!([t]));
    let old = pod("old").app("web").label("pod-template-hash", "1");
    assert_eq!(takers(&mut cluster(&[(old, "a1"), (new.clone(), "a2")]), &new, &NODES), ["a1", "b1"]);
    let mut t = term("web", HOST);
    t["mismatchLabelKeys"] = json!(["tenant"]);
    let mine = pod("mine").app("web").label("tenant", "me");
    let apart = mine.clone().affinity("podAntiAffinity", "required", json!([t]));
    let theirs = pod("theirs").app("web").label("tenant", "you");
    assert_eq!(takers(&mut cluster(&[(theirs, "a1"), (mine, "a2")]), &apart, &NODES), ["a2", "b1"]);
}

#[test]
fn pods_that_are_being_deleted_still_keep_others_away() {
    let mut dying = pod("web").app("web");
    dying.0["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(
        takers(&mut cluster(&[(dying, "a1")]), &pod("shy").away_from("web", HOST), &NODES),
        ["a2", "b1"]
    );
}
