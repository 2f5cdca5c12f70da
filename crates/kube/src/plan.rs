//! What an apply would do: every object tried out against the API server, nothing written.
//!
//! An object counts as unchanged when the server's answer to a dry-run apply equals what is there, the
//! fields that this program's manager owns included. An object whose namespace or kind the same apply
//! will bring cannot be tried out where it belongs; it is deferred, and checked in the namespace
//! `default` where that can be.

mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use http::Method;
use serde_json::{Value, json};

use crate::apply::{ApplyError, Event, MANAGER, Options, Progress, Request};
use crate::client::{APPLY_PATCH, Answer, ApiError, Call, Cluster, JSON};
use crate::discovery::{Kinds, Resource, kinds_of_definition};
use crate::inventory::{self, Entry, Inventory, Kept, PrunePlan};
use crate::object::{BadObject, Gvk, ObjectId, content_hash, group_of, managers, says_keep, text_at, wave};
use crate::takeover;
use verdict::{compare, judge_refusal};

pub use verdict::Verdict;
pub(crate) use verdict::{conflicts, decided};

/// The manager that the API server makes up for the fields of an object that nobody owned when it was
/// applied: one of ours without a field of its own (a ServiceAccount that is but a name) may have it.
const NOBODY: &str = "before-first-apply";

/// An object that is to be applied.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its identity.
    pub id: ObjectId,
    /// As it will be sent.
    pub object: Value,
    /// How its kind is reached.
    pub resource: Resource,
    /// The wave it goes in.
    pub wave: u8,
    /// Its content hash.
    pub hash: String,
    /// What the server says to it.
    pub verdict: Verdict,
    /// As it is now; none where it does not exist.
    pub live: Option<Value>,
    /// As it would be; none where the server did not say.
    pub would_be: Option<Value>,
}

/// An object that is to be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Its identity.
    pub id: ObjectId,
    /// How its kind is reached.
    pub resource: Resource,
    /// Which object of that name.
    pub uid: String,
    /// As it is now.
    pub live: Value,
}

/// Everything that an apply would do.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The objects to apply, by wave and identity.
    pub items: Vec<Item>,
    /// Objects left out because the target does not know their kind.
    pub skipped: Vec<(ObjectId, Gvk)>,
    /// The objects to delete, in the order in which that happens.
    pub removals: Vec<Removal>,
    /// The objects that are no longer rendered and stay, and why.
    pub kept: BTreeMap<ObjectId, (Entry, Kept)>,
    /// The inventory as it is; none before the first apply.
    pub inventory: Option<Inventory>,
    /// True when the namespace of the app does not exist yet.
    pub(crate) namespace_is_new: bool,
    pub(crate) inventory_revision: String,
    pub(crate) kinds_to_come: BTreeSet<Gvk>,
}

impl Plan {
    /// The objects that the server refuses or that others own fields of.
    pub fn problems(&self) -> impl Iterator<Item = &Item> {
        self.items.iter().filter(|i| matches!(i.verdict, Verdict::Conflict(_) | Verdict::Refused(_)))
    }

    /// How many objects have such a verdict.
    pub fn count(&self, of: impl Fn(&Verdict) -> bool) -> usize {
        self.items.iter().filter(|i| of(&i.verdict)).count()
    }

    /// Objects of unknown kinds lie in this namespace: what would bring it is not installed.
    fn skipped_in(&self, namespace: &str) -> bool {
        self.skipped.iter().any(|(id, _)| id.namespace == namespace)
    }

    /// Skips what lies in a namespace that is missing together with the kinds around it.
    fn leave_out(&mut self, namespace: &str) {
        let (out, stay) =
            std::mem::take(&mut self.items).into_iter().partition(|i| i.id.namespace == namespace);
        self.items = stay;
        let out: Vec<Item> = out;
        self.skipped.extend(out.into_iter().map(|i| (i.id, i.resource.gvk)));
    }

    /// The entries of the rendered objects, as the inventory will list them.
    pub(crate) fn entries(&self) -> BTreeMap<ObjectId, Entry> {
        let entry = |i: &Item| Entry { version: i.resource.gvk.version.clone(), hash: i.hash.clone() };
        self.items.iter().map(|i| (i.id.clone(), entry(i))).collect()
    }
}

/// Asks the cluster what an apply would do. Writes nothing.
///
/// # Errors
/// An object that cannot be applied at all, a kind that the target does not know, a namespace that
/// does not exist, a prune that wants a word first, an inventory that cannot be read, no answer.
/// Objects that the server refuses are no error here: they are in the plan.
pub async fn plan(
    cluster: &Cluster,
    request: &Request,
    options: &Options,
    sink: crate::apply::Sink<'_>,
) -> Result<Plan, ApplyError> {
    make(cluster, request, options, &Progress::new(sink)).await
}

pub(crate) async fn make(
    cluster: &Cluster,
    request: &Request,
    options: &Options,
    progress: &Progress<'_>,
) -> Result<Plan, ApplyError> {
    let kinds = cluster.kinds().await?;
    let mut plan = prepare(request, &kinds, options.skip_missing_kinds)?;
    let missing = missing_namespaces(cluster, &mut plan, request).await?;
    plan.namespace_is_new = missing.contains(&request.namespace);
    if !plan.namespace_is_new {
        read_inventory(cluster, request, &mut plan).await?;
    }
    plan_prune(cluster, &kinds, request, options, &mut plan, progress).await?;
    let items = std::mem::take(&mut plan.items);
    let to_come = plan.kinds_to_come.clone();
    let tries =
        stream::iter(items).map(|item| try_out(cluster, item, &missing, &to_come, options, progress).boxed());
    plan.items = tries.buffer_unordered(options.concurrency.max(1)).try_collect().await?;
    plan.items.sort_by(|a, b| (a.wave, &a.id).cmp(&(b.wave, &b.id)));
    Ok(plan)
}

/// The pure first step: identities, kinds, waves, hashes.
fn prepare(request: &Request, kinds: &Kinds, skip_missing: bool) -> Result<Plan, ApplyError> {
    let mut kinds = kinds.clone();
    let mut kinds_to_come = BTreeSet::new();
    let definitions = request.objects.iter().filter(|o| {
        group_of(o) == "apiextensions.k8s.io" && text_at(o, &["kind"]) == Some("CustomResourceDefinition")
    });
    for resource in definitions.flat_map(kinds_of_definition) {
        if kinds.find(&resource.gvk).is_none() {
            kinds_to_come.insert(resource.gvk.clone());
            kinds.add(resource);
        }
    }
    let mut items: BTreeMap<ObjectId, Item> = BTreeMap::new();
    let mut skipped = Vec::new();
    for object in &request.objects {
        let mut id = ObjectId::of(object)?;
        let gvk = Gvk::of(object).ok_or_else(|| bad(&id, "apiVersion and kind must name an API's kind"))?;
        let Some(resource) = kinds.find(&gvk) else {
            skipped.push((id, gvk));
            continue;
        };
        let mut object = object.clone();
        place(&mut object, &mut id, resource, &request.namespace)?;
        let hash = request.hashes.get(&id).cloned().unwrap_or_else(|| content_hash(&object));
        let wave = wave(&id.group, &id.kind, resource.namespaced);
        let (resource, verdict) = (resource.clone(), Verdict::Create);
        let item = Item { id: id.clone(), object, resource, wave, hash, verdict, live: None, would_be: None };
        if items.insert(id.clone(), item).is_some() {
            return Err(bad(&id, "it is rendered twice").into());
        }
    }
    if !skipped.is_empty() && !skip_missing {
        return Err(missing_kinds(&skipped, &kinds));
    }
    Ok(Plan {
        items: items.into_values().collect(),
        skipped,
        removals: Vec::new(),
        kept: BTreeMap::new(),
        inventory: None,
        namespace_is_new: false,
        inventory_revision: String::new(),
        kinds_to_come,
    })
}

/// Puts a namespaced object into the app's namespace unless it states its own.
fn place(
    object: &mut Value,
    id: &mut ObjectId,
    resource: &Resource,
    namespace: &str,
) -> Result<(), BadObject> {
    if !resource.namespaced {
        if id.namespace.is_empty() {
            return Ok(());
        }
        return Err(bad(id, "its kind is cluster-scoped, metadata.namespace must go"));
    }
    if id.namespace.is_empty() {
        if namespace.is_empty() {
            return Err(bad(id, "metadata.namespace is missing"));
        }
        object["metadata"]["namespace"] = json!(namespace);
        id.namespace = namespace.into();
    }
    Ok(())
}

fn bad(id: &ObjectId, problem: &str) -> BadObject {
    BadObject { what: id.to_string(), problem: problem.into() }
}

/// Lists what is missing, with the versions that the target has instead.
fn missing_kinds(skipped: &[(ObjectId, Gvk)], kinds: &Kinds) -> ApplyError {
    let mut objects: BTreeMap<&Gvk, usize> = BTreeMap::new();
    for (_, gvk) in skipped {
        *objects.entry(gvk).or_default() += 1;
    }
    let describe = |(gvk, count): (&Gvk, usize)| {
        let mut text = match count {
            1 => format!("{gvk} (1 object"),
            n => format!("{gvk} ({n} objects"),
        };
        let served = kinds.versions_of(&gvk.group, &gvk.kind);
        let own = gvk.api_version();
        if !served.is_empty() {
            text.push_str(&format!("; the target has it in {}", served.join(", ")));
        } else if kinds.stale().contains(&own) {
            text.push_str("; the server of that group does not answer, so that it may yet be known");
        }
        text.push(')');
        text
    };
    ApplyError::MissingKinds { kinds: objects.into_iter().map(describe).collect() }
}

/// The namespaces that the objects need, do not exist, and are among the objects themselves.
async fn missing_namespaces(
    cluster: &Cluster,
    plan: &mut Plan,
    request: &Request,
) -> Result<BTreeSet<String>, ApplyError> {
    let mut wanted: BTreeSet<String> = plan.items.iter().map(|i| i.id.namespace.clone()).collect();
    wanted.insert(request.namespace.clone());
    wanted.remove("");
    let brought: BTreeSet<String> = plan
        .items
        .iter()
        .filter(|i| i.id.group.is_empty() && i.id.kind == "Namespace")
        .map(|i| i.id.name.clone())
        .collect();
    let mut missing = BTreeSet::new();
    for name in &wanted {
        let path = format!("/api/v1/namespaces/{}", crate::client::encode(name));
        match cluster.call(&Call::get(path)).await {
            Ok(answer) if text_at(&answer.body, &["metadata", "deletionTimestamp"]).is_some() => {
                return Err(ApplyError::NamespaceTerminating { namespace: name.into() });
            }
            Ok(_) => {}
            Err(e) if e.is_not_found() && brought.contains(name) => drop(missing.insert(name.clone())),
            Err(e) if e.is_not_found() && *name != request.namespace && plan.skipped_in(name) => {
                plan.leave_out(name);
            }
            Err(e) if e.is_not_found() => {
                return Err(ApplyError::NoNamespace { namespace: name.into() });
            }
            // Who applies a team's objects may not be allowed to look at namespaces.
            Err(e) if e.is_forbidden() => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(missing)
}

/// Reads the inventory as it is now into the plan.
pub(crate) async fn read_inventory(
    cluster: &Cluster,
    request: &Request,
    plan: &mut Plan,
) -> Result<(), ApplyError> {
    match cluster.call(&Call::get(inventory_path(request))).await {
        Ok(answer) => {
            plan.inventory = Some(Inventory::read(&answer.body)?);
            plan.inventory_revision =
                text_at(&answer.body, &["metadata", "resourceVersion"]).unwrap_or("").into();
        }
        Err(e) if e.is_not_found() => {
            plan.inventory = None;
            plan.inventory_revision.clear();
        }
        Err(e) => return Err(e.into()),
    }
    Ok(())
}

pub(crate) fn inventory_path(request: &Request) -> String {
    let namespace = crate::client::encode(&request.namespace);
    let name = crate::client::encode(&inventory::name_of(&request.app, &request.env));
    format!("/api/v1/namespaces/{namespace}/configmaps/{name}")
}

async fn plan_prune(
    cluster: &Cluster,
    kinds: &Kinds,
    request: &Request,
    options: &Options,
    plan: &mut Plan,
    progress: &Progress<'_>,
) -> Result<(), ApplyError> {
    let Some(last) = plan.inventory.clone() else { return Ok(()) };
    let mut rendered: BTreeSet<ObjectId> = plan.items.iter().map(|i| i.id.clone()).collect();
    // A kind that the target does not know any more: its objects are neither applied nor pruned.
    for (id, _) in &plan.skipped {
        rendered.insert(id.clone());
        rendered.insert(ObjectId { namespace: request.namespace.clone(), ..id.clone() });
    }
    let none = BTreeMap::new();
    let mut found = inventory::prune_candidates(&last, &rendered, &none, options.prune);
    if found.delete.is_empty() && found.keep.is_empty() {
        return Ok(inventory::guard(&found, &last, rendered.len(), options.prune)?);
    }
    let owners = other_owners(cluster, request, &last, progress).await?;
    found = inventory::prune_candidates(&last, &rendered, &owners, options.prune);
    let mut removals = look_at_removals(cluster, kinds, options, &mut found, progress).await?;
    inventory::guard(&found, &last, rendered.len(), options.prune)?;
    // The app's own namespace goes last: inventory and lease live in it.
    removals.sort_by_key(|r| {
        let wave = wave(&r.id.group, &r.id.kind, r.resource.namespaced);
        (std::cmp::Reverse(wave), r.id.clone())
    });
    plan.removals = removals;
    plan.kept = found.keep;
    Ok(())
}

/// Fetches what would be deleted. Leaves in `found.delete` only what exists and may go.
async fn look_at_removals(
    cluster: &Cluster,
    kinds: &Kinds,
    options: &Options,
    found: &mut PrunePlan,
    progress: &Progress<'_>,
) -> Result<Vec<Removal>, ApplyError> {
    let candidates = std::mem::take(&mut found.delete);
    let looks = stream::iter(candidates).map(|(id, entry)| {
        async move {
            let gvk = Gvk { group: id.group.clone(), version: entry.version.clone(), kind: id.kind.clone() };
            let resource = kinds.find(&gvk).or_else(|| kinds.preferred(&id.group, &id.kind));
            let Some(resource) = resource else { return Ok((id, entry, None)) };
            let path = resource.object(&id.namespace, &id.name);
            match cluster.call_noting(&Call::get(path), &progress.retries(id.to_string())).await {
                Ok(answer) => Ok((id, entry, Some((resource.clone(), answer.body)))),
                Err(e) if e.is_not_found() => Ok((id, entry, None)),
                Err(e) => Err(e),
            }
        }
        .boxed()
    });
    let looked: Vec<_> = looks.buffer_unordered(options.concurrency.max(1)).try_collect().await?;
    let mut removals = Vec::new();
    for (id, entry, live) in looked {
        // Gone already, by hand or with its kind: nothing to do, and the inventory forgets it.
        let Some((resource, live)) = live else { continue };
        let mut managers = managers(&live);
        managers.retain(|m| m != NOBODY);
        if says_keep(&live) && !options.prune.protected {
            found.keep.insert(id, (entry, Kept::Marked));
        } else if !managers.is_empty() && !managers.iter().any(|m| m == MANAGER) {
            found.keep.insert(id, (entry, Kept::NotOurs(managers)));
        } else {
            let uid = text_at(&live, &["metadata", "uid"]).unwrap_or("").to_string();
            found.delete.insert(id.clone(), entry);
            removals.push(Removal { id, resource, uid, live });
        }
    }
    Ok(removals)
}

/// Objects by the other inventories that list them. Where the caller may not look into all
/// namespaces, those of the app's own objects must do; an inventory that cannot be read is warned of.
async fn other_owners(
    cluster: &Cluster,
    request: &Request,
    last: &Inventory,
    progress: &Progress<'_>,
) -> Result<BTreeMap<ObjectId, String>, ApplyError> {
    let selector = format!("labelSelector={}%3Dtrue", crate::client::encode(inventory::LABEL));
    let mut maps = Vec::new();
    match crate::watch::list(cluster, "/api/v1/configmaps", &selector).await {
        Ok((found, _)) => maps = found,
        Err(e) if e.is_forbidden() => {
            let mut namespaces: BTreeSet<&str> =
                last.objects.keys().map(|id| id.namespace.as_str()).filter(|n| !n.is_empty()).collect();
            namespaces.insert(&request.namespace);
            for namespace in namespaces {
                let path = format!("/api/v1/namespaces/{}/configmaps", crate::client::encode(namespace));
                match crate::watch::list(cluster, &path, &selector).await {
                    Ok((found, _)) => maps.extend(found),
                    Err(e) if e.is_forbidden() => progress.tell(Event::Warning(format!(
                        "may not list the inventories in {namespace}: an object that moved to another app there is not recognised"
                    ))),
                    Err(e) => return Err(e.into()),
                }
            }
        }
        Err(e) => return Err(e.into()),
    }
    let own = inventory::name_of(&request.app, &request.env);
    let mut owners = BTreeMap::new();
    for map in &maps {
        let text = |field| text_at(map, &["metadata", field]).unwrap_or("");
        if text("namespace") == request.namespace && text("name") == own {
            continue;
        }
        match Inventory::read(map) {
            Ok(other) => {
                let name = format!("{}/{}", text("namespace"), text("name"));
                owners.extend(other.objects.into_keys().map(|id| (id, name.clone())));
            }
            Err(e) => progress.tell(Event::Warning(format!("{}: {e}", text("namespace")))),
        }
    }
    Ok(owners)
}

/// Asks the server for one object: as it is, and as it would be.
async fn try_out(
    cluster: &Cluster,
    mut item: Item,
    missing_namespaces: &BTreeSet<String>,
    kinds_to_come: &BTreeSet<Gvk>,
    options: &Options,
    progress: &Progress<'_>,
) -> Result<Item, ApplyError> {
    if kinds_to_come.contains(&item.resource.gvk) {
        let reason = "its kind comes with a CustomResourceDefinition of this apply; not checked before";
        item.verdict = Verdict::Deferred(reason.into());
    } else if missing_namespaces.contains(&item.id.namespace) {
        item.verdict = try_elsewhere(cluster, &item, progress).await?;
    } else {
        item = try_in_place(cluster, item, options, progress).await?;
    }
    if let Verdict::Deferred(reason) = &item.verdict {
        progress.tell(Event::Deferred { object: item.id.clone(), reason: reason.clone() });
    }
    Ok(item)
}

async fn try_in_place(
    cluster: &Cluster,
    mut item: Item,
    options: &Options,
    progress: &Progress<'_>,
) -> Result<Item, ApplyError> {
    let note = progress.retries(item.id.to_string());
    let path = item.resource.object(&item.id.namespace, &item.id.name);
    item.live = match cluster.call_noting(&Call::get(path), &note).await {
        Ok(answer) => Some(answer.body),
        Err(e) if e.is_not_found() => None,
        Err(e) => return Err(e.into()),
    };
    let answer = cluster.call_noting(&apply_call(&item, true, options.force_conflicts), &note).await;
    match answer {
        Ok(Answer { body, warnings, .. }) => {
            for text in warnings {
                progress.tell(Event::Warning(format!("{}: {text}", item.id)));
            }
            item.verdict = compare(item.live.as_ref(), &body);
            // The ownership alone moves where nothing else changes.
            if item.verdict == Verdict::Unchanged && takes_over(&item, options) {
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
    Ok(item)
}

/// Tries an object out in the namespace `default`, as one that is created there: its namespace does
/// not exist yet. What depends on the namespace alone (permissions, quotas) decides nothing.
async fn try_elsewhere(
    cluster: &Cluster,
    item: &Item,
    progress: &Progress<'_>,
) -> Result<Verdict, ApplyError> {
    const ELSEWHERE: &str = "default";
    let mut object = item.object.clone();
    object["metadata"]["namespace"] = json!(ELSEWHERE);
    let path = item.resource.collection(ELSEWHERE);
    let query = format!("{path}?dryRun=All&fieldManager={MANAGER}&fieldValidation=Strict");
    let call = Call::new(Method::POST, query, Some(object), JSON);
    let because = format!("its namespace {} comes with this apply", item.id.namespace);
    match cluster.call_noting(&call, &progress.retries(item.id.to_string())).await {
        Ok(answer) => {
            for text in answer.warnings {
                progress.tell(Event::Warning(format!("{}: {text}", item.id)));
            }
            Ok(Verdict::Deferred(format!("{because}; checked in namespace {ELSEWHERE}")))
        }
        // An object of that name is there; it was checked before the names were compared.
        Err(e) if e.is_conflict() => {
            Ok(Verdict::Deferred(format!("{because}; checked in namespace {ELSEWHERE}")))
        }
        Err(ApiError::Refused(refusal)) if matches!(refusal.code, 400 | 422) => {
            Ok(match judge_refusal(&refusal) {
                Verdict::Refused(why) => {
                    Verdict::Refused(format!("{why} (checked in namespace {ELSEWHERE})"))
                }
                other => other,
            })
        }
        Err(ApiError::Refused(refusal)) if !refusal.is_passing() => {
            Ok(Verdict::Deferred(format!("{because}; not checked before ({refusal})")))
        }
        Err(e) => Err(e.into()),
    }
}

/// True for an object whose fields are to be taken over from kubectl's client-side apply.
pub(crate) fn takes_over(item: &Item, options: &Options) -> bool {
    options.force_conflicts && item.live.as_ref().is_some_and(takeover::is_client_side)
}

/// The request that applies an object.
pub(crate) fn apply_call(item: &Item, dry_run: bool, force: bool) -> Call {
    let path = item.resource.object(&item.id.namespace, &item.id.name);
    let dry = if dry_run { "&dryRun=All" } else { "" };
    let forced = if force { "&force=true" } else { "" };
    let query = format!("{path}?fieldManager={MANAGER}&fieldValidation=Strict{dry}{forced}");
    Call::new(Method::PATCH, query, Some(item.object.clone()), APPLY_PATCH)
}

#[cfg(test)]
mod tests;
