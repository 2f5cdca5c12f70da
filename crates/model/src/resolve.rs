//! From files to apps in an environment: profile < app < environment < pin, on trees that know their places.

use std::sync::Arc;

use crate::app::App;
use crate::decode::decode;
use crate::origin::{Layer, Origin, Origins, child};
use crate::pin::{Pin, PinnedImage};
use crate::problem::{Kind, Problem, did_you_mean, tidy};
use crate::profile::{Environment, Platform};
use crate::repo::{AppFolder, ObjectFile, Repo};
use crate::resolved::{ExtraObject, Resolved};
use crate::text::Name;
use crate::yaml::{Entry, Mark, Node, Rules, ShortForm, Tree, merge, parse_one};

mod allow;
mod alone;
mod concern;
mod laws;
mod names;
#[cfg(test)]
pub(crate) mod tests;

/// All apps of a repository in one environment.
#[derive(Clone, Debug)]
pub struct Resolution {
    /// The environment's name.
    pub env: Name,
    /// The environment.
    pub environment: Environment,
    /// The profile, the environment's differences merged in.
    pub platform: Arc<Platform>,
    /// Where each value of `platform` was set.
    pub platform_origins: Arc<Origins>,
    /// The apps, by name.
    pub apps: Vec<Resolved>,
    /// Objects of `platform/` that this environment gets.
    pub platform_objects: Vec<ExtraObject>,
}

impl Resolution {
    /// The app called `name`.
    pub fn app(&self, name: &str) -> Option<&Resolved> {
        self.apps.iter().find(|r| r.app.name.as_str() == name)
    }
}

/// What became of a repository in one environment: what could be resolved, and all problems.
#[derive(Debug)]
pub struct Outcome {
    /// The apps; `None`: the profile or the environment is not good enough for any.
    pub resolution: Option<Resolution>,
    /// All problems, in the order of the files.
    pub problems: Vec<Problem>,
}

impl Outcome {
    /// The resolution, if nothing is wrong.
    ///
    /// # Errors
    /// All problems.
    pub fn into_result(self) -> Result<Resolution, Vec<Problem>> {
        match self.resolution {
            Some(resolution) if self.problems.is_empty() => Ok(resolution),
            _ => Err(self.problems),
        }
    }
}

/// How an app's layers are merged. A field of `override` that is null is to be removed from the object.
const APP_RULES: Rules = Rules {
    short_forms: &[
        ShortForm { path: &["ports", "*"], keys: &["port"] },
        ShortForm { path: &["scale"], keys: &["from", "to"] },
        ShortForm { path: &["health", "ready"], keys: &["path"] },
        ShortForm { path: &["health", "live"], keys: &["path"] },
        ShortForm { path: &["public"], keys: &["host"] },
        ShortForm { path: &["shutdown"], keys: &["drain"] },
        ShortForm { path: &["identity"], keys: &["role"] },
        ShortForm { path: &["writable", "*"], keys: &["size"] },
    ],
    literal: &["override"],
};
/// How a profile and what differs in an environment are merged.
const PROFILE_RULES: Rules = Rules {
    short_forms: &[
        ShortForm { path: &["entry"], keys: &["kind"] },
        ShortForm { path: &["mesh"], keys: &["kind"] },
    ],
    literal: &[],
};

/// Good values for what every app must say, so that the rest of a file is read where they are missing.
const APP_FALLBACK: &str =
    "{apiVersion: kiban.dev/v1, kind: App, name: unnamed, team: unnamed, tier: 4, image: unnamed/unnamed}";
const PLATFORM_FALLBACK: &str = "{apiVersion: kiban.dev/v1, kind: Platform, environments: {}}";
const PIN_FALLBACK: &str = "{apiVersion: kiban.dev/v1, kind: Pin, images: {}}";

fn fallback(text: &str) -> Option<Node> {
    parse_one("", text.as_bytes(), Layer::App).ok()
}

impl Repo {
    /// The environments that the profile names, as far as it can be read.
    pub fn environments(&self) -> Vec<String> {
        let environments = self.platform.as_ref().and_then(|p| p.get("environments"));
        environments.map(Node::entries).unwrap_or_default().iter().map(|e| e.name().to_owned()).collect()
    }

    /// All apps in the environment `env`.
    pub fn resolve(&self, env: &str) -> Outcome {
        let mut problems = self.problems.clone();
        let resolution = self.resolve_into(env, &mut problems);
        let known = self.environments();
        // Of a profile without environments that is said already.
        if self.platform.is_some() && !known.is_empty() && !known.iter().any(|k| k == env) {
            let hint = did_you_mean(env, known.iter().map(String::as_str));
            let message = format!("no environment {env:?}{hint} (there are: {})", known.join(", "));
            problems.push(Problem::of_file("platform.yaml", Kind::Value, message));
        }
        tidy(&mut problems);
        Outcome { resolution, problems }
    }

    /// All problems of the repository in all environments.
    pub fn check(&self) -> Vec<Problem> {
        let mut problems = self.problems.clone();
        let environments = self.environments();
        self.check_env_names(&environments, &mut problems);
        if environments.is_empty() {
            self.platform_of(None, &mut problems);
        }
        for env in &environments {
            self.resolve_into(env, &mut problems);
        }
        tidy(&mut problems);
        problems
    }

    /// Files of environments that the profile does not name.
    fn check_env_names(&self, known: &[String], problems: &mut Vec<Problem>) {
        if self.platform.is_none() {
            return;
        }
        let mut check = |env: &str, file: &str| {
            if !known.iter().any(|k| k == env) {
                let hint = did_you_mean(env, known.iter().map(String::as_str));
                let message = format!("platform.yaml names no environment {env:?}{hint}");
                problems.push(Problem::of_file(file, Kind::Layout, message));
            }
        };
        for app in self.apps.values() {
            for (env, node) in app.envs.iter().chain(&app.pins) {
                check(env, &node.mark.source.name);
            }
            for (env, files) in &app.secrets {
                files.values().for_each(|path| check(env, path));
            }
            for file in app.extra.iter() {
                file.env.iter().for_each(|env| check(env, &file.path));
            }
        }
        for file in &self.platform_objects {
            file.env.iter().for_each(|env| check(env, &file.path));
        }
    }

    fn resolve_into(&self, env: &str, problems: &mut Vec<Problem>) -> Option<Resolution> {
        let (platform, platform_origins) = self.platform_of(Some(env), problems)?;
        let (name, environment) = platform.environments.get_key_value(env)?;
        let (env, environment) = (name.clone(), environment.clone());
        let platform = Arc::new(platform);
        let platform_origins = Arc::new(platform_origins);
        let mut apps = Vec::new();
        let mut sound = true;
        for (folder, files) in &self.apps {
            let context = Context { env: &env, environment: &environment, platform: &platform };
            match self.app_of(&context, folder, files, Arc::clone(&platform_origins), problems) {
                Some((resolved, app_is_sound)) => {
                    sound &= app_is_sound;
                    apps.push(resolved);
                }
                None => sound = false,
            }
        }
        let known: Vec<&str> = self.apps.keys().map(String::as_str).collect();
        laws::check(&apps, &known, sound, problems);
        let platform_objects = objects_for(&self.platform_objects, &env, Layer::Profile);
        Some(Resolution { env, environment, platform, platform_origins, apps, platform_objects })
    }

    /// The profile as it holds in `env`.
    fn platform_of(&self, env: Option<&str>, problems: &mut Vec<Problem>) -> Option<(Platform, Origins)> {
        let root = self.platform.as_ref()?;
        let delta = env.and_then(|env| root.get("environments")?.get(env)?.get("profile"));
        let merged = match delta {
            Some(delta) => {
                if let Some(entry) = delta.entry("environments") {
                    let message = "an environment's profile cannot set environments";
                    problems.push(Problem::at(&entry.key.mark, Kind::Value, message));
                    return None;
                }
                let mut merged = merge(root, delta, &PROFILE_RULES, problems);
                merged.mark = root.mark.clone();
                merged
            }
            None => root.clone(),
        };
        let decoded = decode::<Platform>(merged, "Platform", fallback(PLATFORM_FALLBACK).as_ref());
        problems.extend(decoded.problems);
        let platform = decoded.value?;
        let origins = origins_of(&decoded.tree);
        names::check_platform(&platform, &decoded.tree, problems);
        Some((platform, origins))
    }

    /// The app of a folder in an environment, and whether laws can be checked on it.
    fn app_of(
        &self,
        context: &Context<'_>,
        folder: &str,
        files: &AppFolder,
        platform_origins: Arc<Origins>,
        problems: &mut Vec<Problem>,
    ) -> Option<(Resolved, bool)> {
        let app_node = files.app.as_ref()?;
        let (merged, merged_well) = self.merged(context, app_node, files, problems);
        let decoded = decode::<App>(merged, "App", fallback(APP_FALLBACK).as_ref());
        let sound = decoded.is_sound() && merged_well;
        problems.extend(decoded.problems);
        let (app, merged, filled) = (decoded.value?, decoded.tree, decoded.filled);
        let is_filled = |key: &str| filled.iter().any(|k| k == key);
        let mut origins = origins_of(&merged);
        if let Some(node) = app_node.get("name").filter(|_| app.name.as_str() != folder && !is_filled("name"))
        {
            let message =
                format!("name is {:?}, but the app's folder is called {folder:?}", app.name.as_str());
            problems.push(Problem::at(&node.mark, Kind::Law, message));
        }
        let platform = context.platform;
        let resources = laws::size(app.size.as_ref(), "size", platform, &merged, problems)?;
        // The table holds all four tiers, and no other number is read.
        let tier = platform.tiers.get(&app.tier).cloned()?;
        let image = match is_filled("image") {
            true => None,
            false => image_of(context.env, &app, files, &mut origins, problems),
        };
        let contents = laws::files(&app, files, &merged, problems);
        let names = files.secrets.get(context.env.as_str()).cloned().unwrap_or_default();
        let resolved = Resolved {
            env: context.env.clone(),
            environment: context.environment.clone(),
            platform: Arc::clone(platform),
            tier,
            resources,
            image,
            files: contents,
            secret_files: names
                .into_iter()
                .filter_map(|(n, path)| Some((Name::new(&n).ok()?, path)))
                .collect(),
            extra: objects_for(&files.extra, context.env, Layer::App),
            origins,
            platform_origins,
            tree: Arc::new(merged),
            sound,
            app,
        };
        Some((resolved, sound))
    }

    /// The layers of an app, one upon the other; false: what they set is not allowed.
    fn merged(
        &self,
        context: &Context<'_>,
        app: &Node,
        files: &AppFolder,
        problems: &mut Vec<Problem>,
    ) -> (Node, bool) {
        let before = problems.len();
        let mut tree = Node { mark: app.mark.clone(), tree: Tree::Map(Vec::new()) };
        let profile = self.platform.as_ref();
        let environment =
            profile.and_then(|p| p.get("environments")).and_then(|all| all.get(context.env.as_str()));
        for defaults in [profile, environment].into_iter().flatten().filter_map(|node| node.get("defaults")) {
            allow::check_defaults(defaults, problems);
            tree = merge(&tree, defaults, &APP_RULES, problems);
        }
        tree = merge(&tree, app, &APP_RULES, problems);
        if let Some(delta) = files.envs.get(context.env.as_str()) {
            let delta = allow::check_delta(delta, app, context.environment.allow.as_deref(), problems);
            tree = merge(&tree, &delta, &APP_RULES, problems);
        }
        tree.mark = app.mark.clone();
        (tree, problems.len() == before)
    }
}

/// What holds for all apps of an environment.
struct Context<'a> {
    env: &'a Name,
    environment: &'a Environment,
    platform: &'a Arc<Platform>,
}

/// The image that is pinned for an app.
fn image_of(
    env: &Name,
    app: &App,
    files: &AppFolder,
    origins: &mut Origins,
    problems: &mut Vec<Problem>,
) -> Option<PinnedImage> {
    let node = files.pins.get(env.as_str())?;
    let decoded = decode::<Pin>(node.clone(), "Pin", fallback(PIN_FALLBACK).as_ref());
    problems.extend(decoded.problems);
    let pin = decoded.value?;
    for entry in node.get("images").map(Node::entries).unwrap_or_default() {
        if entry.name() != app.image.as_str() && pin.images.contains_key(entry.name()) {
            let message = format!("the app's image is {:?}, not {:?}", app.image.as_str(), entry.name());
            problems.push(Problem::at(&entry.key.mark, Kind::Law, message));
        }
    }
    let version = pin.images.get(&app.image)?.clone();
    if let Some(entry) = node.get("images").and_then(|images| images.entry(&app.image)) {
        origins.insert("pin".into(), origin(&entry.key.mark));
    }
    Some(PinnedImage { repo: app.image.clone(), version })
}

fn objects_for(files: &[ObjectFile], env: &str, layer: Layer) -> Vec<ExtraObject> {
    let here = files.iter().filter(|f| f.env.as_deref().is_none_or(|e| e == env));
    let objects = here.flat_map(|f| &f.objects);
    objects
        .map(|m| {
            let origin = Origin { layer, ..origin(&m.mark) };
            ExtraObject { object: m.value.clone(), origin, node: Arc::clone(&m.node) }
        })
        .collect()
}

fn origin(mark: &Mark) -> Origin {
    Origin { file: mark.source.name.clone(), line: mark.line, column: mark.column, layer: mark.source.layer }
}

/// Where each value of a tree was set.
pub(crate) fn origins_of(root: &Node) -> Origins {
    fn walk(node: &Node, path: &str, origins: &mut Origins) {
        origins.insert(path.to_owned(), origin(&node.mark));
        for Entry { key, value } in node.entries() {
            walk(value, &child(path, key.text().unwrap_or_default()), origins);
        }
        for (index, item) in node.items().iter().enumerate() {
            walk(item, &format!("{path}[{index}]"), origins);
        }
    }
    let mut origins = Origins::default();
    walk(root, "", &mut origins);
    origins
}
