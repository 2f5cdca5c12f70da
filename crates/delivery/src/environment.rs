//! One environment of a manifest repository: what its commits ask for, as requests, and reverts into it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use kiban_base::clock::Clock;
use kiban_git::{Oid, Pushed, Who};
use kiban_kube::apply::{Ancestry, Order, Request, Revision, Scope, ServiceAccount};
use kiban_model::profile::{DeliveryMode, Drift};
use kiban_runtime::BoxFuture;
use tokio::sync::watch;

use crate::content::Content;
use crate::forge::{self, Forge, mentionless};
use crate::layout::{self, Loaded, PLATFORM, PlainFolder, Settings, Unit};
use crate::revert;
use crate::rollout::{Repository, Revert};
use crate::source::{Change, Head, Source, SourceError};

/// As whom objects are written.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// The service account in each app's namespace that its objects are written as; none: Kiban's own identity.
    pub app: Option<String>,
    /// The one that the platform's objects are written as; none: Kiban's own identity.
    pub platform: Option<ServiceAccount>,
}

/// How often a revert is made again when somebody else was first.
const RACES: usize = 5;

/// Snapshots that are remembered.
const REMEMBERED: usize = 4;

/// An environment as one commit has it.
#[derive(Clone)]
pub struct Snapshot {
    /// The commit.
    pub head: Head,
    /// What the profile says of the environment.
    pub settings: Settings,
    /// What is deployed by itself, the platform's first.
    pub units: Vec<Unit>,
}

impl Snapshot {
    /// What the commit asks for of a unit.
    ///
    /// # Errors
    /// In words, with the places of what is wrong.
    pub fn request(
        &self,
        unit: &Unit,
        repository: &str,
        branch: &str,
        accounts: &Accounts,
    ) -> Result<Request, String> {
        let loaded =
            layout::load(self.head.content.as_ref(), unit, &self.settings).map_err(|e| e.to_string())?;
        let Loaded { namespace, objects, files, scope } = loaded;
        let act_as = match &scope {
            Scope::Cluster => accounts.platform.clone(),
            Scope::Namespaces(_) => accounts
                .app
                .as_ref()
                .map(|name| ServiceAccount { namespace: namespace.clone(), name: name.clone() }),
        };
        Ok(Request {
            app: unit.app.clone(),
            env: self.settings.env.clone(),
            namespace,
            revision: Revision {
                commit: self.head.id().to_string(),
                repository: repository.to_owned(),
                branch: branch.to_owned(),
                position: None,
            },
            objects,
            files,
            act_as,
            scope,
            ..Request::default()
        })
    }
}

/// An environment that is followed.
pub struct Environment {
    /// The repository.
    pub source: Source,
    /// Its name.
    pub env: String,
    /// The branch that holds what runs in it.
    pub branch: String,
    /// Folders of plain manifests that belong to it.
    pub plain: Vec<PlainFolder>,
    /// As whom objects are written.
    pub accounts: Accounts,
    /// Where its pull requests live, and under which name; without, a revert that wants a review is a branch alone.
    pub forge: Option<(Arc<dyn Forge>, forge::Repo)>,
    /// Who makes commits: name and e-mail address.
    pub author: (String, String),
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What happens to objects that differ, as the branch's tip says; none before it was read.
    pub(crate) drift: watch::Sender<Option<Drift>>,
    /// The last snapshots.
    pub(crate) snapshots: Mutex<VecDeque<Arc<Snapshot>>>,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} at {}", self.env, self.source.name(), self.branch)
    }
}

impl Environment {
    /// An environment on a branch of a repository.
    pub fn new(source: Source, env: &str, branch: &str, clock: Arc<dyn Clock>) -> Self {
        Self {
            source,
            env: env.to_owned(),
            branch: branch.to_owned(),
            plain: Vec::new(),
            accounts: Accounts::default(),
            forge: None,
            author: ("Kiban".into(), "kiban@localhost".into()),
            clock,
            drift: watch::Sender::new(None),
            snapshots: Mutex::default(),
        }
    }

    /// The environment as a commit has it.
    ///
    /// # Errors
    /// In words.
    pub async fn snapshot(&self, head: Head) -> Result<Arc<Snapshot>, String> {
        {
            let known = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = known.iter().find(|s| s.head.id() == head.id()) {
                return Ok(Arc::clone(found));
            }
        }
        let (env, plain) = (self.env.clone(), self.plain.clone());
        let made = tokio::task::spawn_blocking(move || {
            let content: &dyn Content = head.content.as_ref();
            let settings = layout::settings(content, &env).map_err(|e| e.to_string())?;
            let units = layout::units(content, &env, &plain).map_err(|e| e.to_string())?;
            Ok::<_, String>(Arc::new(Snapshot { head, settings, units }))
        });
        let made = made.await.map_err(|e| e.to_string())??;
        let mut known = self.snapshots.lock().unwrap_or_else(PoisonError::into_inner);
        known.push_front(Arc::clone(&made));
        known.truncate(REMEMBERED);
        Ok(made)
    }

    async fn at(&self, commit: &str) -> Result<Arc<Snapshot>, String> {
        self.snapshot(self.source.at(commit).await.map_err(|e| e.to_string())?).await
    }

    async fn take_back(&self, wanted: Revert<'_>) -> Result<String, String> {
        let words = |e: SourceError| e.to_string();
        let (bad, good) = (self.at(wanted.bad).await?, self.at(wanted.good).await?);
        for _ in 0..RACES {
            let head = self.source.head(&self.branch).await.map_err(words)?;
            let edits = {
                let (head, bad, good) = (head.clone(), Arc::clone(&bad), Arc::clone(&good));
                let (app, env) = (wanted.app.to_owned(), self.env.clone());
                let work = move || {
                    let [head, bad, good]: [&dyn Content; 3] =
                        [head.content.as_ref(), bad.head.content.as_ref(), good.head.content.as_ref()];
                    revert::edits(head, bad, good, &app, &env)
                };
                let made = tokio::task::spawn_blocking(work).await.map_err(|e| e.to_string())?;
                made.map_err(|e| e.to_string())?
            };
            let is_direct = bad.settings.environment.delivery == DeliveryMode::Direct;
            let proposal = format!("kiban/revert/{}/{}", self.env, wanted.app);
            let branch = if is_direct { self.branch.clone() } else { proposal };
            let expected = if is_direct { Some(head.id()) } else { self.tip_of(&branch).await? };
            let change = Change {
                branch: branch.clone(),
                base: head.id(),
                expected,
                edits,
                message: message(&wanted, &self.env),
                who: self.who(),
            };
            match self.source.push(change).await.map_err(words)? {
                None => return Ok("the repository asks for it already".into()),
                Some((id, Pushed::Done)) => {
                    let short: String = id.to_string().chars().take(12).collect();
                    if is_direct {
                        return Ok(format!("its change was taken back by {short} on {branch}"));
                    }
                    return Ok(self.propose(&wanted, &branch, &short).await);
                }
                Some((_, Pushed::Raced { .. })) => {}
                Some((_, Pushed::Rejected { reason, words })) => {
                    return Err(format!("{} does not take it: {reason} {words}", self.source.name())
                        .trim()
                        .to_owned());
                }
            }
        }
        Err(format!("others were faster {RACES} times in a row"))
    }

    /// Opens a pull request for a revert, where there is a forge. Says what there is to be merged.
    async fn propose(&self, wanted: &Revert<'_>, branch: &str, commit: &str) -> String {
        let by_hand = format!("{commit} on branch {branch} takes its change back: merge it, or fix forward");
        let Some((forge, repo)) = self.forge.as_ref().filter(|(forge, _)| forge.can().pulls) else {
            return by_hand;
        };
        let text = message(wanted, &self.env);
        let (title, body) = text.split_once("\n\n").unwrap_or((&text, ""));
        let quoted: Vec<String> = body.lines().map(mentionless).collect();
        let proposal = forge::Proposal {
            head: branch.to_owned(),
            base: self.branch.clone(),
            title: title.to_owned(),
            body: quoted.join("\n"),
            labels: vec!["kiban".into()],
        };
        match forge.open(repo, &proposal).await {
            Ok(pull) => format!("{} takes its change back: merge it, or fix forward", pull.url),
            Err(error) => format!("{by_hand} (no pull request: {error})"),
        }
    }

    async fn tip_of(&self, branch: &str) -> Result<Option<Oid>, String> {
        match self.source.tip(Some(branch)).await {
            Ok((_, id)) => Ok(Some(id)),
            Err(SourceError::NoBranch { .. }) => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    fn who(&self) -> Who {
        let (name, email) = self.author.clone();
        Who { name, email, seconds: self.clock.now().secs(), offset: 0 }
    }
}

fn message(wanted: &Revert<'_>, env: &str) -> String {
    let Revert { app, bad, good, cause } = wanted;
    let short = |commit: &str| commit.chars().take(12).collect::<String>();
    format!(
        "{app}: back to {} in {env}\n\nTakes back what {} brought, which was found bad:\n{cause}\n",
        short(good),
        short(bad)
    )
}

impl Repository for Environment {
    fn request<'a>(&'a self, app: &'a str, commit: &'a str) -> BoxFuture<'a, Result<Request, String>> {
        Box::pin(async move {
            let snapshot = self.at(commit).await?;
            let Some(unit) = snapshot.units.iter().find(|unit| unit.app == app).cloned() else {
                return Err(format!("{commit} asks for no app {app:?} in {}", self.env));
            };
            let (name, branch) = (self.source.name().to_owned(), self.branch.clone());
            let accounts = self.accounts.clone();
            let load = move || snapshot.request(&unit, &name, &branch, &accounts);
            tokio::task::spawn_blocking(load).await.map_err(|e| e.to_string())?
        })
    }

    fn revert<'a>(&'a self, revert: Revert<'a>) -> BoxFuture<'a, Result<String, String>> {
        if revert.app == PLATFORM {
            return Box::pin(async { Err("what belongs to all apps is reverted by hand".to_owned()) });
        }
        Box::pin(self.take_back(revert))
    }
}

impl Ancestry for Environment {
    fn order<'a>(
        &'a self,
        applied_of: &'a Revision,
        wanted_of: &'a Revision,
    ) -> futures_util::future::BoxFuture<'a, Order> {
        Box::pin(async move {
            let id = |revision: &Revision| kiban_git::id_from_hex(revision.commit.as_bytes());
            let (Some(applied), Some(wanted)) = (id(applied_of), id(wanted_of)) else {
                return Order::Unknown;
            };
            use kiban_git::Ancestry::{No, Yes};
            // Somebody else may have deployed what was not fetched here yet.
            let is_here = self.source.at(&applied.to_string()).await.is_ok();
            if !is_here && applied_of.repository == wanted_of.repository {
                return Order::Diverged;
            }
            let newer = self.source.is_ancestor(applied, wanted).await;
            if matches!(newer, Ok(Yes)) {
                return Order::Newer;
            }
            match (newer, self.source.is_ancestor(wanted, applied).await) {
                (_, Ok(Yes)) => Order::Older,
                // Not in the history of what is wanted: whatever it is, it is not gone past. A branch that was
                // moved back may leave nothing behind to ask about.
                (Ok(No), _) => Order::Diverged,
                _ => Order::Unknown,
            }
        })
    }
}
