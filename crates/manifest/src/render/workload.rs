//! The Deployment.

use serde_json::json;

use super::config::Config;
use super::pod::{self, Pod};
use super::{meta, spec_json};
use crate::facts::Facts;
use crate::node::Node;
use crate::rules;

/// The app's Deployment.
pub(super) fn deployment(f: &Facts<'_>, config: &Config) -> Node {
    let rollout = &f.r.platform.rollout;
    let run = f.r.app.run.as_ref().map(|run| (run, "run".to_owned()));
    let shared = Pod {
        instance: f.name(),
        run,
        resources: (f.r.resources.clone(), "size".to_owned()),
        env: Vec::new(),
        serves: true,
    };
    let mut template = pod::template(f, config, shared);
    serve(f, &mut template);
    let mut spec = Node::map([
        ("selector", Node::map([("matchLabels", meta::selector(f, f.name()))])),
        ("strategy", strategy(f)),
        (
            "minReadySeconds",
            Node::from(&rules::MIN_READY, f.profile_origin("rollout.settle"), rollout.settle.as_secs_up()),
        ),
        ("progressDeadlineSeconds", deadline(f)),
        (
            "revisionHistoryLimit",
            Node::from(&rules::HISTORY, f.profile_origin("rollout.history"), rollout.history),
        ),
        ("template", template),
    ]);
    if !f.scales() {
        // Under an autoscaler there is no number here: a render would undo what it decided.
        let origin = f.origin_of_scale("from");
        spec.put("replicas", Node::from(&rules::REPLICAS, origin, f.bounds.from));
    }
    let mut object = meta::app_header(f, "apps/v1", "Deployment").with("spec", spec);
    let mut annotations = meta::platform_annotations(f).unwrap_or_else(Node::empty_map);
    annotations.put(meta::ANNOTATION_APP, Node::new(&rules::SPEC, spec_json(f.r)));
    meta::put_annotations(&mut object, annotations);
    object
}

fn strategy(f: &Facts<'_>) -> Node {
    let surge = f.r.platform.rollout.surge.to_json();
    Node::map([
        ("type", Node::new(&rules::ROLLOUT, "RollingUpdate")),
        (
            "rollingUpdate",
            Node::map([
                ("maxUnavailable", Node::new(&rules::ROLLOUT, 0)),
                ("maxSurge", Node::from(&rules::ROLLOUT, f.profile_origin("rollout.surge"), surge)),
            ]),
        ),
    ])
}

/// A rollout is stuck when a replica could have started twice over and nothing moved.
fn deadline(f: &Facts<'_>) -> Node {
    let rollout = &f.r.platform.rollout;
    let own = f.r.app.health.as_ref().and_then(|health| health.startup);
    let twice = own
        .map_or(0, |startup| startup.as_secs_up().saturating_mul(2))
        .saturating_add(rollout.settle.as_secs_up());
    let platform = rollout.deadline.as_secs_up();
    if twice > platform {
        return Node::from(&rules::ROLLOUT_DEADLINE, f.origin("health.startup"), twice);
    }
    Node::from(&rules::ROLLOUT_DEADLINE, f.profile_origin("rollout.deadline"), platform)
}

/// What the pods of a service have beyond those of a job.
fn serve(f: &Facts<'_>, template: &mut Node) {
    let Node::Map(map) = template else { return };
    let Some(spec) = map.get_mut("spec") else { return };
    spec.put("restartPolicy", Node::new(&rules::RESTART_ALWAYS, "Always"));
    spec.put(
        "terminationGracePeriodSeconds",
        Node::from(&rules::GRACE, f.origin_of_shutdown("drain"), f.grace),
    );
    spec.put("affinity", anti_affinity(f));
    spec.put("topologySpreadConstraints", spread(f));
}

fn anti_affinity(f: &Facts<'_>) -> Node {
    let term = Node::map([
        ("labelSelector", Node::map([("matchLabels", meta::selector(f, f.name()))])),
        ("topologyKey", Node::new(&rules::HOST_SPREAD, "kubernetes.io/hostname")),
    ]);
    let weighted = Node::map([("podAffinityTerm", term), ("weight", Node::new(&rules::HOST_SPREAD, 100))]);
    Node::map([(
        "podAntiAffinity",
        Node::map([("preferredDuringSchedulingIgnoredDuringExecution", Node::List(vec![weighted]))]),
    )])
}

fn spread(f: &Facts<'_>) -> Node {
    let spread = &f.r.platform.spread;
    let rows = [
        ("topology.kubernetes.io/zone", spread.zones, "spread.zones", &rules::ZONE_SPREAD),
        ("kubernetes.io/hostname", spread.hosts, "spread.hosts", &rules::HOST_SPREAD),
    ];
    let constraint =
        |(key, unsatisfiable, path, rule): (&str, kiban_model::profile::WhenUnsatisfiable, &str, _)| {
            let origin = f.profile_origin(path);
            Node::map([
                ("labelSelector", Node::map([("matchLabels", meta::selector(f, f.name()))])),
                // Each version is spread by itself; otherwise the old pods of a rollout push the new ones together.
                ("matchLabelKeys", Node::new(rule, json!(["pod-template-hash"]))),
                ("maxSkew", Node::from(rule, f.profile_origin("spread.skew"), spread.skew.max(1))),
                ("topologyKey", Node::new(rule, key)),
                ("whenUnsatisfiable", Node::from(rule, origin, unsatisfiable.name())),
            ])
        };
    Node::List(rows.into_iter().map(constraint).collect())
}
