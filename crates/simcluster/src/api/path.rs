//! URL paths: what is asked for.
//!
//! Contract: Kubernetes apiserver/pkg/endpoints/request/requestinfo.go.

use hyper::Method;

use crate::custom::Table;
use crate::kind::{KindId, kind_by_plural, well_known};
use crate::status::ApiError;

/// Longest path that is looked at; names are at most 253 bytes each.
const MAX_PATH: usize = 4_096;

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Route {
    /// `/healthz`, `/livez`, `/readyz` and what lies below: the first part.
    Health(String),
    /// `/`.
    Root,
    /// `/version`.
    Version,
    /// `/api`.
    CoreVersions,
    /// `/apis`.
    Groups,
    /// `/apis/G`.
    Group(String),
    /// `/api/v1`, `/apis/G/V`.
    GroupVersion(String, String),
    /// `/openapi/v3`.
    OpenApiIndex,
    /// `/openapi/v3/…`: group and version.
    OpenApi(String, String),
    /// `/openapi/v2`.
    Swagger,
    /// `/.well-known/openid-configuration`: who issues service accounts' tokens.
    Issuer,
    /// `/openid/v1/jwks`: the keys of those tokens.
    Keys,
    /// Objects.
    Resource {
        /// Which.
        target: Target,
        /// The old `/watch/` prefix was used.
        watch: bool,
    },
}

/// Objects of a kind, or one of them, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// The kind.
    pub(super) kind: KindId,
    /// Namespace, empty for cluster-scoped kinds and for all namespaces.
    pub(super) namespace: String,
    /// One object.
    pub(super) name: Option<String>,
    /// A part of it.
    pub(super) subresource: Option<String>,
}

impl Target {
    /// The resource takes this method, as its verbs in discovery say.
    pub(super) fn allows(&self, method: &Method, watch: bool) -> bool {
        let verbs = &self.kind.info().verbs;
        let has = |verb: &str| verbs.iter().any(|v| v == verb);
        let whole = self.namespace.is_empty() && self.kind.info().namespaced;
        match (method.as_str(), self.name.is_some()) {
            ("GET", false) if watch => has("watch"),
            ("GET", false) => has("list"),
            ("GET" | "HEAD", true) => has("get"),
            ("POST", false) => has("create") && !whole,
            ("PUT", true) => has("update"),
            ("PATCH", true) => has("patch"),
            ("DELETE", true) => has("delete"),
            ("DELETE", false) => has("deletecollection") && !whole,
            _ => false,
        }
    }
}

/// Reads a path.
///
/// # Errors
/// 404 for what is not served, 400 for what is no path.
pub(super) fn parse(path: &str, customs: &Table) -> Result<Route, ApiError> {
    if path.len() > MAX_PATH {
        return Err(ApiError::new(414, "RequestURITooLong", "the path is too long"));
    }
    if path == "/" {
        return Ok(Route::Root);
    }
    let trimmed = path.strip_prefix('/').unwrap_or(path);
    let trimmed = trimmed.strip_suffix('/').unwrap_or(trimmed);
    let segments: Vec<String> = trimmed.split('/').map(decode).collect::<Result<_, _>>()?;
    let parts: Vec<&str> = segments.iter().map(String::as_str).collect();
    match parts.as_slice() {
        [check @ ("healthz" | "livez" | "readyz"), ..] => Ok(Route::Health((*check).to_owned())),
        ["version"] => Ok(Route::Version),
        ["api"] => Ok(Route::CoreVersions),
        ["apis"] => Ok(Route::Groups),
        ["apis", group] => Ok(Route::Group((*group).to_owned())),
        [".well-known", "openid-configuration"] => Ok(Route::Issuer),
        ["openid", "v1", "jwks"] => Ok(Route::Keys),
        ["openapi", "v2"] => Ok(Route::Swagger),
        ["openapi", "v3"] => Ok(Route::OpenApiIndex),
        ["openapi", "v3", "api", version] => Ok(Route::OpenApi(String::new(), (*version).to_owned())),
        ["openapi", "v3", "apis", group, version] => {
            Ok(Route::OpenApi((*group).to_owned(), (*version).to_owned()))
        }
        ["api", version] => Ok(Route::GroupVersion(String::new(), (*version).to_owned())),
        ["apis", group, version] => Ok(Route::GroupVersion((*group).to_owned(), (*version).to_owned())),
        ["api", version, rest @ ..] => resource("", version, rest, customs),
        ["apis", group, version, rest @ ..] => resource(group, version, rest, customs),
        _ => Err(ApiError::no_route()),
    }
}

fn resource(group: &str, version: &str, rest: &[&str], customs: &Table) -> Result<Route, ApiError> {
    let (rest, watch) = match rest {
        ["watch", rest @ ..] if !rest.is_empty() => (rest, true),
        rest => (rest, false),
    };
    let find = |plural: &str| {
        let builtin = kind_by_plural(group, version, plural);
        builtin.or_else(|| customs.find(group, version, plural)).ok_or_else(ApiError::no_route)
    };
    let namespaces = group.is_empty() && version == "v1";
    let (kind, namespace, rest) = match rest {
        ["namespaces", rest @ ..] if namespaces && rest.len() < 2 => (*well_known::NAMESPACE, "", rest),
        ["namespaces", _, "status" | "finalize"] if namespaces => (*well_known::NAMESPACE, "", &rest[1..]),
        ["namespaces", namespace, plural, rest @ ..] => {
            let kind = find(plural)?;
            if !kind.info().namespaced {
                return Err(ApiError::no_route());
            }
            (kind, *namespace, rest)
        }
        [plural, rest @ ..] => {
            let kind = find(plural)?;
            if kind.info().namespaced && !rest.is_empty() {
                return Err(ApiError::no_route());
            }
            (kind, "", rest)
        }
        [] => return Err(ApiError::no_route()),
    };
    let (name, subresource) = match rest {
        [] => (None, None),
        [name] => (Some((*name).to_owned()), None),
        [name, sub] => (Some((*name).to_owned()), Some((*sub).to_owned())),
        // Proxies and the like: served by nothing here.
        _ => return Err(ApiError::no_route()),
    };
    Ok(Route::Resource { target: Target { kind, namespace: namespace.to_owned(), name, subresource }, watch })
}

/// One path segment, percent-decoded; what could climb out of its place is refused.
fn decode(segment: &str) -> Result<String, ApiError> {
    let decoded = super::params::percent_decode(segment, false)
        .ok_or_else(|| ApiError::bad_request("the path is not valid percent-encoded UTF-8"))?;
    if decoded.is_empty() || decoded == "." || decoded == ".." || decoded.contains(['/', '\0']) {
        return Err(ApiError::no_route());
    }
    Ok(decoded)
}
