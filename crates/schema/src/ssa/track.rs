//! Ownership after a write that is no apply: what changed becomes the writer's.

use std::sync::LazyLock;

use kiban_base::clock::Timestamp;
use serde_json::{Map, Value};

use super::Ctx;
use super::compare::{Comparison, compare_typed};
use super::managed::{self, Entry, Fields, Managed, ManagerId, Operation};
use super::set::FieldSet;
use crate::patch::gofmt;

/// Fields that nobody owns.
pub(super) static STRIPPED: LazyLock<FieldSet> = LazyLock::new(|| {
    FieldSet::of_fields(&[
        &["apiVersion"],
        &["kind"],
        &["metadata"],
        &["metadata", "name"],
        &["metadata", "namespace"],
        &["metadata", "creationTimestamp"],
        &["metadata", "selfLink"],
        &["metadata", "uid"],
        &["metadata", "clusterName"],
        &["metadata", "generation"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
    ])
});

/// Gives `new` the managedFields that it has after `manager` wrote it, over `old` or anew.
///
/// What `new` says of managedFields counts where it is valid and not empty, as upstream has it:
/// `[]` and `[{}]` forget all owners, anything else that cannot be read is ignored, and through a
/// subresource nothing is taken. An object without owners gets none until it is applied. Both
/// objects are in the form that [`super::normalize`] gives.
pub fn track_update(
    ctx: &Ctx<'_>,
    old: Option<&Value>,
    mut new: Value,
    manager: &str,
    now: Timestamp,
) -> Value {
    let sent = managed::take_list(&mut new);
    let stored = old.and_then(managed::list_of);
    let Source { mut managed, verbatim } = source(ctx, sent, stored);
    if managed.entries.is_empty() && old.is_some() {
        return new;
    }
    if !verbatim {
        managed = reconcile(ctx, managed);
    }
    let changes = changes(ctx, old, &new);
    if changes.untyped {
        // Upstream cannot say what changed, and leaves the owners as they were.
        managed::put_list(&mut new, stored.cloned());
        return new;
    }
    if !(verbatim && changes.is_same()) {
        record(ctx, &mut managed, changes, manager, now);
        managed.cap_update_managers();
    }
    managed::put_list(&mut new, managed.encode());
    new
}

/// The owners that a write starts from.
struct Source {
    managed: Managed,
    /// They are what we stored: every set is well-formed and fits the type.
    verbatim: bool,
}

fn source(ctx: &Ctx<'_>, sent: Option<Value>, stored: Option<&Value>) -> Source {
    let of_stored = |list: Option<Value>| {
        let list = match list {
            Some(Value::Array(list)) => list,
            _ => Vec::new(),
        };
        Source { managed: Managed::stored(list).unwrap_or_default(), verbatim: true }
    };
    let Some(sent) = sent.filter(|_| ctx.subresource.is_empty()) else {
        return of_stored(stored.cloned());
    };
    if stored == Some(&sent) {
        return of_stored(Some(sent));
    }
    if managed::is_reset(&sent) {
        return Source { managed: Managed::default(), verbatim: false };
    }
    let Value::Array(list) = sent else { return of_stored(stored.cloned()) };
    match Managed::decode(list) {
        Ok(managed) if !managed.entries.is_empty() => Source { managed, verbatim: false },
        _ => of_stored(stored.cloned()),
    }
}

/// Drops the managers whose version is not known, and fits the sets of the others to the type.
pub(super) fn reconcile(ctx: &Ctx<'_>, mut managed: Managed) -> Managed {
    managed.entries.retain(|e| ctx.knows(&e.id.api_version));
    for entry in &mut managed.entries {
        let set = entry.set().into_owned().reconciled(ctx.schema, ctx.node());
        entry.fields = Fields::Set(set);
    }
    managed
}

fn changes(ctx: &Ctx<'_>, old: Option<&Value>, new: &Value) -> Comparison {
    static NOTHING: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));
    let old = old.unwrap_or(&NOTHING);
    let all = compare_typed(ctx.schema, ctx.node(), old, new);
    let relevant = |set: FieldSet| ctx.filter(set.difference(&STRIPPED));
    Comparison {
        removed: relevant(all.removed),
        modified: relevant(all.modified),
        added: relevant(all.added),
        untyped: all.untyped,
    }
}

/// What changed becomes the manager's, and nobody else's.
fn record(ctx: &Ctx<'_>, managed: &mut Managed, changes: Comparison, manager: &str, now: Timestamp) {
    managed.entries.retain(|e| ctx.knows(&e.id.api_version));
    let fresh = changes.modified.union(changes.added);
    let lost = changes.removed.union(fresh.clone());
    managed.entries.retain_mut(|entry| lose(entry, &lost));
    if fresh.is_empty() {
        return;
    }
    let id = id(ctx, manager, Operation::Update);
    let before = managed.get(&id).map(|e| e.set().into_owned()).unwrap_or_default();
    managed.set(&id, fresh.union(before));
    managed.set_time(&id, now);
}

/// Takes `lost` from an entry; false where nothing is left of it.
fn lose(entry: &mut Entry, lost: &FieldSet) -> bool {
    if let Fields::Stored(Value::Object(fields)) = &entry.fields
        && !touches(fields, lost, &mut String::new())
    {
        return !fields.is_empty();
    }
    let set = entry.set().into_owned().difference(lost);
    let left = !set.is_empty();
    entry.fields = Fields::Set(set);
    left
}

/// Whether stored fields have a member in common with a set: most entries of an object have none
/// with a given change, and reading them all would be most of the work.
fn touches(fields: &Map<String, Value>, set: &FieldSet, key: &mut String) -> bool {
    set.nodes.iter().any(|node| {
        key.clear();
        node.element.write(key);
        let Some(Value::Object(below)) = fields.get(key.as_str()) else { return false };
        (node.member && (below.is_empty() || below.contains_key("."))) || touches(below, &node.below, key)
    })
}

/// The identity of whoever writes through this endpoint.
pub(super) fn id(ctx: &Ctx<'_>, manager: &str, operation: Operation) -> ManagerId {
    ManagerId {
        manager: if manager.is_empty() { "unknown" } else { manager }.to_owned(),
        operation,
        api_version: ctx.api_version(),
        subresource: ctx.subresource.clone(),
    }
}

/// Owners for an object that has none when it is first applied: all that is there belongs to
/// `before-first-apply`.
pub(super) fn before_first_apply(ctx: &Ctx<'_>, live: &Value, now: Timestamp) -> Managed {
    let mut managed = Managed::default();
    record(ctx, &mut managed, changes(ctx, None, live), "before-first-apply", now);
    managed
}

/// The name of the manager of a request that is no apply: its `fieldManager` parameter, or the
/// program at the head of its user agent.
pub fn manager_name(field_manager: &str, user_agent: &str) -> String {
    /// Longer names are cut.
    const MAX_BYTES: usize = 128;
    if !field_manager.is_empty() {
        return field_manager.to_owned();
    }
    let mut out = String::new();
    for c in user_agent.split('/').next().unwrap_or_default().chars().filter(|c| gofmt::is_print(*c)) {
        if out.len() + c.len_utf8() > MAX_BYTES {
            break;
        }
        out.push(c);
    }
    out
}
