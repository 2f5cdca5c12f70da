//! CustomResourceDefinitions: their names, when they are served, and what goes when they go.
//!
//! Contract: apiextensions-apiserver `pkg/controller/{status,establish,finalizer,apiapproval,nonstructuralschema}`.

use std::collections::BTreeSet;
use std::time::Duration;

use kiban_base::clock::Timestamp;
use kiban_kinds::custom::definition::Approval;
use serde_json::{Value, json};

use super::{Again, Controller, Ctx, Item, pods};
use crate::kind::{CustomName, KindId, custom_kind, kind_by_plural, well_known::DEFINITION};
use crate::object::Stored;
use crate::registry::{Actor, DeleteOptions, Part};
use crate::status::ApiError;
use crate::store::{Change, State};

/// Holds a definition until its objects are gone.
pub const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

/// How soon a definition whose objects are going is looked at again.
const RECHECK: Duration = Duration::from_millis(50);

/// Accepts names, establishes kinds, and deletes the objects of a definition that is deleted.
#[derive(Debug, Default)]
pub struct Definitions;

impl Controller for Definitions {
    fn name(&self) -> &'static str {
        "custom-resource-definitions"
    }

    fn watches(&self) -> Vec<KindId> {
        vec![*DEFINITION]
    }

    fn wakes(&mut self, state: &State, change: &Change, items: &mut Vec<Item>) {
        let item = |o: &Stored| Item { kind: *DEFINITION, key: o.key.clone() };
        items.push(item(&change.new));
        // Names that are free again may be another one's.
        if change.deleted {
            items.extend(state.objects(*DEFINITION).values().map(|o| item(o)));
        }
    }

    fn reconcile(&mut self, ctx: &Ctx<'_>, item: &Item) -> Result<Again, ApiError> {
        let state = ctx.state();
        let Some(stored) = state.get(*DEFINITION, &item.key) else { return Ok(None) };
        let definition = stored.value();
        if stored.deleting {
            return clean_up(ctx, &state, stored, &definition);
        }
        let finalizers = definition["metadata"]["finalizers"].as_array();
        if finalizers.is_none_or(|all| !all.iter().any(|f| f == CLEANUP)) {
            ctx.cluster.modify(*DEFINITION, &item.key, Part::Main, &actor(), |value| {
                let all = &mut value["metadata"]["finalizers"];
                match all.as_array_mut() {
                    Some(all) => all.push(CLEANUP.into()),
                    None => *all = json!([CLEANUP]),
                }
            })?;
        }
        let (names, conditions) = judge(&state, &item.key.name, &definition);
        let now = ctx.now;
        ctx.cluster.modify(*DEFINITION, &item.key, Part::Status, &actor(), |value| {
            value["status"]["acceptedNames"] = names.clone();
            for condition in &conditions {
                pods::set_condition(&mut value["status"], condition.clone(), now);
            }
        })?;
        Ok(None)
    }
}

/// Gives a new definition its names, conditions and finalizer before anybody can see it without: clients
/// that wait for a condition fail where there is no list of them yet.
pub(crate) fn admit(state: &State, definition: &mut Value, now: Timestamp) {
    let name = definition["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let (names, conditions) = judge(state, &name, definition);
    definition["metadata"]["finalizers"] = match definition["metadata"]["finalizers"].as_array() {
        Some(all) => all.iter().filter(|f| *f != CLEANUP).cloned().chain([CLEANUP.into()]).collect(),
        None => json!([CLEANUP]),
    };
    if !definition["status"].is_object() {
        definition["status"] = json!({});
    }
    definition["status"]["acceptedNames"] = names;
    for condition in conditions {
        pods::set_condition(&mut definition["status"], condition, now);
    }
}

fn actor() -> Actor {
    Actor::new("kube-apiserver")
}

fn is_true(definition: &Value, type_: &str) -> bool {
    let all = definition["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().any(|c| c["type"] == type_ && c["status"] == "True")
}

fn condition(type_: &str, status: bool, reason: &str, message: &str) -> Value {
    let status = if status { "True" } else { "False" };
    json!({"type": type_, "status": status, "reason": reason, "message": message})
}

/// The names that a definition gets, and its conditions.
fn judge(state: &State, name: &str, definition: &Value) -> (Value, Vec<Value>) {
    let (wanted, accepted) = (&definition["spec"]["names"], &definition["status"]["acceptedNames"]);
    let (resources, kinds) = taken(state, name, &definition["spec"]["group"]);
    let mut names = if accepted.is_object() { accepted.clone() } else { json!({}) };
    let mut conflict: Option<(&str, String)> = None;
    let one = |field: &str, used: &BTreeSet<String>| -> Option<String> {
        let asked = wanted[field].as_str().unwrap_or_default();
        (accepted[field] != wanted[field] && used.contains(asked))
            .then(|| format!("\"{asked}\" is already in use"))
    };
    for (field, used, reason) in
        [("plural", &resources, "PluralConflict"), ("singular", &resources, "SingularConflict")]
    {
        match one(field, used) {
            Some(why) => conflict = Some((reason, why)),
            None => names[field] = wanted[field].clone(),
        }
    }
    match short_names(wanted, accepted, &resources) {
        Some(why) => conflict = Some(("ShortNamesConflict", why)),
        None => set_or_drop(&mut names, "shortNames", &wanted["shortNames"]),
    }
    for (field, reason) in [("kind", "KindConflict"), ("listKind", "ListKindConflict")] {
        match one(field, &kinds) {
            Some(why) => conflict = Some((reason, why)),
            None => names[field] = wanted[field].clone(),
        }
    }
    set_or_drop(&mut names, "categories", &wanted["categories"]);
    if conflict.is_none() && !can_be_served(definition, &names) {
        conflict = Some((
            "PluralConflict",
            "a version of this resource is built in, or there are too many kinds".into(),
        ));
    }
    let mut conditions = vec![match &conflict {
        Some((reason, why)) => condition("NamesAccepted", false, reason, why),
        None => condition("NamesAccepted", true, "NoConflicts", "no conflicts found"),
    }];
    if is_true(definition, "Established") || conflict.is_none() {
        let message = "the initial names have been accepted";
        conditions.push(condition("Established", true, "InitialNamesAccepted", message));
    } else {
        conditions.push(condition("Established", false, "NotAccepted", "not all names are accepted"));
    }
    if let Some((state, why)) = Approval::of(definition) {
        let (status, reason) = match state {
            Approval::Approved => (true, "ApprovedAnnotation"),
            Approval::Bypassed => (false, "UnapprovedAnnotation"),
            Approval::Invalid => (false, "InvalidAnnotation"),
            Approval::Missing => (false, "MissingAnnotation"),
        };
        conditions.push(condition("KubernetesAPIApprovalPolicyConformant", status, reason, &why));
    }
    (names, conditions)
}

fn set_or_drop(names: &mut Value, field: &str, wanted: &Value) {
    match (wanted.is_null(), names.as_object_mut()) {
        (true, Some(map)) => drop(map.remove(field)),
        _ => names[field] = wanted.clone(),
    }
}

/// No version is one that is built in, and there are numbers left.
fn can_be_served(definition: &Value, names: &Value) -> bool {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let (group, plural) = (text(&definition["spec"]["group"]), text(&names["plural"]));
    let versions = definition["spec"]["versions"].as_array().into_iter().flatten();
    versions.map(|v| text(&v["name"])).all(|version| {
        let name = CustomName {
            group: group.clone(),
            version: version.clone(),
            plural: plural.clone(),
            kind: text(&names["kind"]),
            namespaced: definition["spec"]["scope"] == "Namespaced",
            subresources: Vec::new(),
        };
        kind_by_plural(&group, &version, &plural).is_none() && custom_kind(&name).is_some()
    })
}

fn short_names(wanted: &Value, accepted: &Value, used: &BTreeSet<String>) -> Option<String> {
    if wanted["shortNames"] == accepted["shortNames"] {
        return None;
    }
    let own = accepted["shortNames"].as_array().map(Vec::as_slice).unwrap_or_default();
    let asked = wanted["shortNames"].as_array().into_iter().flatten();
    let problems: Vec<String> = asked
        .filter(|n| !own.contains(n))
        .filter_map(Value::as_str)
        .filter(|n| used.contains(*n))
        .map(|n| format!("\"{n}\" is already in use"))
        .collect();
    match problems.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(format!("[{}]", many.join(", "))),
    }
}

/// The resource names and kinds that other definitions of a group have been given.
fn taken(state: &State, own: &str, group: &Value) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for other in state.objects(*DEFINITION).values().filter(|o| &*o.key.name != own) {
        // The name of a definition ends in its group, which saves reading those of other groups.
        if !group.as_str().is_some_and(|g| other.key.name.ends_with(g)) {
            continue;
        }
        let other = other.value();
        let names = &other["status"]["acceptedNames"];
        if other["spec"]["group"] != *group {
            continue;
        }
        let add = |set: &mut BTreeSet<String>, v: &Value| {
            set.extend(v.as_str().filter(|t| !t.is_empty()).map(str::to_owned))
        };
        add(&mut resources, &names["plural"]);
        add(&mut resources, &names["singular"]);
        names["shortNames"].as_array().into_iter().flatten().for_each(|n| add(&mut resources, n));
        add(&mut kinds, &names["kind"]);
        add(&mut kinds, &names["listKind"]);
    }
    (resources, kinds)
}

/// Deletes the objects of a definition, and lets it go when they are gone.
fn clean_up(ctx: &Ctx<'_>, state: &State, stored: &Stored, definition: &Value) -> Result<Again, ApiError> {
    let finalizers = definition["metadata"]["finalizers"].as_array();
    if finalizers.is_none_or(|all| !all.iter().any(|f| f == CLEANUP)) {
        return Ok(None);
    }
    let now = ctx.now;
    let say = |status: bool, reason: &str, message: &str| {
        let condition = condition("Terminating", status, reason, message);
        ctx.cluster.modify(*DEFINITION, &stored.key, Part::Status, &actor(), |value| {
            pods::set_condition(&mut value["status"], condition.clone(), now);
        })
    };
    let table = ctx.cluster.customs();
    let kept = table.of_definition(&stored.key).map(|c| c.kept);
    match kept.filter(|_| is_true(definition, "Established")) {
        Some(kept) => {
            say(true, "InstanceDeletionInProgress", "CustomResource deletion is in progress")?;
            for object in state.objects(kept).values().filter(|o| !o.deleting) {
                match ctx.cluster.delete(kept, &object.key, &DeleteOptions::default(), &actor()) {
                    Err(e) if e.code != 404 => return Err(e),
                    _ => {}
                }
            }
            if ctx.cluster.store().with(|s| !s.objects(kept).is_empty()) {
                return Ok(Some(RECHECK));
            }
            say(false, "InstanceDeletionCompleted", "removed all instances")?;
        }
        None => {
            say(false, "NeverEstablished", "resource was never established")?;
        }
    }
    ctx.cluster.modify(*DEFINITION, &stored.key, Part::Main, &actor(), |value| {
        if let Some(all) = value["metadata"]["finalizers"].as_array_mut() {
            all.retain(|f| f != CLEANUP);
        }
    })?;
    Ok(None)
}
