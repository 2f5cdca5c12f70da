//! Follows objects of one kind: a list, then a watch that is resumed where it broke off, and a new list
//! where the server no longer knows that place (410).
//!
//! [`follow`] serves one caller that waits for a few objects; the cache that all components of a server
//! share ([`crate::cache`]) stands on the same loop, [`reader::Reader`].

use std::collections::BTreeMap;

use futures_util::{Stream, stream};
use serde_json::Value;

use crate::client::{ApiError, Call, Cluster, encode};
use crate::discovery::Resource;
use crate::object::text_at;

mod json;
mod lines;
pub(crate) mod raw;
pub(crate) mod reader;

use json::Fields;
use reader::{PAGE, Reader, Shared, Step};

/// Keys and values of the object that these bytes are.
pub(crate) fn fields(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    Fields::of(bytes, 0).filter_map(|(key, span)| Some((key, bytes.get(span)?)))
}

/// What a watch saw.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// All objects there are: at the start, and again after a gap.
    Listed(Vec<Value>),
    /// An object that was added or changed.
    Set(Value),
    /// An object that is gone, in its last state.
    Gone(Value),
}

/// Which objects of a kind and namespace are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// One object.
    Name(String),
    /// Those with the labels of a selector in kubectl's syntax; all with an empty one.
    Labels(String),
}

/// Follows objects from now on. The stream ends after an error that trying again does not mend (no
/// permission, no such kind); what passes is retried inside it.
pub fn follow(
    cluster: &Cluster,
    resource: &Resource,
    namespace: &str,
    selection: &Selection,
) -> impl Stream<Item = Result<Change, ApiError>> + Send + use<> {
    let selector = match selection {
        Selection::Name(name) => format!("fieldSelector={}", encode(&format!("metadata.name={name}"))),
        Selection::Labels(labels) if labels.is_empty() => String::new(),
        Selection::Labels(labels) => format!("labelSelector={}", encode(labels)),
    };
    let path = resource.collection(namespace);
    let reader = Reader::new(cluster, path, selector, false, Shared::default(), 0);
    stream::unfold(Some(reader), |state| async move {
        let mut reader = state?;
        match change(&mut reader).await {
            Ok(change) => Some((Ok(change), Some(reader))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// Reads on to the next change.
async fn change(reader: &mut Reader) -> Result<Change, ApiError> {
    let mut listed: BTreeMap<(String, String), Value> = BTreeMap::new();
    loop {
        let step = reader.next().await?;
        let (Step::Listed(raw) | Step::Set(raw) | Step::Gone(raw)) = &step else {
            match step {
                Step::Begin => listed.clear(),
                Step::Complete => return Ok(Change::Listed(listed.into_values().collect())),
                _ => {}
            }
            continue;
        };
        let Ok(object) = serde_json::from_slice::<Value>(raw.bytes()) else {
            tracing::warn!(
                name = raw.name(),
                namespace = raw.namespace(),
                "an object that is no JSON is left out"
            );
            continue;
        };
        match step {
            Step::Set(_) => return Ok(Change::Set(object)),
            Step::Gone(_) => return Ok(Change::Gone(object)),
            _ => drop(listed.insert((raw.namespace().into(), raw.name().into()), object)),
        }
    }
}

/// Lists all objects of a kind, page by page; a page that the server has forgotten starts it over.
/// Returns the objects and the revision of the list.
pub(crate) async fn list(
    cluster: &Cluster,
    path: &str,
    selector: &str,
) -> Result<(Vec<Value>, String), ApiError> {
    let mut items = Vec::new();
    let mut page = String::new();
    let mut restarts = 0;
    loop {
        let mut query = format!("{path}?limit={PAGE}");
        for (name, part) in [("&", selector), ("&continue=", page.as_str())] {
            if !part.is_empty() {
                query.push_str(name);
                query.push_str(part);
            }
        }
        let mut body = match cluster.call(&Call::get(query)).await {
            Ok(answer) => answer.body,
            Err(e) if e.code() == Some(410) && restarts < 3 => {
                restarts += 1;
                items.clear();
                page.clear();
                continue;
            }
            Err(e) => return Err(e),
        };
        let revision = text_at(&body, &["metadata", "resourceVersion"]).unwrap_or("").to_string();
        page = encode(text_at(&body, &["metadata", "continue"]).unwrap_or(""));
        if let Some(Value::Array(found)) = body.get_mut("items").map(Value::take) {
            items.extend(found);
        }
        if page.is_empty() {
            return Ok((items, revision));
        }
    }
}

#[cfg(test)]
mod tests;
