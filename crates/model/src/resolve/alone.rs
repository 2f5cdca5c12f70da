//! Each file by itself: what is wrong in it whatever the layers above it set, and for every environment.

use super::{APP_FALLBACK, APP_RULES, PIN_FALLBACK, PLATFORM_FALLBACK, fallback, laws, names};
use crate::app::App;
use crate::decode::{Layered, decode, decode_layer};
use crate::pin::Pin;
use crate::problem::Problem;
use crate::profile::Platform;
use crate::repo::{AppFolder, Repo};
use crate::yaml::{Node, Tree};

impl Repo {
    /// Reads every file of the repository by itself, and puts misspelt keys right, so that one typo is one problem.
    pub(crate) fn check_alone(&mut self) {
        let app = fallback(APP_FALLBACK);
        let platform = fallback(PLATFORM_FALLBACK);
        let mut problems = Vec::new();
        let mut profile = None;
        if let Some(root) = &mut self.platform {
            let read = decode_layer::<Platform>(
                root,
                "Platform",
                platform.as_ref(),
                Layered { lowest: true, literal: &[] },
            );
            if let Some(profile) = &read.value {
                names::check_platform(profile, &read.tree, &mut problems);
            }
            // What was left out of it would be missed in the apps: one mistake is one problem.
            profile = if read.is_sound() { read.value } else { None };
            problems.extend(read.problems);
            if let Some(profile) = &mut profile {
                add_rows(profile, root);
            }
            let above = Layered { lowest: false, literal: &[] };
            for node in inner(root, "profile") {
                problems.extend(decode_layer::<Platform>(node, "profile", platform.as_ref(), above).problems);
            }
            for node in inner(root, "defaults") {
                problems.extend(decode_layer::<App>(node, "defaults", app.as_ref(), APP_LAYER).problems);
            }
        }
        for folder in self.apps.values_mut() {
            check_folder(folder, app.as_ref(), profile.as_ref(), &mut problems);
        }
        self.problems.extend(problems);
    }
}

/// Every layer of an app may remove what those below it set.
const APP_LAYER: Layered = Layered { lowest: false, literal: APP_RULES.literal };

/// Adds the sizes and identities that some environment has of its own.
fn add_rows(profile: &mut Platform, root: &Node) {
    for environment in root.get("environments").map(Node::entries).unwrap_or_default() {
        let own = environment.value.get("profile").map(|node| {
            let mut merged = Node { mark: node.mark.clone(), tree: node.tree.clone() };
            decode_layer::<Platform>(
                &mut merged,
                "profile",
                fallback(PLATFORM_FALLBACK).as_ref(),
                Layered { lowest: false, literal: &[] },
            )
        });
        if let Some(own) = own.and_then(|read| read.value) {
            profile.sizes.extend(
                own.sizes
                    .into_iter()
                    .filter(|(name, _)| !profile.sizes.contains_key(name))
                    .collect::<Vec<_>>(),
            );
            profile.identities.extend(own.identities);
        }
    }
}

fn check_folder(
    folder: &mut AppFolder,
    fallback_app: Option<&Node>,
    profile: Option<&Platform>,
    problems: &mut Vec<Problem>,
) {
    if let Some(node) = &mut folder.app {
        let read = decode_layer::<App>(node, "App", fallback_app, APP_LAYER);
        if let Some(app) = read.value.as_ref().filter(|_| read.is_sound()) {
            laws::alone(app, profile, &read.tree, problems);
        }
        problems.extend(read.problems);
    }
    for node in folder.envs.values_mut() {
        problems.extend(decode_layer::<App>(node, "App", fallback_app, APP_LAYER).problems);
    }
    for node in folder.pins.values() {
        problems.extend(decode::<Pin>(node.clone(), "Pin", fallback(PIN_FALLBACK).as_ref()).problems);
    }
}

/// The values of `key` in a profile and in its environments.
fn inner<'a>(root: &'a mut Node, key: &str) -> Vec<&'a mut Node> {
    let mut found = Vec::new();
    let Tree::Map(entries) = &mut root.tree else { return found };
    for entry in entries {
        match (entry.name() == key, entry.name()) {
            (true, _) => found.push(&mut entry.value),
            (false, "environments") => {
                let Tree::Map(environments) = &mut entry.value.tree else { continue };
                for environment in environments {
                    let Tree::Map(entries) = &mut environment.value.tree else { continue };
                    found.extend(entries.iter_mut().filter(|e| e.name() == key).map(|e| &mut e.value));
                }
            }
            (false, _) => {}
        }
    }
    found
}
