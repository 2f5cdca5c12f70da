//! What is asked for is made so, app by app.

use std::time::Duration;

use kiban_delivery::notify::State;

use crate::support::{DIRECT, World, app, deployment, files};

#[test]
fn a_first_commit_is_deployed_and_then_nothing_is_asked_any_more() {
    let world = World::new(DIRECT);
    world.block_on(async {
        let mut all = app("orders", "r/orders:1", "");
        all.extend(app("stock", "r/stock:1", ""));
        let commit = world.commit("two apps", &files(&all));
        let server = world.start().await;
        world
            .until("both are good", || server.is_good(&commit, "orders") && server.is_good(&commit, "stock"))
            .await;
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:1"));
        let inventory = world.inventory("orders").unwrap();
        assert_eq!(inventory.revision.commit, commit);
        assert_eq!(inventory.verdict.as_ref().unwrap().verdict, "good");
        assert_eq!(inventory.objects.len(), 2);
        // A commit that changes nothing of them costs no request.
        let before = world.front.asked().len();
        world.commit("words", &[("README.md", "about the shop")]);
        server.poke();
        world.settle(Duration::from_secs(200)).await;
        let asked: Vec<_> = world.front.asked().split_off(before);
        let other: Vec<_> = asked.iter().filter(|a| !a.watches()).collect();
        assert!(other.is_empty(), "{other:?}");
        server.stop().await;
        // Nor does a start, beyond its watches.
        let before = world.front.asked().len();
        let again = world.start().await;
        world.settle(Duration::from_secs(200)).await;
        let asked: Vec<_> = world.front.asked().split_off(before);
        let other: Vec<_> = asked
            .iter()
            .filter(|a| !a.watches() && !a.path.starts_with("/api?") && a.path != "/api" && a.path != "/apis")
            .collect();
        assert!(other.is_empty(), "{other:?}");
        again.stop().await;
    });
}

#[test]
fn a_change_of_one_app_touches_that_app_alone() {
    let world = World::new(DIRECT);
    world.block_on(async {
        let mut all = app("orders", "r/orders:1", "");
        all.extend(app("stock", "r/stock:1", ""));
        let first = world.commit("two apps", &files(&all));
        let server = world.start().await;
        world
            .until("both are good", || server.is_good(&first, "orders") && server.is_good(&first, "stock"))
            .await;
        let before = world.front.asked().len();
        let second = world.commit("orders 2", &files(&app("orders", "r/orders:2", "")));
        server.poke();
        world.until("orders is good", || server.is_good(&second, "orders")).await;
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:2"));
        assert_eq!(server.state(&second, "stock"), None);
        let asked = world.front.asked().split_off(before);
        let writes: Vec<_> = asked.iter().filter(|a| a.writes()).collect();
        assert!(
            writes.iter().all(|a| a.path.contains("orders") || a.path.ends_with("/leases")),
            "{writes:?}"
        );
        assert!(!asked.iter().any(|a| a.path.contains("stock")), "{asked:?}");
        server.stop().await;
    });
}

#[test]
fn a_broken_app_blocks_no_other() {
    let world = World::new(DIRECT);
    world.block_on(async {
        let mut all = app("orders", "r/orders:1", "");
        for name in ["yaml", "refused", "elsewhere", "wide"] {
            all.extend(app(name, "r/x:1", ""));
        }
        let broken = [
            ("rendered/dev/yaml/bad.yaml", "kind: [unclosed\n"),
            ("rendered/dev/refused/service-refused.yaml", "apiVersion: v1\nkind: Service\nmetadata: { name: refused }\nspec: { ports: [{ port: 99999 }] }\n"),
            ("rendered/dev/elsewhere/configmap-x.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: x, namespace: kube-system }\n"),
            ("rendered/dev/wide/clusterrole-x.yaml", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: { name: x }\n"),
        ];
        let mut with = files(&all);
        with.extend(broken);
        let commit = world.commit("five apps, four of them broken", &with);
        let server = world.start().await;
        let failed = |name: &str| match server.state(&commit, name) {
            Some(State::Failed { why }) => Some(why),
            _ => None,
        };
        world.until("orders is good", || server.is_good(&commit, "orders")).await;
        world.until("the others failed", || ["yaml", "refused", "elsewhere", "wide"].iter().all(|n| failed(n).is_some())).await;
        for (name, words) in [
            ("yaml", "rendered/dev/yaml/bad.yaml:"),
            ("refused", "spec.ports[0].port"),
            ("elsewhere", "rendered/dev/elsewhere/configmap-x.yaml: "),
            ("wide", "ClusterRole is cluster-scoped, which wide may not bring"),
        ] {
            let why = failed(name).unwrap();
            assert!(why.contains(words), "{name}: {why}");
            assert_eq!(world.image(name), None, "nothing of {name} was written");
        }
        assert!(world.object(("", "ConfigMap"), "kube-system", "x").is_none());
        // What is put right is deployed.
        let fixed = world.commit("put right", &[("rendered/dev/wide/clusterrole-x.yaml", ""), ("rendered/dev/yaml/bad.yaml", "")]);
        server.poke();
        world.until("they are good", || server.is_good(&fixed, "wide") && server.is_good(&fixed, "yaml")).await;
        server.stop().await;
    });
}

#[test]
fn a_newer_commit_takes_the_place_of_one_that_is_under_way() {
    let world = World::new(DIRECT);
    world.block_on(async {
        let first = world.commit("never ready", &files(&app("orders", "r/orders:1", "sim.kiban.dev/unready: 'true'")));
        let server = world.start().await;
        world.until("it waits", || matches!(server.state(&first, "orders"), Some(State::Applying { waiting }) if !waiting.is_empty())).await;
        let second = world.commit("ready", &[("rendered/dev/orders/deployment-orders.yaml", &deployment("orders", "r/orders:2", ""))]);
        server.poke();
        world.until("the second is watched", || matches!(server.state(&second, "orders"), Some(State::Watching { .. }))).await;
        assert_eq!(server.state(&first, "orders"), Some(State::Superseded));
        // A third one comes while the second is watched.
        let third = world.commit("3", &[("rendered/dev/orders/deployment-orders.yaml", &deployment("orders", "r/orders:3", ""))]);
        server.poke();
        world.until("the third is good", || server.is_good(&third, "orders")).await;
        assert_eq!(server.state(&second, "orders"), Some(State::Superseded));
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:3"));
        assert_eq!(world.inventory("orders").unwrap().revision.commit, third);
        server.stop().await;
    });
}

#[test]
fn an_older_commit_never_goes_over_a_newer_one() {
    let world = World::new(DIRECT);
    world.block_on(async {
        let first = world.commit("1", &files(&app("orders", "r/orders:1", "")));
        let older = world.tip();
        let server = world.start().await;
        world.until("1 is good", || server.is_good(&first, "orders")).await;
        let second = world.commit("2", &files(&app("orders", "r/orders:2", "")));
        server.poke();
        world.until("2 is good", || server.is_good(&second, "orders")).await;
        server.stop().await;
        // Somebody moves the branch back, and another reconciler finds it there.
        world.move_to(older);
        let server = world.start().await;
        world.until("it failed", || server.state(&first, "orders").is_some_and(|s| s.is_final())).await;
        let Some(State::Failed { why }) = server.state(&first, "orders") else {
            panic!("{:?}", server.state(&first, "orders"))
        };
        assert!(why.contains("is older than") || why.contains("is of another history than"), "{why}");
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:2"));
        server.stop().await;
    });
}
