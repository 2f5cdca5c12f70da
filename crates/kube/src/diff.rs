//! What an apply would change, object by object, as the server itself would change it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::client::{ApiError, Cluster};
use crate::error::ApplyError;
use crate::inventory::Kept;
use crate::object::{Gvk, ObjectId, is_secret, normalised};
use crate::plan::{self, Item, Plan, Verdict, apply_call};
use crate::report::{Conflict, Sink};
use crate::request::{Options, Request};

/// What would happen to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It would be created.
    Create,
    /// It would be changed.
    Configure,
    /// It would stay as it is. Only its field owners may change.
    Unchanged,
    /// It would be deleted.
    Prune,
    /// It is no longer rendered and would stay.
    Kept(Kept),
    /// It would be left out.
    MissingKind(Gvk),
    /// It would be refused, in the server's words.
    Refused(String),
}

/// One object before and after.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The object.
    pub id: ObjectId,
    /// What would happen to it.
    pub change: Change,
    /// As it is, without what the server alone writes. The values of a Secret are masked.
    pub live: Option<Value>,
    /// As it would be, in the same form; with conflicts, as if they were forced.
    pub would_be: Option<Value>,
    /// The fields that others own.
    pub conflicts: Vec<Conflict>,
    /// Why the server was not asked about this object where it belongs.
    pub note: Option<String>,
}

impl Difference {
    /// True when an apply would change the cluster or would fail.
    pub fn is_difference(&self) -> bool {
        !matches!(self.change, Change::Unchanged | Change::Kept(_)) || !self.conflicts.is_empty()
    }
}

/// Compares what is rendered with what is there. Writes nothing.
///
/// The differences come by namespace-independent identity within waves, the removed objects last.
///
/// # Errors
/// As [`plan::plan`], but for an unconfirmed prune, which a difference may well show.
pub async fn diff(
    cluster: &Cluster,
    request: &Request,
    options: &Options,
    sink: Sink<'_>,
) -> Result<Vec<Difference>, ApplyError> {
    let mut options = options.clone();
    options.prune.all = true;
    let Plan { items, skipped, removals, kept, .. } = plan::plan(cluster, request, &options, sink).await?;
    let mut out = Vec::new();
    for item in items {
        out.push(difference(&plan::writer(cluster, request), item).await?);
    }
    let bare = |id: ObjectId, change: Change| Difference {
        id,
        change,
        live: None,
        would_be: None,
        conflicts: Vec::new(),
        note: None,
    };
    out.extend(skipped.into_iter().map(|(id, gvk)| bare(id, Change::MissingKind(gvk))));
    out.extend(removals.into_iter().map(|r| {
        let live = Some(mask(&normalised(&r.live), None, "***"));
        Difference { live, ..bare(r.id, Change::Prune) }
    }));
    out.extend(kept.into_iter().map(|(id, (_, why))| bare(id, Change::Kept(why))));
    Ok(out)
}

async fn difference(cluster: &Cluster, item: Item) -> Result<Difference, ApplyError> {
    let mut would_be = item.would_be.clone();
    let (change, conflicts, note) = match item.verdict.clone() {
        Verdict::Create => (Change::Create, Vec::new(), None),
        Verdict::Configure | Verdict::Replace => (Change::Configure, Vec::new(), None),
        Verdict::Unchanged => (Change::Unchanged, Vec::new(), None),
        Verdict::Deferred(why) => {
            would_be = Some(item.object.clone());
            let change = if item.live.is_some() { Change::Configure } else { Change::Create };
            (change, Vec::new(), Some(why))
        }
        Verdict::Refused(why) => (Change::Refused(why), Vec::new(), None),
        Verdict::Conflict(conflicts) => match cluster.call(&apply_call(&item, true, true)).await {
            Ok(answer) => {
                would_be = Some(answer.body);
                (Change::Configure, conflicts, None)
            }
            Err(ApiError::Refused(refusal)) => (Change::Refused(refusal.to_string()), conflicts, None),
            Err(e) => return Err(e.into()),
        },
    };
    let live = item.live.as_ref().map(normalised);
    let after = would_be.as_ref().map(normalised);
    Ok(Difference {
        id: item.id,
        change,
        live: live.as_ref().map(|o| mask(o, after.as_ref(), "*** (before)")),
        would_be: after.as_ref().map(|o| mask(o, live.as_ref(), "*** (after)")),
        conflicts,
        note,
    })
}

/// Hides the values of a Secret: `***` where both sides have the same, else words that differ.
fn mask(object: &Value, other: Option<&Value>, differs: &str) -> Value {
    let mut out = object.clone();
    if !is_secret(object) {
        return out;
    }
    for field in ["data", "stringData"] {
        let others: BTreeMap<&String, &Value> =
            other.and_then(|o| o.get(field)).and_then(Value::as_object).into_iter().flatten().collect();
        let Some(Value::Object(entries)) = out.get_mut(field) else { continue };
        for (key, value) in entries.iter_mut() {
            let hidden = match others.get(key) {
                Some(other) if *other != value => differs,
                _ => "***",
            };
            *value = json!(hidden);
        }
    }
    // The text that client-side apply left behind holds the values once more.
    let last = "kubectl.kubernetes.io/last-applied-configuration";
    if let Some(Value::Object(notes)) = out.get_mut("metadata").and_then(|m| m.get_mut("annotations"))
        && let Some(note) = notes.get_mut(last)
    {
        *note = json!("***");
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::apply::apply;
    use crate::cancel::Cancel;
    use crate::fake::Fake;

    fn map(name: &str, value: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop-dev"}, "data": {"v": value}})
    }

    fn request(objects: Vec<Value>) -> Request {
        let text = String::from;
        let (app, env, namespace) = (text("orders"), text("dev"), text("shop-dev"));
        Request { app, env, namespace, revision: "c".into(), objects, ..Request::default() }
    }

    #[tokio::test]
    async fn a_difference_shows_both_sides_and_writes_nothing() {
        let fake = Fake::new();
        let (cluster, options) = (fake.cluster(), Options::default());
        let first = request(vec![map("same", "1"), map("changed", "1"), map("gone", "1")]);
        apply(&cluster, &first, &options, &Cancel::never(), &|_| {}).await.unwrap();
        fake.put(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": "shop-dev",
            "managedFields": [{"manager": "helm", "operation": "Apply", "fieldsV1": {"\u{1}data\u{1}v": {}}}]}, "data": {"v": "h"}}));
        let before = fake.revisions();
        let second =
            request(vec![map("same", "1"), map("changed", "2"), map("theirs", "2"), map("new", "1")]);
        let found = diff(&cluster, &second, &options, &|_| {}).await.unwrap();
        assert_eq!(fake.revisions(), before);
        let by_name = |name: &str| found.iter().find(|d| d.id.name == name).unwrap();
        let value = |side: &Option<Value>| side.as_ref().map(|o| o["data"]["v"].clone());
        assert_eq!(by_name("same").change, Change::Unchanged);
        assert_eq!(by_name("same").live, by_name("same").would_be);
        assert_eq!(value(&by_name("changed").live), Some(json!("1")));
        assert_eq!(value(&by_name("changed").would_be), Some(json!("2")));
        assert_eq!((by_name("new").live.clone(), by_name("new").change.clone()), (None, Change::Create));
        assert_eq!(by_name("gone").change, Change::Prune);
        assert_eq!(by_name("theirs").conflicts[0].manager, "helm");
        assert_eq!(value(&by_name("theirs").would_be), Some(json!("2")));
        assert_eq!(found.iter().filter(|d| d.is_difference()).count(), 4);
        let shown = serde_json::to_string(&by_name("changed").would_be).unwrap();
        assert!(!shown.contains("managedFields") && !shown.contains("uid"), "{shown}");
    }

    #[test]
    fn values_of_secrets_are_masked_and_still_show_what_changes() {
        let secret = |a: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "YQ=="}}, "data": {"a": a, "b": "Yg=="}});
        let (before, after) = (secret("YQ=="), secret("Yw=="));
        let masked = mask(&before, Some(&after), "*** (before)");
        assert_eq!(masked["data"], json!({"a": "*** (before)", "b": "***"}));
        assert!(!masked.to_string().contains("YQ=="));
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "x"}});
        assert_eq!(mask(&map, None, "x"), map);
    }
}
