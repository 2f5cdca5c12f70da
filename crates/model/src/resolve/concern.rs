//! Whose problem it is: one app's mistakes are not in the way of another that is asked for by name.

use super::{Outcome, Resolution};
use crate::problem::{Kind, Problem};
use crate::repo::{AppFolder, Repo};

/// Keys from which objects of the environment as a whole follow: its namespaces, its priorities.
const SHARED: [&str; 4] = ["name", "team", "tier", "image"];

impl Outcome {
    /// The resolution where nothing is wrong that concerns `apps` (all, where none is named), and what is wrong
    /// elsewhere.
    ///
    /// A problem concerns an app if it is in the app's own files or in the profile; in files of an app that it may
    /// call or be called by, as far as their texts tell; or in files without which it is not known what the
    /// environment as a whole holds.
    ///
    /// # Errors
    /// All problems, where one concerns the apps.
    pub fn for_apps(self, repo: &Repo, apps: &[String]) -> Result<(Resolution, Vec<Problem>), Vec<Problem>> {
        let Some(resolution) = self.resolution else { return Err(self.problems) };
        let concerns = |problem: &Problem| {
            let folder = problem.file.split('/').next().unwrap_or_default();
            let Some(files) = repo.apps.get(folder) else { return true };
            apps.is_empty()
                || apps.iter().any(|app| app == folder)
                || !is_known(&resolution, folder, problem)
                || apps.iter().any(|app| {
                    let own = repo.apps.get(app);
                    mentions(files, app) || own.is_none_or(|own| mentions(own, folder))
                })
        };
        if self.problems.iter().any(concerns) {
            return Err(self.problems);
        }
        Ok((resolution, self.problems))
    }
}

/// Whether it is known what the app in `folder` adds to the environment, in spite of the problem.
fn is_known(resolution: &Resolution, folder: &str, problem: &Problem) -> bool {
    let layers = [format!("{folder}/app.yaml"), format!("{folder}/env/{}.yaml", resolution.env)];
    let is_unread = problem.kind == Kind::Syntax && layers.iter().any(|file| **file == *problem.file);
    // What stands in for a key that is missing comes from no file.
    let is_own = |key: &str| {
        let app = resolution.app(folder);
        app.and_then(|app| app.tree.get(key)).is_some_and(|node| !node.mark.source.name.is_empty())
    };
    !is_unread && SHARED.iter().all(|key| is_own(key))
}

/// Whether a file of an app names another one, be it in a comment.
fn mentions(files: &AppFolder, app: &str) -> bool {
    files.app.iter().chain(files.envs.values()).any(|node| node.mark.source.text.contains(app))
}
