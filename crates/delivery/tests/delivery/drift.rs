//! Fields of ours that somebody else changed.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{NAMESPACE, Running, World, app, files};

const DEPLOYMENT: (&str, &str) = ("apps", "Deployment");
const CONFIG_MAP: (&str, &str) = ("", "ConfigMap");

fn settings(drift: &str) -> String {
    format!("{{ delivery: direct, production: false, watch: 10s, drift: {drift} }}")
}

async fn deployed(world: &World) -> Running {
    let commit = world.commit("1", &files(&app("orders", "r/orders:1", "")));
    let server = world.start().await;
    world.until("it is good", || server.is_good(&commit, "orders")).await;
    world.settle(Duration::from_secs(60)).await;
    assert!(server.drifts.all().is_empty());
    let text = server.registry.text();
    let asked = text.lines().find(|line| line.starts_with("kiban_delivery_drift_checks_total{"));
    assert_eq!(asked, None, "nothing is asked after a rollout");
    server
}

fn set_image(object: &mut Value) {
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("r/orders:hot");
}

#[test]
fn drift_is_reported_with_its_owner_and_left() {
    let world = World::new(&settings("report"));
    world.block_on(async {
        let server = deployed(&world).await;
        let before = world.front.asked().len();
        world.change(DEPLOYMENT, "orders", set_image);
        world.until("it is found", || !server.drifts.all().is_empty()).await;
        let found = server.drifts.all().remove(0);
        assert_eq!((found.app.as_str(), found.namespace.as_str(), found.fields.len()), ("orders", NAMESPACE, 1));
        assert_eq!(
            found.fields[0].words(),
            r#".spec.template.spec.containers[name="orders"].image is r/orders:hot, by kubectl-edit; it is rendered as r/orders:1"#
        );
        assert_eq!(found.then, "only reported, as the environment says");
        assert_eq!(server.metric(r#"kiban_delivery_drift{env="dev",app="orders"}"#).as_deref(), Some("1"));
        let events = || world.objects(("", "Event"), NAMESPACE).into_iter().filter(|e| e["reason"] == "Drift").collect::<Vec<_>>();
        world.until("an Event tells of it", || !events().is_empty()).await;
        let event = events().remove(0);
        assert_eq!((&event["type"], &event["involvedObject"]["kind"], &event["involvedObject"]["name"]), (&json!("Warning"), &json!("Deployment"), &json!("orders")));
        world.settle(Duration::from_secs(200)).await;
        let writes: Vec<_> = world.front.asked().split_off(before).into_iter().filter(|a| a.writes()).collect();
        assert!(writes.iter().all(|a| a.path.contains("/events")), "{writes:?}");
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:hot"));
        // Who takes it back by hand ends it.
        world.change(DEPLOYMENT, "orders", |o| o["spec"]["template"]["spec"]["containers"][0]["image"] = json!("r/orders:1"));
        world.until("it is over", || server.drifts.all().is_empty()).await;
        assert_eq!(server.metric(r#"kiban_delivery_drift{env="dev",app="orders"}"#), None);
        server.stop().await;
    });
}

#[test]
fn drift_is_put_right_and_so_is_what_was_deleted() {
    let world = World::new(&settings("correct"));
    world.block_on(async {
        let server = deployed(&world).await;
        let told = world.inventory("orders").unwrap();
        world.change(DEPLOYMENT, "orders", set_image);
        world.until("it is put right", || world.image("orders").as_deref() == Some("r/orders:1")).await;
        world.delete(CONFIG_MAP, "orders");
        world.until("it is there again", || world.object(CONFIG_MAP, NAMESPACE, "orders").is_some()).await;
        world.until("nothing differs", || server.drifts.all().is_empty()).await;
        world.settle(Duration::from_secs(60)).await;
        let after = world.inventory("orders").unwrap();
        assert_eq!((after.verdict, after.revision, after.applying), (told.verdict, told.revision, None));
        server.stop().await;
    });
}

#[test]
fn what_is_fought_over_is_told_and_left_after_a_while() {
    let world = World::new(&settings("correct"));
    world.block_on(async {
        let server = deployed(&world).await;
        for time in 0..kiban_delivery::drift::BUDGET {
            world.change(DEPLOYMENT, "orders", set_image);
            world.until("it is put right", || world.image("orders").as_deref() == Some("r/orders:1")).await;
            world.until("and seen to be", || server.drifts.all().is_empty()).await;
            assert!(time < 10);
        }
        world.change(DEPLOYMENT, "orders", set_image);
        let is_told = || {
            server
                .drifts
                .all()
                .first()
                .is_some_and(|d| d.then == "not put right again: something fights over it")
        };
        world.until("it is told", is_told).await;
        assert_eq!(server.drifts.all()[0].fields[0].owner.as_deref(), Some("kubectl-edit"));
        assert_eq!(world.image("orders").as_deref(), Some("r/orders:hot"));
        server.stop().await;
    });
}

#[test]
fn what_is_ignored_and_what_others_own_costs_no_request() {
    for (drift, change) in [
        ("ignore", set_image as fn(&mut Value)),
        ("correct", |o: &mut Value| o["status"]["collisionCount"] = json!(1)),
    ] {
        let world = World::new(&settings(drift));
        world.block_on(async {
            let server = deployed(&world).await;
            let before = world.front.asked().len();
            world.change(DEPLOYMENT, "orders", change);
            world.settle(Duration::from_secs(120)).await;
            let other: Vec<_> =
                world.front.asked().split_off(before).into_iter().filter(|a| !a.watches()).collect();
            assert!(other.is_empty(), "{drift}: {other:?}");
            server.stop().await;
        });
    }
}

#[test]
fn fields_of_others_are_no_drift_and_are_asked_about_once_over_starts() {
    let world = World::new(&settings("correct"));
    world.block_on(async {
        let server = deployed(&world).await;
        server.stop().await;
        world.change(DEPLOYMENT, "orders", |o| {
            o["metadata"]["annotations"]["other.example/seen"] = json!("yes")
        });
        let server = world.start().await;
        let checks = r#"kiban_delivery_drift_checks_total{env="dev",result="none"}"#;
        world.until("it is asked about", || server.metric(checks).as_deref() == Some("1")).await;
        world.settle(Duration::from_secs(60)).await;
        assert!(server.drifts.all().is_empty());
        server.stop().await;
        let server = world.start().await;
        world.settle(Duration::from_secs(120)).await;
        assert_eq!(server.metric(checks), None);
        server.stop().await;
        // What changed while nobody looked is found.
        world.change(DEPLOYMENT, "orders", set_image);
        let server = world.start().await;
        world.until("it is put right", || world.image("orders").as_deref() == Some("r/orders:1")).await;
        server.stop().await;
    });
}
