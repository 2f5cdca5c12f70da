//! Random clusters under random events: the index agrees with the plain definitions, with an index that is
//! built anew, and with itself.

use kiban_base::rng::Rng;
use proptest::prelude::*;

use super::naive::World;
use super::*;
use crate::Outcome;

const APPS: [&str; 3] = ["web", "db", "cache"];
const KEYS: [&str; 3] = [HOST, ZONE, "rack"];
const NAMESPACES: [&str; 2] = ["default", "shop"];

fn random_node(rng: &mut Rng, name: &str) -> NodeBuilder {
    let mut n = node(name).allocatable("cpu", "2").allocatable("pods", "6");
    if rng.chance(0.9) {
        n = n.zone(rng.pick(&["a", "b", "c"]).unwrap());
    }
    if rng.chance(0.6) {
        n = n.label("rack", rng.pick(&["r1", "r2"]).unwrap());
    }
    if rng.chance(0.2) {
        n = n.taint("dedicated", "x", rng.pick(&["NoSchedule", "PreferNoSchedule"]).unwrap());
    }
    if rng.chance(0.1) { n.cordoned() } else { n }
}

fn random_term(rng: &mut Rng) -> Value {
    let mut t = term(rng.pick(&APPS).unwrap(), rng.pick(&KEYS).unwrap());
    match rng.below(5) {
        0 => t["namespaceSelector"] = json!({}),
        1 => t["namespaceSelector"] = json!({"matchLabels": {"team": "one"}}),
        2 => t["namespaces"] = json!(["shop"]),
        _ => {}
    }
    t
}

fn random_pod(rng: &mut Rng, name: &str) -> PodBuilder {
    let app = *rng.pick(&APPS).unwrap();
    let mut p = pod(name).namespace(rng.pick(&NAMESPACES).unwrap()).app(app).priority(rng.below(3) as i32);
    if rng.chance(0.7) {
        p = p.cpu(rng.pick(&["100m", "500m", "1"]).unwrap());
    }
    if rng.chance(0.1) {
        p = p.host_port(80, "TCP", "");
    }
    if rng.chance(0.3) {
        p = p.spec(json!({"tolerations": [{"key": "dedicated", "operator": "Exists"}]}));
    }
    if rng.chance(0.2) {
        p = p.spec(json!({"nodeSelector": {"rack": "r1"}}));
    }
    if rng.chance(0.3) {
        p = p.affinity("podAntiAffinity", "required", json!([random_term(rng)]));
    }
    if rng.chance(0.2) {
        p = p.affinity("podAffinity", "required", json!([random_term(rng)]));
    }
    if rng.chance(0.3) {
        let preferred = json!([{"weight": 1 + rng.below(100), "podAffinityTerm": random_term(rng)}]);
        p = p.affinity(rng.pick(&["podAffinity", "podAntiAffinity"]).unwrap(), "preferred", preferred);
    }
    for _ in 0..rng.below(3) {
        let when = *rng.pick(&["DoNotSchedule", "ScheduleAnyway"]).unwrap();
        p = p.spread(
            rng.pick(&KEYS).unwrap(),
            1 + rng.below(2) as u32,
            when,
            rng.pick(&[app, "web"]).unwrap(),
        );
        let last = p.0["spec"]["topologySpreadConstraints"].as_array_mut().unwrap().last_mut().unwrap();
        if rng.chance(0.3) {
            last["nodeTaintsPolicy"] = json!("Honor");
        }
        if rng.chance(0.3) {
            last["nodeAffinityPolicy"] = json!("Ignore");
        }
        if rng.chance(0.2) {
            last["minDomains"] = json!(3);
        }
    }
    p
}

/// The index built anew from the plain lists.
fn rebuilt(world: &World) -> Scheduler {
    let mut s = scheduler(&[]);
    for (name, labels) in &world.namespaces {
        s.set_namespace(name, labels.clone());
    }
    world.pods.iter().for_each(|p| s.set_pod(p.clone()));
    world.nodes.iter().for_each(|n| s.set_node(n.clone()));
    s
}

struct Run {
    s: Scheduler,
    world: World,
    rng: Rng,
    names: usize,
}

impl Run {
    fn name(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("{prefix}{}", self.names)
    }

    fn step(&mut self) {
        match self.rng.below(12) {
            0 | 1 => {
                let name = self.name("n");
                let n = random_node(&mut self.rng, &name).build();
                self.s.set_node(n.clone());
                self.world.nodes.push(n);
            }
            2 => self.change_node(),
            3 => {
                let at = self.rng.below(self.world.nodes.len() as u64) as usize;
                if self.rng.chance(0.3) && at < self.world.nodes.len() {
                    let n = self.world.nodes.remove(at);
                    self.s.remove_node(&n.name);
                }
            }
            4 => {
                let at = self.rng.below(self.world.pods.len() as u64) as usize;
                if at < self.world.pods.len() {
                    let p = self.world.pods.remove(at);
                    self.s.remove_pod(&p.key);
                }
            }
            5 => {
                if let Some(p) = self.world.pods.last_mut() {
                    p.terminating = !p.terminating;
                    self.s.set_pod(p.clone());
                }
            }
            6 => {
                let name = *self.rng.pick(&NAMESPACES).unwrap();
                let labels = Labels::new([("team", *self.rng.pick(&["one", "two"]).unwrap())]);
                self.s.set_namespace(name, labels.clone());
                self.world.namespaces.insert(name.to_string(), labels);
            }
            _ => self.schedule(),
        }
    }

    fn change_node(&mut self) {
        let at = self.rng.below(self.world.nodes.len() as u64) as usize;
        if let Some(n) = self.world.nodes.get_mut(at) {
            *n = random_node(&mut self.rng, &n.name).build();
            self.s.set_node(n.clone());
        }
    }

    fn schedule(&mut self) {
        let name = self.name("p");
        let p = random_pod(&mut self.rng, &name).build();
        for n in &self.world.nodes {
            let (got, want) = (self.s.fits(&p, &n.name), self.world.allows(&p, n));
            assert_eq!(got.is_ok(), want, "{p:?} on {n:?}: {got:?}");
        }
        if let Ok(decision) = self.s.schedule(&p) {
            let n = self.world.nodes.iter().find(|n| n.name == decision.node).unwrap();
            assert!(self.world.allows(&p, n));
            let p = p.on(&decision.node);
            self.s.set_pod(p.clone());
            self.world.pods.push(p);
        }
    }

    /// A preemption plan makes the pod fit, harms no pod of its priority, and changes nothing.
    fn preempt(&mut self) {
        let p = random_pod(&mut self.rng, "vip").priority(5).cpu("1").build();
        let before = rebuilt(&self.world).run(&p, &[]);
        let outcome = self.s.run(&p, &[]);
        assert_eq!(std::mem::discriminant(&before), std::mem::discriminant(&outcome));
        if let Outcome::Evict(eviction, _) = outcome {
            let mut after = self.world.clone();
            after.pods.retain(|q| !eviction.victims.contains(&q.key));
            assert_eq!(after.pods.len() + eviction.victims.len(), self.world.pods.len());
            let n = after.nodes.iter().find(|n| n.name == eviction.node).unwrap();
            assert!(after.allows(&p, n), "{eviction:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_index_agrees_with_the_definitions_after_any_events(seed in any::<u64>()) {
        let mut run = Run { s: scheduler(&[]), world: World::default(), rng: Rng::new(seed), names: 0 };
        for _ in 0..120 {
            run.step();
        }
        run.preempt();
        let mut fresh = rebuilt(&run.world);
        for i in 0..10 {
            // Siblings of old pods have met every event; new ones are matched from scratch.
            let old = run.rng.pick(&run.world.pods).filter(|_| i % 2 == 0).map(|p| p.sibling("q"));
            let p = old.unwrap_or_else(|| random_pod(&mut run.rng, &format!("q{i}")).build());
            let (kept, built) = (run.s.schedule(&p), fresh.schedule(&p));
            match (kept, built) {
                (Ok(kept), Ok(built)) => prop_assert_eq!((kept.node, kept.scores), (built.node, built.scores)),
                (kept, built) => prop_assert_eq!(
                    kept.map_err(|e| e.message()).map(|d| d.node),
                    built.map_err(|e| e.message()).map(|d| d.node)
                ),
            }
        }
        // Nothing is overcommitted by what was scheduled.
        for n in &run.world.nodes {
            let used = run.s.requested(&n.name).unwrap();
            let changed = used.milli_cpu > n.allocatable.milli_cpu;
            prop_assert!(!changed, "{} has {} of {}", n.name, used.milli_cpu, n.allocatable.milli_cpu);
        }
    }

    #[test]
    fn the_same_events_give_the_same_decisions(seed in any::<u64>()) {
        let play = || {
            let mut s = Scheduler::new(Options { seed, ..Options::default() });
            let mut rng = Rng::new(seed);
            let mut out = Vec::new();
            for i in 0..8 {
                s.set_node(random_node(&mut rng, &format!("n{i}")).build());
            }
            for i in 0..40 {
                let p = random_pod(&mut rng, &format!("p{i}")).build();
                match s.run(&p, &[]) {
                    Outcome::Bind(d) => {
                        out.push(format!("{d:?}"));
                        s.set_pod(p.on(&d.node));
                    }
                    other => out.push(format!("{other:?}")),
                }
            }
            out
        };
        prop_assert_eq!(play(), play());
    }
}
