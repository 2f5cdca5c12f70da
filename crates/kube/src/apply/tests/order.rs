//! Who may write what, in which order of revisions, and who is held apart from whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::*;
use crate::inventory::Told;
use crate::record;

fn at(commit: &str, position: u64) -> Revision {
    Revision { commit: commit.into(), branch: "main".into(), position: Some(position), ..Revision::default() }
}

async fn apply_at(
    fake: &Fake,
    revision: Revision,
    objects: Vec<Value>,
    options: &Options,
) -> Result<Report, ApplyError> {
    let wanted = Request { revision, ..request("", objects) };
    apply(&fake.cluster(), &wanted, options, &Cancel::never(), &|_| {}).await
}

#[tokio::test]
async fn an_older_revision_is_refused_unless_it_is_allowed() {
    let fake = Fake::new();
    apply_at(&fake, at("c5", 5), shop(), &options()).await.unwrap();
    let mut older = shop();
    older[0] = deployment("orders", "a:0");
    fake.take_requests();
    let error = apply_at(&fake, at("c4", 4), older.clone(), &options()).await.unwrap_err();
    assert!(matches!(&error, ApplyError::Older { diverged: false, unfinished: false, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "c4 of main is older than c5 of main, which is applied; nothing was written (--allow-older applies it all the same)"
    );
    assert_eq!(writes(&fake), Vec::<String>::new());
    let error = apply_at(&fake, at("x5", 5), older.clone(), &options()).await.unwrap_err();
    assert!(matches!(error, ApplyError::Older { diverged: true, .. }));
    let allowed = Options { allow_older: true, ..options() };
    assert!(apply_at(&fake, at("c4", 4), older, &allowed).await.unwrap().is_success());
    assert_eq!(inventory(&fake).revision, at("c4", 4));
}

#[tokio::test]
async fn an_apply_that_did_not_end_is_not_overwritten_by_an_older_one() {
    let fake = Fake::new();
    apply_at(&fake, at("c1", 1), shop(), &options()).await.unwrap();
    let mut objects = shop();
    objects[0] = deployment("orders", "a:3");
    let (_, refusal) = status(422, "Invalid", "no");
    let mut left = 1;
    fake.rule(move |r| {
        (r.starts_with("PATCH") && r.contains("deployments/orders") && is_write(r) && left > 0).then(|| {
            left -= 1;
            Fault::Refuse(422, refusal.clone(), None)
        })
    });
    let report = apply_at(&fake, at("c3", 3), objects, &options()).await.unwrap();
    assert!(!report.is_success());
    let error = apply_at(&fake, at("c2", 2), shop(), &options()).await.unwrap_err();
    assert!(matches!(error, ApplyError::Older { unfinished: true, .. }), "{error}");
}

#[derive(Debug)]
struct History(Order);

impl Ancestry for History {
    fn order<'a>(&'a self, _: &'a Revision, _: &'a Revision) -> BoxFuture<'a, Order> {
        async move { self.0 }.boxed()
    }
}

#[tokio::test]
async fn the_history_is_asked_where_the_revisions_do_not_tell() {
    for (order, refused) in
        [(Order::Newer, false), (Order::Unknown, false), (Order::Older, true), (Order::Diverged, true)]
    {
        let fake = Fake::new();
        run(&fake, "c1", shop()).await.unwrap();
        let asking = Options { ancestry: Some(Arc::new(History(order))), ..options() };
        let result = apply_at(&fake, "c2".into(), shop(), &asking).await;
        assert_eq!(matches!(result, Err(ApplyError::Older { .. })), refused, "{order:?}: {result:?}");
    }
}

#[tokio::test]
async fn what_was_rolled_back_is_held_until_the_app_changes() {
    let fake = Fake::new();
    let mut bad = shop();
    bad[0] = deployment("orders", "bad");
    apply_at(&fake, at("good", 1), shop(), &options()).await.unwrap();
    apply_at(&fake, at("bad", 2), bad.clone(), &options()).await.unwrap();
    let render = Request { objects: bad.clone(), ..request("", vec![]) }.digest();
    let hold = Hold { bad: at("bad", 2), render, reason: "crash loop".into(), ..Hold::default() };
    let back = Request { revision: at("good", 1), hold: Some(hold.clone()), ..request("", shop()) };
    apply(&fake.cluster(), &back, &options(), &Cancel::never(), &|_| {}).await.unwrap();
    assert_eq!(inventory(&fake).held, Some(hold.clone()));
    assert_eq!(inventory(&fake).revision.commit, "good");
    // The bad commit, and a later one that renders the same.
    for revision in [at("bad", 2), at("unrelated", 3)] {
        let error = apply_at(&fake, revision, bad.clone(), &options()).await.unwrap_err();
        assert!(matches!(error, ApplyError::Held { .. }), "{error}");
        assert!(error.to_string().contains("crash loop"), "{error}");
    }
    // A change of the app.
    let mut mended = shop();
    mended[0] = deployment("orders", "mended");
    assert!(apply_at(&fake, at("fix", 4), mended, &options()).await.unwrap().is_success());
    assert_eq!(inventory(&fake).held, None);
    // Or a word.
    apply(
        &fake.cluster(),
        &Request { revision: at("good", 5), ..back },
        &options(),
        &Cancel::never(),
        &|_| {},
    )
    .await
    .unwrap();
    let released = Options { release_hold: true, ..options() };
    assert!(apply_at(&fake, at("bad2", 6), bad, &released).await.unwrap().is_success());
    assert_eq!(inventory(&fake).held, None);
}

#[tokio::test]
async fn an_amended_inventory_keeps_the_rest_and_survives_the_next_apply() {
    let fake = Fake::new();
    run(&fake, "c1", shop()).await.unwrap();
    let told = Told { commit: "c1".into(), verdict: "good".into(), ..Told::default() };
    // Another is faster, twice.
    let (_, conflict) = status(409, "Conflict", "the object has been modified");
    fake.fault(&["PUT", "kiban-inventory"], 2, Fault::Refuse(409, conflict, None));
    let change = |inventory: &mut Inventory| inventory.verdict = Some(told.clone());
    let amended = record::amend(&fake.cluster(), "shop-dev", "orders", "dev", &change).await.unwrap();
    assert_eq!(amended.unwrap().verdict, Some(told.clone()));
    let mut objects = shop();
    objects[0] = deployment("orders", "a:2");
    run(&fake, "c2", objects).await.unwrap();
    let read = record::read(&fake.cluster(), "shop-dev", "orders", "dev").await.unwrap().unwrap();
    assert_eq!((read.verdict, read.revision.commit.as_str()), (Some(told.clone()), "c2"));
    assert_eq!(record::amend(&fake.cluster(), "shop-dev", "none", "dev", &change).await.unwrap(), None);
}

#[tokio::test]
async fn objects_out_of_scope_are_refused_by_object_and_file() {
    let fake = Fake::new();
    let mut elsewhere = config_map("theirs", "1");
    elsewhere["metadata"]["namespace"] = json!("default");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine"}});
    let mut objects = shop();
    objects.extend([elsewhere.clone(), namespace.clone()]);
    let files = [
        (&elsewhere, "rendered/dev/orders/configmap-theirs.yaml"),
        (&namespace, "rendered/dev/orders/ns.yaml"),
    ];
    let files = files.map(|(o, file)| (ObjectId::of(o).unwrap(), file.to_owned())).into_iter().collect();
    let bounded = Request { scope: Scope::Namespaces([].into()), files, ..request("c1", objects) };
    let (result, _) = run_with(&fake, &bounded, &options(), &Cancel::never()).await;
    let error = result.unwrap_err();
    let ApplyError::OutOfScope { offences } = &error else { panic!("{error}") };
    assert_eq!(offences.len(), 2);
    let text = error.to_string();
    assert!(text.contains("rendered/dev/orders/configmap-theirs.yaml: configmap/theirs in default: it lies in namespace default, and orders in shop-dev"), "{text}");
    assert!(text.contains("rendered/dev/orders/ns.yaml: namespace/mine: Namespace is cluster-scoped, which orders may not bring"), "{text}");
    assert_eq!(writes(&fake), Vec::<String>::new());
    let allowed = Scope::Namespaces(["default".to_owned()].into());
    let mut objects = shop();
    objects.push(elsewhere);
    let bounded = Request { scope: allowed, ..request("c1", objects) };
    let (result, _) = run_with(&fake, &bounded, &options(), &Cancel::never()).await;
    assert!(result.unwrap().is_success());
}

#[tokio::test]
async fn objects_are_written_as_the_apps_account_and_the_rest_by_our_own_identity() {
    let fake = Fake::new();
    let account = ServiceAccount { namespace: "shop-dev".into(), name: "deployer".into() };
    let acting = |commit: &str, objects: Vec<Value>| Request {
        act_as: Some(account.clone()),
        ..request(commit, objects)
    };
    let mut all = Vec::new();
    for (commit, objects) in [("c1", shop()), ("c2", shop()[..3].to_vec())] {
        let (result, _) = run_with(&fake, &acting(commit, objects), &options(), &Cancel::never()).await;
        assert!(result.unwrap().is_success());
        all.extend(fake.sent());
        fake.take_requests();
    }
    for (sent, by) in all {
        let own = sent.starts_with("GET")
            || sent.contains("/leases")
            || sent.contains("kiban-inventory")
            || sent.starts_with("POST /api/v1/namespaces/shop-dev/configmaps?");
        let expected = if own { "" } else { "system:serviceaccount:shop-dev:deployer" };
        assert_eq!(by, expected, "{sent}");
    }
    // What the account may not do is told with what grants it.
    let text = "configmaps \"one\" is forbidden: User \"system:serviceaccount:shop-dev:deployer\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"shop-dev\"";
    let (_, refusal) = status(403, "Forbidden", text);
    fake.fault(&["PATCH", "configmaps/one"], 1, Fault::Refuse(403, refusal, None));
    let (result, _) = run_with(&fake, &acting("c3", shop()), &options(), &Cancel::never()).await;
    let error = result.unwrap_err();
    let told = error.report().unwrap().outcomes[&id("ConfigMap", "one")].to_string();
    assert!(told.contains("bind ServiceAccount deployer of namespace shop-dev"), "{told}");
}

/// The lease of a process that stopped long ago, in time to be taken over.
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/shop-dev/leases/kiban-apply-orders-dev";

#[tokio::test]
async fn a_deployer_that_was_stopped_writes_nothing_once_another_took_over() {
    // Stopped before each of its writes after it took its turn: before the inventory, each object, the
    // last inventory.
    for stop_at in 1..6 {
        let fake = Fake::new();
        run(
            &fake,
            "c0",
            vec![
                config_map("zero", "0"),
                config_map("one", "0"),
                config_map("two", "0"),
                config_map("three", "0"),
            ],
        )
        .await
        .unwrap();
        fake.take_requests();
        let (resume, resumed) = tokio::sync::watch::channel(false);
        let first = frozen(fake.clone(), stop_at, resumed);
        let first = tokio::spawn(first);
        while !frozen_now(&fake) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The second waits for the first's lease to run out, and finishes.
        let mut objects = shop();
        objects.push(config_map("three", "second"));
        let brief = Options {
            holder: "second".into(),
            prune: PruneOptions { all: true, protected: false },
            ..options()
        };
        let (result, _) = run_with(&fake, &request("c2", objects), &brief, &Cancel::never()).await;
        assert!(result.unwrap().is_success());
        let before = fake.revisions();
        resume.send_replace(true);
        let error = first.await.unwrap().unwrap_err();
        assert!(
            matches!(error, ApplyError::Lease { .. } | ApplyError::Overtaken { .. }),
            "{stop_at}: {error}"
        );
        assert_eq!(fake.revisions(), before, "stopped before write {stop_at}");
        assert_eq!(inventory(&fake).revision.commit, "c2");
    }
}

/// A mark that the first deployer has stopped: an object of no kind that anybody applies.
fn frozen_now(fake: &Fake) -> bool {
    fake.get("/api/v1/namespaces/default/configmaps/frozen").is_some()
}

/// An apply whose process stops before its nth write and goes on when it is told, as SIGSTOP and SIGCONT
/// do: nothing of it runs meanwhile, its renewals neither, and its clock goes on.
async fn frozen(
    fake: Fake,
    stop_at: usize,
    mut resumed: tokio::sync::watch::Receiver<bool>,
) -> Result<Report, ApplyError> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = stop.clone();
    let mut writes = 0;
    fake.rule(move |r| {
        if r.contains("a:first") || seen.load(Ordering::SeqCst) {
            return None;
        }
        // The lease's own request is not counted, so that it is held.
        if is_write(r) && !r.contains("leases") {
            writes += 1;
            if writes == stop_at {
                seen.store(true, Ordering::SeqCst);
                // The try fails as it is sent; the next is what the stopped process would send.
                return Some(Fault::DropBefore);
            }
        }
        None
    });
    let mut objects = shop();
    objects[0] = deployment("orders", "first");
    objects.push(config_map("three", "first"));
    let first = Options {
        holder: "first".into(),
        concurrency: 1,
        prune: PruneOptions { all: true, protected: false },
        ..options()
    };
    let (cluster, wanted, never) = (fake.cluster(), request("c1", objects), Cancel::never());
    let sink = |_: Event| {};
    let mut work = Box::pin(apply(&cluster, &wanted, &first, &never, &sink));
    loop {
        // Whoever stops a process stops all of its tasks at once: the work is not polled any more.
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::task::yield_now() => {}
        }
        if stop.load(Ordering::SeqCst) {
            fake.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "frozen", "namespace": "default"}}));
            resumed.wait_for(|go| *go).await.unwrap();
            return work.await;
        }
    }
}

#[tokio::test]
async fn a_dead_holder_on_this_machine_is_not_waited_for() {
    let fake = Fake::new();
    // A lease as a process leaves it that was killed: it is taken again with a process that is gone.
    run(&fake, "c0", vec![config_map("one", "0")]).await.unwrap();
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let note = crate::lease::note_of(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    // Only where processes can be looked up.
    let Some(note) = note else { return };
    fake.put(json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "kiban-apply-orders-dev", "namespace": "shop-dev", "annotations": note},
        "spec": {"holderIdentity": "dead", "leaseDurationSeconds": 3600, "renewTime": "2020-01-01T00:00:00.000000Z"}}));
    assert!(fake.get(LEASE).is_some());
    let short = Options { turn_timeout: Duration::from_millis(500), ..options() };
    let (result, events) = run_with(&fake, &request("c1", shop()), &short, &Cancel::never()).await;
    assert!(result.unwrap().is_success());
    assert!(!events.iter().any(|e| matches!(e, Event::WaitingForTurn { .. })), "{events:?}");
}

#[tokio::test]
async fn an_object_that_changed_since_it_was_seen_is_written_only_after_the_lease_was_read() {
    for stolen in [false, true] {
        let fake = Fake::new();
        run(&fake, "c1", shop()).await.unwrap();
        let (_, moved) = status(409, "Conflict", "the object has been modified");
        let mut refused = false;
        fake.rule(move |r| {
            if r.starts_with("PATCH") && r.contains("deployments/orders") && is_write(r) && !refused {
                refused = true;
                return Some(Fault::Refuse(409, moved.clone(), None));
            }
            let theirs = json!({"spec": {"holderIdentity": "thief"}});
            let looks = r.starts_with("GET") && r.contains("leases/");
            (stolen && refused && looks).then_some(Fault::Refuse(200, theirs, None))
        });
        let mut objects = shop();
        objects[0] = deployment("orders", "a:2");
        fake.take_requests();
        let result = run(&fake, "c2", objects).await;
        let looks = fake.peek_requests(|r| r.starts_with("GET") && r.contains("leases/"));
        assert_eq!(looks, 2, "when it is taken, and when the object had changed");
        let image = fake.get(DEPLOYMENT).unwrap()["spec"]["template"]["image"].clone();
        match stolen {
            false => assert_eq!((result.unwrap().is_success(), image), (true, json!("a:2"))),
            true => {
                assert!(matches!(result, Err(ApplyError::Lease { .. })), "{result:?}");
                assert_eq!((image, inventory(&fake).revision.commit.as_str()), (json!("a:1"), "c1"));
            }
        }
    }
}
