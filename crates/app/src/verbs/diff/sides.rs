//! The two sides of a comparison: what a commit holds, and what lies in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use kiban_delivery::content::git::{GitContent, Place};
use kiban_delivery::content::{Content, files_below, join};
use kiban_git::{Local, MergeBase, Oid, Task, id_from_hex};
use kiban_model::repo::{DirFiles, MemoryFiles, Repo};

/// The largest file that is read of a folder, in bytes: as of a commit.
const MAX_FILE: u64 = 4 << 20;

/// The largest object of a repository that is read.
const MAX_OBJECT: u64 = 64 << 20;

/// How deep folders are read.
const MAX_DEPTH: usize = 16;

/// Files by their paths in the manifest repository.
pub type Files = BTreeMap<String, Vec<u8>>;

/// One side.
pub enum Side {
    /// A commit, and where the manifest repository lies in it.
    Commit(GitContent, String),
    /// A folder as it lies there.
    Folder(PathBuf),
}

/// Both sides, and what people call them.
pub struct Sides {
    /// Before.
    pub base: Side,
    /// What the base is: `main (4f2a9c1e5b7d)`.
    pub base_name: String,
    /// After.
    pub head: Side,
    /// What the head is.
    pub head_name: String,
    /// What a reader should know of the choice of the base.
    pub note: Option<String>,
}

impl Sides {
    /// Finds both: `base` where the line of the head left it, the head a commit or the folder itself.
    ///
    /// # Errors
    /// No repository, no such commit.
    pub fn find(dir: &Path, base: &str, head: Option<&str>) -> anyhow::Result<Self> {
        let local = Arc::new(Local::discover(dir, MAX_OBJECT)?);
        let prefix = prefix(dir)?;
        let (wanted, tip) = (resolve(&local, base)?, resolve(&local, head.unwrap_or("HEAD"))?);
        let (at, note) = parting(&local, base, wanted, tip)?;
        let content = |id: Oid| GitContent::new(Place::Local(Arc::clone(&local)), id);
        let short = |id: Oid| id.to_hex_with_len(12).to_string();
        let (after, head_name) = match head {
            Some(name) => (Side::Commit(content(tip), prefix.clone()), format!("{name} ({})", short(tip))),
            None => (Side::Folder(dir.to_owned()), "the files as they lie here".to_owned()),
        };
        let base_name = format!("{base} ({})", short(at));
        Ok(Self { base: Side::Commit(content(at), prefix), base_name, head: after, head_name, note })
    }
}

/// The path of a folder in the repository that it lies in.
fn prefix(dir: &Path) -> anyhow::Result<String> {
    let dir = dir.canonicalize().with_context(|| format!("cannot find {}", dir.display()))?;
    let Some(root) = dir.ancestors().find(|folder| folder.join(".git").exists()) else {
        bail!("{} lies in no checkout: a bare repository has no files to compare", dir.display());
    };
    let parts = dir.strip_prefix(root).unwrap_or(Path::new("")).components();
    let parts: Vec<String> = parts.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    Ok(parts.join("/"))
}

/// The commit of a name, in git's order; a branch of the remote `origin` last, which is all that CI has.
fn resolve(local: &Local, name: &str) -> anyhow::Result<Oid> {
    let objects = local.objects();
    if let Some(id) = id_from_hex(name.as_bytes()) {
        return objects.peel(id).with_context(|| format!("{name} is not in this repository"));
    }
    let places = ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/", "refs/remotes/origin/"];
    for place in places {
        let full = format!("{place}{name}");
        let is_name = full.starts_with("refs/") && kiban_git::check_name(&full).is_ok();
        if (full == "HEAD" || is_name)
            && let Some(id) = local.resolve(&full)?
        {
            return Ok(objects.peel(id)?);
        }
    }
    bail!(
        "no branch, tag or commit is called {name:?} here (a commit by all of its 40 digits; fetch it first)"
    )
}

/// Where the head's line left the base's: what others did to the base since is no part of the change.
fn parting(local: &Local, name: &str, base: Oid, head: Oid) -> anyhow::Result<(Oid, Option<String>)> {
    let cut = format!(
        "history is cut off here, so this compares with the tip of {name}, not with where the branch left it"
    );
    Ok(match local.objects().merge_base(base, head, &Task::default()) {
        Ok(MergeBase::At(id)) => (id, None),
        Ok(MergeBase::None) => (base, Some(format!("nothing of {name}'s history is in the head's"))),
        Ok(MergeBase::Unknown) => (base, Some(cut)),
        Err(error) => return Err(error).context("cannot tell where the branch left its base"),
    })
}

impl Side {
    /// The environments that have something rendered.
    ///
    /// # Errors
    /// Folders that cannot be read.
    pub fn environments(&self) -> anyhow::Result<BTreeSet<String>> {
        match self {
            Self::Commit(content, prefix) => {
                let entries = content.folder(&below(prefix, "rendered"))?;
                Ok(entries.into_iter().filter(|entry| entry.is_folder).map(|entry| entry.name).collect())
            }
            Self::Folder(dir) => {
                let mut names = BTreeSet::new();
                for entry in entries(&dir.join("rendered"))? {
                    if entry.file_type()?.is_dir() {
                        names.insert(entry.file_name().to_string_lossy().into_owned());
                    }
                }
                Ok(names)
            }
        }
    }

    /// The manifests of an environment, by their paths from `rendered/` on.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn manifests(&self, env: &str) -> anyhow::Result<Files> {
        let folder = format!("rendered/{env}");
        let mut files = match self {
            Self::Commit(content, prefix) => of_commit(content, prefix, &folder)?,
            Self::Folder(dir) => {
                let mut files = Files::new();
                of_folder(&dir.join(&folder), &folder, 0, &mut files)?;
                files
            }
        };
        files.retain(|path, _| [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end)));
        Ok(files)
    }

    /// The manifest repository itself, to be rendered; none where it has no profile.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn repo(&self) -> anyhow::Result<Option<Repo>> {
        match self {
            Self::Folder(dir) => {
                let there = dir.join("platform.yaml").is_file();
                Ok(there.then(|| Repo::load(&DirFiles::new(dir))))
            }
            Self::Commit(content, prefix) => {
                if content.file(&below(prefix, "platform.yaml"))?.is_none() {
                    return Ok(None);
                }
                let mut files = Files::new();
                for entry in content.folder(prefix)? {
                    if entry.is_folder && entry.name != "rendered" {
                        files.extend(of_commit(content, prefix, &entry.name)?);
                    } else if !entry.is_folder {
                        let bytes = content.file(&below(prefix, &entry.name))?.unwrap_or_default();
                        files.insert(entry.name, bytes);
                    }
                }
                Ok(Some(Repo::load(&MemoryFiles(files))))
            }
        }
    }
}

/// A path of the manifest repository in the repository of git.
fn below(prefix: &str, path: &str) -> String {
    join(prefix, path)
}

fn of_commit(content: &GitContent, prefix: &str, folder: &str) -> anyhow::Result<Files> {
    let mut files = Files::new();
    for (path, _) in files_below(content, &below(prefix, folder))? {
        let bytes = content.file(&path)?.unwrap_or_default();
        let own = path.strip_prefix(prefix).unwrap_or(&path).trim_start_matches('/').to_owned();
        files.insert(own, bytes);
    }
    Ok(files)
}

/// The entries of a folder; none where it is not there.
fn entries(folder: &Path) -> anyhow::Result<Vec<std::fs::DirEntry>> {
    match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        read => {
            let read = read.with_context(|| format!("cannot read {}", folder.display()))?;
            Ok(read.collect::<Result<_, _>>().with_context(|| format!("cannot read {}", folder.display()))?)
        }
    }
}

fn of_folder(folder: &Path, name: &str, depth: usize, files: &mut Files) -> anyhow::Result<()> {
    for entry in entries(folder)? {
        let (path, kind) = (entry.path(), entry.file_type()?);
        let name = format!("{name}/{}", entry.file_name().to_string_lossy());
        if kind.is_symlink() {
            bail!("{name} is a symbolic link, which is not followed");
        } else if kind.is_dir() && depth < MAX_DEPTH {
            of_folder(&path, &name, depth + 1, files)?;
        } else if kind.is_file() {
            let size = entry.metadata()?.len();
            if size > MAX_FILE {
                bail!("{name} has {size} bytes, and {MAX_FILE} are read at most");
            }
            files.insert(
                name,
                std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?,
            );
        }
    }
    Ok(())
}
