//! An app in one environment, with all that was said about it and where it was said.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::app::{App, Job, Resources, Size};
use crate::origin::{Origin, Origins};
use crate::pin::PinnedImage;
use crate::problem::{Kind, Problem};
use crate::profile::{Environment, Platform, Tier};
use crate::text::{FilePath, Name};
use crate::yaml::{Node, find};

/// An app in one environment: profile < app < environment < pin, merged.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What the team states, defaults of the profile and deltas of the environment merged in. Where nobody said
    /// anything the fields are empty: what holds then is the renderer's to derive.
    pub app: App,
    /// The environment's name.
    pub env: Name,
    /// The environment.
    pub environment: Environment,
    /// The profile, the environment's differences merged in.
    pub platform: Arc<Platform>,
    /// What the app's tier means.
    pub tier: Tier,
    /// CPU, memory and disk of one replica: the row of the table that `app.size` names, or its amounts.
    pub resources: Resources,
    /// The image that runs; `None`: nothing was pinned yet.
    pub image: Option<PinnedImage>,
    /// The configuration files' contents.
    pub files: BTreeMap<FilePath, String>,
    /// Paths (in the repository) of the encrypted files of this environment, by secret.
    pub secret_files: BTreeMap<Name, String>,
    /// Objects of the folder `extra/` that this environment gets, in the order of their files.
    pub extra: Vec<ExtraObject>,
    /// Where each value of `app` was set.
    pub origins: Origins,
    /// Where each value of `platform` was set.
    pub platform_origins: Arc<Origins>,
    /// The merged file, for problems that point into it.
    pub tree: Arc<Node>,
    /// Whether the file was good but for keys that nobody reads: then laws can be checked on it.
    pub sound: bool,
}

/// An object that the renderer passes through.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraObject {
    /// The object.
    pub object: Value,
    /// Where it begins.
    pub origin: Origin,
    /// The document as it was written, to find the places of its values.
    pub node: Arc<Node>,
}

/// The size of an app that names none.
pub const DEFAULT_SIZE: &str = "s";

impl Resolved {
    /// The namespace that the app runs in.
    pub fn namespace(&self) -> String {
        self.platform.namespace(&self.app.team, &self.app.name, &self.env)
    }

    /// Where the value at `path` (`scale.from`, `ports.http`) was set, or the nearest value that holds it.
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        self.origins.nearest(path)
    }

    /// A problem with the value at `path`, or with the nearest one around it.
    pub fn problem(&self, path: &[&str], message: impl Into<String>) -> Problem {
        Problem::at(find(&self.tree, path, false), Kind::Law, message)
    }

    /// CPU, memory and disk of a run of `job`.
    pub fn job_resources(&self, job: &Job) -> Resources {
        let row = |size: &Size| match size {
            Size::Explicit(resources) => Some(resources.clone()),
            Size::Named(name) => self.platform.sizes.get(name).cloned(),
        };
        job.size.as_ref().and_then(row).unwrap_or_else(|| self.resources.clone())
    }

    /// The least number of replicas that the tier demands here: 1 outside production.
    pub fn least_replicas(&self) -> u32 {
        if self.environment.production { self.tier.replicas } else { 1 }
    }
}
