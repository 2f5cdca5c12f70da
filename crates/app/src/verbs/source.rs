//! What `render`, `diff`, `apply` and `explain` share: a manifest repository, rendered.

use std::path::PathBuf;

use kiban_manifest::{Rendered, render_repo};
use kiban_model::repo::{DirFiles, Files, Repo};

use crate::Exit;

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

/// Renders an environment, whatever the laws say of it. Problems go to stderr.
///
/// # Errors
/// Wrong files.
pub fn render_lawless(repo: &Repo, env: &str) -> Result<Rendered, Exit> {
    render_repo(repo, env).map_err(|problems| {
        for problem in &problems {
            eprintln!("{problem:#}");
        }
        Exit::Usage(anyhow::anyhow!("{} wrong in the files of {env}", count(problems.len(), "thing")))
    })
}

/// Renders an environment. Problems and findings go to stderr; with an error among them there is nothing
/// to go on with.
///
/// # Errors
/// Wrong files, or a broken law.
pub fn render(repo: &Repo, env: &str) -> Result<Rendered, Exit> {
    let rendered = render_lawless(repo, env)?;
    for finding in &rendered.findings {
        eprintln!("{finding:#}");
    }
    let errors = rendered.errors().count();
    if errors > 0 {
        return Err(Exit::Usage(anyhow::anyhow!("{} broken in {env}", count(errors, "law"))));
    }
    Ok(rendered)
}

/// Reads a repository and renders an environment of it.
///
/// # Errors
/// As [`Source::load`] and [`render`].
pub fn render_dir(source: &Source, env: &str) -> Result<Rendered, Exit> {
    render(&source.load()?, env)
}

/// `1 thing`, `2 things`.
pub fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
