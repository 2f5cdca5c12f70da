//! Reviews: who am I, whose token is this, what may be done.
//!
//! Contract: Kubernetes pkg/registry/{authorization,authentication}.

use hyper::Response;
use kiban_runtime::http::Body;
use serde_json::{Value, json};

use super::path::Target;
use super::{Api, Call, body, login, respond, token};
use crate::rbac::{Action, User};
use crate::status::ApiError;

/// Answers a review, or nothing when the kind is no review.
pub(super) fn answer(api: &Api, target: &Target, call: &Call) -> Option<Result<Response<Body>, ApiError>> {
    let kind = target.kind.info();
    let status = match kind.kind.as_str() {
        "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview" => access,
        "SelfSubjectRulesReview" => rules,
        "SelfSubjectReview" => user,
        "TokenReview" => review_token,
        _ => return None,
    };
    Some(body::object(call, target.kind).map(|decoded| {
        let mut review = decoded.value;
        review["apiVersion"] = target.kind.api_version().into();
        review["kind"] = kind.kind.clone().into();
        review["status"] = status(api, call, &review);
        respond::value(201, &review)
    }))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// Whom a review is about: the caller, or the one that it names.
fn subject(call: &Call, review: &Value) -> User {
    if review["kind"] == "SelfSubjectAccessReview" {
        return call.user.clone();
    }
    let spec = &review["spec"];
    let extra = spec["extra"].as_object().into_iter().flatten();
    User {
        name: text(&spec["user"]),
        uid: text(&spec["uid"]),
        groups: texts(&spec["groups"]),
        extra: extra.map(|(k, v)| (k.clone(), texts(v))).collect(),
    }
}

fn access(api: &Api, call: &Call, review: &Value) -> Value {
    if !api.rbac {
        return json!({"allowed": true, "reason": "roles are not in force in this cluster"});
    }
    let spec = &review["spec"];
    let path = &spec["nonResourceAttributes"];
    let action = if path.is_object() {
        Action { verb: text(&path["verb"]), path: text(&path["path"]), ..Action::default() }
    } else {
        let asked = &spec["resourceAttributes"];
        let (resource, sub) = (text(&asked["resource"]), text(&asked["subresource"]));
        Action {
            verb: text(&asked["verb"]),
            group: text(&asked["group"]),
            resource: if sub.is_empty() { resource } else { format!("{resource}/{sub}") },
            namespace: text(&asked["namespace"]),
            name: text(&asked["name"]),
            path: String::new(),
        }
    };
    let decision = api.authorizer.decide(&api.cluster.snapshot(), &subject(call, review), &action);
    let mut status = json!({"allowed": decision.allowed});
    if !decision.reason.is_empty() {
        status["reason"] = decision.reason.into();
    }
    status
}

fn rules(api: &Api, call: &Call, review: &Value) -> Value {
    if !api.rbac {
        return json!({
            "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
            "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            "incomplete": false,
        });
    }
    let namespace = text(&review["spec"]["namespace"]);
    let (all, errors) = api.authorizer.rules(&api.cluster.snapshot(), &call.user, &namespace);
    let (mut resources, mut paths) = (Vec::new(), Vec::new());
    for rule in all {
        if !rule.resources.is_empty() {
            let mut shown =
                json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources});
            if !rule.names.is_empty() {
                shown["resourceNames"] = json!(rule.names);
            }
            resources.push(shown);
        }
        if !rule.urls.is_empty() {
            paths.push(json!({"verbs": rule.verbs, "nonResourceURLs": rule.urls}));
        }
    }
    let mut status =
        json!({"resourceRules": resources, "nonResourceRules": paths, "incomplete": !errors.is_empty()});
    if !errors.is_empty() {
        status["evaluationError"] = errors.join(", ").into();
    }
    status
}

fn user(_: &Api, call: &Call, _: &Value) -> Value {
    json!({"userInfo": call.user.to_value()})
}

fn review_token(api: &Api, _: &Call, review: &Value) -> Value {
    let given = text(&review["spec"]["token"]);
    let mut audiences = texts(&review["spec"]["audiences"]);
    let asked = !audiences.is_empty();
    if given == api.token {
        return json!({"authenticated": true, "user": login::administrator().to_value()});
    }
    if !asked {
        audiences.push(token::ISSUER.to_owned());
    }
    let holder = match &api.signer {
        Some(signer) => token::holder(&api.cluster, signer, &given, &audiences),
        None => Err("the cluster has no key for tokens".to_owned()),
    };
    match holder {
        Ok(holder) => json!({
            "authenticated": true, "user": holder.user.to_value(), "audiences": holder.audiences,
        }),
        Err(error) => json!({"authenticated": false, "error": error, "user": {}}),
    }
}
