//! An apply does no harm: conflicts, prunes, other people's objects.

use super::*;
use crate::inventory::PruneOptions;

fn pruning(all: bool, protected: bool) -> Options {
    Options { prune: PruneOptions { all, protected }, ..options() }
}

async fn with(fake: &Fake, objects: Vec<Value>, options: &Options) -> Result<Report, ApplyError> {
    run_with(fake, &request("c2", objects), options, &Cancel::never()).await.0
}

/// The object `one`, with `helm` as the owner of its data.
async fn owned_by_helm(fake: &Fake) {
    fake.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "shop-dev",
        "managedFields": [{"manager": "helm", "operation": "Apply", "fieldsV1": {"\u{1}data\u{1}v": {}}}]}, "data": {"v": "helm's"}}));
}

#[tokio::test]
async fn an_object_of_another_manager_is_reported_and_not_overwritten() {
    let fake = Fake::new();
    owned_by_helm(&fake).await;
    let before = fake.revisions();
    let error = run(&fake, "c1", shop()).await.unwrap_err();
    assert_eq!(error.to_string(), "the dry run found 1 object that cannot be applied; nothing was written");
    let outcome = &error.report().unwrap().outcomes[&id("ConfigMap", "one")];
    assert_eq!(outcome.to_string(), "1 conflict; .data.v: owned by \"helm\" using v1, wanted by \"kiban\"");
    assert!(matches!(outcome, Outcome::Conflict(c) if c[0].manager == "helm"));
    assert_eq!(error.report().unwrap().count(|o| *o == Outcome::NotAttempted), 3);
    assert_eq!(fake.revisions(), before);

    let forced = Options { force_conflicts: true, ..options() };
    let report = with(&fake, shop(), &forced).await.unwrap();
    assert_eq!(report.outcomes[&id("ConfigMap", "one")], Outcome::Configured);
    let object = fake.get("/api/v1/namespaces/shop-dev/configmaps/one").unwrap();
    assert_eq!(object["data"]["v"], "1");
    assert_eq!(crate::object::managers(&object), ["kiban"]);
}

#[tokio::test]
async fn an_equal_object_of_another_manager_is_shared_and_then_left_alone() {
    let fake = Fake::new();
    owned_by_helm(&fake).await;
    let objects = vec![config_map("one", "helm's")];
    let report = run(&fake, "c1", objects.clone()).await.unwrap();
    assert_eq!(report.outcomes[&id("ConfigMap", "one")], Outcome::Configured, "its ownership is recorded");
    let before = fake.revisions();
    run(&fake, "c1", objects).await.unwrap();
    assert_eq!(fake.revisions(), before);
}

#[tokio::test]
async fn a_conflict_that_arises_after_the_dry_run_is_not_forced_either() {
    let fake = Fake::new();
    let (code, mut refusal) = status(409, "Conflict", "Apply failed with 1 conflict");
    refusal["details"]["causes"] = json!([{"reason": "FieldManagerConflict", "field": ".data.v", "message": "conflict with \"late\" using v1"}]);
    let mut left = 1;
    fake.rule(move |r| {
        (r.starts_with("PATCH") && r.contains("/one?") && is_write(r) && left > 0).then(|| {
            left -= 1;
            Fault::Refuse(code, refusal.clone(), None)
        })
    });
    let report = run(&fake, "c1", shop()).await.unwrap();
    assert!(!report.is_success());
    assert!(
        matches!(&report.outcomes[&id("ConfigMap", "one")], Outcome::Conflict(c) if c[0].manager == "late")
    );
    assert_eq!(report.outcomes[&id("ConfigMap", "two")], Outcome::Created, "its wave ends");
    assert_eq!(report.outcomes[&id("Deployment", "orders")], Outcome::NotAttempted);
    // What was created is listed, though the apply failed.
    assert!(inventory(&fake).objects.contains_key(&id("ConfigMap", "two")));
    assert_eq!(applying(&inventory(&fake)), Some("c1"));
    assert!(run(&fake, "c1", shop()).await.unwrap().is_success());
}

#[tokio::test]
async fn what_is_no_longer_rendered_is_pruned_after_the_rest_is_ready() {
    let fake = Fake::new();
    run(&fake, "c1", shop()).await.unwrap();
    fake.take_requests();
    let mut objects = shop();
    objects.pop();
    let report = run(&fake, "c2", objects).await.unwrap();
    assert_eq!(report.outcomes[&id("ConfigMap", "two")], Outcome::Pruned);
    assert!(report.is_success());
    assert_eq!(fake.get("/api/v1/namespaces/shop-dev/configmaps/two"), None);
    assert_eq!(inventory(&fake).objects.len(), 3);
    let deletes: Vec<String> = writes(&fake).into_iter().filter(|w| w.starts_with("DELETE")).collect();
    assert_eq!(deletes.len(), 2, "the object and the lease: {deletes:?}");
}

#[tokio::test]
async fn a_large_prune_or_an_empty_folder_asks_first() {
    let fake = Fake::new();
    run(&fake, "c1", shop()).await.unwrap();
    let before = fake.revisions();
    for (objects, words) in [
        (vec![], "nothing was rendered: is this the right folder? 4 of the 4"),
        (vec![config_map("elsewhere", "1")], "4 of the 4 objects"),
        (shop()[..2].to_vec(), "2 of the 4 objects"),
    ] {
        let error = with(&fake, objects, &options()).await.unwrap_err();
        assert!(matches!(error, ApplyError::Prune(_)));
        assert!(error.to_string().starts_with(words), "{error}");
        assert!(error.to_string().contains("--prune-all"), "{error}");
    }
    assert_eq!(fake.revisions(), before);
    let report = with(&fake, shop()[..2].to_vec(), &pruning(true, false)).await.unwrap();
    assert_eq!(report.count(|o| *o == Outcome::Pruned), 2);
}

#[tokio::test]
async fn removing_an_app_prunes_exactly_its_objects_and_leaves_no_inventory() {
    let fake = Fake::new();
    let other = config_map("of-others", "x");
    fake.put(other);
    let clean = fake.paths();
    run(&fake, "c1", shop()).await.unwrap();
    let report = with(&fake, vec![], &pruning(true, false)).await.unwrap();
    assert_eq!(report.count(|o| *o == Outcome::Pruned), 4);
    assert_eq!(fake.paths(), clean);
    // And once more: nothing to do, nothing written.
    fake.take_requests();
    assert!(with(&fake, vec![], &options()).await.unwrap().outcomes.is_empty());
    assert_eq!(writes(&fake), Vec::<String>::new());
}

#[tokio::test]
async fn marked_and_protected_objects_stay_until_told() {
    let fake = Fake::new();
    let mut marked = config_map("marked", "1");
    marked["metadata"]["annotations"] = json!({"kiban.dev/keep": "true"});
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop-dev"}});
    let mut all = shop();
    all.extend([marked, claim]);
    run(&fake, "c1", all).await.unwrap();
    let report = run(&fake, "c2", shop()).await.unwrap();
    assert!(report.is_success());
    let kept = |name, kind| report.outcomes[&id(kind, name)].to_string();
    assert_eq!(kept("marked", "ConfigMap"), "kept: it is marked kiban.dev/keep");
    assert!(kept("data", "PersistentVolumeClaim").starts_with("kept: its kind is pruned only on demand"));
    assert_eq!(inventory(&fake).objects.len(), 6, "what is kept stays listed");
    let before = fake.revisions();
    run(&fake, "c2", shop()).await.unwrap();
    assert_eq!(fake.revisions(), before, "and nothing is written for it");
    let report = with(&fake, shop(), &pruning(false, true)).await.unwrap();
    assert_eq!(report.count(|o| *o == Outcome::Pruned), 2);
}

#[tokio::test]
async fn an_object_that_moved_to_another_app_is_not_pruned() {
    for forbidden in [false, true] {
        let fake = Fake::new();
        if forbidden {
            let (_, refusal) = status(403, "Forbidden", "cannot list configmaps at the cluster scope");
            fake.fault(&["GET /api/v1/configmaps"], 100, Fault::Refuse(403, refusal, None));
        }
        run(&fake, "c1", shop()).await.unwrap();
        let mut stock = request("c1", vec![config_map("two", "2")]);
        stock.app = "stock".into();
        run_with(&fake, &stock, &options(), &Cancel::never()).await.0.unwrap();
        let report = with(&fake, shop()[..3].to_vec(), &options()).await.unwrap();
        assert_eq!(
            report.outcomes[&id("ConfigMap", "two")].to_string(),
            "kept: inventory shop-dev/kiban-inventory-stock-dev lists it"
        );
        assert!(fake.get("/api/v1/namespaces/shop-dev/configmaps/two").is_some());
        assert_eq!(inventory(&fake).objects.len(), 3, "it left this inventory");
    }
}

#[tokio::test]
async fn an_object_that_somebody_made_anew_is_not_pruned() {
    let fake = Fake::new();
    run(&fake, "c1", shop()).await.unwrap();
    fake.put(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "two", "namespace": "shop-dev",
        "managedFields": [{"manager": "kubectl", "operation": "Update", "fieldsV1": {}}]}}),
    );
    let report = with(&fake, shop()[..3].to_vec(), &options()).await.unwrap();
    assert_eq!(report.outcomes[&id("ConfigMap", "two")].to_string(), "kept: it is now managed by kubectl");
    assert!(fake.get("/api/v1/namespaces/shop-dev/configmaps/two").is_some());
}

#[tokio::test]
async fn an_object_that_is_gone_already_is_forgotten() {
    let fake = Fake::new();
    run(&fake, "c1", shop()).await.unwrap();
    fake.remove("/api/v1/namespaces/shop-dev/configmaps/two");
    let report = with(&fake, shop()[..3].to_vec(), &options()).await.unwrap();
    assert!(report.is_success());
    assert_eq!(inventory(&fake).objects.len(), 3);
}

#[tokio::test]
async fn a_deletion_that_hangs_is_reported_with_what_holds_it() {
    let fake = Fake::new();
    run(&fake, "c1", shop()).await.unwrap();
    let two = "/api/v1/namespaces/shop-dev/configmaps/two";
    fake.edit(two, |o| o["metadata"]["finalizers"] = json!(["example.com/hold"]));
    let report = with(&fake, shop()[..3].to_vec(), &options()).await.unwrap();
    let outcome = report.outcomes[&id("ConfigMap", "two")].to_string();
    assert!(outcome.ends_with("held by the finalizers example.com/hold"), "{outcome}");
    assert!(inventory(&fake).objects.contains_key(&id("ConfigMap", "two")), "it stays listed");
    fake.remove(two);
    assert!(with(&fake, shop()[..3].to_vec(), &options()).await.unwrap().is_success());
    assert_eq!(inventory(&fake).objects.len(), 3);
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_begun() {
    let fake = Fake::new();
    let objects = (0..9000).map(|i| config_map(&format!("{:->100}{i}", ""), "1"));
    let many = request("c1", objects.collect());
    let kinds = fake.cluster();
    let mut plan = plan::plan(&kinds, &request("c1", vec![]), &options(), &|_| {}).await.unwrap();
    let one =
        plan::plan(&kinds, &request("c1", vec![config_map("a", "1")]), &options(), &|_| {}).await.unwrap();
    plan.items = many
        .objects
        .iter()
        .map(|o| plan::Item { id: ObjectId::of(o).unwrap(), object: o.clone(), ..one.items[0].clone() })
        .collect();
    let error = execute::fits(&plan, &many).unwrap_err().to_string();
    assert!(error.contains("an inventory of 9000 objects takes"), "{error}");

    fake.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kiban-inventory-orders-dev", "namespace": "shop-dev"}, "data": {"version": "3", "app": "orders", "env": "dev"}}));
    fake.take_requests();
    let error = run(&fake, "c1", shop()).await.unwrap_err().to_string();
    assert!(error.contains("format version 3"), "{error}");
    assert_eq!(writes(&fake), Vec::<String>::new());
}

#[tokio::test]
async fn what_kubectl_applied_is_taken_over_whole_when_asked() {
    let fake = Fake::new();
    let one = "/api/v1/namespaces/shop-dev/configmaps/one";
    fake.put(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "shop-dev",
        "managedFields": [{"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "v1",
            "fieldsV1": {"\u{1}data\u{1}v": {}, "\u{1}data\u{1}old": {}}}]}, "data": {"v": "1", "old": "x"}}),
    );
    let objects = vec![config_map("one", "1")];
    run(&fake, "c1", objects.clone()).await.unwrap();
    assert_eq!(fake.get(one).unwrap()["data"]["old"], "x", "unasked, what kubectl set stays");
    let forced = Options { force_conflicts: true, ..options() };
    // Somebody changes the object in the middle of it.
    let (code, refusal) = status(409, "Conflict", "the object has been modified");
    let mut left = 2;
    fake.rule(move |r| {
        (r.starts_with("PATCH") && r.ends_with("configmaps/one?fieldManager=kiban") && left > 0).then(|| {
            left -= 1;
            Fault::Refuse(code, refusal.clone(), None)
        })
    });
    let report = with(&fake, objects.clone(), &forced).await.unwrap();
    assert_eq!(report.outcomes[&id("ConfigMap", "one")], Outcome::Configured);
    let object = fake.get(one).unwrap();
    assert_eq!(object["data"], json!({"v": "1"}));
    assert_eq!(crate::object::managers(&object), ["kiban"]);
    let before = fake.revisions();
    with(&fake, objects, &forced).await.unwrap();
    assert_eq!(fake.revisions(), before);
}

#[tokio::test]
async fn the_apps_own_namespace_goes_last_and_its_lease_with_it() {
    let fake = Fake::new();
    let mut objects = shop();
    objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop-dev"}}));
    run(&fake, "c1", objects).await.unwrap();
    // Deleting it takes longer than the lease is renewed, and takes the lease along.
    let namespace = "/api/v1/namespaces/shop-dev";
    fake.edit(namespace, |n| n["metadata"]["finalizers"] = json!(["kubernetes"]));
    let collector = async {
        while fake.get(namespace).unwrap()["metadata"]["deletionTimestamp"].is_null() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        fake.remove("/apis/coordination.k8s.io/v1/namespaces/shop-dev/leases/kiban-apply-orders-dev");
        tokio::time::sleep(Duration::from_millis(120)).await;
        fake.remove(INVENTORY);
        fake.remove(namespace);
    };
    let everything = pruning(true, true);
    let (result, ()) = tokio::join!(with(&fake, vec![], &everything), collector);
    let report = result.unwrap();
    assert!(report.is_success(), "{report:?}");
    assert_eq!(report.count(|o| *o == Outcome::Pruned), 5);
    assert!(fake.paths().is_empty());
}

#[tokio::test]
async fn what_another_controller_still_applies_is_not_taken_over_unless_that_is_meant() {
    let fake = Fake::new();
    let labels = json!({"kustomize.toolkit.fluxcd.io/name": "shop", "kustomize.toolkit.fluxcd.io/namespace": "shop-dev"});
    fake.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one", "namespace": "shop-dev", "labels": labels,
        "managedFields": [{"manager": "kustomize-controller", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:data": {"f:v": {}}}}]}, "data": {"v": "1"}}));
    let kustomization = |suspend: bool| {
        json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
        "metadata": {"name": "shop", "namespace": "shop-dev"}, "spec": {"suspend": suspend}})
    };
    fake.put(kustomization(false));
    let adopting = Options { adopt: Adopt::Yes, ..options() };
    let plan = |options: Options| {
        let fake = fake.clone();
        async move {
            let wanted = request("c1", vec![config_map("one", "1")]);
            plan::plan(&fake.cluster(), &wanted, &options, &|_| {}).await
        }
    };
    let error = plan(adopting.clone()).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "kustomization.kustomize.toolkit.fluxcd.io/shop in shop-dev still applies configmap/one in shop-dev (Flux); nothing was written. \
         Suspend or delete it first, or pass --adopt=even-if-live"
    );
    assert!(plan(Options { adopt: Adopt::EvenIfLive, ..options() }).await.is_ok());
    assert!(plan(options()).await.is_ok(), "who takes nothing over does not ask");
    fake.put(kustomization(true));
    assert!(plan(adopting).await.is_ok(), "a suspended one does nothing");
}
