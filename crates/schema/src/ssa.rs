//! Server-side apply and the tracking of who owns which field, as apimachinery's
//! `managedfields.FieldManager` does them.
//!
//! All functions are pure: they take objects with their `metadata.managedFields` inline and give
//! back what to store. [`apply`] is for `application/apply-patch+yaml`, [`track_update`] for every
//! other write, [`settle`] says whether either changed anything, [`scale`] carries owners between
//! an object and its `scale` subresource. `tools/oracle/merge` records upstream's answers, which
//! the tests compare with.

mod compare;
mod conflict;
mod fields_v1;
mod fieldset_of;
mod last_applied;
mod managed;
mod manager;
mod merge;
mod node;
mod normalize;
mod path;
mod reconcile;
mod remove;
mod repeat;
mod reset;
pub mod scale;
mod set;
mod settle;
mod track;
mod updater;
mod validate;
mod value;

#[cfg(test)]
pub(crate) mod tests;

use crate::table::{Kind, Schema, TypeId};

pub use conflict::Conflict;
pub use last_applied::LAST_APPLIED;
pub use managed::{ManagerId, Operation};
pub use manager::apply;
pub use normalize::normalize;
pub use path::PathElement;
pub use repeat::comes_to_rest;
pub use set::FieldSet;
pub use settle::settle;
pub use track::{manager_name, track_update};

/// What a request is about: the type of its object, and the endpoint.
#[derive(Debug, Clone)]
pub struct Ctx<'a> {
    schema: &'a Schema,
    type_id: Option<TypeId>,
    group: String,
    version: String,
    kind: String,
    subresource: String,
    reset: Option<&'static reset::Reset>,
    /// Versions of the same group and kind, in which managers may name their fields.
    versions: Vec<String>,
}

impl<'a> Ctx<'a> {
    /// A request for an object of a built-in kind, or for its subresource (`""`: the object itself).
    pub fn new(schema: &'a Schema, kind: &Kind, subresource: &str) -> Self {
        let has_status = kind.subresources.iter().any(|s| s == "status");
        Self {
            schema,
            type_id: Some(kind.type_id),
            group: kind.group.clone(),
            version: kind.version.clone(),
            kind: kind.kind.clone(),
            subresource: subresource.to_owned(),
            reset: reset::of(&kind.group, &kind.kind, subresource, has_status),
            versions: versions(schema, &kind.group, &kind.kind),
        }
    }

    /// A request for an object of a kind that the table does not know. Its objects merge member by
    /// member, its lists are owned whole. `has_status`: it has a `status` subresource.
    pub fn untyped(
        schema: &'a Schema,
        group: &str,
        version: &str,
        kind: &str,
        subresource: &str,
        has_status: bool,
    ) -> Self {
        Self {
            schema,
            type_id: None,
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            subresource: subresource.to_owned(),
            reset: reset::of(group, kind, subresource, has_status),
            versions: Vec::new(),
        }
    }

    /// The context for a version of a custom kind; `schema` is its own table ([`crate::custom::table`]).
    pub fn custom(schema: &'a Schema, kind: &Kind, subresource: &str) -> Self {
        let has_status = kind.subresources.iter().any(|s| s == "status");
        let reset = reset::of_custom(subresource, has_status);
        Self { reset, ..Self::new(schema, kind, subresource) }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    fn node(&self) -> node::Node<'a> {
        node::Node::of(self.schema, self.type_id)
    }

    /// Whether fields can be named in this version. Upstream forgets the managers of others; of an
    /// undeclared kind, all versions of its group are taken to be the same.
    fn knows(&self, api_version: &str) -> bool {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        if self.type_id.is_none() {
            return group == self.group;
        }
        self.versions.iter().any(|v| v == api_version)
    }

    fn filter(&self, set: FieldSet) -> FieldSet {
        match self.reset {
            Some(reset) => reset.filter(set),
            None => set,
        }
    }
}

fn versions(schema: &Schema, group: &str, kind: &str) -> Vec<String> {
    schema.kinds.iter().filter(|k| k.group == group && k.kind == kind).map(Kind::api_version).collect()
}

/// Why an apply was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    /// Others own what the configuration would change: 409 Conflict, one cause
    /// `FieldManagerConflict` each.
    #[error("{}", conflict::message(.0))]
    Conflict(Vec<Conflict>),
    /// The request makes no sense: 400 BadRequest.
    #[error("{0}")]
    BadRequest(String),
    /// The configuration does not have its declared type. Upstream has no status for this error
    /// and answers 500 with this message and without a reason.
    #[error("{0}")]
    Invalid(String),
}

impl ApplyError {
    /// The HTTP status that the API server answers with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Conflict(_) => 409,
            Self::BadRequest(_) => 400,
            Self::Invalid(_) => 500,
        }
    }
}
