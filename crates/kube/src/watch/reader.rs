//! The list-watch loop: what is there, then what changes, for as long as somebody reads on.
//!
//! One loop serves both who waits for a few objects ([`super::follow`]) and the cache. It lists (page by
//! page, or as the first part of a watch where the server streams lists), watches from the list's
//! revision, goes on from the last one that it saw after every break, and lists anew only where the
//! server no longer knows that place (410). Revisions are never compared, only handed back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use kiban_base::rng::Rng;

use super::json::Splitter;
use super::lines::{Lines, Next};
use super::raw::{Line, Raw};
use crate::client::{ApiError, Chunks, Cluster, Refusal, encode};

/// How long the server is asked to keep a watch open, in seconds: from this to a quarter more, so that
/// the watches of a process do not all end at once.
const SERVER_DEADLINE: u64 = 240;

/// How long after that deadline a silent watch counts as dead.
const GRACE: Duration = Duration::from_secs(15);

/// How long a list may be silent.
const LIST_SILENCE: Duration = Duration::from_secs(34);

/// Objects of one list page.
pub(crate) const PAGE: u32 = 500;

/// After so many failures in a row the place is given up, and a list comes first.
const GIVE_UP: u32 = 6;

/// What was read.
#[derive(Debug)]
pub(crate) enum Step {
    /// A list begins: the server has granted it. What it holds up to [`Step::Complete`] is all there is.
    Begin,
    /// An object of the list. It may come twice, where a page had to be asked for again.
    Listed(Raw),
    /// The list is at its end.
    Complete,
    /// An object was added or changed.
    Set(Raw),
    /// An object is gone; its last state.
    Gone(Raw),
    /// The watch is open, or has moved on without an event.
    Alive,
    /// Something that is no object; it is left out.
    Bad(String),
    /// The connection broke or the server is busy: goes on after a pause.
    Trouble {
        /// What happened.
        why: String,
        /// How long the pause is.
        pause: Duration,
    },
}

/// What a reader tells of its work beside its steps, and what readers of one process share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    /// Bytes of bodies that were read.
    pub(crate) bytes: Arc<AtomicU64>,
    /// True once a server has said that it does not stream lists.
    pub(crate) pages_only: Arc<AtomicBool>,
}

/// A list-watch loop over one path.
pub(crate) struct Reader {
    cluster: Cluster,
    path: String,
    /// `labelSelector=…` or `fieldSelector=…`, encoded; or empty.
    selector: String,
    /// Whether to ask for the list as the first part of a watch.
    streamed: bool,
    shared: Shared,
    rng: Rng,
    place: Place,
    /// Failures since the last sign of life.
    failed: u32,
    pause: Option<Duration>,
}

enum Place {
    /// A list comes next.
    Start,
    /// A page of it comes next, asked for with this.
    Page(String),
    /// In a page.
    InPage(String, Chunks, Box<Splitter>),
    /// In the first part of a watch.
    Initial(Lines),
    /// A watch from this revision comes next.
    Resume(String),
    /// In a watch, which has come to this revision.
    Watching(String, Lines),
}

impl Reader {
    /// A reader that has asked for nothing yet.
    pub(crate) fn new(
        cluster: &Cluster,
        path: String,
        selector: String,
        streamed: bool,
        shared: Shared,
        seed: u64,
    ) -> Self {
        let rng = Rng::named(seed, &path);
        let (cluster, place) = (cluster.clone(), Place::Start);
        Self { cluster, path, selector, streamed, shared, rng, place, failed: 0, pause: None }
    }

    /// Waits this long, and a part of a pause more, before the next step: after an error.
    pub(crate) fn hold(&mut self, asked: Duration) -> Duration {
        self.failed += 1;
        let pause = self.cluster.pause(self.failed, Some(asked));
        self.pause = Some(pause);
        pause
    }

    /// The next step. After an error, which trying again at once does not mend, it can be called again.
    ///
    /// # Errors
    /// No permission, no such kind, credentials that are not accepted.
    pub(crate) async fn next(&mut self) -> Result<Step, ApiError> {
        if let Some(pause) = self.pause {
            tokio::time::sleep(pause).await;
            self.pause = None;
        }
        loop {
            let step = match std::mem::replace(&mut self.place, Place::Start) {
                Place::Start => self.begin().await?,
                Place::Page(next) => self.open_page(next).await?,
                Place::InPage(next, body, splitter) => self.read_page(next, body, splitter).await,
                Place::Initial(lines) => self.read_initial(lines).await,
                Place::Resume(revision) => self.resume(revision).await?,
                Place::Watching(revision, lines) => self.watch(revision, lines).await,
            };
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    fn query(&self, parts: &str) -> String {
        let and = if self.selector.is_empty() { "" } else { "&" };
        format!("{}?{parts}{and}{}", self.path, self.selector)
    }

    async fn begin(&mut self) -> Result<Option<Step>, ApiError> {
        self.place = Place::Page(String::new());
        if !self.streamed || self.shared.pages_only.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let query = format!(
            "watch=true&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&timeoutSeconds={}",
            self.deadline()
        );
        match self.cluster.open(&self.query(&query)).await {
            Ok(body) => {
                self.place = Place::Initial(Lines::new(body));
                Ok(Some(Step::Begin))
            }
            // What servers without streamed lists answer; those that do not know the parameters at all
            // answer with a watch that never says where its first part ends.
            Err(ApiError::Refused(refusal)) if matches!(refusal.code, 400 | 422) => {
                self.no_streams();
                Ok(None)
            }
            Err(error) => {
                self.place = Place::Start;
                self.failure(error).map(Some)
            }
        }
    }

    fn no_streams(&self) {
        tracing::debug!(path = self.path, "the server does not stream lists; they are read page by page");
        self.shared.pages_only.store(true, Ordering::Relaxed);
    }

    async fn open_page(&mut self, next: String) -> Result<Option<Step>, ApiError> {
        let mut query = format!("limit={PAGE}");
        if !next.is_empty() {
            query = format!("{query}&continue={}", encode(&next));
        }
        match self.cluster.open(&self.query(&query)).await {
            Ok(body) => {
                let first = next.is_empty();
                self.place = Place::InPage(next, body, Box::new(Splitter::new()));
                Ok(first.then_some(Step::Begin))
            }
            // The pages before this one are of a state that the server has forgotten.
            Err(ApiError::Refused(refusal)) if refusal.code == 410 => Ok(Some(self.start_over(&refusal))),
            // An error that is the caller's leaves the reader at the start.
            Err(error) => {
                let step = self.failure(error)?;
                self.place = Place::Page(next);
                Ok(Some(step))
            }
        }
    }

    async fn read_page(
        &mut self,
        next: String,
        mut body: Chunks,
        mut splitter: Box<Splitter>,
    ) -> Option<Step> {
        let trouble = loop {
            match splitter.next() {
                Ok(Some(item)) => {
                    self.place = Place::InPage(next, body, splitter);
                    return Some(object(Raw::read(item), Step::Listed));
                }
                Ok(None) => {}
                Err(problem) => break problem,
            }
            match tokio::time::timeout(LIST_SILENCE, body.next()).await {
                Ok(Some(Ok(chunk))) => {
                    self.count(chunk.len());
                    splitter.push(&chunk);
                }
                Ok(Some(Err(failure))) => break failure.text,
                Err(_) => break silent(LIST_SILENCE),
                Ok(None) => match splitter.finish() {
                    Ok(page) if !page.next.is_empty() => {
                        self.failed = 0;
                        self.place = Place::Page(page.next);
                        return None;
                    }
                    Ok(page) => {
                        self.failed = 0;
                        self.place = Place::Resume(page.revision);
                        return Some(Step::Complete);
                    }
                    Err(problem) => break problem,
                },
            }
        };
        // A first page that is asked for again is of another state, and begins another list.
        self.place = Place::Page(next);
        Some(self.trouble(trouble, None))
    }

    async fn read_initial(&mut self, mut lines: Lines) -> Option<Step> {
        let next = lines.next(LIST_SILENCE, counter(&self.shared)).await;
        let line = match next {
            Next::Line(line) => line,
            Next::End => return Some(self.trouble("the list broke off".into(), None)),
            Next::Broken(why) => return Some(self.trouble(why, None)),
            Next::Silent => {
                // So does a server that does not know the parameters: it never says where the first
                // part ends. Pages are understood by all.
                self.no_streams();
                return Some(self.trouble(silent(LIST_SILENCE), None));
            }
        };
        let Some(line) = Line::read(&line) else {
            return Some(self.trouble("a line that is no event".into(), None));
        };
        match line.kind.as_str() {
            "ERROR" => {
                let refusal = refusal(&line.json);
                Some(self.trouble(refusal.to_string(), refusal.retry_after))
            }
            "BOOKMARK" => match line.object {
                Some(raw) if raw.ends_list() => {
                    self.failed = 0;
                    self.place = Place::Watching(raw.revision().into(), lines);
                    Some(Step::Complete)
                }
                _ => {
                    self.place = Place::Initial(lines);
                    None
                }
            },
            "DELETED" => {
                self.place = Place::Initial(lines);
                Some(object(line.object, Step::Gone))
            }
            _ => {
                self.place = Place::Initial(lines);
                Some(object(line.object, Step::Listed))
            }
        }
    }

    async fn resume(&mut self, revision: String) -> Result<Option<Step>, ApiError> {
        let query = format!(
            "watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}",
            encode(&revision),
            self.deadline()
        );
        match self.cluster.open(&self.query(&query)).await {
            Ok(body) => {
                self.place = Place::Watching(revision, Lines::new(body));
                Ok(Some(Step::Alive))
            }
            Err(ApiError::Refused(refusal)) if refusal.code == 410 => Ok(Some(self.start_over(&refusal))),
            Err(error) => {
                self.keep_place(revision);
                self.failure(error).map(Some)
            }
        }
    }

    async fn watch(&mut self, revision: String, mut lines: Lines) -> Option<Step> {
        let silence = Duration::from_secs(SERVER_DEADLINE * 5 / 4) + GRACE;
        let line = match lines.next(silence, counter(&self.shared)).await {
            Next::Line(line) => line,
            Next::End | Next::Broken(_) | Next::Silent if self.failed == 0 => {
                // Servers end every watch now and then: no trouble unless it happens again at once.
                self.place = Place::Resume(revision);
                self.failed = 1;
                self.pause = Some(self.cluster.pause(1, None));
                return Some(Step::Alive);
            }
            Next::End => {
                self.keep_place(revision);
                return Some(self.trouble("the server ends the watch at once".into(), None));
            }
            Next::Broken(why) => {
                self.keep_place(revision);
                return Some(self.trouble(why, None));
            }
            Next::Silent => {
                self.keep_place(revision);
                return Some(self.trouble(silent(silence), None));
            }
        };
        let Some(line) = Line::read(&line) else {
            self.keep_place(revision);
            return Some(self.trouble("a line that is no event".into(), None));
        };
        if line.kind == "ERROR" {
            let refusal = refusal(&line.json);
            if refusal.code == 410 {
                return Some(self.start_over(&refusal));
            }
            self.keep_place(revision);
            return Some(self.trouble(refusal.to_string(), refusal.retry_after));
        }
        let Some(raw) = line.object else {
            self.place = Place::Watching(revision, lines);
            return Some(Step::Bad(format!("{} without a revision", line.kind)));
        };
        self.failed = 0;
        self.place = Place::Watching(raw.revision().into(), lines);
        match line.kind.as_str() {
            "BOOKMARK" => Some(Step::Alive),
            _ if raw.name().is_empty() => Some(Step::Bad(format!("{} without a name", line.kind))),
            "ADDED" | "MODIFIED" => Some(Step::Set(raw)),
            "DELETED" => Some(Step::Gone(raw)),
            other => Some(Step::Bad(format!("an event of the unknown type {other:?}"))),
        }
    }

    /// Goes on from here, unless that has failed too often: the server may have lost its past, and know
    /// nothing of this revision.
    fn keep_place(&mut self, revision: String) {
        self.place = if self.failed < GIVE_UP { Place::Resume(revision) } else { Place::Start };
    }

    fn start_over(&mut self, refusal: &Refusal) -> Step {
        tracing::debug!(path = self.path, why = %refusal, "lists anew");
        self.place = Place::Start;
        self.trouble(refusal.to_string(), refusal.retry_after)
    }

    /// An error that passes is trouble; others are the caller's.
    fn failure(&mut self, error: ApiError) -> Result<Step, ApiError> {
        match error {
            ApiError::Refused(refusal) if refusal.is_passing() => {
                Ok(self.trouble(refusal.to_string(), refusal.retry_after))
            }
            ApiError::Unreachable { problem, .. } => Ok(self.trouble(problem, None)),
            error => Err(error),
        }
    }

    fn trouble(&mut self, why: String, asked: Option<Duration>) -> Step {
        self.failed += 1;
        let pause = self.cluster.pause(self.failed, asked);
        tracing::debug!(path = self.path, why, ?pause, failed = self.failed, "watch pauses");
        self.pause = Some(pause);
        Step::Trouble { why, pause }
    }

    fn deadline(&mut self) -> u64 {
        SERVER_DEADLINE + self.rng.below(SERVER_DEADLINE / 4)
    }

    fn count(&self, bytes: usize) {
        counter(&self.shared)(bytes);
    }
}

fn silent(patience: Duration) -> String {
    format!("nothing came for {patience:?}")
}

fn counter(shared: &Shared) -> impl Fn(usize) + use<> {
    let bytes = shared.bytes.clone();
    move |n| {
        bytes.fetch_add(n as u64, Ordering::Relaxed);
    }
}

fn object(raw: Option<Raw>, step: impl FnOnce(Raw) -> Step) -> Step {
    match raw {
        Some(raw) if !raw.name().is_empty() => step(raw),
        _ => Step::Bad("an object without a name or a revision".into()),
    }
}

fn refusal(status: &[u8]) -> Refusal {
    Refusal::from_status(&serde_json::from_slice(status).unwrap_or_default())
}
