//! What an apply would do: every object tried out against the API server, nothing written.
//!
//! An object counts as unchanged when the server's answer to a dry-run apply equals what is there, the
//! fields that this program's manager owns included. An object whose namespace or kind the same apply
//! will bring cannot be tried out where it belongs; it is deferred, and checked in the namespace
//! `default` where that can be.

mod trial;
mod verdict;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use http::Method;
use serde_json::{Value, json};

use crate::adopt;
use crate::client::{APPLY_PATCH, Call, Cluster};
use crate::discovery::{Kinds, Resource, kinds_of_definition};
use crate::error::{ApplyError, Offence};
use crate::inventory::{self, Entry, Inventory, Kept, PrunePlan};
use crate::migration::{MIGRATIONS, Migrates};
use crate::object::{BadObject, Gvk, ObjectId, content_hash, group_of, managers, says_keep, text_at, wave};
use crate::record::Record;
use crate::report::{Event, Progress, Sink};
use crate::request::{Adopt, MANAGER, Options, Request, Scope};
use crate::revision::{self, Order};
use trial::Trial;

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
    /// What it migrates with, for a Job that is a migration.
    pub migrates: Option<Migrates>,
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
    /// The inventory as it is on the cluster.
    pub(crate) record: Record,
    /// True when the namespace of the app does not exist yet.
    pub(crate) namespace_is_new: bool,
    pub(crate) kinds_to_come: BTreeSet<Gvk>,
}

impl Plan {
    /// The inventory as it is; none before the first apply.
    pub fn inventory(&self) -> Option<&Inventory> {
        self.record.inventory.as_ref()
    }

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
    sink: Sink<'_>,
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
        plan.record = Record::read(cluster, &request.namespace, &request.app, &request.env).await?;
    }
    in_order(&plan, request, options, progress).await?;
    plan_prune(cluster, &kinds, request, options, &mut plan, progress).await?;
    let items = std::mem::take(&mut plan.items);
    let to_come = plan.kinds_to_come.clone();
    let trial = Trial { cluster, writer: &writer(cluster, request), options, progress, plan: &plan };
    let tries = stream::iter(items).map(|item| trial.item(item, &missing, &to_come, request).boxed());
    let mut items: Vec<Item> = tries.buffer_unordered(options.concurrency.max(1)).try_collect().await?;
    items.sort_by(|a, b| (a.wave, &a.id).cmp(&(b.wave, &b.id)));
    plan.items = items;
    if options.adopt == Adopt::Yes {
        let live = plan.items.iter().filter_map(|i| Some((&i.id, i.live.as_ref()?)));
        let controllers = adopt::live::at_work(cluster, &kinds, live).await?;
        if !controllers.is_empty() {
            return Err(ApplyError::LiveController { controllers });
        }
    }
    Ok(plan)
}

/// The cluster as objects are written to it.
pub(crate) fn writer(cluster: &Cluster, request: &Request) -> Cluster {
    request.act_as.as_ref().map_or_else(|| cluster.clone(), |account| cluster.acting_as(account))
}

/// Refuses what is older than what is applied, wholly or in part, and what is held back.
async fn in_order(
    plan: &Plan,
    request: &Request,
    options: &Options,
    progress: &Progress<'_>,
) -> Result<(), ApplyError> {
    let Some(inventory) = plan.inventory() else { return Ok(()) };
    let wanted = &request.revision;
    // Who rolls back wants the older one.
    if request.hold.is_some() {
        return Ok(());
    }
    if let Some(hold) = &inventory.held
        && !options.release_hold
        && (hold.render == request.digest() || hold.bad.commit == wanted.commit)
    {
        return Err(ApplyError::Held { wanted: wanted.clone(), hold: Box::new(hold.clone()) });
    }
    if options.allow_older || request.objects.is_empty() {
        return Ok(());
    }
    let applied = inventory.applying.iter().map(|r| (r, true)).chain([(&inventory.revision, false)]);
    for (applied, unfinished) in applied {
        let order = match (revision::order(applied, wanted), &options.ancestry) {
            (Some(order), _) => order,
            (None, Some(history)) => history.order(applied, wanted).await,
            (None, None) => Order::Unknown,
        };
        match order {
            Order::Same | Order::Newer => {}
            Order::Unknown if options.ancestry.is_some() => progress.tell(Event::Warning(format!(
                "whether {wanted} is newer than {applied}, which is applied, cannot be told"
            ))),
            // By hand, without a history: whoever applies knows what they do.
            Order::Unknown => {}
            Order::Older | Order::Diverged => {
                let (applied, wanted) = (Box::new(applied.clone()), Box::new(wanted.clone()));
                let diverged = order == Order::Diverged;
                return Err(ApplyError::Older { applied, unfinished, wanted, diverged });
            }
        }
    }
    Ok(())
}

/// Tries the objects out that could not be tried out before, now that their namespaces and kinds exist.
pub(crate) async fn try_deferred(
    cluster: &Cluster,
    request: &Request,
    options: &Options,
    plan: &mut Plan,
    progress: &Progress<'_>,
) -> Result<(), ApplyError> {
    let kinds = cluster.kinds().await?;
    let items = std::mem::take(&mut plan.items);
    let (none, no_kinds) = (BTreeSet::new(), BTreeSet::new());
    let trial = Trial { cluster, writer: &writer(cluster, request), options, progress, plan };
    let tries = stream::iter(items).map(|mut item| {
        if let Some(resource) = kinds.find(&item.resource.gvk) {
            item.resource = resource.clone();
        }
        let again = matches!(item.verdict, Verdict::Deferred(_)) && item.wave > 1;
        let (none, no_kinds, trial) = (&none, &no_kinds, &trial);
        async move { if again { trial.item(item, none, no_kinds, request).await } else { Ok(item) } }.boxed()
    });
    let mut items: Vec<Item> = tries.buffer_unordered(options.concurrency.max(1)).try_collect().await?;
    items.sort_by(|a, b| (a.wave, &a.id).cmp(&(b.wave, &b.id)));
    plan.items = items;
    Ok(())
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
    let mut offences = Vec::new();
    for object in &request.objects {
        let mut id = ObjectId::of(object)?;
        let gvk = Gvk::of(object).ok_or_else(|| bad(&id, "apiVersion and kind must name an API's kind"))?;
        let resource = kinds.find(&gvk);
        offences.extend(offence(request, &id, resource));
        let Some(resource) = resource else {
            skipped.push((id, gvk));
            continue;
        };
        let mut object = object.clone();
        place(&mut object, &mut id, resource, &request.namespace)?;
        let hash = request.hashes.get(&id).cloned().unwrap_or_else(|| content_hash(&object));
        let migrates = Migrates::of(&object);
        let wave = match &migrates {
            Some(_) => MIGRATIONS,
            None => wave(&id.group, &id.kind, resource.namespaced),
        };
        let (resource, verdict, id) = (resource.clone(), Verdict::Create, id.clone());
        let item = Item {
            id: id.clone(),
            object,
            resource,
            wave,
            hash,
            verdict,
            live: None,
            would_be: None,
            migrates,
        };
        if items.insert(id.clone(), item).is_some() {
            return Err(bad(&id, "it is rendered twice").into());
        }
    }
    if !offences.is_empty() {
        return Err(ApplyError::OutOfScope { offences });
    }
    if !skipped.is_empty() && !skip_missing {
        return Err(missing_kinds(&skipped, &kinds));
    }
    Ok(Plan {
        items: items.into_values().collect(),
        skipped,
        removals: Vec::new(),
        kept: BTreeMap::new(),
        record: Record::none(&request.namespace, &inventory::name_of(&request.app, &request.env)),
        namespace_is_new: false,
        kinds_to_come,
    })
}

/// What is wrong with where an object lies. A kind that the target does not know counts as namespaced:
/// it is not applied.
fn offence(request: &Request, id: &ObjectId, resource: Option<&Resource>) -> Option<Offence> {
    let Scope::Namespaces(more) = &request.scope else { return None };
    let namespaced = resource.is_none_or(|r| r.namespaced);
    let problem = if !namespaced {
        format!("{} is cluster-scoped, which {} may not bring", id.kind, request.app)
    } else if id.namespace.is_empty() || id.namespace == request.namespace || more.contains(&id.namespace) {
        return None;
    } else {
        format!("it lies in namespace {}, and {} in {}", id.namespace, request.app, request.namespace)
    };
    let placed = ObjectId { namespace: request.namespace.clone(), ..id.clone() };
    let file = request.files.get(id).or_else(|| request.files.get(&placed)).cloned();
    Some(Offence { object: id.clone(), file, problem })
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

async fn plan_prune(
    cluster: &Cluster,
    kinds: &Kinds,
    request: &Request,
    options: &Options,
    plan: &mut Plan,
    progress: &Progress<'_>,
) -> Result<(), ApplyError> {
    let Some(last) = plan.inventory().cloned() else { return Ok(()) };
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

/// How an object is taken over from other tools, where it is.
pub(crate) fn takes_over(item: &Item, options: &Options) -> Option<adopt::Migration> {
    adopt::migration(adopt::policy(options)?, item.live.as_ref()?, &item.object)
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
