//! Makes sure of one app by a dry run, tells what differs, and puts it right.

use kiban_base::object::ObjectId;
use kiban_kube::apply::{Options, Request, apply};
use kiban_kube::cancel::Cancel;
use kiban_kube::drift::drift;
use kiban_kube::events::{self, Sort};
use kiban_kube::object::{Gvk, is_secret};
use kiban_kube::plan::{Item, Verdict, plan};
use serde_json::Value;

use super::Field;
use crate::rollout::{Repository, Rollouts};

/// Values that are longer are cut: they are for people.
const LONGEST: usize = 200;

/// What a dry run found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) fields: Vec<Field>,
    /// Why it cannot be put right by an apply, in words.
    pub(super) bar: Option<String>,
    pub(super) request: Option<Request>,
}

/// Asks the API server what an apply of the app would change.
///
/// # Errors
/// In words.
pub(super) async fn look(
    rollouts: &Rollouts,
    repository: &dyn Repository,
    app: &str,
    commit: &str,
) -> Result<Found, String> {
    let request = repository.request(app, commit).await?;
    let found = plan(&rollouts.cluster, &request, &forced(rollouts), &|_| {}).await;
    let found = found.map_err(|error| error.to_string())?;
    let mut all = Found::default();
    for item in &found.items {
        if let Verdict::Refused(why) = &item.verdict {
            all.bar = Some(format!("{}: {why}", item.id));
        }
        if is_scaled(item) {
            all.bar = Some(format!(
                "{}: an autoscaler sets its replicas, and so does the manifest: remove spec.replicas there",
                item.id
            ));
        }
        all.fields.extend(differing(item));
    }
    all.request = Some(request);
    Ok(all)
}

/// With what was changed by others taken back, as what is rendered says.
fn forced(rollouts: &Rollouts) -> Options {
    Options { force_conflicts: true, wait: false, ..rollouts.options.clone() }
}

/// Applies what is rendered once more.
///
/// # Errors
/// In words.
pub(super) async fn put_right(rollouts: &Rollouts, request: &Request, cancel: &Cancel) -> Result<(), String> {
    let _turn = rollouts.turns.acquire().await;
    match apply(&rollouts.cluster, request, &forced(rollouts), cancel, &|_| {}).await {
        Ok(report) if !report.outcomes.values().any(kiban_kube::apply::Outcome::is_failure) => Ok(()),
        Ok(report) => {
            let failed = report.outcomes.iter().find(|(_, outcome)| outcome.is_failure());
            Err(failed.map(|(id, outcome)| format!("{id} {outcome}")).unwrap_or_default())
        }
        Err(error) => Err(error.to_string()),
    }
}

fn differing(item: &Item) -> Vec<Field> {
    let gvk = item.resource.gvk.clone();
    let bare = |path: String| Field {
        object: item.id.clone(),
        gvk: gvk.clone(),
        uid: String::new(),
        path,
        ours: None,
        theirs: None,
        owner: None,
    };
    let (Some(live), Some(would_be)) = (&item.live, &item.would_be) else {
        let is_gone = item.live.is_none() && matches!(item.verdict, Verdict::Create | Verdict::Deferred(_));
        return if is_gone { vec![bare(String::new())] } else { Vec::new() };
    };
    let is_hidden = is_secret(live);
    let uid = live["metadata"]["uid"].as_str().unwrap_or_default();
    let shown =
        |value: &Option<Value>| value.as_ref().map(|v| if is_hidden { "***".into() } else { short(v) });
    let scaled = is_scaled(item);
    let found = drift(live, would_be).into_iter().filter(|d| !(scaled && d.path == ".spec.replicas"));
    found
        .map(|d| Field {
            uid: uid.to_owned(),
            ours: shown(&d.ours),
            theirs: shown(&d.theirs),
            owner: d.owner.clone(),
            ..bare(d.path)
        })
        .collect()
}

fn short(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain(['…']).collect()
}

/// True where replicas are rendered and were set by way of `scale` since: an autoscaler's work, or a person's.
fn is_scaled(item: &Item) -> bool {
    let is_rendered = item.object["spec"].get("replicas").is_some();
    let entries = item.live.as_ref().and_then(|live| live["metadata"]["managedFields"].as_array());
    is_rendered
        && entries.into_iter().flatten().any(|entry| {
            entry["subresource"] == "scale" && entry["fieldsV1"]["f:spec"].get("f:replicas").is_some()
        })
}

/// Publishes what differs, an Event an object.
pub(super) async fn publish(rollouts: &Rollouts, fields: &[Field], then: &str) {
    /// Events for one finding at most.
    const MOST: usize = 20;
    let mut told: Vec<(&ObjectId, &Gvk, &str, String)> = Vec::new();
    for field in fields {
        match told.iter_mut().find(|(object, ..)| *object == &field.object) {
            Some((.., words)) => *words = format!("{words}; {}", field.words()),
            None => told.push((&field.object, &field.gvk, &field.uid, field.words())),
        }
    }
    for (object, kind, uid, words) in told.into_iter().take(MOST) {
        let message = format!("{words}; {then}");
        let event =
            events::Event { kind, object, uid, sort: Sort::Warning, reason: "Drift", message: &message };
        if let Err(error) = events::publish(&rollouts.cluster, event).await {
            tracing::debug!(%object, %error, "an Event could not be published");
        }
    }
}
