//! `explain`: paths as people type them, and answers.

use kiban_manifest::{ExplainError, explain};

use crate::support::{ENVS, shop};

#[test]
fn a_value_comes_with_rule_reason_place_and_who_may_change_it() {
    let rendered = shop("prod");
    let path = "deployment.spec.template.spec.terminationGracePeriodSeconds";
    let text = explain(&rendered, "orders", path).unwrap().to_string();
    for part in [
        "deployment.apps/orders in checkout-prod  (prod/orders/deployment-orders.yaml)",
        "spec.template.spec.terminationGracePeriodSeconds: 30",
        "shutdown.grace",
        "set in  orders/app.yaml:",
        "the app's team: `shutdown.drain`",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

/// Query, the path that it means, the value.
#[test]
fn paths_are_taken_as_people_type_them() {
    let rendered = shop("prod");
    let table = [
        ("deployment.spec.template.spec.containers[0].image", "containers[0].image"),
        ("deploy.spec.template.spec.containers[orders].imagePullPolicy", "containers[0].imagePullPolicy"),
        ("Deployment.metadata.labels.kiban.dev/team", "metadata.labels[\"kiban.dev/team\"]"),
        ("deployments.metadata.labels[\"kiban.dev/team\"]", "metadata.labels[\"kiban.dev/team\"]"),
        ("hpa.spec.metrics[0].type", "spec.metrics[0].type"),
        ("netpol.spec.policyTypes[1]", "spec.policyTypes[1]"),
        ("cronjob/report.spec.schedule", "spec.schedule"),
        ("cj/orders-report.spec.timeZone", "spec.timeZone"),
        ("deployment.spec.template.spec.containers[orders].volumeMounts[/tmp].name", "volumeMounts[1].name"),
    ];
    for (query, path) in table {
        let answer = explain(&rendered, "orders", query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(answer.lines.len(), 1, "{query}");
        assert!(answer.lines[0].path.to_string().ends_with(path), "{query}: {}", answer.lines[0].path);
    }
}

#[test]
fn a_kind_alone_is_a_summary_by_rule() {
    let answer = explain(&shop("prod"), "orders", "deployment").unwrap();
    assert!(answer.lines.len() > 60);
    let text = answer.to_string();
    for rule in ["shutdown.grace", "security.non-root", "rollout.strategy", "image.pin"] {
        assert_eq!(text.matches(&format!("\n{rule}: ")).count(), 1, "{rule}");
    }
    assert!(explain(&shop("prod"), "platform", "priorityclass/kiban-tier-1.value").is_ok());
    assert!(explain(&shop("prod"), "orders", "deployment.spec.strategy").unwrap().lines.len() == 3);
}

#[test]
fn every_rendered_path_can_be_asked_for_and_has_an_answer() {
    for env in ENVS {
        let rendered = shop(env);
        for object in &rendered.objects {
            let mut paths = Vec::new();
            object.node.leaves(&mut |path, _: &serde_json::Value, _: &_| paths.push(path.clone()));
            for path in paths {
                let is_other = |o: &&kiban_manifest::Object| {
                    o.name() == object.name() && o.kind() == object.kind() && o.owner == object.owner
                };
                let name = match rendered.objects.iter().filter(is_other).count() {
                    1 => object.name().to_owned(),
                    _ => format!("{}/{}", object.namespace(), object.name()),
                };
                let query = format!("{}/{name}.{path}", object.kind());
                let answer = explain(&rendered, object.owner.folder(), &query)
                    .unwrap_or_else(|error| panic!("{query}: {error}"));
                assert_eq!(answer.lines.len(), 1, "{query}");
                assert_eq!(answer.object, object.id(), "{query}");
            }
        }
    }
}

#[test]
fn the_line_that_won_is_named() {
    let rendered = shop("prod");
    let answer = explain(&rendered, "web", "hpa.spec.maxReplicas").unwrap();
    let origin = answer.lines[0].origin.as_ref().unwrap();
    assert_eq!((&*origin.file, origin.line), ("web/env/prod.yaml", 2));
    let image = explain(&rendered, "web", "deployment.spec.template.spec.containers[web].image").unwrap();
    assert_eq!(&*image.lines[0].origin.as_ref().unwrap().file, "web/env/prod.pin.yaml");
    let timeout = explain(&rendered, "payments", "virtualservice.spec.http[0].timeout").unwrap();
    assert_eq!(&*timeout.lines[0].origin.as_ref().unwrap().file, "orders/app.yaml");
    let sample = explain(&rendered, "platform", "telemetry.spec").unwrap();
    assert_eq!(&*sample.lines[0].origin.as_ref().unwrap().file, "platform.yaml");
}

#[test]
fn a_wrong_question_names_what_was_probably_meant() {
    let rendered = shop("prod");
    let table = [
        ("order", "deployment", "no app \"order\"; did you mean \"orders\"?"),
        ("orders", "deploymnt.spec", "orders renders no \"deploymnt\"; did you mean \"deployment\"?"),
        (
            "orders",
            "deployment.spec.template.spec.container",
            "spec.template.spec has no \"container\"; did you mean \"containers\"?",
        ),
        ("orders", "deployment.spec.template.spec.containers[order]", "did you mean \"orders\"?"),
        (
            "orders",
            "cronjob.spec",
            "which cronjob? There are orders-expire, orders-report; write cronjob/<name>",
        ),
        ("orders", "deployment.spec..x", "nothing between the dots at character 6"),
        ("orders", "deployment.spec.a[0", "\"[\" at character 7 is not closed"),
        ("orders", "deployment.spec.minReadySeconds.x", "has no \"x\""),
    ];
    for (app, query, says) in table {
        let error: ExplainError = explain(&rendered, app, query).unwrap_err();
        assert!(error.to_string().contains(says), "{query}: {error}");
    }
}
