//! A repository on this machine, bare or with a working folder: read where it lies, and written only by
//! adding objects and moving a ref under its lock, as git does.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::Oid;
use crate::error::Error;
use crate::files;
use crate::object::id_from_hex;
use crate::objects::Objects;
use crate::refs::{Refs, check_name};

/// A configuration file, or another small one.
const SMALL: u64 = 1 << 20;
/// The list of commits where history is cut off.
const SHALLOW: u64 = 64 << 20;

/// A repository that others use too.
#[derive(Debug)]
pub struct Local {
    objects: Objects,
    pub(crate) refs: Refs,
    bare: bool,
}

/// Makes an empty bare repository in a folder that is not there yet, with `branch` as its default one.
///
/// # Errors
/// Where something is there already, or the folder cannot be written.
pub fn init(path: &Path, branch: &str) -> Result<(), Error> {
    check_name(&format!("refs/heads/{branch}"))?;
    std::fs::create_dir(path).map_err(Error::io("create", path))?;
    for folder in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        let folder = path.join(folder);
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
    }
    let files = [
        ("config", "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n".to_owned()),
        // Last: with it, others take the folder for a repository.
        ("HEAD", format!("ref: refs/heads/{branch}\n")),
    ];
    for (name, text) in files {
        let file = path.join(name);
        std::fs::write(&file, text).map_err(Error::io("write", &file))?;
    }
    Ok(())
}

impl Local {
    /// Opens the repository in a folder: a bare one, or one with a working folder.
    ///
    /// # Errors
    /// Where there is none, or one that is kept in a form that is not read here (SHA-256, reftable).
    pub fn open(path: &Path, object_bytes: u64) -> Result<Self, Error> {
        let own = git_folder(path)?.ok_or_else(|| {
            let why = "it has no .git, and is no bare repository (objects, refs, HEAD) itself".to_owned();
            Error::NotARepository { path: path.to_owned(), why }
        })?;
        Self::of(own, object_bytes)
    }

    /// Opens the repository that a folder is in: its own, or the nearest one above.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn discover(path: &Path, object_bytes: u64) -> Result<Self, Error> {
        let absolute = std::path::absolute(path).map_err(Error::io("find", path))?;
        for folder in absolute.ancestors() {
            if let Some(own) = git_folder(folder)? {
                return Self::of(own, object_bytes);
            }
        }
        Err(Error::NotARepository {
            path: path.to_owned(),
            why: "neither it nor a folder above it has a .git".to_owned(),
        })
    }

    fn of(own: PathBuf, object_bytes: u64) -> Result<Self, Error> {
        let common = match line(&own.join("commondir"))? {
            Some(path) => own.join(path),
            None => own.clone(),
        };
        let config = Config::read(&common.join("config"))?;
        config.supported(&common)?;
        let bare = config
            .get("core", "bare")
            .map_or_else(|| common.file_name().is_none_or(|n| n != ".git"), |v| v == "true");
        let shallow = read_shallow(&common.join("shallow"))?;
        let objects = Objects::open(&common.join("objects"), shallow, object_bytes, true)?;
        Ok(Self { objects, refs: Refs { own, common }, bare })
    }

    /// Its objects.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Whether it has no working folder.
    pub fn is_bare(&self) -> bool {
        self.bare
    }

    /// The branch that is checked out, by its full name.
    ///
    /// # Errors
    /// Where HEAD cannot be read.
    pub fn head(&self) -> Result<Option<String>, Error> {
        self.refs.head()
    }

    /// The commit at a ref's full name, or at HEAD.
    ///
    /// # Errors
    /// Where the name is none, or the ref cannot be read.
    pub fn resolve(&self, name: &str) -> Result<Option<Oid>, Error> {
        self.refs.read(name)
    }

    /// All refs whose names begin with one of the prefixes. No prefix means all.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn refs(&self, prefixes: &[&str]) -> Result<Vec<(String, Oid)>, Error> {
        self.refs.list(prefixes)
    }

    /// The address that a remote has in the repository's configuration.
    ///
    /// # Errors
    /// Where the configuration cannot be read.
    pub fn remote_address(&self, name: &str) -> Result<Option<String>, Error> {
        let config = Config::read(&self.refs.common.join("config"))?;
        Ok(config.get(&format!("remote \"{name}\""), "url").map(str::to_owned))
    }
}

/// Where the repository of a folder lies, if it has one.
fn git_folder(path: &Path) -> Result<Option<PathBuf>, Error> {
    let inside = path.join(".git");
    if inside.is_dir() {
        return Ok(Some(inside));
    }
    if let Some(text) = line(&inside)? {
        // A working folder of several: the file says where its part of the repository lies.
        return Ok(text.strip_prefix("gitdir:").map(|to| path.join(to.trim())));
    }
    let bare = path.join("objects").is_dir() && path.join("refs").is_dir() && path.join("HEAD").is_file();
    Ok(bare.then(|| path.to_owned()))
}

fn line(path: &Path) -> Result<Option<String>, Error> {
    Ok(files::read(path, SMALL)?.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
}

/// Reads the list of commits where history is cut off.
pub(crate) fn read_shallow(path: &Path) -> Result<HashSet<Oid>, Error> {
    let text = files::read(path, SHALLOW)?.unwrap_or_default();
    Ok(text.split(|b| *b == b'\n').filter_map(id_from_hex).collect())
}

/// The settings of a repository. Included files are not read: nothing that is asked for may lie there.
pub(crate) struct Config(Vec<(String, String, String)>);

impl Config {
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let text = files::read(path, SMALL)?.unwrap_or_default();
        let (mut rows, mut section) = (Vec::new(), String::new());
        for line in String::from_utf8_lossy(&text).lines().map(str::trim) {
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
                section = match name.split_once(' ') {
                    // The name in quotes keeps its case.
                    Some((kind, name)) => format!("{} {}", kind.to_ascii_lowercase(), name.trim()),
                    None => name.to_ascii_lowercase(),
                };
            } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with(['#', ';']))
            {
                rows.push((
                    section.clone(),
                    key.trim().to_ascii_lowercase(),
                    value.trim().trim_matches('"').to_owned(),
                ));
            }
        }
        Ok(Self(rows))
    }

    /// The last value of a setting.
    pub(crate) fn get(&self, section: &str, key: &str) -> Option<&str> {
        self.0.iter().rev().find(|(s, k, _)| s == section && k == key).map(|(_, _, value)| value.as_str())
    }

    fn supported(&self, path: &Path) -> Result<(), Error> {
        let refuse = |why: String| Err(Error::NotARepository { path: path.to_owned(), why });
        match (self.get("extensions", "objectformat"), self.get("extensions", "refstorage")) {
            (Some(format), _) if format != "sha1" => {
                refuse(format!("its objects are named by {format}; only sha1 is read"))
            }
            (_, Some(refs)) if refs != "files" => refuse(format!(
                "its refs are kept as {refs}; only files are read (git refs migrate --ref-format=files)"
            )),
            _ => Ok(()),
        }
    }
}
