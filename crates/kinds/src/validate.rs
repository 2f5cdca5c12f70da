//! The value checks of the API server: what is refused with 422, and how it is said.
//!
//! Each kind is a row of one table: the rule for its names, the checks of its values, and what an
//! update or a status may not change. Checks run on objects that are decoded, defaulted and prepared
//! ([`crate::defaults`], [`crate::prepare`]); fields of a wrong type were refused before and count as
//! absent here. Causes come in the order and with the words of Kubernetes 1.37, for clients and
//! users compare them. Two differences are meant: a refused struct is printed as the JSON that the user
//! wrote (upstream prints some of its internal types), and what changed in an immutable spec is listed a
//! field a line.

use serde_json::Value;

mod admission;
mod apps;
pub(crate) mod at;
mod batch;
pub(crate) mod cause;
mod claim;
mod cluster;
mod config;
mod container;
mod env;
mod limits;
pub(crate) mod meta;
mod net;
mod networking;
mod pod;
mod pod_update;
mod policy;
mod probe;
mod projection;
mod rbac;
mod resources;
mod rows;
pub(crate) mod rule;
pub(crate) mod same;
mod scheduling;
mod security;
mod service;
mod storage;
mod subresource;
mod volume;

pub use cause::{Cause, Reason, status_of};
pub(crate) use cluster::SYSTEM_PRIORITIES;
pub(crate) use pod::container_requests;

use at::At;
use cause::Causes;
use rows::row;

/// What speaks against storing a new object; nothing for a good one.
pub fn create(group: &str, kind: &str, object: &Value) -> Vec<Cause> {
    let mut out = Causes::default();
    let at = At::root(object);
    let row = row(group, kind);
    row.meta_create()(&at, row.namespaced, row.names, &mut out);
    (row.create)(&at, &mut out);
    out.into_vec()
}

/// What speaks against an object taking an old one's place.
pub fn update(group: &str, kind: &str, old: &Value, new: &Value) -> Vec<Cause> {
    let mut out = Causes::default();
    let at = At::root(new);
    let row = row(group, kind);
    row.meta_update()(old, &at, row.conditional, &mut out);
    (row.update)(row, old, &at, &mut out);
    out.into_vec()
}

/// What speaks against the status that `new` brings to `old`.
pub fn status(group: &str, kind: &str, old: &Value, new: &Value) -> Vec<Cause> {
    let mut out = Causes::default();
    let at = At::root(new);
    let row = row(group, kind);
    row.meta_update()(old, &at, row.conditional, &mut out);
    (row.status)(old, &at, &mut out);
    out.into_vec()
}

/// What speaks against a pod that was written to its subresource `ephemeralcontainers`.
pub fn ephemeral_containers(old: &Value, new: &Value) -> Vec<Cause> {
    let mut out = Causes::default();
    let at = At::root(new);
    meta::update(old, &at, false, &mut out);
    subresource::ephemeral_containers(old, &at, &mut out);
    out.into_vec()
}

/// What speaks against a pod that was written to its subresource `resize`.
pub fn resize(old: &Value, new: &Value) -> Vec<Cause> {
    let mut out = Causes::default();
    let at = At::root(new);
    meta::update(old, &at, false, &mut out);
    subresource::resize(old, &at, &mut out);
    out.into_vec()
}

/// What speaks against a Scale, as the scale subresource takes it.
pub fn scale(object: &Value) -> Vec<Cause> {
    let mut out = Causes::default();
    let at = At::root(object);
    meta::create(&at, Some(true), meta::Names::Subdomain, &mut out);
    policy::scale(&at, &mut out);
    out.into_vec()
}

/// Whether a kind's objects lie in namespaces; `None` for a kind that is not built in.
pub fn is_namespaced(group: &str, kind: &str) -> Option<bool> {
    row(group, kind).namespaced
}

/// Checks of an update that are those of a new object and one more.
type Change = fn(&Value, &At<'_, '_>, &mut Causes);

#[cfg(test)]
pub(crate) mod tests;
