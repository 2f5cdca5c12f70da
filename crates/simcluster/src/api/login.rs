//! Who calls: the bearer of a token, and as whom they want to be seen.
//!
//! Contract: Kubernetes apiserver/pkg/authentication and pkg/endpoints/filters/impersonation.go.

use std::collections::BTreeMap;

use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};

use super::params::percent_decode;
use super::{Api, GROUPS, USER, token};
use crate::rbac::{ANONYMOUS, AUTHENTICATED, Action, UNAUTHENTICATED, User};
use crate::status::ApiError;

/// The holder of the cluster's own token.
pub(super) fn administrator() -> User {
    User { name: USER.to_owned(), groups: GROUPS.map(str::to_owned).to_vec(), ..User::default() }
}

fn unauthorized() -> ApiError {
    ApiError::new(401, "Unauthorized", "Unauthorized")
}

impl Api {
    /// Who sent a request with these headers.
    ///
    /// # Errors
    /// 401 for a token that is none of the cluster's; 403 for one who may not be seen as another.
    pub(super) fn login(&self, headers: &HeaderMap) -> Result<User, ApiError> {
        let user = match headers.get(AUTHORIZATION) {
            // Without roles in force nobody has less than all, and those without a name shall have nothing.
            None if self.rbac => User {
                name: ANONYMOUS.to_owned(),
                groups: vec![UNAUTHENTICATED.to_owned()],
                ..User::default()
            },
            given => {
                let text = given.and_then(|v| v.to_str().ok()).unwrap_or_default();
                self.bearer(text.strip_prefix("Bearer ").unwrap_or_default())?
            }
        };
        self.impersonated(user, headers)
    }

    fn bearer(&self, given: &str) -> Result<User, ApiError> {
        if same(given.as_bytes(), self.token.as_bytes()) {
            return Ok(administrator());
        }
        let signer = self.signer.as_ref().ok_or_else(unauthorized)?;
        let audiences = [token::ISSUER.to_owned()];
        let holder = token::holder(&self.cluster, signer, given.trim(), &audiences);
        holder.map(|h| h.user).map_err(|_| unauthorized())
    }

    fn impersonated(&self, user: User, headers: &HeaderMap) -> Result<User, ApiError> {
        let Some(wanted) = wanted(headers)? else { return Ok(user) };
        if !self.rbac {
            return Ok(complete(wanted));
        }
        for action in needed(&wanted) {
            self.permit(&user, &action)?;
        }
        Ok(complete(wanted))
    }
}

/// As whom the caller wants to be seen, as the headers say it.
fn wanted(headers: &HeaderMap) -> Result<Option<User>, ApiError> {
    let text = |v: &HeaderValue| v.to_str().ok().map(str::to_owned);
    let one = |name: &str| headers.get(name).and_then(text).unwrap_or_default();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix("impersonate-extra-") else { continue };
        let key = percent_decode(key, false).unwrap_or_else(|| key.to_owned());
        extra.entry(key).or_default().extend(text(value));
    }
    let user = User {
        name: one("impersonate-user"),
        uid: one("impersonate-uid"),
        groups: headers.get_all("impersonate-group").iter().filter_map(text).collect(),
        extra,
    };
    if user.name.is_empty() {
        if user == User::default() {
            return Ok(None);
        }
        let why =
            "requested impersonation of groups, a uid or extra information without impersonating a user";
        return Err(ApiError::new(500, "InternalError", format!("Internal error occurred: {why}")));
    }
    Ok(Some(user))
}

/// What one must be allowed to be seen as this user.
fn needed(wanted: &User) -> Vec<Action> {
    let action = |group: &str, resource: String, namespace: &str, name: &str| Action {
        verb: "impersonate".to_owned(),
        group: group.to_owned(),
        resource,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        path: String::new(),
    };
    let account = wanted.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    let mut out = vec![match account {
        Some((namespace, name)) => action("", "serviceaccounts".into(), namespace, name),
        None => action("", "users".into(), "", &wanted.name),
    }];
    out.extend(wanted.groups.iter().map(|g| action("", "groups".into(), "", g)));
    let own = "authentication.k8s.io";
    if !wanted.uid.is_empty() {
        out.push(action(own, "uids".into(), "", &wanted.uid));
    }
    for (key, values) in &wanted.extra {
        out.extend(values.iter().map(|v| action(own, format!("userextras/{key}"), "", v)));
    }
    out
}

/// Adds the groups that a name alone gives.
fn complete(mut user: User) -> User {
    let account = user.name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    if let Some((namespace, name)) = account
        && user.groups.is_empty()
    {
        user.groups = User::service_account(namespace, name, "").groups;
    }
    let group = if user.name == ANONYMOUS { UNAUTHENTICATED } else { AUTHENTICATED };
    if !user.is_in(AUTHENTICATED) && !user.is_in(UNAUTHENTICATED) {
        user.groups.push(group.to_owned());
    }
    user
}

/// Compares without telling by its time how much was right.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}
