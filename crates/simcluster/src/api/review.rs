//! Reviews: who am I, what may I do. There is one user, who may do everything.

use hyper::Response;
use kiban_runtime::http::Body;
use serde_json::{Value, json};

use super::path::Target;
use super::{Api, Call, GROUPS, USER, body, respond};
use crate::status::ApiError;

/// Answers the kinds that are posted and not stored; `None` for all others.
pub(super) fn answer(api: &Api, target: &Target, call: &Call) -> Option<Result<Response<Body>, ApiError>> {
    let kind = target.kind.info();
    let status = match kind.kind.as_str() {
        "SelfSubjectAccessReview" | "SubjectAccessReview" | "LocalSubjectAccessReview" => access,
        "SelfSubjectRulesReview" => rules,
        "SelfSubjectReview" => user,
        "TokenReview" => token,
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

fn access(_: &Api, _: &Call, review: &Value) -> Value {
    let user = review["spec"]["user"].as_str().unwrap_or(USER);
    if user == USER {
        return json!({"allowed": true, "reason": "the holder of the cluster's token may do everything"});
    }
    json!({"allowed": false, "reason": format!("there is no user \"{user}\" in this cluster")})
}

fn rules(_: &Api, _: &Call, _: &Value) -> Value {
    json!({
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
        "incomplete": false,
    })
}

fn user(_: &Api, call: &Call, _: &Value) -> Value {
    if let Some((name, groups)) = &call.impersonated {
        return json!({"userInfo": {"username": name, "groups": groups}});
    }
    json!({"userInfo": {"username": USER, "groups": GROUPS}})
}

fn token(api: &Api, _: &Call, review: &Value) -> Value {
    if review["spec"]["token"].as_str() == Some(&api.token) {
        return json!({"authenticated": true, "user": {"username": USER, "groups": GROUPS}});
    }
    json!({"authenticated": false, "error": "the token is not known here", "user": {}})
}
