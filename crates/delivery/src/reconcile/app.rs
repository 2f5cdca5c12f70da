//! What the reconciler keeps of one app.

use std::time::Duration;

use kiban_kube::cancel::Canceller;
use kiban_kube::inventory::Inventory;
use tokio::time::Instant;

use super::{FIRST, LONGEST};
use crate::decide::Step;
use crate::notify::Thread;
use crate::rollout::{Brief, End};

/// The states that are counted.
pub(super) const STATES: [&str; 6] = ["good", "rolling-out", "bad", "held", "failed", "broken"];

/// What is kept of one app.
#[derive(Default)]
pub(super) struct App {
    /// The branch's tip asks for it.
    pub(super) is_asked: bool,
    /// What is asked for.
    pub(super) wanted: Option<Brief>,
    /// The commit that brought it, for people.
    pub(super) about: Option<Thread>,
    /// The commit that the branch had before that one.
    pub(super) before: Option<String>,
    /// Something of it may be gone, though nothing says so: it is applied again.
    pub(super) is_doubted: bool,
    /// Why what is asked for cannot be read.
    pub(super) broken: Option<String>,
    /// What is under way.
    pub(super) running: Option<Running>,
    /// The digest that has come to an end: nothing more is to be done about it.
    pub(super) done: Option<String>,
    /// Failures in a row.
    failures: u32,
    /// When it is tried again.
    pub(super) retry_at: Option<Instant>,
    /// How it is, in a word.
    pub(super) state: &'static str,
    /// The last rollout was told to stop at some point.
    pub(super) was_cut: bool,
}

/// A rollout that is under way.
pub(super) struct Running {
    pub(super) canceller: Canceller,
    /// The digest of what it rolls out.
    pub(super) digest: String,
    /// Where to.
    pub(super) namespace: String,
    /// The commit that brought it, for people.
    pub(super) about: Thread,
}

impl App {
    /// Asks for something. The same as before keeps the commit that brought it.
    pub(super) fn want(&mut self, brief: Brief, about: Thread, before: Option<String>) {
        self.broken = None;
        if self
            .wanted
            .as_ref()
            .is_some_and(|wanted| wanted.digest == brief.digest && wanted.namespace == brief.namespace)
        {
            return;
        }
        self.wanted = Some(brief);
        self.about = Some(about);
        self.before = before;
        self.done = None;
        self.failures = 0;
        self.retry_at = None;
    }

    /// The cluster remembers something else than what came to an end here: somebody else was at work.
    pub(super) fn seen(&mut self, inventory: &Inventory) {
        let is_other = self.done.is_some()
            && inventory.applying.is_none()
            && inventory.held.is_none()
            && self.done.as_deref() != Some(inventory.render.as_str());
        if is_other && self.running.is_none() && self.state == "good" {
            self.done = None;
        }
    }

    /// A rollout of `digest` came to its end.
    pub(super) fn ended(&mut self, digest: &str, end: &End) {
        self.running = None;
        self.state = match end {
            End::Nothing | End::Good | End::Removed => "good",
            End::Bad { .. } => "bad",
            End::Held { .. } => "held",
            End::Failed { .. } => "failed",
            End::Stopped => "rolling-out",
        };
        match end {
            End::Stopped => self.was_cut = true,
            End::Failed { again: true, .. } => {
                let pause = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
                self.failures += 1;
                self.retry_at = Some(Instant::now() + jitter(pause, digest));
            }
            _ => {
                self.failures = 0;
                self.done = Some(digest.to_owned());
            }
        }
    }

    /// What is asked for has come to an end, and not to a failure.
    pub(super) fn is_settled(&self) -> bool {
        let is_done = self.wanted.as_ref().is_some_and(|brief| self.done.as_ref() == Some(&brief.digest));
        is_done && self.broken.is_none() && matches!(self.state, "good" | "bad" | "held")
    }

    /// How it is, in a word.
    pub(super) fn shown(&self) -> &'static str {
        if self.broken.is_some() {
            "broken"
        } else if self.state.is_empty() {
            "rolling-out"
        } else {
            self.state
        }
    }
}

/// Up to a fifth more, by the digest: apps that failed together are not tried again together.
fn jitter(pause: Duration, digest: &str) -> Duration {
    let spread = digest.bytes().fold(0_u32, |sum, b| sum.wrapping_mul(31).wrapping_add(b.into())) % 200;
    pause + pause * spread / 1_000
}

/// How an app is that a step is to be done about.
pub(super) fn word(step: &Step) -> &'static str {
    match step {
        Step::Nothing => "good",
        Step::Bad => "bad",
        Step::Held => "held",
        Step::Check | Step::Deploy | Step::Watch | Step::TakeBack | Step::Remove => "rolling-out",
    }
}

/// How a rollout ended, in a word.
pub(super) fn end_word(end: &End) -> &'static str {
    match end {
        End::Nothing => "nothing to do",
        End::Good => "good",
        End::Removed => "removed",
        End::Bad { .. } => "bad",
        End::Held { .. } => "held",
        End::Failed { .. } => "failed",
        End::Stopped => "stopped",
    }
}
