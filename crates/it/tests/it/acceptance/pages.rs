//! Long lists in pages: five thousand pods, listed while others write.
//!
//! What makes a list of pages one list: every page is of the revision that the first one was made at. So
//! whatever is written meanwhile, together they hold each pod that was there then, once, in the order of
//! the keys `namespace/name`, and no other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kiban_base::rng::Rng;
use kiban_simcluster::kind::well_known::{NAMESPACE, POD, SERVICE_ACCOUNT};
use kiban_simcluster::registry::{DeleteOptions, Deleted, Part};
use kiban_simcluster::{Actor, Key};
use kiban_testkit::{Kubectl, Sim};
use serde_json::{Value, json};

use super::{cluster, holds};
use crate::kinds::{Raw, client};

const PODS: usize = 5_000;
/// `team-a/x` comes before `team/x`: the keys are compared whole.
const NAMESPACES: [&str; 4] = ["a", "team", "team-a", "team-b"];

/// What is compared of a pod: its key, and a label that writes change.
type View = BTreeMap<String, String>;

/// Pods of ours, and every write to them.
struct Pods<'a> {
    sim: &'a Sim,
    draw: Rng,
    now: View,
    made: usize,
    /// Revision, key, and the label; `None` where the pod went.
    writes: Vec<(u64, String, Option<String>)>,
}

impl<'a> Pods<'a> {
    fn new(sim: &'a Sim, count: usize) -> Self {
        let mut pods = Self { sim, draw: Rng::new(15), now: View::new(), made: 0, writes: Vec::new() };
        for name in NAMESPACES {
            let namespace = json!({"metadata": {"name": name}});
            sim.running.cluster.create(*NAMESPACE, "", namespace, &actor()).unwrap();
        }
        for name in NAMESPACES {
            let account = Key::new(name, "default");
            sim.wait("the service accounts", || {
                sim.running.cluster.get(*SERVICE_ACCOUNT, &account).is_some()
            });
        }
        while pods.now.len() < count {
            pods.create();
        }
        pods.writes.clear();
        pods
    }

    fn create(&mut self) {
        let namespace = *self.draw.pick(&NAMESPACES).unwrap();
        // In no order, so that a new pod may belong before, between or behind pages that were sent.
        let name = format!("p-{:04x}-{}", self.draw.below(1 << 16), self.made);
        self.made += 1;
        let label = self.made.to_string();
        let pod = json!({
            "metadata": {"name": name, "labels": {"write": label}},
            "spec": {"containers": [{"name": "main", "image": "registry.example/x:1"}]},
        });
        let stored = self.sim.running.cluster.create(*POD, namespace, pod, &actor()).unwrap();
        self.note(stored.revision, format!("{namespace}/{name}"), Some(label));
    }

    fn note(&mut self, revision: u64, key: String, label: Option<String>) {
        match &label {
            Some(label) => self.now.insert(key.clone(), label.clone()),
            None => self.now.remove(&key),
        };
        self.writes.push((revision, key, label));
    }

    /// One write: a pod comes, changes or goes.
    fn write(&mut self) {
        let cluster = &self.sim.running.cluster;
        let at = self.draw.below(self.now.len() as u64) as usize;
        let name = self.now.keys().nth(at).unwrap().clone();
        let (space, pod) = name.split_once('/').unwrap();
        let key = Key::new(space, pod);
        match self.draw.below(3) {
            0 => self.create(),
            1 => {
                let label = format!("changed-{}", self.writes.len());
                let changed = cluster.modify(*POD, &key, Part::Main, &actor(), |p| {
                    p["metadata"]["labels"]["write"] = label.clone().into();
                });
                self.note(changed.unwrap().unwrap().revision, name, Some(label));
            }
            _ => match cluster.delete(*POD, &key, &DeleteOptions::now(), &actor()).unwrap() {
                Deleted::Gone(last) => self.note(last.revision, name, None),
                Deleted::Marked(_) => panic!("{name} does not go at once"),
            },
        }
    }
}

fn actor() -> Actor {
    Actor::new("writer")
}

/// The keys and labels of a page, in its order.
fn lines(page: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    page["items"].as_array().unwrap().iter().map(|pod| {
        let meta = &pod["metadata"];
        let text = |v: &Value| v.as_str().unwrap().to_owned();
        (format!("{}/{}", text(&meta["namespace"]), text(&meta["name"])), text(&meta["labels"]["write"]))
    })
}

/// Asks for pages until there is none, with a write behind every fifth.
fn page_through(raw: &Raw, pods: &mut Pods<'_>, query: &str, remaining: bool) -> Vec<(String, String)> {
    let (mut listed, mut next, mut first) = (Vec::new(), String::new(), None);
    for number in 1.. {
        let path = format!("/api/v1/pods?{query}{next}");
        let (code, page) = pods.sim.block_on(raw.get(&path));
        assert_eq!(code, 200, "{page}");
        let meta = &page["metadata"];
        let revision = meta["resourceVersion"].as_str().unwrap().to_owned();
        let first = first.get_or_insert_with(|| revision.clone());
        assert_eq!(*first, revision, "after {} pods", listed.len());
        listed.extend(lines(&page));
        let newest = page["items"].as_array().unwrap().iter();
        let newest =
            newest.map(|p| p["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap());
        assert!(newest.max() <= revision.parse().ok(), "a pod of {path} is newer than its list");
        let Some(token) = meta["continue"].as_str().filter(|t| !t.is_empty()) else { break };
        if remaining {
            assert_eq!(meta["remainingItemCount"], PODS - listed.len());
        } else {
            assert!(meta.get("remainingItemCount").is_none(), "{meta}");
        }
        next = format!("&continue={token}");
        if number % 5 == 0 {
            pods.write();
        }
    }
    listed
}

#[test]
fn five_thousand_pods_come_in_pages_of_two_as_they_were_at_the_first() {
    let sim = Sim::start(3);
    let mut pods = Pods::new(&sim, PODS);
    let raw = Raw(client(&sim));
    let before: Vec<_> = pods.now.clone().into_iter().collect();
    let listed = page_through(&raw, &mut pods, "limit=2", true);
    assert_eq!(pods.writes.len(), (PODS / 2 - 1) / 5, "writes between pages");
    assert_eq!(listed.len(), PODS);
    assert!(listed == before, "first difference: {:?}", listed.iter().zip(&before).find(|(a, b)| a != b));
    // And what was written is there.
    let (_, whole) = sim.block_on(raw.get("/api/v1/pods"));
    assert!(lines(&whole).eq(pods.now.clone()));
    // With a selector, what is left is not counted.
    let selected: Vec<_> = pods.now.iter().filter(|(_, l)| l.starts_with("changed-")).collect();
    let expected: Vec<_> = pods.now.clone().into_iter().filter(|(_, l)| !l.starts_with("changed-")).collect();
    assert!(!selected.is_empty());
    let not_changed: Vec<_> = selected.iter().map(|(_, l)| l.as_str()).collect();
    let query = format!("limit=49&labelSelector=write%20notin%20({})", not_changed.join(","));
    assert!(page_through(&raw, &mut pods, &query, false) == expected);
}

/// Lists with kubectl while pods are written, and returns what it printed and how many pages it asked for.
fn list(kubectl: &Kubectl, pods: &mut Pods<'_>, chunk: usize) -> (Vec<(String, String)>, usize) {
    let line = format!(
        "get pods -A --chunk-size={chunk} --no-headers -v=6 \
         -o custom-columns=NS:.metadata.namespace,NAME:.metadata.name,WRITE:.metadata.labels.write"
    );
    let said = std::thread::scope(|scope| {
        let listing = scope.spawn(|| kubectl.run(&line));
        while !listing.is_finished() {
            pods.write();
            pods.sim.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await });
        }
        listing.join().unwrap()
    });
    // Of the log, the lines about answers: one that waited for its turn has a line for that too.
    let answers = said.err.lines().filter(|l| l.contains("status=\"200 OK\""));
    let asked = answers.filter(|l| l.contains(&format!("limit={chunk}"))).count();
    let out = said.ok();
    let row = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words.len(), 3, "{line}");
        (format!("{}/{}", words[0], words[1]), words[2].to_owned())
    };
    (out.lines().map(row).collect(), asked)
}

/// Whether the pods were so at the beginning or after one of the writes.
fn was_so(listed: &[(String, String)], before: &View, writes: &[(u64, String, Option<String>)]) -> bool {
    let mut view = before.clone();
    let same = |view: &View| view.len() == listed.len() && view.iter().eq(listed.iter().map(|(k, l)| (k, l)));
    same(&view)
        || writes.iter().any(|(_, key, label)| {
            match label {
                Some(label) => view.insert(key.clone(), label.clone()),
                None => view.remove(key),
            };
            same(&view)
        })
}

/// kubectl asks five times a second at most, so pages of two, as in the test above, would take it minutes.
#[test]
fn kubectl_lists_five_thousand_pods_in_chunks_while_they_are_written() {
    let Some((sim, kubectl)) = cluster("pages: kubectl") else { return };
    let mut pods = Pods::new(&sim, PODS);
    for chunk in [500, 100] {
        let before = pods.now.clone();
        let start = pods.writes.len();
        let (listed, asked) = list(&kubectl, &mut pods, chunk);
        let unique: BTreeSet<_> = listed.iter().map(|(key, _)| key).collect();
        assert_eq!(unique.len(), listed.len(), "a pod is listed twice");
        assert_eq!(asked, listed.len().div_ceil(chunk), "pages of {chunk}");
        let writes = &pods.writes[start..];
        assert!(writes.len() > 1, "nothing was written meanwhile");
        assert!(writes.windows(2).all(|w| w[0].0 < w[1].0), "revisions go up");
        assert!(was_so(&listed, &before, writes), "in chunks of {chunk}: a list of no one moment");
    }
    let whole = kubectl.run("get pods -A --chunk-size=0 --no-headers").ok();
    assert_eq!(whole.lines().count(), pods.now.len());
    holds(&whole, &["team-a"]);
}
