//! Logs: what is shown, from where, until when, and what is said where there is none.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use kiban_base::clock::{Clock, ManualClock};

use super::*;
use crate::kind::well_known::{NAMESPACE, SERVICE_ACCOUNT};
use crate::registry::{Actor, DeleteOptions, Part};

struct Sim {
    clock: Arc<ManualClock>,
    cluster: Cluster,
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

fn running(since: i64) -> Value {
    json!({"name": "app", "state": {"running": {"startedAt": at(since).rfc3339()}}, "lastState": {}})
}

fn ended(from: i64, to: i64, exit: i64) -> Value {
    json!({"terminated": {"startedAt": at(from).rfc3339(), "finishedAt": at(to).rfc3339(), "exitCode": exit}})
}

impl Sim {
    /// A pod `p` with a container `app` of this status.
    fn new(status: Value) -> Self {
        let clock = Arc::new(ManualClock::new(at(0)));
        let cluster = Cluster::new(clock.clone(), 1);
        let actor = Actor::new("test");
        cluster.create(*NAMESPACE, "", json!({"metadata": {"name": "default"}}), &actor).unwrap();
        cluster
            .create(*SERVICE_ACCOUNT, "default", json!({"metadata": {"name": "default"}}), &actor)
            .unwrap();
        let sim = Self { clock, cluster };
        sim.pod("p", &["app"], "n1");
        sim.status(status);
        sim
    }

    fn pod(&self, name: &str, containers: &[&str], node: &str) {
        let containers: Vec<_> = containers.iter().map(|c| json!({"name": c, "image": "i"})).collect();
        let mut pod = json!({"metadata": {"name": name}, "spec": {"containers": containers}});
        if !node.is_empty() {
            pod["spec"]["nodeName"] = node.into();
        }
        self.cluster.create(*POD, "default", pod, &Actor::new("test")).unwrap();
    }

    fn status(&self, status: Value) {
        self.cluster
            .modify(*POD, &Key::new("default", "p"), Part::Status, &Actor::new("test"), |p| {
                p["status"]["containerStatuses"] = json!([status]);
            })
            .unwrap();
    }

    fn open(&self, name: &str, query: &Query) -> Result<Option<(String, Option<Follower>)>, ApiError> {
        let pod = self.cluster.get(*POD, &Key::new("default", name)).unwrap();
        open(&self.cluster, &pod, query, self.clock.now())
    }

    fn lines(&self, query: &Query) -> Vec<String> {
        let (text, _) = self.open("p", query).unwrap().unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn refusal(&self, name: &str, query: &Query) -> (u16, String) {
        let error = self.open(name, query).map(|_| ()).unwrap_err();
        (error.code, error.message)
    }
}

#[test]
fn a_line_a_second_and_the_same_each_time() {
    let sim = Sim::new(running(0));
    sim.clock.set(at(10));
    let all = sim.lines(&Query::default());
    assert_eq!(all.len(), 11);
    assert!(all[0].contains("\"started\""), "{}", all[0]);
    assert_eq!(all, sim.lines(&Query::default()));
    sim.clock.set(at(20));
    assert_eq!(sim.lines(&Query::default())[..11], all);
}

#[test]
fn parts_of_a_log() {
    let sim = Sim::new(running(0));
    sim.clock.set(at(100));
    let all = sim.lines(&Query::default());
    let table = [
        (Query { tail: Some(3), ..Query::default() }, 98..101),
        (Query { tail: Some(0), ..Query::default() }, 101..101),
        (Query { tail: Some(1_000), ..Query::default() }, 0..101),
        (Query { since_seconds: Some(5), ..Query::default() }, 95..101),
        (Query { since_seconds: Some(5), tail: Some(2), ..Query::default() }, 99..101),
        (Query { since_seconds: Some(500), ..Query::default() }, 0..101),
        (Query { since_time: at(90).rfc3339(), ..Query::default() }, 90..101),
        (Query { since_time: at(200).rfc3339(), ..Query::default() }, 101..101),
    ];
    for (query, range) in table {
        assert_eq!(sim.lines(&query), all[range.clone()], "{query:?} {range:?}");
    }
    let stamped = sim.lines(&Query { tail: Some(1), timestamps: true, ..Query::default() });
    assert_eq!(stamped, [format!("{} {}", "2027-01-15T08:01:40.000000000Z", all[100])]);
    let (cut, _) = sim.open("p", &Query { limit_bytes: Some(10), ..Query::default() }).unwrap().unwrap();
    assert_eq!(cut, all[0][..10]);
}

#[test]
fn a_crashed_container_has_its_last_run_and_the_one_before() {
    let mut status = json!({"name": "app", "state": {"waiting": {"reason": "CrashLoopBackOff"}}});
    status["lastState"] = ended(5, 7, 3);
    let sim = Sim::new(status);
    sim.clock.set(at(20));
    let shown = sim.lines(&Query::default());
    assert_eq!(shown.len(), 4);
    assert!(shown[3].contains("\"exit_code\":3") && shown[3].contains("\"error\""), "{}", shown[3]);
    assert_eq!(sim.lines(&Query { previous: true, ..Query::default() }), shown);
    // It runs again.
    let mut status = running(15);
    status["lastState"] = ended(5, 7, 3);
    sim.status(status);
    assert_eq!(sim.lines(&Query { previous: true, ..Query::default() }), shown);
    let current = sim.lines(&Query::default());
    assert_eq!(current.len(), 6);
    assert_ne!(current[1], shown[1]);
    // Nothing is newer than its end.
    let after = Query { previous: true, since_time: at(8).rfc3339(), ..Query::default() };
    assert_eq!(sim.lines(&after), Vec::<String>::new());
    let last = Query { previous: true, since_time: at(7).rfc3339(), ..Query::default() };
    assert_eq!(sim.lines(&last), shown[2..]);
}

#[test]
fn following_gives_each_line_once_and_stops_at_the_end() {
    let sim = Sim::new(running(0));
    sim.clock.set(at(3));
    let (first, follower) =
        sim.open("p", &Query { follow: true, tail: Some(1), ..Query::default() }).unwrap().unwrap();
    let mut follower = follower.unwrap();
    assert_eq!(first.lines().count(), 1);
    assert_eq!(follower.next(sim.clock.now()), (String::new(), false));
    sim.clock.set(at(5));
    let (more, over) = follower.next(sim.clock.now());
    assert_eq!((more.lines().count(), over), (2, false));
    // It ends at 6 and runs again before anybody looks.
    let mut status = running(7);
    status["lastState"] = ended(0, 6, 1);
    sim.status(status);
    sim.clock.set(at(8));
    let (rest, over) = follower.next(sim.clock.now());
    assert!(over);
    let whole = sim.lines(&Query { previous: true, ..Query::default() });
    assert_eq!(
        format!("{first}{more}{rest}"),
        whole[3..].iter().map(|l| format!("{l}\n")).collect::<String>()
    );
    // A log that has ended has nothing to follow.
    let (_, none) =
        sim.open("p", &Query { follow: true, previous: true, ..Query::default() }).unwrap().unwrap();
    assert!(none.is_none());
}

#[test]
fn following_ends_with_the_pod_with_the_limit_and_when_the_run_is_forgotten() {
    let sim = Sim::new(running(0));
    let follow = Query { follow: true, ..Query::default() };
    let follower = || sim.open("p", &follow).unwrap().unwrap().1.unwrap();
    let (mut gone, mut forgotten) = (follower(), follower());
    let limited = Query { limit_bytes: Some(200), ..follow.clone() };
    let (first, mut small) = sim.open("p", &limited).unwrap().map(|(t, f)| (t, f.unwrap())).unwrap();
    sim.clock.set(at(60));
    let (rest, over) = small.next(sim.clock.now());
    assert_eq!((first.len() + rest.len(), over), (200, true));
    let mut status = running(50);
    status["lastState"] = ended(40, 45, 1);
    sim.status(status);
    assert!(forgotten.next(sim.clock.now()).1);
    let options = DeleteOptions::now();
    sim.cluster.delete(*POD, &Key::new("default", "p"), &options, &Actor::new("test")).unwrap();
    assert!(gone.next(sim.clock.now()).1);
}

#[test]
fn what_cannot_be_shown_is_refused_in_the_kubelets_words() {
    let waiting =
        |reason: &str| json!({"name": "app", "state": {"waiting": {"reason": reason}}, "lastState": {}});
    for (reason, why) in [
        ("ContainerCreating", "ContainerCreating"),
        ("PodInitializing", "PodInitializing"),
        ("ErrImagePull", "image can't be pulled"),
        ("ImagePullBackOff", "trying and failing to pull image"),
        ("CreateContainerConfigError", "CreateContainerConfigError"),
    ] {
        let sim = Sim::new(waiting(reason));
        let text = format!("container \"app\" in pod \"p\" is waiting to start: {why}");
        assert_eq!(sim.refusal("p", &Query::default()), (400, text));
    }
    let sim = Sim::new(running(0));
    let named = |container: &str| Query { container: container.to_owned(), ..Query::default() };
    assert_eq!(sim.refusal("p", &named("x")), (400, "container x is not valid for pod p".to_owned()));
    let previous = Query { previous: true, ..Query::default() };
    let text = "previous terminated container \"app\" in pod \"p\" not found".to_owned();
    assert_eq!(sim.refusal("p", &previous), (400, text));
    sim.pod("two", &["a", "b"], "n1");
    let text = "a container name must be specified for pod two, choose one of: [a b]".to_owned();
    assert_eq!(sim.refusal("two", &Query::default()), (400, text));
    sim.pod("unbound", &["a"], "");
    assert!(sim.open("unbound", &Query::default()).unwrap().is_none());
}

#[test]
fn numbers_that_make_no_sense_are_invalid() {
    let sim = Sim::new(running(0));
    let both = Query { since_seconds: Some(1), since_time: at(0).rfc3339(), ..Query::default() };
    for (query, code, part) in [
        (
            Query { tail: Some(-1), ..Query::default() },
            422,
            "tailLines: Invalid value: -1: must be greater than or equal to 0",
        ),
        (
            Query { limit_bytes: Some(0), ..Query::default() },
            422,
            "limitBytes: Invalid value: 0: must be greater than 0",
        ),
        (
            Query { since_seconds: Some(0), ..Query::default() },
            422,
            "sinceSeconds: Invalid value: 0: must be greater than 0",
        ),
        (both, 422, "sinceSeconds: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified"),
        (Query { since_time: "soon".to_owned(), ..Query::default() }, 400, "invalid value for sinceTime"),
    ] {
        let (got, message) = sim.refusal("p", &query);
        assert_eq!(got, code, "{message}");
        assert!(message.contains(part), "{message}");
    }
}
