//! What nothing asks for any more goes, and much at once asks first.

use std::time::Duration;

use crate::support::{DIRECT, NAMESPACE, World, app, files};

fn gone(all: &[(String, String)]) -> Vec<(&str, &str)> {
    all.iter().map(|(path, _)| (path.as_str(), "")).collect()
}

#[test]
fn an_app_that_is_gone_is_pruned_and_much_at_once_is_held() {
    let world = World::new(DIRECT);
    world.block_on(async {
        let (orders, stock, mail) =
            (app("orders", "r/o:1", ""), app("stock", "r/s:1", ""), app("mail", "r/m:1", ""));
        let all: Vec<_> = [&orders, &stock, &mail].into_iter().flatten().cloned().collect();
        let first = world.commit("three", &files(&all));
        let server = world.start().await;
        let is_good = |name: &&str| server.is_good(&first, name);
        world.until("all are good", || ["orders", "stock", "mail"].iter().all(is_good)).await;
        world.commit("no mail", &gone(&mail));
        server.poke();
        world
            .until("mail is gone", || world.image("mail").is_none() && world.inventory("mail").is_none())
            .await;
        assert!(world.object(("", "ConfigMap"), NAMESPACE, "mail").is_none());
        assert_eq!(world.image("stock").as_deref(), Some("r/s:1"));
        world.commit("no stock", &gone(&stock));
        server.poke();
        world
            .until("it is held", || server.metric("kiban_delivery_prune_held").as_deref() == Some("1"))
            .await;
        world.settle(Duration::from_secs(200)).await;
        assert_eq!(world.image("stock").as_deref(), Some("r/s:1"));
        // Who brings it back has it as it was.
        let back = world.commit("stock again", &files(&app("stock", "r/s:2", "")));
        server.poke();
        world.until("stock is good", || server.is_good(&back, "stock")).await;
        assert_eq!(server.metric("kiban_delivery_prune_held").as_deref(), Some("0"));
        server.stop().await;
    });
}

#[test]
fn an_app_that_moves_to_another_namespace_leaves_the_old_one_once_it_is_there() {
    let world = World::new(DIRECT);
    world.block_on(async {
        let mut all = app("orders", "r/o:1", "");
        for name in ["stock", "mail", "cart"] {
            all.extend(app(name, "r/x:1", ""));
        }
        all.push((
            "rendered/dev/platform/namespace-billing-dev.yaml".into(),
            "apiVersion: v1\nkind: Namespace\nmetadata: { name: billing-dev }\n".into(),
        ));
        let first = world.commit("four", &files(&all));
        let server = world.start().await;
        world.until("orders is good", || server.is_good(&first, "orders") && server.is_good(&first, "cart")).await;
        let text = "apiVersion: kiban.dev/v1\nkind: App\nname: orders\nteam: billing\nimage: registry.example/orders\n";
        let moved = world.commit("orders is billing's", &[("orders/app.yaml", text)]);
        server.poke();
        let there = || world.inventory_in("orders", "billing-dev").is_some_and(|i| i.applying.is_none());
        world.until("it is there", there).await;
        assert_eq!(world.image("orders").as_deref(), Some("r/o:1"), "the old one serves until the new is good");
        world.until("it left the old one", || world.inventory("orders").is_none()).await;
        world.until("it is told", || server.is_good(&moved, "orders")).await;
        assert_eq!(world.image("orders"), None);
        assert!(world.object(("apps", "Deployment"), "billing-dev", "orders").is_some());
        server.stop().await;
    });
}
