//! What `render`, `diff`, `apply` and `explain` share: a manifest repository, rendered.

use std::path::PathBuf;

use kiban_manifest::{Rendered, render_apps};
use kiban_model::problem::Problem;
use kiban_model::repo::{DirFiles, Files, Repo};

use crate::Exit;
use crate::note;

/// Where the repository is.
#[derive(Debug, clap::Args)]
pub struct Source {
    /// The manifest repository: the folder with platform.yaml
    #[arg(value_name = "DIR", default_value = ".")]
    pub dir: PathBuf,
}

impl Source {
    /// Reads the repository.
    ///
    /// # Errors
    /// Where the folder is none, or has no profile.
    pub fn load(&self) -> Result<Repo, Exit> {
        if !self.dir.join("platform.yaml").is_file() {
            return Err(Exit::Usage(anyhow::anyhow!(
                "{} is no manifest repository: it has no platform.yaml (`kiban new` makes one)",
                self.dir.display()
            )));
        }
        Ok(read(&DirFiles::new(&self.dir)))
    }
}

/// Reads a repository from any files.
pub fn read(files: &dyn Files) -> Repo {
    Repo::load(files)
}

/// Renders an environment, whatever the laws say of it, for `apps` or for all. Problems go to stderr; those of
/// apps that these have nothing to do with as warnings.
///
/// # Errors
/// Wrong files.
pub fn render_lawless(repo: &Repo, env: &str, apps: &[String]) -> Result<Rendered, Exit> {
    let wrong = |problems: Vec<Problem>| {
        for problem in &problems {
            note!("{problem:#}");
        }
        Exit::Usage(anyhow::anyhow!("{} wrong in the files of {env}", count(problems.len(), "thing")))
    };
    let (rendered, elsewhere) = render_apps(repo, env, apps).map_err(wrong)?;
    for problem in &elsewhere {
        note!("warning: {problem:#}");
    }
    Ok(rendered)
}

/// Renders an environment for all its apps.
///
/// # Errors
/// As [`render_for`].
pub fn render(repo: &Repo, env: &str) -> Result<Rendered, Exit> {
    render_for(repo, env, &[])
}

/// Renders an environment for `apps`, or for all where none is named. Problems and findings go to stderr; with an
/// error among those that concern the apps there is nothing to go on with.
///
/// # Errors
/// Wrong files, or a broken law.
pub fn render_for(repo: &Repo, env: &str, apps: &[String]) -> Result<Rendered, Exit> {
    let rendered = render_lawless(repo, env, apps)?;
    for finding in &rendered.findings {
        note!("{finding:#}");
    }
    let errors = rendered.errors().count();
    if errors > 0 {
        return Err(Exit::Usage(anyhow::anyhow!("{} broken in {env}", count(errors, "law"))));
    }
    Ok(rendered)
}

/// Reads a repository and renders an environment of it for `apps`; for all, where none is named.
///
/// # Errors
/// As [`Source::load`] and [`render`].
pub fn render_dir_apps(source: &Source, env: &str, apps: &[String]) -> Result<Rendered, Exit> {
    render_for(&source.load()?, env, apps)
}

/// `1 thing`, `2 things`.
pub fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
