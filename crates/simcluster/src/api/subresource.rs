//! Parts of objects: status, scale, eviction, binding, logs, tokens, finalize.

use std::sync::Arc;

use hyper::{Method, Response};
use kiban_base::selector::LabelSelector;
use kiban_runtime::http::Body;
use serde_json::{Value, json};

use super::path::Target;
use super::{Api, Call, body, respond, review, write};
use crate::controllers::pods;
use crate::kind::{kind_id, well_known};
use crate::object::{Key, Phase, Stored};
use crate::registry::{self, Actor, Desired, Part};
use crate::status::ApiError;

/// Subresources that are served; others are answered 404 and left out of discovery.
pub(super) fn is_served(name: &str) -> bool {
    matches!(
        name,
        "status"
            | "scale"
            | "eviction"
            | "binding"
            | "log"
            | "token"
            | "finalize"
            | "approval"
            | "ephemeralcontainers"
            | "resize"
    )
}

impl Api {
    /// Answers what is a part of an object, and kinds that are posted but not stored.
    pub(super) async fn subresource(
        self: &Arc<Self>,
        target: &Target,
        call: &Call,
    ) -> Option<Result<Response<Body>, ApiError>> {
        let Some(sub) = target.subresource.as_deref() else {
            return match (call.method.as_str(), target.kind.info().kind.as_str()) {
                ("POST", "Binding") => Some(self.bind(target, call)),
                ("POST", _) => review::answer(self, target, call),
                _ => None,
            };
        };
        if !is_served(sub) || !target.kind.has_subresource(sub) {
            return Some(Err(ApiError::no_route()));
        }
        let result = match (sub, &call.method) {
            ("scale", _) if target.kind.is_custom() => self.custom_scale(target, call),
            ("scale", _) => self.scale(target, call),
            ("eviction", &Method::POST) => self.evict(target, call),
            ("binding", &Method::POST) => self.bind(target, call),
            ("token", &Method::POST) => self.token(target, call),
            ("log", &Method::GET) => self.logs(target, call).await,
            ("finalize", &Method::PUT) => self.put(target, Part::Sub("finalize"), call),
            ("status", &Method::GET) => self.get(target, call),
            ("status", &Method::PUT) => self.put(target, Part::Status, call),
            ("status", &Method::PATCH) => self.patch_part(target, Part::Status, call),
            ("approval" | "ephemeralcontainers" | "resize", method) => {
                self.whole(target, part(sub), method, call)
            }
            _ => Err(ApiError::method_not_allowed()),
        };
        Some(result)
    }

    /// Subresources that show and take the whole object.
    fn whole(
        &self,
        target: &Target,
        part: Part,
        method: &Method,
        call: &Call,
    ) -> Result<Response<Body>, ApiError> {
        match *method {
            Method::GET => self.get(target, call),
            Method::PUT => self.put(target, part, call),
            Method::PATCH => self.patch_part(target, part, call),
            _ => Err(ApiError::method_not_allowed()),
        }
    }

    /// Contract: Kubernetes pkg/registry/core/pod/storage/eviction.go.
    fn evict(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        let eviction = body::plain(call, kind_id("policy", "Eviction"))?.value;
        let name = target.name.as_deref().unwrap_or_default();
        let given = eviction["metadata"]["name"].as_str().unwrap_or(name);
        if given != name {
            return Err(ApiError::bad_request("name in URL does not match name in Eviction object"));
        }
        let (options, dry_run) = write::read_delete_options(&eviction["deleteOptions"], call)?;
        let actor = Actor { dry_run: call.params.dry_run || dry_run, ..call.actor()? };
        let pod = self.find(*well_known::POD, &target.key())?;
        let digest = pod.pod;
        let unguarded =
            pod.deleting || digest.is_none_or(|p| p.phase.is_terminal() || p.phase == Phase::Pending);
        if !unguarded {
            self.take_from_budget(&pod, &actor)?;
        }
        // What takes a pod away says so first: that no fault of its own ended it.
        self.cluster.modify(*well_known::POD, &pod.key, Part::Status, &actor, |value| {
            let condition = json!({
                "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting", "lastProbeTime": null,
            });
            pods::set_condition(&mut value["status"], condition, self.cluster.now());
        })?;
        self.cluster.delete(*well_known::POD, &pod.key, &options, &actor)?;
        Ok(respond::value(
            201,
            &json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
            }),
        ))
    }

    /// Takes one disruption from the budget that covers the pod, or says why there is none.
    fn take_from_budget(&self, pod: &Stored, actor: &Actor) -> Result<(), ApiError> {
        let state = self.cluster.snapshot();
        let budgets: Vec<_> = state
            .range(*well_known::PDB, &pod.key.namespace, None)
            .map(|b| (b.clone(), b.value()))
            .filter(|(_, v)| {
                let selector = LabelSelector::from_object(&v["spec"]["selector"]);
                v["spec"]["selector"].is_object() && selector.is_ok_and(|s| s.matches(pod))
            })
            .collect();
        let (budget, value) = match budgets.as_slice() {
            [] => return Ok(()),
            [one] => one,
            _ => {
                let text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(ApiError::new(500, "InternalError", text));
            }
        };
        // An unready pod takes nothing from its budget when the budget says so, or is met anyway.
        let ready = pod.pod.is_some_and(|p| p.ready);
        let status = &value["status"];
        let number = |key: &str| status[key].as_i64().unwrap_or(0);
        if !ready {
            let always = value["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
            if always
                || (number("currentHealthy") >= number("desiredHealthy") && number("desiredHealthy") > 0)
            {
                return Ok(());
            }
        }
        let name = budget.key.name.clone();
        self.cluster.update(*well_known::PDB, &budget.key, Part::Status, actor, |live| {
            spend(live, &name, &pod.key.name, &self.cluster.now().rfc3339())
        })?;
        Ok(())
    }

    fn bind(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        let binding = body::plain(call, kind_id("", "Binding"))?.value;
        let name =
            target.name.as_deref().or_else(|| binding["metadata"]["name"].as_str()).unwrap_or_default();
        let node = binding["target"]["name"].as_str().unwrap_or_default();
        let kind = binding["target"]["kind"].as_str().unwrap_or_default();
        if node.is_empty() || !matches!(kind, "" | "Node") {
            let text = format!("Binding \"{name}\" is invalid: target: must name a Node");
            return Err(ApiError::new(422, "Invalid", text).cause(
                "FieldValueRequired",
                "must name a Node",
                Some("target"),
            ));
        }
        registry::bind_pod(&self.cluster, &Key::new(target.namespace.as_str(), name), node, &call.actor()?)?;
        Ok(respond::value(
            201,
            &json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201,
            }),
        ))
    }

    async fn logs(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        let pod = self.find(*well_known::POD, &target.key())?;
        let p = &call.params;
        let query = crate::logs::Query {
            container: p.container.clone(),
            follow: p.follow,
            previous: p.previous,
            timestamps: p.timestamps,
            tail: p.tail_lines,
            since_seconds: p.since_seconds,
            since_time: p.since_time.clone(),
            limit_bytes: p.limit_bytes,
        };
        let body = crate::logs::read(&self.cluster, &pod, query, self.shutdown.clone())?;
        Ok(respond::respond(200, "text/plain", body))
    }
}

fn part(sub: &str) -> Part {
    match sub {
        "approval" => Part::Sub("approval"),
        "resize" => Part::Sub("resize"),
        _ => Part::Sub("ephemeralcontainers"),
    }
}

/// The `Scale` of a workload.
/// Counts an eviction against a budget.
fn spend(live: &Value, budget: &str, pod: &str, now: &str) -> Result<Desired, ApiError> {
    let status = &live["status"];
    let number = |key: &str| status[key].as_i64().unwrap_or(0);
    let blocked = || {
        ApiError::new(
            429,
            "TooManyRequests",
            "Cannot evict pod as it would violate the pod's disruption budget.",
        )
    };
    if number("observedGeneration") < live["metadata"]["generation"].as_i64().unwrap_or(0) {
        let text = format!("The disruption budget {budget} is still being processed by the server.");
        return Err(blocked().cause("DisruptionBudget", text, None).retry_after(10));
    }
    if number("disruptionsAllowed") <= 0 {
        let text = format!(
            "The disruption budget {budget} needs {} healthy pods and has {} currently",
            number("desiredHealthy"),
            number("currentHealthy")
        );
        return Err(blocked().cause("DisruptionBudget", text, None));
    }
    let mut next = live.clone();
    next["status"]["disruptionsAllowed"] = (number("disruptionsAllowed") - 1).into();
    if !next["status"]["disruptedPods"].is_object() {
        next["status"]["disruptedPods"] = json!({});
    }
    next["status"]["disruptedPods"][pod] = now.into();
    Ok(Desired::Update(next))
}
