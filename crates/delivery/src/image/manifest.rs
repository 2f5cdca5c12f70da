//! Sets images in manifests that are not ours: containers as `kubectl set image` does, values with a mark of
//! Flux, kustomize's `images`. Every byte but the values' stays.

use std::collections::{BTreeMap, BTreeSet};

use kiban_base::image::Reference;
use kiban_model::problem::Problem;
use kiban_model::yaml::edit::{Change, Insert, Place, Scalars, Step, aliases, apply, beside, scalars};
use serde::Deserialize;

use super::ask::Ask;

/// A text with its images set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The text.
    pub text: String,
    /// What was found, changed or not: the names of the asks.
    pub found: BTreeSet<String>,
    /// What was changed.
    pub changes: Vec<Changed>,
}

/// One value that was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The line, from 1.
    pub line: u32,
    /// What stood there; empty where nothing did.
    pub from: String,
    /// What stands there now.
    pub to: String,
}

/// Where a pod's spec lies, seen from the object. Lists of objects hold them below `items`.
const POD_SPECS: [&[&str]; 3] =
    [&["spec"], &["spec", "template", "spec"], &["spec", "jobTemplate", "spec", "template", "spec"]];

/// The lists of containers whose images kubectl sets.
const CONTAINERS: [&str; 2] = ["containers", "initContainers"];

/// Sets the images that are asked for. Documents without any of them stay as they are.
///
/// # Errors
/// What is no YAML, and images that cannot be changed by themselves, each with its place.
pub fn set(file: &str, text: &str, asks: &[Ask]) -> Result<Outcome, Vec<Problem>> {
    let scalars = scalars(file, text).map_err(|problem| vec![problem])?;
    let mut work =
        Work { scalars: &scalars, edits: BTreeMap::new(), inserts: Vec::new(), outcome: Outcome::default() };
    for ask in asks {
        work.containers(ask);
        work.marks(ask);
        work.kustomize(ask);
    }
    work.finish()
}

struct Work<'a> {
    scalars: &'a Scalars,
    /// New values, by the index of their place.
    edits: BTreeMap<usize, String>,
    inserts: Vec<Insert>,
    outcome: Outcome,
}

impl<'a> Work<'a> {
    fn places(&self) -> impl Iterator<Item = (usize, &'a Place)> + use<'a> {
        self.scalars.places.iter().enumerate()
    }

    fn edit(&mut self, ask: &Ask, index: usize, value: String) {
        self.outcome.found.insert(ask.name.clone());
        self.edits.insert(index, value);
    }

    /// Containers by their name.
    fn containers(&mut self, ask: &Ask) {
        let names: BTreeMap<(usize, &[Step]), &str> = self
            .places()
            .filter(|(_, place)| place.ends_with(&["name"]) && is_container(&place.path))
            .map(|(_, place)| ((place.document, parent(&place.path)), place.text.as_str()))
            .collect();
        let images: Vec<usize> = self
            .places()
            .filter(|(_, place)| place.ends_with(&["image"]) && is_container(&place.path))
            .filter(|(_, place)| {
                ask.name == "*"
                    || names.get(&(place.document, parent(&place.path))) == Some(&ask.name.as_str())
            })
            .map(|(index, _)| index)
            .collect();
        for index in images {
            self.edit(ask, index, ask.image.to_string());
        }
    }

    /// Values with a mark of Flux behind them (fluxcd/website: `guides/image-update.md`).
    fn marks(&mut self, ask: &Ask) {
        for (index, place) in self.places() {
            let Some(mark) = self.mark(place) else { continue };
            let (policy, part) = split_mark(&mark);
            if policy != ask.name {
                continue;
            }
            if let Some(value) = part_of(&ask.image, part) {
                self.edit(ask, index, value);
            }
        }
    }

    fn mark(&self, place: &Place) -> Option<String> {
        #[derive(Deserialize)]
        struct Mark {
            #[serde(rename = "$imagepolicy")]
            policy: String,
        }
        let comment = self.scalars.source.text.get(self.scalars.comment_after(place)?)?;
        let json = comment.get(comment.find('{')?..)?;
        serde_json::from_str::<Mark>(json).ok().map(|mark| mark.policy)
    }

    /// Entries of kustomize's `images` (kubernetes-sigs/kustomize: `api/types/image.go`).
    fn kustomize(&mut self, ask: &Ask) {
        let entries: Vec<(usize, &Place)> = self
            .places()
            .filter(|(_, p)| p.path.len() == 3 && p.key(0) == Some("images") && p.ends_with(&["*", "name"]))
            .filter(|(_, p)| p.text == ask.name && self.is_kustomization(p.document))
            .collect();
        for (index, name) in entries {
            self.outcome.found.insert(ask.name.clone());
            let repository = ask.image.repository();
            let fields = [
                ("newName", (repository != name.text).then_some(repository)),
                ("newTag", ask.image.tag.clone()),
                ("digest", ask.image.digest.clone()),
            ];
            for (key, value) in fields {
                self.kustomize_field(index, name, key, value);
            }
        }
    }

    fn kustomize_field(&mut self, index: usize, name: &Place, key: &str, value: Option<String>) {
        let is_it = |p: &Place| {
            p.document == name.document && parent(&p.path) == parent(&name.path) && p.ends_with(&[key])
        };
        let there = self.places().find(|(_, p)| is_it(p)).map(|(at, _)| at);
        match (there, value) {
            (Some(at), Some(value)) => {
                self.edits.insert(at, value);
            }
            (None, Some(value)) => {
                let place = self.scalars.places.get(index).unwrap_or(name);
                self.inserts.push(beside(self.scalars, place, key, &value, None));
                self.outcome.changes.push(Changed {
                    line: place.line.saturating_add(1),
                    from: String::new(),
                    to: format!("{key}: {value}"),
                });
            }
            // A name that is the entry's own needs none; a tag without a digest must not leave the old digest.
            (Some(at), None) => {
                self.edits.insert(at, if key == "newName" { name.text.clone() } else { String::new() });
            }
            (None, None) => {}
        }
    }

    fn is_kustomization(&self, document: usize) -> bool {
        let kind = self
            .places()
            .find(|(_, p)| p.document == document && p.path.len() == 1 && p.key(0) == Some("kind"));
        match kind {
            Some((_, place)) => matches!(place.text.as_str(), "Kustomization" | "Component"),
            None => {
                let file = self.scalars.source.name.rsplit('/').next().unwrap_or_default();
                matches!(file, "kustomization.yaml" | "kustomization.yml" | "Kustomization")
            }
        }
    }

    fn finish(mut self) -> Result<Outcome, Vec<Problem>> {
        let problems = self.conflicts();
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut changes = Vec::new();
        for (index, value) in &self.edits {
            let Some(place) = self.scalars.places.get(*index) else { continue };
            // The anchor is set to the same: its alias follows.
            let follows = place.alias.is_some_and(|id| {
                self.edits.iter().any(|(other, v)| {
                    v == value && self.scalars.places.get(*other).is_some_and(|p| p.anchor == Some(id))
                })
            });
            if follows || (place.text == *value && place.alias.is_none()) {
                continue;
            }
            self.outcome.changes.push(Changed {
                line: place.line,
                from: place.text.clone(),
                to: value.clone(),
            });
            changes.push(Change { place, value, comment: None });
        }
        self.outcome.text = apply(self.scalars, &changes, &self.inserts).map_err(|problem| vec![problem])?;
        self.outcome.changes.sort_by_key(|change| change.line);
        Ok(self.outcome)
    }

    /// Values that others follow by an alias and that are not asked for: they would change unasked.
    fn conflicts(&self) -> Vec<Problem> {
        let aliases = aliases(&self.scalars.places);
        let mut problems = Vec::new();
        for (index, value) in &self.edits {
            let Some(place) = self.scalars.places.get(*index) else { continue };
            if place.text == *value {
                continue;
            }
            let Some(followers) = place.anchor.and_then(|id| aliases.get(&id)) else { continue };
            for follower in followers {
                let asked = self
                    .places()
                    .any(|(at, p)| p.range == follower.range && self.edits.get(&at) == Some(value));
                if !asked {
                    let message = format!(
                        "the value in line {} is this one by its anchor, and nothing asks to change that: write it out there first",
                        follower.line
                    );
                    problems.push(self.scalars.problem(place, message));
                }
            }
        }
        problems
    }
}

/// Whether a path leads to a field of a container of a pod's spec.
fn is_container(path: &[Step]) -> bool {
    let path = match path {
        // Objects in a list.
        [Step::Key(items), Step::Item(_), rest @ ..] if items.as_ref() == "items" => rest,
        _ => path,
    };
    POD_SPECS.iter().any(|spec| {
        path.len() == spec.len() + 3
            && path.iter().zip(*spec).all(|(step, key)| matches!(step, Step::Key(k) if k.as_ref() == *key))
            && matches!(path.get(spec.len()), Some(Step::Key(list)) if CONTAINERS.contains(&list.as_ref()))
            && matches!(path.get(spec.len() + 1), Some(Step::Item(_)))
    })
}

fn parent(path: &[Step]) -> &[Step] {
    path.split_last().map_or(&[], |(_, parent)| parent)
}

/// The policy of a mark (`namespace:name`), and the part of the image that it asks for.
fn split_mark(mark: &str) -> (&str, Option<&str>) {
    match mark.match_indices(':').nth(1) {
        Some((at, _)) => (mark.get(..at).unwrap_or_default(), mark.get(at + 1..)),
        None => (mark, None),
    }
}

/// The part of an image that a mark asks for; none where the image does not have it.
fn part_of(image: &Reference, part: Option<&str>) -> Option<String> {
    match part {
        None => Some(image.to_string()),
        Some("name") => Some(image.repository()),
        Some("tag") => image.tag.clone(),
        Some("digest") => image.digest.clone(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests;
