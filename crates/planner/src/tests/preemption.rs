//! Preemption: who has to go, and when nobody does.

use super::*;
use crate::{Budget, Eviction, Outcome};

fn run(s: &mut Scheduler, p: &PodBuilder, budgets: &[Budget]) -> Result<Eviction, String> {
    match s.run(&p.build(), budgets) {
        Outcome::Evict(eviction, _) => Ok(eviction),
        Outcome::Wait(pending) => Err(pending.message()),
        Outcome::Bind(decision) => panic!("fits {}", decision.node),
    }
}

fn names(eviction: &Eviction) -> (String, Vec<String>) {
    (eviction.node.to_string(), eviction.victims.iter().map(|v| v.name.to_string()).collect())
}

fn budget(app: &str, allowed: i64) -> Budget {
    Budget::from_json(&json!({
        "metadata": {"namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": app}}},
        "status": {"disruptionsAllowed": allowed}
    }))
}

#[test]
fn the_least_important_pods_that_suffice_have_to_go() {
    let mut s = scheduler(&[node("n1")]);
    s.set_pod(pod("low").cpu("1").priority(1).on("n1"));
    s.set_pod(pod("mid").cpu("1").priority(2).on("n1"));
    s.set_pod(pod("high").cpu("1").priority(9).on("n1"));
    s.set_pod(pod("lowest").cpu("1").priority(0).on("n1"));
    let before = s.requested("n1").unwrap().clone();
    let eviction = run(&mut s, &pod("vip").cpu("2").priority(5), &[]).unwrap();
    assert_eq!(names(&eviction), ("n1".to_string(), vec!["low".to_string(), "lowest".to_string()]));
    assert_eq!(eviction.violations, 0);
    assert_eq!(*s.requested("n1").unwrap(), before, "a plan changes nothing");
}

#[test]
fn the_least_harmful_node_is_chosen() {
    let two = || scheduler(&[node("n1").allocatable("cpu", "1"), node("n2").allocatable("cpu", "1")]);
    let vip = pod("vip").cpu("1").priority(100);
    type Row = (Vec<(PodBuilder, &'static str)>, Vec<Budget>, &'static str, usize);
    let table: Vec<Row> = vec![
        // A lower highest priority.
        (vec![(pod("a").cpu("1").priority(5), "n1"), (pod("b").cpu("1").priority(4), "n2")], vec![], "n2", 0),
        // No budget broken, even at a higher priority.
        (
            vec![(pod("a").cpu("1").priority(5), "n1"), (pod("b").app("b").cpu("1").priority(4), "n2")],
            vec![budget("b", 0)],
            "n1",
            0,
        ),
        // Fewer pods of the same highest priority.
        (
            vec![
                (pod("a1").cpu("500m").priority(5), "n1"),
                (pod("a2").cpu("500m").priority(5), "n1"),
                (pod("b").cpu("1").priority(5), "n2"),
            ],
            vec![],
            "n2",
            0,
        ),
        // The younger pod.
        (
            vec![
                (pod("a").cpu("1").priority(5).started("2026-01-01T00:00:00Z"), "n1"),
                (pod("b").cpu("1").priority(5).started("2026-06-01T00:00:00Z"), "n2"),
            ],
            vec![],
            "n2",
            0,
        ),
        // A budget has to be broken where there is no other way.
        (
            vec![(pod("a").app("b").cpu("1").priority(3), "n1"), (pod("b").cpu("1").priority(200), "n2")],
            vec![budget("b", 0)],
            "n1",
            1,
        ),
    ];
    for (pods, budgets, want, violations) in table {
        let mut s = two();
        for (p, n) in &pods {
            s.set_pod(p.on(n));
        }
        let eviction = run(&mut s, &vip, &budgets).unwrap();
        assert_eq!(
            (&*eviction.node, eviction.violations),
            (want, violations),
            "{pods:?}",
            pods = pods.iter().map(|(p, _)| p.0.to_string()).collect::<Vec<_>>()
        );
    }
}

#[test]
fn guarded_pods_are_spared_where_others_will_do() {
    let mut s = scheduler(&[node("n1").allocatable("cpu", "2")]);
    s.set_pod(pod("guarded").app("g").cpu("1").priority(1).on("n1"));
    s.set_pod(pod("free").app("f").cpu("1").priority(2).on("n1"));
    let vip = pod("vip").cpu("1").priority(100);
    assert_eq!(names(&run(&mut s, &vip, &[budget("g", 0)]).unwrap()).1, ["free"]);
    assert_eq!(names(&run(&mut s, &vip, &[budget("g", 1)]).unwrap()).1, ["guarded"]);
    let elsewhere = Budget { namespace: "other".into(), ..budget("g", 0) };
    assert_eq!(names(&run(&mut s, &vip, &[elsewhere]).unwrap()).1, ["guarded"]);
    let disrupted = Budget { disrupted: vec!["guarded".into()], ..budget("g", 0) };
    assert_eq!(names(&run(&mut s, &vip, &[disrupted]).unwrap()).1, ["guarded"]);
}

#[test]
fn where_preemption_does_not_help_the_message_says_so() {
    let nodes =
        [node("full"), node("tainted").taint("k", "v", "NoSchedule"), node("small").allocatable("cpu", "1")];
    let mut s = scheduler(&nodes);
    s.set_pod(pod("equal").cpu("4").priority(5).on("full"));
    assert_eq!(
        run(&mut s, &pod("p").cpu("2").priority(5), &[]).unwrap_err(),
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. preemption: \
         0/3 nodes are available: 1 No preemption victims found for incoming pod, \
         2 Preemption is not helpful for scheduling."
    );
    let mut meek = pod("p").cpu("2").priority(50);
    meek.0["spec"]["preemptionPolicy"] = json!("Never");
    assert_eq!(
        run(&mut s, &meek, &[]).unwrap_err(),
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. preemption: \
         not eligible due to preemptionPolicy=Never."
    );
    // One victim is there, but it is not enough.
    s.set_pod(pod("equal").cpu("3").priority(5).on("full"));
    s.set_pod(pod("low").cpu("1").priority(1).on("full"));
    assert_eq!(
        run(&mut s, &pod("p").cpu("2").priority(5), &[]).unwrap_err(),
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. preemption: \
         0/3 nodes are available: 1 Insufficient cpu, 2 Preemption is not helpful for scheduling."
    );
}

#[test]
fn ports_spread_and_anti_affinity_can_be_preempted_too() {
    let mut s = scheduler(&[node("n1").zone("a")]);
    s.set_pod(pod("holder").host_port(80, "TCP", "").on("n1"));
    let asker = pod("p").host_port(80, "TCP", "").priority(1);
    assert_eq!(names(&run(&mut s, &asker, &[]).unwrap()).1, ["holder"]);

    let mut s = scheduler(&[node("n1"), node("n2").cordoned()]);
    s.set_pod(pod("web").app("web").on("n1"));
    s.set_pod(pod("other").app("other").on("n1"));
    assert_eq!(names(&run(&mut s, &pod("p").away_from("web", HOST).priority(1), &[]).unwrap()).1, ["web"]);
    let guard = pod("guard").app("guard").away_from("vip", HOST);
    s.set_pod(guard.on("n1"));
    assert_eq!(names(&run(&mut s, &pod("p").app("vip").priority(1), &[]).unwrap()).1, ["guard"]);
    s.remove_pod(&PodKey::new("default", "guard"));
    let even = pod("p").app("web").spread(HOST, 1, "DoNotSchedule", "web").priority(1);
    assert_eq!(names(&run(&mut s, &even, &[]).unwrap()).1, ["web"]);
}

#[test]
fn room_that_was_made_is_kept_for_the_nominated_pod() {
    let mut s = scheduler(&[node("n1")]);
    s.set_pod(pod("low").cpu("4").priority(1).on("n1"));
    let mut vip = pod("vip").cpu("4").priority(10);
    let eviction = run(&mut s, &vip, &[]).unwrap();
    assert_eq!(names(&eviction).1, ["low"]);
    vip.0["status"]["nominatedNodeName"] = json!("n1");
    s.set_pod(vip.build());
    let mut dying = pod("low").cpu("4").priority(1);
    dying.0["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    s.set_pod(dying.on("n1"));
    assert_eq!(
        run(&mut s, &vip, &[]).unwrap_err(),
        "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to a terminating pod on the nominated node."
    );
    s.remove_pod(&PodKey::new("default", "low"));
    // A rival of lower priority does not slip in; one of higher priority may.
    assert!(place(&mut s, &pod("rival").cpu("1").priority(5)).is_err());
    assert!(place(&mut s, &pod("boss").cpu("1").priority(11)).is_ok());
    assert_eq!(bind(&mut s, &vip), "n1");
    assert_eq!(s.requested("n1").unwrap().milli_cpu, 4000);
}
