//! Follows objects of one kind: a list, then a watch that is resumed where it broke off, and a new list
//! where the server no longer knows that place (410).
//!
//! This serves one caller that waits for a few objects. The cache that all components of a server
//! share is another thing and will stand beside it.

use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use serde_json::Value;

use crate::client::{ApiError, Call, Chunks, Cluster, Refusal, encode};
use crate::discovery::Resource;
use crate::object::text_at;

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

/// How long the server keeps a watch open, in seconds.
const SERVER_DEADLINE: u64 = 240;

/// How long after that deadline a silent watch counts as dead.
const GRACE: Duration = Duration::from_secs(15);

/// Objects of one list page.
const PAGE: u32 = 500;

/// The longest event that is read, in bytes.
const MAX_EVENT: usize = 64 * 1024 * 1024;

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
    let watch = Watch {
        cluster: cluster.clone(),
        path: resource.collection(namespace),
        selector,
        revision: None,
        lines: None,
        failed: 0,
    };
    stream::unfold(Some(watch), |state| async move {
        let mut watch = state?;
        match watch.next().await {
            Ok(change) => Some((Ok(change), Some(watch))),
            Err(error) => Some((Err(error), None)),
        }
    })
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

struct Watch {
    cluster: Cluster,
    path: String,
    selector: String,
    /// Where to go on; none where a list must come first.
    revision: Option<String>,
    lines: Option<Lines>,
    /// Failures since the last event.
    failed: u32,
}

impl Watch {
    async fn next(&mut self) -> Result<Change, ApiError> {
        loop {
            let Some(revision) = self.revision.clone() else {
                let (items, revision) = list(&self.cluster, &self.path, &self.selector).await?;
                self.revision = Some(revision);
                self.lines = None;
                return Ok(Change::Listed(items));
            };
            let Some(lines) = &mut self.lines else {
                self.open(&revision).await?;
                continue;
            };
            let silence = Duration::from_secs(SERVER_DEADLINE) + GRACE;
            let line = match tokio::time::timeout(silence, lines.next()).await {
                Ok(Some(line)) => line,
                // The server closed it, the connection broke, or nothing came for too long.
                Ok(None) | Err(_) => {
                    self.lines = None;
                    self.pause().await;
                    continue;
                }
            };
            if let Some(change) = self.read(&line).await {
                self.failed = 0;
                return Ok(change);
            }
        }
    }

    async fn open(&mut self, revision: &str) -> Result<(), ApiError> {
        let path = format!(
            "{}?watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={SERVER_DEADLINE}{}{}",
            self.path,
            encode(revision),
            if self.selector.is_empty() { "" } else { "&" },
            self.selector
        );
        match self.cluster.open(&path).await {
            Ok(body) => self.lines = Some(Lines::new(body)),
            Err(ApiError::Refused(refusal)) if refusal.code == 410 => self.revision = None,
            Err(ApiError::Refused(refusal)) if !refusal.is_passing() => {
                return Err(ApiError::Refused(refusal));
            }
            Err(error @ (ApiError::Unauthorized { .. } | ApiError::Garbled { .. })) => return Err(error),
            Err(ApiError::Refused(_) | ApiError::Unreachable { .. }) => self.pause().await,
        }
        Ok(())
    }

    /// A line of the watch: a change, or none where it moved the watch on or ended it.
    async fn read(&mut self, line: &[u8]) -> Option<Change> {
        let Ok(mut event) = serde_json::from_slice::<Value>(line) else {
            return self.start_over("a line that is no JSON").await;
        };
        let object = event.get_mut("object").map(Value::take).unwrap_or_default();
        let kind = text_at(&event, &["type"]).unwrap_or("");
        if kind == "ERROR" {
            let refusal = Refusal::from_status(&object);
            return self.start_over(&refusal.to_string()).await;
        }
        if let Some(revision) = text_at(&object, &["metadata", "resourceVersion"]) {
            self.revision = Some(revision.into());
        }
        match kind {
            "ADDED" | "MODIFIED" => Some(Change::Set(object)),
            "DELETED" => Some(Change::Gone(object)),
            "BOOKMARK" => {
                self.failed = 0;
                None
            }
            _ => self.start_over("an event of an unknown type").await,
        }
    }

    async fn start_over(&mut self, why: &str) -> Option<Change> {
        tracing::debug!(path = self.path, why, "watch starts over");
        self.revision = None;
        self.lines = None;
        self.pause().await;
        None
    }

    async fn pause(&mut self) {
        self.failed += 1;
        tokio::time::sleep(self.cluster.pause(self.failed, None)).await;
    }
}

/// The lines of a body.
struct Lines {
    body: Chunks,
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no line's end.
    scanned: usize,
}

impl Lines {
    fn new(body: Chunks) -> Self {
        Self { body, buffer: Vec::new(), scanned: 0 }
    }

    /// The next line; none at the end, after an error, and after a line that is too long. Part of a
    /// line at the end is dropped: the event will come again.
    async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let fresh = self.buffer.get(self.scanned..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|b| *b == b'\n') {
                let rest = self.buffer.split_off(self.scanned + at + 1);
                let mut line = std::mem::replace(&mut self.buffer, rest);
                self.scanned = 0;
                line.pop();
                if line.is_empty() {
                    continue;
                }
                return Some(line);
            }
            self.scanned = self.buffer.len();
            if self.scanned > MAX_EVENT {
                return None;
            }
            let chunk = self.body.next().await?.ok()?;
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

#[cfg(test)]
mod tests;
