//! `kiban image set --local`: images in any manifests, in place of `kubectl set image --local`; every byte but the
//! images' stays.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use kiban_delivery::image::ask::Ask;
use kiban_delivery::image::manifest::{self, Outcome};

use super::ask::Asked;
use super::{Set, write};
use crate::note;
use crate::{Exit, terminal};

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 32 << 20;

/// The deepest folder, the first not counted.
const MAX_DEPTH: usize = 32;

/// What is read, and where it is written back; `None`: nowhere, it came from standard input.
struct Text {
    name: String,
    path: Option<PathBuf>,
    text: String,
}

/// Sets. All errors end with 1, as kubectl's do.
pub(super) fn run(set: &Set) -> Exit {
    match change(set) {
        Ok(()) => Exit::Done,
        Err(error) => {
            let text = format!("{error:#}");
            note!("error: {}", text.strip_prefix("error: ").unwrap_or(&text));
            Exit::Found
        }
    }
}

fn change(set: &Set) -> anyhow::Result<()> {
    let asked = Asked::of(set)?;
    if let Some(folder) = &asked.folder {
        bail!("{:?} is no NAME=IMAGE; files and folders are given by -f", folder.display().to_string());
    }
    let asks: Vec<Ask> = asked.named.into_iter().chain(asked.built).collect();
    if asks.len() > 1 && asks.iter().any(|ask| ask.name == "*") {
        // As kubectl says it.
        bail!(
            "all containers are already specified by *, but saw more than one container_name=container_image pairs"
        );
    }
    let texts = read_all(&set.filename)?;
    let outcomes = set_all(&texts, &asks)?;
    let missing = missing(&asks, &outcomes);
    if !missing.is_empty() {
        // Nothing is written: half of it would be applied by whoever reads the pipe.
        let lines: Vec<String> =
            missing.iter().map(|name| format!("error: unable to find container named {name:?}")).collect();
        bail!("{}", lines.join("\n"));
    }
    let to_stdout = set.output.is_some() || texts.iter().all(|t| t.path.is_none());
    if to_stdout { print(&texts, &outcomes) } else { write_all(&texts, &outcomes) }
}

fn set_all(texts: &[Text], asks: &[Ask]) -> anyhow::Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    let mut wrong = Vec::new();
    for text in texts {
        match manifest::set(&text.name, &text.text, asks) {
            Ok(outcome) => outcomes.push(outcome),
            Err(problems) => wrong.extend(problems.iter().map(|p| format!("{p:#}"))),
        }
    }
    if wrong.is_empty() { Ok(outcomes) } else { Err(anyhow!("{}", wrong.join("\n"))) }
}

/// The names that nothing is called, each once. `*` is always found.
fn missing<'a>(asks: &'a [Ask], outcomes: &[Outcome]) -> BTreeSet<&'a str> {
    let found = |name: &str| outcomes.iter().any(|o| o.found.contains(name));
    asks.iter().map(|a| a.name.as_str()).filter(|name| *name != "*" && !found(name)).collect()
}

fn print(texts: &[Text], outcomes: &[Outcome]) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for (index, outcome) in outcomes.iter().enumerate() {
        let mut text = outcome.text.clone();
        let next = texts.get(index + 1).map(|t| t.text.trim_start_matches('\u{feff}'));
        if next.is_some() && !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        if next.is_some_and(|next| !next.starts_with("---") && !next.starts_with('%')) && !text.is_empty() {
            text.push_str("---\n");
        }
        match stdout.write_all(text.as_bytes()) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.context("cannot write to stdout")?,
        }
    }
    Ok(())
}

fn write_all(texts: &[Text], outcomes: &[Outcome]) -> anyhow::Result<()> {
    let mut changed = 0;
    // All or none, as far as can be told before.
    for (text, _) in texts.iter().zip(outcomes).filter(|(_, outcome)| !outcome.changes.is_empty()) {
        text.path.as_deref().map(write::target).transpose()?;
    }
    for (text, outcome) in texts.iter().zip(outcomes) {
        let Some(path) = &text.path else {
            bail!("standard input goes to standard output: say -o yaml, or leave out the files");
        };
        if outcome.changes.is_empty() {
            continue;
        }
        write::write(path, &outcome.text)?;
        for change in &outcome.changes {
            let from = if change.from.is_empty() { String::new() } else { format!("{} → ", change.from) };
            terminal::line(&format!("{}:{}: {from}{}", text.name, change.line, change.to));
        }
        changed += outcome.changes.len();
    }
    if changed == 0 {
        note!("nothing to change: the images are set already, or nothing has any");
    }
    Ok(())
}

fn read_all(names: &[String]) -> anyhow::Result<Vec<Text>> {
    let mut texts = Vec::new();
    for name in names {
        if name == "-" {
            let text = text(std::io::stdin().lock(), "STDIN")?;
            texts.push(Text { name: "STDIN".into(), path: None, text });
            continue;
        }
        let path = Path::new(name);
        if !path.exists() {
            // A link to nothing is named as what it is.
            write::target(path)?;
            bail!("the path {name:?} does not exist");
        }
        if path.is_dir() {
            let before = texts.len();
            folder(path, 0, &mut texts)?;
            // As kubectl says it.
            anyhow::ensure!(
                texts.len() > before,
                "error reading [{name}]: recognized file extensions are [.json .yaml .yml]"
            );
        } else {
            texts.push(file(path)?);
        }
    }
    Ok(texts)
}

/// YAML and JSON files below a folder in the order of their names. Links out of it and hidden folders are left out.
fn folder(path: &Path, depth: usize, texts: &mut Vec<Text>) -> anyhow::Result<()> {
    let cannot = || format!("cannot read {}", path.display());
    anyhow::ensure!(depth <= MAX_DEPTH, "{}: folders lie more than {MAX_DEPTH} deep", path.display());
    let entries: Result<Vec<_>, _> = std::fs::read_dir(path).with_context(cannot)?.collect();
    let mut paths: Vec<PathBuf> = entries.with_context(cannot)?.into_iter().map(|e| e.path()).collect();
    paths.sort();
    for path in paths.into_iter().filter(|p| !p.is_symlink()) {
        let hidden = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
        let is_ours = path.file_name().is_some_and(|n| n == "Kustomization")
            || path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json");
        if path.is_dir() && !hidden {
            folder(&path, depth + 1, texts)?;
        } else if path.is_file() && is_ours {
            texts.push(file(&path)?);
        }
    }
    Ok(())
}

fn file(path: &Path) -> anyhow::Result<Text> {
    let name = path.display().to_string();
    let opened = std::fs::File::open(path).with_context(|| format!("cannot read {name}"))?;
    Ok(Text { text: text(opened, &name)?, name, path: Some(path.to_owned()) })
}

fn text(reader: impl Read, name: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    reader.take(MAX_FILE + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {name}"))?;
    anyhow::ensure!(bytes.len() as u64 <= MAX_FILE, "{name} is larger than {MAX_FILE} bytes");
    String::from_utf8(bytes)
        .map_err(|e| anyhow!("{name} is no UTF-8 text (byte {})", e.utf8_error().valid_up_to()))
}
