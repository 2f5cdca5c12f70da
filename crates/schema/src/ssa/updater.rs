//! The core of an apply: merge, prune what the applier dropped, settle who owns what.

use serde_json::Value;

use super::Ctx;
use super::compare::compare;
use super::conflict;
use super::fieldset_of::field_set;
use super::managed::{Entry, Fields, Managed, ManagerId};
use super::merge::merge;
use super::remove::remove_items;
use super::set::FieldSet;
use super::value;
use super::{ApplyError, Conflict};

/// What an apply leads to.
pub(super) struct Applied {
    /// The new object; `None` where it equals the live one.
    pub object: Option<Value>,
    pub managed: Managed,
}

/// Applies `config` to `live`. Both are valid, neither has managedFields; the managers are
/// reconciled with the type.
pub(super) fn apply(
    ctx: &Ctx<'_>,
    live: &Value,
    config: &Value,
    mut managed: Managed,
    id: &ManagerId,
    force: bool,
) -> Result<Applied, Vec<Conflict>> {
    let (schema, node) = (ctx.schema, ctx.node());
    let merged = merge(schema, node, live, config);
    let last = managed.get(id).map(|e| e.set().into_owned()).unwrap_or_default();
    let set = ctx.filter(field_set(schema, node, config));
    managed.set(id, set);
    let object = prune(ctx, merged, &managed, last);
    take_over(ctx, live, &object, &mut managed, id, force)?;
    let unchanged = value::equal(live, &object);
    Ok(Applied { object: (!unchanged).then_some(object), managed })
}

/// Removes what the applier owned last time, and nobody owns now.
fn prune(ctx: &Ctx<'_>, merged: Value, managed: &Managed, last: FieldSet) -> Value {
    if last.is_empty() {
        return merged;
    }
    let (schema, node) = (ctx.schema, ctx.node());
    let named = |set: &FieldSet| set.with_named_fields(schema, Some(node));
    let last = named(&last);
    let merged_set = named(&field_set(schema, node, &merged));

    // Without all that was owned last time …
    let pruned = remove_items(schema, node, &merged, &last);
    // … but with what somebody owns, and what those fields need to exist …
    let owned = managed.entries.iter().fold(FieldSet::default(), |all, e| all.union(e.set().into_owned()));
    let kept = named(&field_set(schema, node, &pruned)).union(named(&owned));
    let pruned = remove_items(schema, node, &merged, &merged_set.clone().difference(&kept));
    // … and with what went only because of what stood around it.
    let pruned_set = named(&field_set(schema, node, &pruned));
    let gone = merged_set.difference(&pruned_set).intersection(&last);
    remove_items(schema, node, &merged, &gone)
}

/// Takes what changes from its other owners, or reports them where it may not.
fn take_over(
    ctx: &Ctx<'_>,
    live: &Value,
    object: &Value,
    managed: &mut Managed,
    id: &ManagerId,
    force: bool,
) -> Result<(), Vec<Conflict>> {
    let changes = compare(ctx.schema, ctx.node(), live, object);
    let removed = ctx.filter(changes.removed);
    let changed = ctx.filter(changes.modified.union(changes.added));
    if !force {
        let conflicts: Vec<Entry> = managed
            .entries
            .iter()
            .filter(|e| e.id != *id)
            .map(|e| (e, e.set().intersection(&changed)))
            .filter(|(_, set)| !set.is_empty())
            .map(|(e, set)| Entry { fields: Fields::Set(set), ..e.clone() })
            .collect();
        if !conflicts.is_empty() {
            return Err(conflict::list(conflicts));
        }
    }
    let lost = changed.union(removed);
    managed.entries.retain_mut(|entry| {
        if entry.id != *id {
            let set = entry.set().into_owned().difference(&lost);
            entry.fields = Fields::Set(set);
        }
        !entry.set().is_empty()
    });
    Ok(())
}

impl From<Vec<Conflict>> for ApplyError {
    fn from(conflicts: Vec<Conflict>) -> Self {
        Self::Conflict(conflicts)
    }
}
