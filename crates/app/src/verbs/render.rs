//! `kiban render`: manifests to stdout, or to files that are reviewed.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use anyhow::Context;

use super::source::{self, Source, count};
use crate::note;
use crate::{Exit, terminal};

#[cfg(test)]
mod tests;

/// Arguments of `kiban render`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kiban render -e prod                       # a YAML stream on stdout\n  kiban render -e prod --out rendered/       # one object a file\n  kiban render -e prod --out rendered/ --check   # exit 1 if rendered/ is not current"
)]
pub struct Arguments {
    /// The environment; may be given more than once
    #[arg(short, long = "env", value_name = "ENV", required = true)]
    env: Vec<String>,
    /// Write one object a file below this folder instead of a stream to stdout
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write nothing; say which files below --out are not what would be written
    #[arg(long, requires = "out")]
    check: bool,
    #[command(flatten)]
    source: Source,
}

/// Renders.
pub fn run(arguments: &Arguments) -> Exit {
    render(arguments).unwrap_or_else(|exit| exit)
}

fn render(arguments: &Arguments) -> Result<Exit, Exit> {
    let repo = arguments.source.load()?;
    let mut all = Vec::new();
    for env in &arguments.env {
        all.push(source::render(&repo, env)?);
    }
    let Some(out) = &arguments.out else {
        let stream: String = all.iter().map(kiban_manifest::Rendered::stream).collect();
        return match std::io::stdout().write_all(stream.as_bytes()) {
            // A reader that has seen enough is no failure of ours.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(Exit::Done),
            written => Ok(written.map(|()| Exit::Done).context("cannot write to stdout")?),
        };
    };
    refuse_what_is_read(&arguments.source.dir, out)?;
    let mut stale = 0;
    for rendered in &all {
        let wanted = rendered.files();
        let folder = out.join(&rendered.env);
        let there = files_below(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let plan = Plan::of(out, &wanted, there)?;
        if arguments.check {
            plan.report();
            stale += plan.size();
        } else {
            plan.carry_out(&wanted, out)?;
            note!(
                "{}: {} ({} written, {} removed)",
                folder.display(),
                count(wanted.len(), "file"),
                plan.write.len(),
                plan.remove.len()
            );
        }
    }
    if stale > 0 {
        note!("{} not current: run `kiban render` with --out and without --check", count(stale, "file"));
        return Ok(Exit::Found);
    }
    Ok(Exit::Done)
}

/// Writes the files of some apps of an environment below `out`, and removes what is no longer rendered of them.
/// Nothing else is touched.
///
/// # Errors
/// Files that cannot be read or written.
pub fn write_apps(rendered: &kiban_manifest::Rendered, apps: &[String], out: &Path) -> anyhow::Result<()> {
    let folders: Vec<PathBuf> = apps.iter().map(|app| out.join(&rendered.env).join(app)).collect();
    let all = rendered.files();
    let its = |key: &String| folders.iter().any(|folder| place(out, key).starts_with(folder));
    let wanted: BTreeMap<String, String> = all.into_iter().filter(|(key, _)| its(key)).collect();
    let mut there = Vec::new();
    for folder in &folders {
        there.extend(files_below(folder).with_context(|| format!("cannot read {}", folder.display()))?);
    }
    let plan = Plan::of(out, &wanted, there)?;
    plan.carry_out(&wanted, out)?;
    for path in plan.write.iter().chain(&plan.remove) {
        note!("{} {}", path.display(), if plan.write.contains(path) { "written" } else { "removed" });
    }
    Ok(())
}

/// What must happen to the files below `rendered/<env>/`.
struct Plan {
    write: Vec<PathBuf>,
    remove: Vec<PathBuf>,
    paths: BTreeMap<PathBuf, String>,
}

impl Plan {
    fn of(out: &Path, wanted: &BTreeMap<String, String>, there: Vec<PathBuf>) -> anyhow::Result<Self> {
        let paths: BTreeMap<PathBuf, String> = wanted.keys().map(|k| (place(out, k), k.clone())).collect();
        let mut write = Vec::new();
        for (path, key) in &paths {
            let now = match std::fs::read(path) {
                Ok(bytes) => Some(bytes),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
                Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
            };
            if now.as_deref() != wanted.get(key).map(String::as_bytes) {
                write.push(path.clone());
            }
        }
        let remove = there.into_iter().filter(|p| !paths.contains_key(p)).collect();
        Ok(Self { write, remove, paths })
    }

    fn size(&self) -> usize {
        self.write.len() + self.remove.len()
    }

    fn report(&self) {
        for path in &self.write {
            let what = if path.exists() { "differs" } else { "is missing" };
            terminal::line(&format!("{} {what}", path.display()));
        }
        for path in &self.remove {
            terminal::line(&format!("{} is no longer rendered", path.display()));
        }
    }

    fn carry_out(&self, wanted: &BTreeMap<String, String>, out: &Path) -> anyhow::Result<()> {
        for path in &self.write {
            let text = self.paths.get(path).and_then(|key| wanted.get(key)).map_or("", String::as_str);
            let folder = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            terminal::write_whole(path, text, false)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        for path in &self.remove {
            std::fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
            remove_emptied(path, out);
        }
        Ok(())
    }
}

/// Removes the folders below `out` in which `path` was the last thing. A folder that holds something, or that
/// cannot be removed, stays: it is in nobody's way.
fn remove_emptied(path: &Path, out: &Path) {
    let folders = path.ancestors().skip(1).take_while(|folder| *folder != out && folder.starts_with(out));
    for folder in folders {
        if std::fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

/// Refuses an `out` inside of the repository `dir` that is not below its `rendered/`: what is written there would
/// be read as a team's own, and what lies there removed.
fn refuse_what_is_read(dir: &Path, out: &Path) -> Result<(), Exit> {
    let cannot = |path: &Path| format!("cannot find out where {} is", path.display());
    let root = std::fs::canonicalize(dir).with_context(|| cannot(dir))?;
    let place = whereabouts(out).with_context(|| cannot(out))?;
    match place.strip_prefix(&root) {
        Ok(inside) if !inside.starts_with("rendered") && !is_hidden(inside) => {
            Err(Exit::Usage(anyhow::anyhow!(
                "--out {}: the folder is part of the repository that is read; name {} or a folder outside of {}",
                out.display(),
                dir.join("rendered").display(),
                dir.display()
            )))
        }
        _ => Ok(()),
    }
}

/// Hidden folders are not read.
fn is_hidden(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."))
}

/// The absolute path of what need not be there yet: of what is there, links are followed.
fn whereabouts(path: &Path) -> std::io::Result<PathBuf> {
    let mut place = std::env::current_dir()?;
    for part in path.components() {
        match part {
            Component::ParentDir => drop(place.pop()),
            part => place.push(part),
        }
        match std::fs::canonicalize(&place) {
            Ok(followed) => place = followed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(place)
}

/// Keys begin with `rendered/`, which `--out` stands for.
fn place(out: &Path, key: &str) -> PathBuf {
    out.join(key.strip_prefix("rendered/").unwrap_or(key))
}

/// YAML files below a folder; none where it is not there. Others are not ours to remove.
fn files_below(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(files_below(&path)?);
        } else if path.extension().is_some_and(|e| e == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
