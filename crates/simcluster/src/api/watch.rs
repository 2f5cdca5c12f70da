//! Watches: the log of a kind, read by cursor.
//!
//! Contract: research notes on apiserver/pkg/endpoints/handlers/watch.go and storage/cacher: events
//! as JSON lines; an object that stops matching is DELETED, one that starts is ADDED; bookmarks; a
//! start too far back is answered 200 with an ERROR event.

use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use hyper::Response;
use kiban_kinds::tables::IncludeObject;
use kiban_runtime::http::Body;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::list::{Filter, revision, too_large};
use super::path::Target;
use super::respond::Form;
use super::{Api, Call, custom, respond, twin};
use crate::custom::Table;
use crate::kind::KindId;
use crate::object::Stored;
use crate::registry::Cluster;
use crate::status::ApiError;
use crate::store::Change;

/// How often an idle watcher is told the revision (storage/cacher: about once a minute).
const BOOKMARKS: Duration = Duration::from_secs(60);

/// How long a watch lasts when the client does not say (`--min-request-timeout`).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(1_800);

/// Changes taken from the log at once, and bytes sent at once.
const BATCH: usize = 256;
const PIECE: usize = 64 << 10;

/// Pieces that wait for a slow client; further changes stay in the log.
const QUEUE: usize = 4;

/// One watch under way.
struct Watch {
    cluster: Cluster,
    kind: KindId,
    /// As which its objects are kept.
    kept: KindId,
    customs: Arc<Table>,
    filter: Filter,
    form: Form,
    include: IncludeObject,
    bookmarks: bool,
    columns_sent: bool,
    out: BytesMut,
}

/// Where a watch starts.
enum Start {
    /// With every object, then live; `true`: a bookmark ends the first part.
    Everything(bool),
    /// With what comes after this revision.
    After(u64),
}

impl Api {
    pub(super) async fn watch(&self, target: &Target, call: &Call) -> Result<Response<Body>, ApiError> {
        if !target.kind.info().verbs.iter().any(|v| v == "watch") {
            return Err(ApiError::method_not_allowed());
        }
        let start = self.start(call)?;
        let watch = Watch {
            cluster: self.cluster.clone(),
            kind: target.kind,
            kept: twin::kept_kind(target.kind),
            customs: call.customs.clone(),
            filter: Filter::of(target, call)?,
            form: call.accept.form.clone(),
            include: respond::include(&call.params.include_object)?,
            bookmarks: call.params.allow_bookmarks,
            columns_sent: false,
            out: BytesMut::new(),
        };
        let timeout =
            call.params.timeout_seconds.filter(|t| *t > 0).map_or(DEFAULT_TIMEOUT, Duration::from_secs);
        let (sender, receiver) = mpsc::channel(QUEUE);
        let mut shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = watch.run(start, timeout, sender) => {}
                () = shutdown.fired() => {}
            }
        });
        Ok(respond::respond(200, "application/json", Body::Stream(receiver)))
    }

    fn start(&self, call: &Call) -> Result<Start, ApiError> {
        let p = &call.params;
        check_watch(call)?;
        let asked = revision(&p.resource_version)?;
        let current = self.cluster.store().with(|s| s.revision);
        if asked > current {
            return Err(too_large(asked, current));
        }
        Ok(match (p.send_initial_events, asked) {
            (Some(true), _) => Start::Everything(p.allow_bookmarks),
            (Some(false), 0) => Start::After(current),
            (None, 0) => Start::Everything(false),
            (_, after) => Start::After(after),
        })
    }
}

impl Watch {
    async fn run(mut self, start: Start, timeout: Duration, sender: mpsc::Sender<Bytes>) {
        let deadline = Instant::now() + timeout;
        let mut log = self.cluster.store().subscribe(self.kept);
        let mut cursor = match start {
            Start::After(revision) => revision,
            Start::Everything(bookmark) => match self.everything(bookmark, &sender).await {
                Some(revision) => revision,
                None => return,
            },
        };
        let mut next_bookmark = Instant::now() + BOOKMARKS;
        loop {
            log.borrow_and_update();
            let changes = match self.cluster.store().changes(self.kept, cursor, BATCH) {
                Ok(changes) => changes,
                Err(old) => {
                    let text = format!("too old resource version: {} ({})", old.asked, old.oldest);
                    self.event(
                        "ERROR",
                        &serde_json::to_vec(&ApiError::expired(text).to_status()).unwrap_or_default(),
                    );
                    let _ = self.flush(&sender).await;
                    return;
                }
            };
            for change in &changes {
                cursor = change.revision;
                self.change(change);
                if self.out.len() > PIECE && !self.flush(&sender).await {
                    return;
                }
            }
            if !self.flush(&sender).await {
                return;
            }
            if !changes.is_empty() {
                continue;
            }
            tokio::select! {
                changed = log.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(next_bookmark), if self.bookmarks => {
                    next_bookmark = Instant::now() + BOOKMARKS;
                    // Nothing of this kind happened since `cursor`, so the cluster's revision holds too.
                    self.bookmark(cursor.max(self.idle_revision(cursor)), None);
                    if !self.flush(&sender).await { return }
                }
                () = tokio::time::sleep_until(deadline) => {
                    if self.bookmarks {
                        self.bookmark(cursor.max(self.idle_revision(cursor)), None);
                        let _ = self.flush(&sender).await;
                    }
                    return;
                }
                () = sender.closed() => return,
            }
        }
    }

    /// The cluster's revision if this kind did not change after `cursor`.
    fn idle_revision(&self, cursor: u64) -> u64 {
        let state = self.cluster.store().with(|s| s.revision);
        let quiet = self.cluster.store().changes(self.kept, cursor, 1).is_ok_and(|c| c.is_empty());
        if quiet { state } else { cursor }
    }

    /// Sends every object there is; returns the revision of that state, or `None` when the client left.
    async fn everything(&mut self, bookmark: bool, sender: &mpsc::Sender<Bytes>) -> Option<u64> {
        let state = self.cluster.snapshot();
        for object in
            state.objects(self.kept).values().filter(|o| self.filter.matches(o)).cloned().collect::<Vec<_>>()
        {
            self.object("ADDED", &object);
            if self.out.len() > PIECE && !self.flush(sender).await {
                return None;
            }
        }
        if bookmark {
            self.bookmark(state.revision, Some("k8s.io/initial-events-end"));
        }
        self.flush(sender).await.then_some(state.revision)
    }

    fn change(&mut self, change: &Change) {
        let before = change.old.as_deref().filter(|o| self.filter.matches(o));
        let after = !change.deleted && self.filter.matches(&change.new);
        match (before, after) {
            (None, true) => self.object("ADDED", &change.new),
            (Some(_), true) => self.object("MODIFIED", &change.new),
            (Some(_), false) if change.deleted => self.object("DELETED", &change.new),
            // It no longer matches: the client is shown what it knew, at the revision of the change.
            (Some(old), false) => {
                let mut value = old.value();
                value["metadata"]["resourceVersion"] = change.revision.to_string().into();
                self.value("DELETED", &value);
            }
            (None, false) => {}
        }
    }

    fn object(&mut self, type_: &str, object: &Stored) {
        let custom = self.customs.custom(self.kind).zip(self.customs.version(self.kind));
        let same = self.kind == self.kept || custom.is_some_and(|(c, v)| c.shown(v, object).is_none());
        if self.form == Form::Object && same {
            self.event(type_, &object.json);
        } else {
            self.value(type_, &object.value());
        }
    }

    fn value(&mut self, type_: &str, value: &Value) {
        let first = !std::mem::replace(&mut self.columns_sent, true);
        let now = self.cluster.now();
        let value = custom::shown(&self.customs, self.kind, value);
        let columns = self.customs.version(self.kind).map(|v| &v.columns);
        let shown = respond::printed(self.kind, &value, &self.form, self.include, now, (first, columns));
        self.event(type_, &serde_json::to_vec(&shown).unwrap_or_default());
    }

    fn bookmark(&mut self, revision: u64, annotation: Option<&str>) {
        let info = self.kind.info();
        let mut object = json!({
            "kind": info.kind, "apiVersion": self.kind.api_version(),
            "metadata": {"resourceVersion": revision.to_string(), "creationTimestamp": null},
        });
        if let Some(name) = annotation {
            object["metadata"]["annotations"] = json!({name: "true"});
        }
        let shown = match &self.form {
            Form::Object => object,
            Form::Table(version) => json!({
                "kind": "Table", "apiVersion": version.api_version(), "columnDefinitions": [],
                "metadata": {"resourceVersion": revision.to_string()},
                "rows": [{"cells": [], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": version.api_version(),
                    "metadata": object["metadata"],
                }}],
            }),
            Form::Metadata(version) => json!({
                "kind": "PartialObjectMetadata", "apiVersion": version.api_version(),
                "metadata": object["metadata"],
            }),
        };
        self.event("BOOKMARK", &serde_json::to_vec(&shown).unwrap_or_default());
    }

    fn event(&mut self, type_: &str, object: &[u8]) {
        self.out.reserve(object.len() + 40);
        self.out.put_slice(b"{\"type\":\"");
        self.out.put_slice(type_.as_bytes());
        self.out.put_slice(b"\",\"object\":");
        self.out.put_slice(object);
        self.out.put_slice(b"}\n");
    }

    /// Hands on what is buffered; `false` when the client left.
    async fn flush(&mut self, sender: &mpsc::Sender<Bytes>) -> bool {
        if self.out.is_empty() {
            return !sender.is_closed();
        }
        sender.send(self.out.split().freeze()).await.is_ok()
    }
}

fn check_watch(call: &Call) -> Result<(), ApiError> {
    let p = &call.params;
    let invalid = |reason: &str, field: &str, why: String| {
        Err(ApiError::new(422, "Invalid", format!("ListOptions.meta.k8s.io \"\" is invalid: {field}: {why}"))
            .cause(reason, why, Some(field)))
    };
    let matching = p.resource_version_match.as_str();
    match p.send_initial_events {
        Some(_) if matching != "NotOlderThan" => invalid(
            "FieldValueForbidden",
            "resourceVersionMatch",
            "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan".into(),
        ),
        None if !matching.is_empty() => invalid(
            "FieldValueForbidden",
            "resourceVersionMatch",
            "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
                .into(),
        ),
        _ => Ok(()),
    }
}
