//! What leaves the repository leaves the cluster: exactly that, and not without a word when it is much.

use std::path::Path;
use std::process::Command;

use kiban_simcluster::Key;
use kiban_simcluster::kind::well_known::{CONFIG_MAP, DEPLOYMENT, SERVICE};
use kiban_simcluster::nodes::StandIn;
use kiban_simcluster::server::Config;
use kiban_testkit::{Said, Sim, kiban, root, said};

fn shop(sim: &Sim) -> std::path::PathBuf {
    let folder = sim.folder().join("shop");
    said(Command::new("cp").arg("-r").arg(root().join("examples/shop")).arg(&folder)).ok();
    folder
}

fn cluster() -> Sim {
    let secrets =
        StandIn { kind: "Secret".into(), namespace: "*".into(), name: "*".into(), data: Vec::new() };
    Sim::with(Config { fast: true, stand_ins: vec![secrets], ..Config::default() })
}

fn run(sim: &Sim, verb: &str, shop: &Path, more: &[&str]) -> Said {
    let mut command = Command::new(kiban());
    command.args([verb, "-e", "dev", "--skip-missing-kinds"]).args(more).arg(shop);
    said(command.env("KUBECONFIG", sim.kubeconfig()))
}

fn names(sim: &Sim, kind: kiban_simcluster::KindId) -> Vec<String> {
    let state = sim.running.cluster.snapshot();
    state.objects(kind).keys().map(ToString::to_string).filter(|k| k != "default/kubernetes").collect()
}

#[test]
fn an_app_that_is_removed_takes_exactly_its_objects_along() {
    let sim = cluster();
    let shop = shop(&sim);
    run(&sim, "apply", &shop, &[]).ok();
    run(&sim, "diff", &shop, &[]).ok();
    let mut services = names(&sim, *SERVICE);
    std::fs::remove_dir_all(shop.join("web")).unwrap();
    let shown = run(&sim, "diff", &shop, &[]);
    assert!(
        shown.code == 1 && shown.out.contains("- deployment.apps/web in storefront-dev"),
        "{}",
        shown.out
    );
    let done = run(&sim, "apply", &shop, &[]).ok();
    // The app's seven, and the account and its rights that nobody else in the namespace needs.
    assert!(done.contains("9 pruned"), "{done}");
    services.retain(|s| s != "storefront-dev/web");
    assert_eq!(names(&sim, *SERVICE), services);
    let inventory = Key::new("storefront-dev", "kiban-inventory-web-dev");
    assert!(sim.running.cluster.get(*CONFIG_MAP, &inventory).is_none());
    run(&sim, "diff", &shop, &[]).ok();
}

#[test]
fn one_app_is_removed_by_its_name_and_an_unknown_one_is_told() {
    let sim = cluster();
    let shop = shop(&sim);
    run(&sim, "apply", &shop, &[]).ok();
    std::fs::remove_dir_all(shop.join("web")).unwrap();
    let unknown = run(&sim, "apply", &shop, &["--app", "webb"]).fails(2);
    assert!(unknown.contains("no app \"webb\"") && unknown.contains(", web)"), "{unknown}");
    run(&sim, "apply", &shop, &["--app", "web"]).ok();
    assert!(!names(&sim, *DEPLOYMENT).contains(&"storefront-dev/web".into()));
}

#[test]
fn an_app_that_moves_leaves_its_old_namespace() {
    let sim = cluster();
    let shop = shop(&sim);
    run(&sim, "apply", &shop, &[]).ok();
    let path = shop.join("web/app.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("team: storefront", "team: shopfront")).unwrap();
    run(&sim, "apply", &shop, &[]).ok();
    let deployments = names(&sim, *DEPLOYMENT);
    assert!(deployments.contains(&"shopfront-dev/web".into()), "{deployments:?}");
    assert!(!deployments.contains(&"storefront-dev/web".into()), "{deployments:?}");
}

#[test]
fn an_emptied_folder_deletes_nothing_without_a_word() {
    let sim = cluster();
    let shop = shop(&sim);
    run(&sim, "apply", &shop, &[]).ok();
    for app in ["web", "orders", "payments"] {
        std::fs::remove_dir_all(shop.join(app)).unwrap();
    }
    let before = sim.running.cluster.snapshot().revision;
    let refusal = run(&sim, "apply", &shop, &[]).fails(3);
    assert!(refusal.contains("--prune-all"), "{refusal}");
    std::fs::remove_dir_all(shop.join("stock")).unwrap();
    let refusal = run(&sim, "apply", &shop, &[]).fails(3);
    assert!(refusal.contains("is this the right folder?"), "{refusal}");
    assert_eq!(names(&sim, *DEPLOYMENT).len(), 4, "nothing was written after {before}");
    run(&sim, "apply", &shop, &["--prune-all"]).ok();
    assert_eq!(names(&sim, *DEPLOYMENT), Vec::<String>::new());
}

#[test]
fn a_second_apply_writes_nothing() {
    let sim = cluster();
    let shop = shop(&sim);
    run(&sim, "apply", &shop, &[]).ok();
    let revisions = || -> Vec<(String, u64)> {
        let state = sim.running.cluster.snapshot();
        let kinds = [*CONFIG_MAP, *DEPLOYMENT, *SERVICE];
        let all = kinds.iter().flat_map(|k| state.objects(*k).values());
        all.map(|o| (o.key.to_string(), o.revision)).collect()
    };
    let mut before = revisions();
    sim.wait("the cluster to come to rest", || {
        let now = revisions();
        now == std::mem::replace(&mut before, now.clone())
    });
    let done = run(&sim, "apply", &shop, &[]).ok();
    assert!(done.contains("0 created, 0 changed, 0 pruned, 45 unchanged"), "{done}");
    assert_eq!(revisions(), before);
}
