//! Looks at an environment's branch, and reads what its new commits ask for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::environment::{Environment, Snapshot};
use crate::layout::Unit;
use crate::rollout::Brief;

/// What a look at the branch brought.
pub(super) enum Look {
    /// It is where it was.
    Same,
    /// It has another commit.
    New(Box<Commit>),
    /// It cannot be followed, and why.
    Failed(String),
}

/// A new commit, read.
pub(super) struct Commit {
    /// The environment as it has it.
    pub(super) snapshot: Arc<Snapshot>,
    /// Units whose files are others than before, and what they ask for, or why they cannot be read.
    pub(super) changed: Vec<(Unit, Result<Brief, String>)>,
}

/// Units that are read at a time.
const READERS: usize = 4;

/// Looks at the branch every `poll`, and at once when it is woken, as long as somebody listens.
pub(super) async fn watch(
    environment: Arc<Environment>,
    poll: Duration,
    wake: Arc<Notify>,
    looks: mpsc::Sender<Look>,
) {
    let mut fingerprints = HashMap::new();
    let mut last = None;
    loop {
        let look = match look(&environment, &mut fingerprints, last.as_ref()).await {
            Ok(None) => Look::Same,
            Ok(Some(commit)) => {
                last = Some(Arc::clone(&commit.snapshot));
                Look::New(Box::new(commit))
            }
            Err(why) => Look::Failed(why),
        };
        if looks.send(look).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(poll) => {}
            () = wake.notified() => {}
            () = looks.closed() => return,
        }
    }
}

async fn look(
    environment: &Environment,
    fingerprints: &mut HashMap<String, String>,
    last: Option<&Arc<Snapshot>>,
) -> Result<Option<Commit>, String> {
    let source = &environment.source;
    let (_, tip) = source.tip(Some(&environment.branch)).await.map_err(|e| e.to_string())?;
    if last.is_some_and(|snapshot| snapshot.head.id() == tip) {
        return Ok(None);
    }
    let head = source.head(&environment.branch).await.map_err(|e| e.to_string())?;
    let snapshot = environment.snapshot(head).await?;
    let is_new = |unit: &&Unit| fingerprints.get(&unit.app) != Some(&unit.fingerprint);
    let units: Vec<Unit> = snapshot.units.iter().filter(is_new).cloned().collect();
    let changed = briefs(environment, &snapshot, units).await?;
    // Only what is still there counts: a unit that comes back is read again.
    fingerprints.clear();
    fingerprints.extend(snapshot.units.iter().map(|unit| (unit.app.clone(), unit.fingerprint.clone())));
    Ok(Some(Commit { snapshot, changed }))
}

/// Reads what units ask for, a few at a time.
async fn briefs(
    environment: &Environment,
    snapshot: &Arc<Snapshot>,
    units: Vec<Unit>,
) -> Result<Vec<(Unit, Result<Brief, String>)>, String> {
    let share = units.len().div_ceil(READERS).max(1);
    let mut readers = Vec::new();
    for part in units.chunks(share) {
        let (part, snapshot) = (part.to_vec(), Arc::clone(snapshot));
        let (name, branch) = (environment.source.name().to_owned(), environment.branch.clone());
        let accounts = environment.accounts.clone();
        readers.push(tokio::task::spawn_blocking(move || {
            let read = |unit: Unit| {
                let request = snapshot.request(&unit, &name, &branch, &accounts);
                (unit, request.map(|request| Brief::of(&request)))
            };
            part.into_iter().map(read).collect::<Vec<_>>()
        }));
    }
    let mut all = Vec::new();
    for reader in readers {
        all.extend(reader.await.map_err(|e| e.to_string())?);
    }
    Ok(all)
}
