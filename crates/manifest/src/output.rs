//! What a render returns: objects, findings, escape hatches, files.

use std::collections::BTreeMap;

use kiban_model::problem::Problem;
use kiban_model::repo::Repo;
use kiban_model::resolve::Resolution;
use kiban_model::yaml::to_yaml;
use serde_json::Value;

use crate::facts::Graph;
use crate::laws::{self, Finding, Severity};
use crate::render::{self, Object, Owner};
use crate::{extra, overrides};

/// The result of rendering one environment.
#[derive(Debug, Clone, Default)]
pub struct Rendered {
    /// The environment.
    pub env: String,
    /// All objects, in the order of their files.
    pub objects: Vec<Object>,
    /// What the laws found. With an error among them the objects must not be written or applied.
    pub findings: Vec<Finding>,
    /// How often the escape hatches were used.
    pub escapes: Escapes,
}

/// How often escape hatches were used: the platform's backlog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Escapes {
    /// Fields that apps override.
    pub overrides: usize,
    /// Objects that apps bring themselves.
    pub extra: usize,
}

impl Rendered {
    /// Findings that forbid writing and applying.
    pub fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error)
    }

    /// Findings that do not.
    pub fn warnings(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Warning)
    }

    /// Whether the objects may be written and applied.
    pub fn is_lawful(&self) -> bool {
        self.errors().next().is_none()
    }

    /// The objects of one app.
    pub fn of_app<'a>(&'a self, app: &'a str) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |object| matches!(&object.owner, Owner::App(name) if name == app))
    }

    /// The objects of the environment as a whole.
    pub fn of_platform(&self) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(|object| object.owner == Owner::Platform)
    }

    /// The files below `rendered/`: path to content, one object a file.
    pub fn files(&self) -> BTreeMap<String, String> {
        self.objects.iter().map(|object| (object.path(&self.env), to_yaml(&object.value()))).collect()
    }

    /// All objects as one YAML stream, in the order of their files.
    pub fn stream(&self) -> String {
        self.objects.iter().map(|object| format!("---\n{}", to_yaml(&object.value()))).collect()
    }

    /// All objects as JSON.
    pub fn values(&self) -> Vec<Value> {
        self.objects.iter().map(Object::value).collect()
    }
}

/// Renders the apps of an environment. Never fails: what is wrong is in [`Rendered::findings`].
pub fn render(resolution: &Resolution) -> Rendered {
    let graph = Graph::new(&resolution.apps);
    let mut findings = laws::on_apps(&graph, resolution);
    let mut objects = render::derived(&graph);
    let mut escapes = Escapes::default();
    for facts in &graph.apps {
        escapes.overrides += overrides::apply(facts, &mut objects, &mut findings);
        let brought = extra::of_app(facts, &mut findings);
        escapes.extra += brought.len();
        objects.extend(brought);
    }
    objects.extend(extra::of_platform(resolution, &mut findings));
    objects.sort_by_cached_key(|object| object.path(&resolution.env));
    findings.extend(laws::on_objects(&graph, resolution, &objects));
    laws::tidy(&mut findings);
    Rendered { env: resolution.env.to_string(), objects, findings, escapes }
}

/// Renders an environment of a repository.
///
/// # Errors
/// The problems of the files, when they do not resolve; laws are no errors here but findings of the
/// result.
pub fn render_repo(repo: &Repo, env: &str) -> Result<Rendered, Vec<Problem>> {
    repo.resolve(env).into_result().map(|resolution| render(&resolution))
}

/// Renders an environment of a repository for `apps` (all, where none is named): mistakes of apps that these have
/// nothing to do with are returned beside the result, and no finding of theirs is in it.
///
/// # Errors
/// As [`render_repo`].
pub fn render_apps(
    repo: &Repo,
    env: &str,
    apps: &[String],
) -> Result<(Rendered, Vec<Problem>), Vec<Problem>> {
    let (resolution, elsewhere) = repo.resolve(env).for_apps(repo, apps)?;
    let mut rendered = render(&resolution);
    rendered.findings.retain(|finding| {
        let folder = finding.problem.file.split('/').next().unwrap_or_default();
        apps.is_empty() || !repo.apps.contains_key(folder) || apps.iter().any(|app| app == folder)
    });
    Ok((rendered, elsewhere))
}

/// Reads rendered files back: what a commit or a folder holds, for a difference with a new render.
///
/// # Errors
/// The first file that is no YAML.
pub fn read_back<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Vec<Value>, Problem> {
    let mut objects = Vec::new();
    for (path, bytes) in files {
        objects.extend(kiban_model::yaml::manifests(path, bytes)?.into_iter().map(|manifest| manifest.value));
    }
    Ok(objects)
}
