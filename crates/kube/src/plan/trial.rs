//! One object tried out against the API server: as it is, and as it would be.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use super::verdict::{compare, judge_refusal};
use super::{Item, Plan, Verdict, apply_call, takes_over};
use crate::adopt;
use crate::client::{Answer, ApiError, Call, Cluster, JSON, Refusal};
use crate::error::ApplyError;
use crate::migration;
use crate::object::Gvk;
use crate::report::{Event, Progress};
use crate::request::{MANAGER, Options, Request};

/// What trials have in common.
pub(super) struct Trial<'a> {
    /// As whom things are read.
    pub(super) cluster: &'a Cluster,
    /// As whom they are tried out.
    pub(super) writer: &'a Cluster,
    pub(super) options: &'a Options,
    pub(super) progress: &'a Progress<'a>,
    pub(super) plan: &'a Plan,
}

impl Trial<'_> {
    /// Asks the server for one object: as it is, and as it would be.
    pub(super) async fn item(
        &self,
        mut item: Item,
        missing_namespaces: &BTreeSet<String>,
        kinds_to_come: &BTreeSet<Gvk>,
        request: &Request,
    ) -> Result<Item, ApplyError> {
        if kinds_to_come.contains(&item.resource.gvk) {
            let reason =
                "its kind comes with a CustomResourceDefinition of this apply; checked once it is there";
            item.verdict = Verdict::Deferred(reason.into());
        } else if missing_namespaces.contains(&item.id.namespace) {
            item.verdict = self.elsewhere(&item).await?;
        } else if item.migrates.is_some() {
            item = self.migration(item, request).await?;
        } else {
            item = self.in_place(item).await?;
        }
        if let Verdict::Deferred(reason) = &item.verdict {
            self.progress.tell(Event::Deferred { object: item.id.clone(), reason: reason.clone() });
        }
        Ok(item)
    }

    async fn look(&self, item: &Item) -> Result<Option<Value>, ApplyError> {
        let path = item.resource.object(&item.id.namespace, &item.id.name);
        let note = self.progress.retries(item.id.to_string());
        match self.cluster.call_noting(&Call::get(path), &note).await {
            Ok(answer) => Ok(Some(answer.body)),
            Err(e) if e.is_not_found() => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    async fn in_place(&self, mut item: Item) -> Result<Item, ApplyError> {
        item.live = self.look(&item).await?;
        self.apply(&mut item, self.options.force_conflicts).await?;
        // What the tools that are taken over own is no conflict: it will be ours before it is written.
        if let Verdict::Conflict(conflicts) = &item.verdict
            && let Some(policy) = adopt::policy(self.options)
            && conflicts.iter().all(|c| policy.covers(&c.manager))
        {
            self.apply(&mut item, true).await?;
        }
        Ok(item)
    }

    async fn apply(&self, item: &mut Item, force: bool) -> Result<(), ApplyError> {
        let note = self.progress.retries(item.id.to_string());
        let call = apply_call(item, true, force);
        // A kind that was just defined takes the server a moment to serve.
        let mut patience = if self.plan.kinds_to_come.contains(&item.resource.gvk) { 8 } else { 0 };
        let answer = loop {
            match self.writer.call_noting(&call, &note).await {
                Err(e) if e.is_not_found() && patience > 0 => {
                    patience -= 1;
                    tokio::time::sleep(self.cluster.pause(3, None)).await;
                }
                answer => break answer,
            }
        };
        match answer {
            Ok(Answer { body, warnings, .. }) => {
                self.warn(item, warnings);
                item.verdict = compare(item.live.as_ref(), &body);
                // The ownership alone moves where nothing else changes.
                if item.verdict == Verdict::Unchanged && takes_over(item, self.options).is_some() {
                    item.verdict = Verdict::Configure;
                }
                item.would_be = Some(body);
            }
            Err(ApiError::Refused(refusal)) if refusal.is_passing() => {
                return Err(ApiError::Refused(refusal).into());
            }
            Err(ApiError::Refused(refusal)) => item.verdict = judge_refusal(&refusal),
            Err(e) => return Err(e.into()),
        }
        Ok(())
    }

    fn warn(&self, item: &Item, warnings: Vec<String>) {
        for text in warnings {
            self.progress.tell(Event::Warning(format!("{}: {text}", item.id)));
        }
    }

    /// A migration runs once for its images, and not at all on the way back.
    async fn migration(&self, mut item: Item, request: &Request) -> Result<Item, ApplyError> {
        item.live = self.look(&item).await?;
        let Some(migrates) = item.migrates.clone() else { return Ok(item) };
        let done = self.plan.inventory().and_then(|i| i.migrations.get(&item.id.name));
        let what =
            migration::decide(&migrates, item.live.as_ref(), done, request.hold.is_some(), self.options);
        match what {
            migration::Decision::Leave => item.verdict = Verdict::Unchanged,
            migration::Decision::Refuse(why) => item.verdict = Verdict::Refused(why),
            migration::Decision::Create => self.apply(&mut item, self.options.force_conflicts).await?,
            migration::Decision::Replace => {
                item.verdict = match self.create(&item, &item.id.namespace).await? {
                    Ok(()) => Verdict::Replace,
                    Err(refusal) => judge_refusal(&refusal),
                };
            }
        }
        Ok(item)
    }

    /// Tries an object out as one that is created in this namespace.
    async fn create(&self, item: &Item, namespace: &str) -> Result<Result<(), Box<Refusal>>, ApplyError> {
        let mut object = item.object.clone();
        object["metadata"]["namespace"] = json!(namespace);
        let path = item.resource.collection(namespace);
        let query = format!("{path}?dryRun=All&fieldManager={MANAGER}&fieldValidation=Strict");
        let call = Call::new(Method::POST, query, Some(object), JSON);
        match self.writer.call_noting(&call, &self.progress.retries(item.id.to_string())).await {
            Ok(answer) => {
                self.warn(item, answer.warnings);
                Ok(Ok(()))
            }
            // An object of that name is there; it was checked before the names were compared.
            Err(e) if e.is_conflict() => Ok(Ok(())),
            Err(ApiError::Refused(refusal)) if !refusal.is_passing() => Ok(Err(refusal)),
            Err(e) => Err(e.into()),
        }
    }

    /// Tries an object out in the namespace `default`, as one that is created there: its namespace does
    /// not exist yet. What depends on the namespace alone (permissions, quotas) decides nothing; it is
    /// tried out again once the namespace is there.
    async fn elsewhere(&self, item: &Item) -> Result<Verdict, ApplyError> {
        const ELSEWHERE: &str = "default";
        let because = format!("its namespace {} comes with this apply", item.id.namespace);
        match self.create(item, ELSEWHERE).await? {
            Ok(()) => Ok(Verdict::Deferred(format!("{because}; checked in namespace {ELSEWHERE}"))),
            Err(refusal) if matches!(refusal.code, 400 | 422) => Ok(match judge_refusal(&refusal) {
                Verdict::Refused(why) => {
                    Verdict::Refused(format!("{why} (checked in namespace {ELSEWHERE})"))
                }
                other => other,
            }),
            Err(refusal) => Ok(Verdict::Deferred(format!("{because}; not checked before ({refusal})"))),
        }
    }
}
