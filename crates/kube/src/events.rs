//! Events: what is done to an object, and why, where `kubectl describe` shows it.

use http::Method;
use kiban_base::object::ObjectId;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::client::{ApiError, Call, Cluster, JSON, encode};
use crate::object::{Gvk, text_at};
use crate::request::MANAGER;

/// The longest message that the API server takes, in bytes.
const MAX_MESSAGE: usize = 1024;

/// Whether an Event asks for attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// It tells what was done.
    Normal,
    /// Somebody should look.
    Warning,
}

/// An Event that is to be published.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// The kind of the object that it is about.
    pub kind: &'a Gvk,
    /// The object.
    pub object: &'a ObjectId,
    /// The object's `metadata.uid`; empty where it is not known.
    pub uid: &'a str,
    /// Whether it asks for attention.
    pub sort: Sort,
    /// Why, in one word in UpperCamelCase.
    pub reason: &'a str,
    /// In a sentence.
    pub message: &'a str,
}

/// Publishes an Event. The same one again is counted up, not made anew.
///
/// # Errors
/// As any call. Callers go on without: an Event is never worth a failure.
pub async fn publish(cluster: &Cluster, event: Event<'_>) -> Result<(), ApiError> {
    let namespace = if event.object.namespace.is_empty() { "default" } else { &event.object.namespace };
    let collection = format!("/api/v1/namespaces/{}/events", encode(namespace));
    let body = body(event, namespace, &cluster.clock().now().rfc3339());
    let name = text_at(&body, &["metadata", "name"]).unwrap_or("").to_owned();
    let query = format!("{collection}?fieldManager={MANAGER}");
    match cluster.call(&Call::new(Method::POST, query, Some(body.clone()), JSON)).await {
        Err(e) if e.is_conflict() => {}
        done => return done.map(drop),
    }
    let path = format!("{collection}/{}", encode(&name));
    let mut known = cluster.call(&Call::get(path.clone())).await?.body;
    let count = known.get("count").and_then(Value::as_u64).unwrap_or(1);
    if let Some(fields) = known.as_object_mut() {
        fields.insert("count".into(), json!(count + 1));
        fields.insert("lastTimestamp".into(), body["lastTimestamp"].clone());
    }
    let call = Call::new(Method::PUT, format!("{path}?fieldManager={MANAGER}"), Some(known), JSON);
    cluster.call(&call).await.map(drop)
}

fn body(event: Event<'_>, namespace: &str, now: &str) -> Value {
    let Event { kind, object, uid, sort, reason, message } = event;
    let mut message = message.to_owned();
    while message.len() > MAX_MESSAGE {
        message.pop();
    }
    let digest = Sha256::digest(format!("{object} {uid} {reason} {message}"));
    let short: String = digest.iter().take(8).map(|b| format!("{b:02x}")).collect();
    // A name has 253 characters at most, and an object's may take them all.
    let stem: String = object.name.chars().take(200).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": format!("{}.{short}", stem.trim_end_matches(['.', '-'])), "namespace": namespace},
        "involvedObject": {
            "apiVersion": kind.api_version(), "kind": kind.kind, "namespace": object.namespace,
            "name": object.name, "uid": uid,
        },
        "type": if sort == Sort::Warning { "Warning" } else { "Normal" },
        "reason": reason,
        "message": message,
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    })
}
