//! Writes of custom objects: what their definition's schema makes of them.
//!
//! Contract: apiextensions-apiserver `pkg/registry/customresource`. Objects are checked in the version that
//! the writer speaks and kept in the storage version; between the two, `apiVersion` alone changes.

use std::sync::Arc;

use kiban_kinds::custom::{self as kinds, object};
use kiban_schema::ssa;
use serde_json::Value;

use super::{Actor, Attempt, Cluster, Part, identity, refuse, unsaved};
use crate::custom::{Custom, Version};
use crate::kind::KindId;
use crate::object::{Key, Stored};
use crate::status::ApiError;
use crate::store::Write;

impl Cluster {
    /// The kind and version that a value is of.
    fn custom_of(&self, kind: KindId, value: &Value) -> Result<(Arc<Custom>, Arc<Version>), ApiError> {
        let table = self.customs();
        let custom = table.custom(kind).ok_or_else(ApiError::no_route)?;
        let named = value["apiVersion"].as_str().unwrap_or_default();
        let version = custom.version(named).or_else(|| custom.version(&custom.storage));
        Ok((custom.clone(), version.ok_or_else(ApiError::no_route)?.clone()))
    }

    /// [`Cluster::create_as`], once its value is stamped and its place known to be free.
    pub(super) fn create_custom(
        &self,
        kind: KindId,
        key: &Key,
        mut value: Value,
        applied: bool,
        actor: &Actor,
    ) -> Result<Arc<Stored>, ApiError> {
        let (custom, version) = self.custom_of(kind, &value)?;
        if custom.terminating {
            let why = "create not allowed while custom resource definition is terminating";
            return Err(ApiError::new(405, "MethodNotAllowed", why));
        }
        let rules = version.rules();
        kinds::prune(&mut value, &version.schema);
        kinds::fill(&mut value, &version.schema);
        object::create(&rules, &mut value);
        if !applied {
            value = self.track_custom(&version, Part::Main, None, value, actor);
        }
        refuse_custom(&version, &key.name, &object::validate_create(&rules, &value))?;
        if actor.dry_run {
            return Ok(unsaved(kind, &value, None));
        }
        value["apiVersion"] = custom.storage.clone().into();
        let made = self.0.store.commit(kind, key, 0, Write::Put(value));
        made.ok_or_else(|| ApiError::already_exists(kind, &key.name))
    }

    /// One attempt at [`Cluster::update`]; `None` when another write came first.
    pub(super) fn update_custom(
        &self,
        attempt: &Attempt<'_>,
        mut value: Value,
        applied: bool,
    ) -> Result<Option<Arc<Stored>>, ApiError> {
        let Attempt { kind, live, part, actor, .. } = *attempt;
        let (custom, version) = self.custom_of(kind, &value)?;
        let mut old = custom.shown(&version, live).unwrap_or_else(|| live.value());
        let migrates = live.value()["apiVersion"] != custom.storage;
        let spoken = Value::from(version.id.api_version());
        (old["apiVersion"], value["apiVersion"]) = (spoken.clone(), spoken);
        let rules = version.rules();
        kinds::prune(&mut value, &version.schema);
        kinds::fill(&mut value, &version.schema);
        match part {
            Part::Status => object::status_update(&old, &mut value),
            _ => object::update(&rules, &old, &mut value),
        }
        if !applied {
            value = self.track_custom(&version, part, Some(&old), value, actor);
        }
        if ssa::settle(&old, &mut value) && !migrates {
            return Ok(Some(live.clone()));
        }
        let causes = match part {
            Part::Status => object::validate_status(&rules, &old, &value),
            _ => object::validate_update(&rules, &old, &value),
        };
        refuse_custom(&version, &live.key.name, &causes)?;
        if actor.dry_run {
            return Ok(Some(unsaved(kind, &value, Some(live))));
        }
        let finished = identity::is_finished(kind, &value);
        value["apiVersion"] = custom.storage.clone().into();
        let write = if finished { Write::Remove(value) } else { Write::Put(value) };
        Ok(self.0.store.commit(kind, &live.key, live.revision, write))
    }

    fn track_custom(
        &self,
        version: &Version,
        part: Part,
        old: Option<&Value>,
        new: Value,
        actor: &Actor,
    ) -> Value {
        let ctx = ssa::Ctx::custom(&version.table, &version.info, part.subresource());
        ssa::track_update(&ctx, old, new, &actor.manager, self.now())
    }
}

/// Turns causes into a 422 in the name of the version's kind.
fn refuse_custom(
    version: &Version,
    name: &str,
    causes: &[kiban_kinds::validate::Cause],
) -> Result<(), ApiError> {
    refuse(version.id, name, causes)
}
