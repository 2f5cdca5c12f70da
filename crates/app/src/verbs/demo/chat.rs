//! The demo's chat: what a team would read in its channel, as lines on the terminal.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use kiban_delivery::notify::{Moment, NotTold, Notifier, Thread};
use kiban_runtime::BoxFuture;

use crate::terminal;

/// Prints each app's progress once.
#[derive(Default)]
pub(super) struct Chat {
    told: Mutex<BTreeMap<(String, String), String>>,
}

impl Notifier for Chat {
    fn name(&self) -> &str {
        "terminal"
    }

    fn tell<'a>(&'a self, thread: &'a Thread, moment: Moment) -> BoxFuture<'a, Result<(), NotTold>> {
        let short: String = thread.id.commit.chars().take(12).collect();
        if moment == Moment::Started {
            terminal::line(&format!(
                "[chat] {} in {}: {} ({})",
                short, thread.id.env, thread.subject, thread.author
            ));
        }
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (app, state) in &thread.apps {
            let text = state.to_string();
            let key = (thread.id.commit.clone(), app.clone());
            if told.get(&key) != Some(&text) {
                terminal::line(&format!("[chat] {short} {app}: {text}"));
                told.insert(key, text);
            }
        }
        Box::pin(async { Ok(()) })
    }
}
