//! Discovery, version and OpenAPI: documents made from the kind table once and kept as bytes.
//!
//! Contract: apidiscovery.k8s.io/v2 for today's clients, the older lists for the others.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use kiban_runtime::http::Body;
use kiban_schema::openapi;
use kiban_schema::table::{Kind, Schema};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha512};

use super::path::Route;
use super::respond::{self, Accept};
use super::swagger;
use crate::custom::{Table, Version, priority};
use crate::kind::api_version;
use crate::status::ApiError;

/// The release whose API is served.
const MAJOR: &str = "1";
const MINOR: &str = "37";
const GIT_VERSION: &str = "v1.37.1+kiban";

/// Documents by path, made when first asked for.
#[derive(Default)]
pub(super) struct Documents(Mutex<HashMap<String, Bytes>>);

/// Group, and its versions with the preferred one first, in the order of the table.
static GROUPS: LazyLock<Vec<(String, Vec<String>)>> = LazyLock::new(|| {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for kind in &Schema::builtin().kinds {
        match groups.iter_mut().find(|(g, _)| *g == kind.group) {
            Some((_, versions)) if versions.contains(&kind.version) => {}
            Some((_, versions)) => versions.push(kind.version.clone()),
            None => groups.push((kind.group.clone(), vec![kind.version.clone()])),
        }
    }
    groups
});

impl Documents {
    /// Answers a discovery path.
    pub(super) fn answer(
        &self,
        route: &Route,
        accept: &Accept,
        customs: &Table,
    ) -> Result<Response<Body>, ApiError> {
        match (route, accept.aggregated) {
            (Route::Root, _) => Ok(respond::value(200, &json!({"paths": root(customs)}))),
            (Route::Version, _) => Ok(respond::value(200, &version())),
            (Route::CoreVersions, Some(v)) => Ok(aggregated(v, true, customs)),
            (Route::Groups, Some(v)) => Ok(aggregated(v, false, customs)),
            (Route::CoreVersions, None) => Ok(respond::value(
                200,
                &json!({
                    "kind": "APIVersions", "versions": ["v1"],
                    "serverAddressByClientCIDRs": [],
                }),
            )),
            (Route::Groups, None) => {
                let groups: Vec<_> =
                    named_groups(customs).iter().map(|(g, versions)| group(g, versions)).collect();
                Ok(respond::value(
                    200,
                    &json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
                ))
            }
            (Route::Group(name), _) => {
                let groups = named_groups(customs);
                let (name, versions) =
                    groups.iter().find(|(g, _)| g == name).ok_or_else(ApiError::no_route)?;
                let mut one = group(name, versions);
                one["kind"] = "APIGroup".into();
                one["apiVersion"] = "v1".into();
                Ok(respond::value(200, &one))
            }
            (Route::GroupVersion(group, version), _) => resource_list(group, version, customs),
            (Route::Swagger, _) => Ok(self.swagger(accept.swagger_proto)),
            (Route::OpenApiIndex, _) => Ok(respond::value(200, &index(customs))),
            (Route::OpenApi(group, version), _) => self
                .openapi(group, version)
                .or_else(|| custom_openapi(group, version, customs))
                .map(|bytes| respond::json(200, bytes))
                .ok_or_else(ApiError::no_route),
            _ => Err(ApiError::no_route()),
        }
    }

    fn swagger(&self, proto: bool) -> Response<Body> {
        let (name, media) =
            if proto { ("v2 protobuf", respond::SWAGGER_PROTO) } else { ("v2", "application/json") };
        let document = || swagger::document(Schema::builtin());
        let bytes = if proto {
            self.kept(name, || Some(swagger::encode(&document())))
        } else {
            self.kept(name, || serde_json::to_vec(&document()).ok())
        };
        respond::respond(200, media, Body::full(bytes.unwrap_or_default()))
    }

    fn openapi(&self, group: &str, version: &str) -> Option<Bytes> {
        let document = || openapi::document(Schema::builtin(), group, version);
        self.kept(&api_version(group, version), || serde_json::to_vec(&document()?).ok())
    }

    fn kept(&self, name: &str, make: impl FnOnce() -> Option<Vec<u8>>) -> Option<Bytes> {
        let mut documents = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = documents.get(name) {
            return Some(bytes.clone());
        }
        let bytes = Bytes::from(make()?);
        documents.insert(name.to_owned(), bytes.clone());
        Some(bytes)
    }
}

/// What clients keep a document under: the SHA-512 of its bytes, in capitals, as kube-openapi
/// `pkg/handler3/handler.go` makes it. The documents of built-in kinds are the same in all clusters.
fn content_hash(group: &str, version: &str) -> String {
    static HASHES: LazyLock<HashMap<String, String>> = LazyLock::new(|| {
        let all = Schema::builtin().group_versions().into_iter();
        all.filter_map(|(group, version)| {
            let document = openapi::document(Schema::builtin(), group, version)?;
            let bytes = serde_json::to_vec(&document).ok()?;
            let hash: String = Sha512::digest(&bytes).iter().map(|b| format!("{b:02X}")).collect();
            Some((api_version(group, version), hash))
        })
        .collect()
    });
    HASHES.get(&api_version(group, version)).cloned().unwrap_or_default()
}

/// Every path that is served and stands for itself, as `/` lists them.
fn root(customs: &Table) -> Vec<String> {
    let fixed = ["/api", "/apis", "/healthz", "/livez", "/openapi/v2", "/openapi/v3", "/readyz", "/version"];
    let mut paths: Vec<String> = fixed.iter().map(|p| (*p).to_owned()).collect();
    for (group, versions) in &groups(customs) {
        if !group.is_empty() {
            paths.push(format!("/apis/{group}"));
        }
        paths.extend(versions.iter().map(|v| format!("/{}", openapi::path_of(group, v))));
    }
    let versions = Schema::builtin().group_versions().into_iter();
    paths.extend(versions.map(|(g, v)| format!("/openapi/v3/{}", openapi::path_of(g, v))));
    let versions = customs.served().map(|v| (&v.info.group, &v.info.version)).collect::<BTreeSet<_>>();
    paths.extend(versions.iter().map(|(g, v)| format!("/openapi/v3/{}", openapi::path_of(g, v))));
    paths.sort();
    paths
}

fn version() -> Value {
    json!({
        "major": MAJOR, "minor": MINOR, "gitVersion": GIT_VERSION, "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z", "goVersion": "", "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        }),
        "emulationMajor": MAJOR, "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR, "minCompatibilityMinor": "36",
    })
}

/// Groups with their versions, the built-in ones first.
fn groups(customs: &Table) -> Vec<(String, Vec<String>)> {
    let mut groups = GROUPS.clone();
    for info in customs.served().map(|v| &v.info) {
        match groups.iter_mut().find(|(g, _)| *g == info.group) {
            Some((_, versions)) if versions.contains(&info.version) => {}
            Some((_, versions)) => versions.push(info.version.clone()),
            None => groups.push((info.group.clone(), vec![info.version.clone()])),
        }
    }
    let builtin = GROUPS.len();
    groups[builtin..].sort();
    for (_, versions) in &mut groups[builtin..] {
        versions.sort_by_key(|v| std::cmp::Reverse(priority(v)));
    }
    groups
}

fn named_groups(customs: &Table) -> Vec<(String, Vec<String>)> {
    groups(customs).into_iter().filter(|(g, _)| !g.is_empty()).collect()
}

/// The index of OpenAPI documents: the built-in ones have one hash, those of custom kinds change with them.
fn index(customs: &Table) -> Value {
    let mut index = openapi::index(Schema::builtin(), content_hash);
    for version in customs.served() {
        let (group, version) = (&version.info.group, &version.info.version);
        let path = openapi::path_of(group, version);
        if index["paths"][&path].is_null() {
            let url = format!("/openapi/v3/{path}?hash={}", customs.fingerprint(group, version));
            index["paths"][&path] = json!({"serverRelativeURL": url});
        }
    }
    index
}

/// The document of a group version that custom kinds make up. It is not kept: clients keep it by its hash.
fn custom_openapi(group: &str, version: &str, customs: &Table) -> Option<Bytes> {
    let own = |v: &&Arc<Version>| v.info.group == group && v.info.version == version;
    let all: Vec<_> = customs.served().filter(own).cloned().collect();
    let described: Vec<_> =
        all.iter().map(|v| openapi::Described { kind: &v.info, schema: &v.document }).collect();
    if described.is_empty() {
        return None;
    }
    serde_json::to_vec(&openapi::custom_document(&described)).ok().map(Bytes::from)
}

fn kinds_of<'a>(group: &'a str, version: &'a str, customs: &'a Table) -> impl Iterator<Item = &'a Kind> + 'a {
    let builtin = Schema::builtin().kinds.iter();
    let all = builtin.chain(customs.served().map(|v| &v.info));
    all.filter(move |k| k.group == group && k.version == version)
}

fn group(name: &str, versions: &[String]) -> Value {
    let entry = |v: &String| json!({"groupVersion": api_version(name, v), "version": v});
    json!({
        "name": name, "versions": versions.iter().map(entry).collect::<Vec<_>>(),
        "preferredVersion": versions.first().map(entry),
    })
}

/// The kind that a subresource is posted or answered as, where it is not the resource's own.
fn subresource_kind(kind: &Kind, sub: &str) -> (&'static str, &'static str, String) {
    match sub {
        "scale" => ("autoscaling", "v1", "Scale".into()),
        "eviction" => ("policy", "v1", "Eviction".into()),
        "token" => ("authentication.k8s.io", "v1", "TokenRequest".into()),
        "binding" => ("", "v1", "Binding".into()),
        _ => ("", "", kind.kind.clone()),
    }
}

fn subresource_verbs(sub: &str) -> Vec<&'static str> {
    match sub {
        "eviction" | "token" | "binding" => vec!["create"],
        "log" => vec!["get"],
        "finalize" => vec!["update"],
        _ => vec!["get", "patch", "update"],
    }
}

fn resource_list(group: &str, version: &str, customs: &Table) -> Result<Response<Body>, ApiError> {
    let mut resources = Vec::new();
    for kind in kinds_of(group, version, customs) {
        let mut entry = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": kind.verbs,
        });
        if !kind.short_names.is_empty() {
            entry["shortNames"] = json!(kind.short_names);
        }
        if !kind.categories.is_empty() {
            entry["categories"] = json!(kind.categories);
        }
        resources.push(entry);
        for sub in served(kind) {
            let (sub_group, sub_version, sub_kind) = subresource_kind(kind, sub);
            let mut entry = json!({
                "name": format!("{}/{sub}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": sub_kind, "verbs": subresource_verbs(sub),
            });
            if !sub_version.is_empty() {
                entry["group"] = sub_group.into();
                entry["version"] = sub_version.into();
            }
            resources.push(entry);
        }
    }
    if resources.is_empty() {
        return Err(ApiError::no_route());
    }
    Ok(respond::value(
        200,
        &json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": api_version(group, version),
            "resources": resources,
        }),
    ))
}

/// Subresources that are served; the table also knows some that are not.
fn served(kind: &Kind) -> impl Iterator<Item = &str> {
    kind.subresources.iter().map(String::as_str).filter(|s| super::subresource::is_served(s))
}

fn aggregated(version: &'static str, core: bool, customs: &Table) -> Response<Body> {
    let items: Vec<_> = groups(customs)
        .iter()
        .filter(|(g, _)| g.is_empty() == core)
        .map(|(g, versions)| {
            let versions: Vec<_> = versions
                .iter()
                .map(|v| {
                    json!({
                        "version": v, "freshness": "Current",
                        "resources": kinds_of(g, v, customs).map(aggregated_resource).collect::<Vec<_>>(),
                    })
                })
                .collect();
            let metadata = if core { json!({}) } else { json!({"name": g}) };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let list = json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items,
    });
    let mut response = respond::value(200, &list);
    let media = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    if let Ok(media) = HeaderValue::from_str(&media) {
        response.headers_mut().insert(CONTENT_TYPE, media);
    }
    response
}

fn aggregated_resource(kind: &Kind) -> Value {
    let mut resource = json!({
        "resource": kind.plural,
        "responseKind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular, "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        resource["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        resource["categories"] = json!(kind.categories);
    }
    let subresources: Vec<_> = served(kind)
        .map(|sub| {
            let (group, version, name) = subresource_kind(kind, sub);
            let (group, version) = if version.is_empty() {
                (kind.group.as_str(), kind.version.as_str())
            } else {
                (group, version)
            };
            json!({
                "subresource": sub, "verbs": subresource_verbs(sub),
                "responseKind": {"group": group, "version": version, "kind": name},
            })
        })
        .collect();
    if !subresources.is_empty() {
        resource["subresources"] = json!(subresources);
    }
    resource
}

#[cfg(test)]
mod tests;
