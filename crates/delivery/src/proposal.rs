//! The words of a proposal: the pull request that brings an image into an environment. Pure.
//!
//! What others wrote (titles of commits and pull requests, findings) is quoted so that it mentions nobody, refers
//! to nothing and closes nothing; it is no part of the commit's message, where such words would work on a merge.

use std::fmt::Write as _;

use kiban_manifest::diff::{self, Change, code};

use crate::forge::{cut, mentionless};

/// Characters that a pull request's text has at most: GitHub's limit, less some room.
const MAX_BODY: usize = 65_000;

/// Bytes that the difference may take of it, grouped by risk, and field by field.
const DIFFERENCE: usize = 20_000;
const FIELDS: usize = 12_000;

/// Bytes that a list of commits or pull requests may take.
const LIST: usize = 8_000;

/// Characters of a title or a reason that are shown.
const MAX_TITLE: usize = 300;

/// Commits and pull requests that are listed.
const LISTED: usize = 50;

/// Warnings of the laws that are listed.
const WARNINGS: usize = 20;

/// Where the result of the dry run stands, so that the environment's server finds the place.
const DRY_RUN: [&str; 2] = ["<!-- kiban:dry-run -->", "<!-- /kiban:dry-run -->"];

/// A build of an app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// The repository of the image.
    pub repository: String,
    /// Its digest.
    pub digest: String,
    /// Its tag, as people call it.
    pub tag: Option<String>,
    /// The commit of the app that it was built from, as the image says.
    pub revision: Option<String>,
}

impl Build {
    /// As people call it: its tag, or the beginning of its digest.
    fn called(&self) -> String {
        match &self.tag {
            Some(tag) => tag.clone(),
            None => self.digest.chars().take("sha256:".len() + 12).collect(),
        }
    }
}

/// A commit of the app, or a pull request that was merged into it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// What it is called: a commit's id, a pull request's number.
    pub id: String,
    /// Its title, as somebody wrote it.
    pub title: String,
    /// Where people look at it; only `https://` and `http://` become links.
    pub link: Option<String>,
}

/// What the image holds that the one before did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum History {
    /// These, the newest first.
    Forward {
        /// Pull requests.
        pulls: Vec<Item>,
        /// Commits.
        commits: Vec<Item>,
        /// How many more commits there are; none where that is not known.
        more: Option<usize>,
    },
    /// The image is older than what it replaces: these go away.
    Backward {
        /// Commits that are no longer there, the newest first.
        commits: Vec<Item>,
    },
    /// Neither holds the other.
    Parted,
    /// The same commit, built again.
    Same,
    /// Nobody can tell, and why.
    Unknown(String),
}

/// What the laws say of the files after the change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Laws {
    /// How many were held against.
    pub held: usize,
    /// Findings that stop nothing.
    pub warnings: Vec<String>,
}

/// What a cluster says to the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DryRun {
    /// It would take all of it.
    Accepted {
        /// How many objects were tried.
        objects: usize,
        /// Of how many the kind or namespace is not there yet, so that they could not be.
        untried: usize,
    },
    /// It would refuse some of it: each with its reason.
    Refused(Vec<String>),
    /// It could not be tried, and why.
    Failed(String),
}

/// Everything that a proposal says.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts<'a> {
    /// The app.
    pub app: &'a str,
    /// The environment.
    pub env: &'a str,
    /// What is pinned now; none where the app is new there.
    pub before: Option<Build>,
    /// What is to be pinned.
    pub after: Build,
    /// What lies between the two.
    pub history: History,
    /// What changes in the app's manifests.
    pub changes: &'a [Change],
    /// What the laws say.
    pub laws: Laws,
    /// What the cluster says; none until the environment's server has tried.
    pub dry_run: Option<DryRun>,
}

/// The branch of a proposal: the same for each image, so that a newer one takes the place of an older one.
pub fn branch(env: &str, app: &str) -> String {
    format!("kiban/ship/{env}/{app}")
}

/// What a proposal's text begins with, by which it is found again. Shown nowhere.
pub fn marker(env: &str, app: &str) -> String {
    // Two hyphens would end the comment.
    let safe = |name: &str| name.replace("--", "-\u{200b}-").replace('>', "");
    format!("<!-- kiban:ship {}/{} -->", safe(env), safe(app))
}

/// The title of the pull request, and the first line of the commit's message.
pub fn title(facts: &Facts<'_>) -> String {
    let back = if matches!(facts.history, History::Backward { .. }) { "back to " } else { "" };
    format!("{}: {back}{} in {}", facts.app, facts.after.called(), facts.env)
}

/// The commit's message. Nothing in it was written by others: a forge would act on it once it is merged.
pub fn message(facts: &Facts<'_>) -> String {
    let mut out = format!("{}\n", title(facts));
    let line = |build: &Build| {
        let tag = build.tag.as_ref().map_or_else(String::new, |tag| format!(" ({tag})"));
        format!("{}@{}{tag}", build.repository, build.digest)
    };
    let _ = writeln!(out, "\nImage: {}", line(&facts.after));
    if let Some(before) = &facts.before {
        let _ = writeln!(out, "Replaces: {}", line(before));
    }
    if let Some(revision) = &facts.after.revision {
        let _ = writeln!(out, "Revision: {revision}");
    }
    out
}

/// The text of the pull request.
pub fn body(facts: &Facts<'_>) -> String {
    let mut out = format!("{}\n\n", marker(facts.env, facts.app));
    builds(&mut out, facts);
    let _ = writeln!(out, "\n### What the image brings\n");
    history(&mut out, &facts.history);
    let _ = writeln!(out, "\n### What changes in {}\n", code(facts.env));
    difference(&mut out, facts.changes);
    let _ = writeln!(out, "\n### Laws\n");
    laws(&mut out, &facts.laws);
    let _ = writeln!(out, "\n### Dry run\n");
    let (begin, end) = (DRY_RUN[0], DRY_RUN[1]);
    let _ = writeln!(out, "{begin}\n{}\n{end}", dry_run(facts.env, facts.dry_run.as_ref()));
    let _ = writeln!(
        out,
        "\nA newer image takes the place of this one here. Kiban does not touch the branch any more once it holds a commit of somebody else."
    );
    cut(&out, MAX_BODY)
}

/// A proposal's text with the result of a dry run; none where it has no place for one.
pub fn with_dry_run(body: &str, env: &str, result: &DryRun) -> Option<String> {
    let [begin, end] = DRY_RUN;
    // The last one: what is quoted above it may look like it.
    let (head, rest) = body.rsplit_once(begin)?;
    let (_, tail) = rest.split_once(end)?;
    Some(cut(&format!("{head}{begin}\n{}\n{end}{tail}", dry_run(env, Some(result))), MAX_BODY))
}

/// A part of a build that has a row of its own.
type Part = fn(&Build) -> Option<String>;

/// The rows of the table of builds.
const PARTS: [(&str, Part); 4] = [
    ("image", |build| Some(build.repository.clone())),
    ("tag", |build| build.tag.clone()),
    ("digest", |build| Some(build.digest.clone())),
    ("revision", |build| build.revision.clone()),
];

fn builds(out: &mut String, facts: &Facts<'_>) {
    // Code in a table ends at a bar, whatever stands around it.
    let cell = |build: Option<&Build>, part: Part| {
        build.and_then(part).map_or_else(|| "–".to_owned(), |text| code(&text.replace('|', "¦")))
    };
    let _ = writeln!(out, "| {} in {} | before | after |\n|---|---|---|", code(facts.app), code(facts.env));
    for (name, part) in PARTS {
        let (before, after) = (cell(facts.before.as_ref(), part), cell(Some(&facts.after), part));
        let _ = writeln!(out, "| {name} | {before} | {after} |");
    }
}

fn history(out: &mut String, history: &History) {
    match history {
        History::Forward { pulls, commits, more } => {
            if pulls.is_empty() && commits.is_empty() {
                let _ = writeln!(out, "No commit of the app: the image was built anew.");
            }
            items(out, pulls, Some(0));
            if !pulls.is_empty() && !commits.is_empty() {
                let _ = writeln!(out, "\n<details><summary>{}</summary>\n", count(commits.len(), "commit"));
                items(out, commits, *more);
                let _ = writeln!(out, "\n</details>");
            } else {
                items(out, commits, *more);
            }
        }
        History::Backward { commits } => {
            let _ = writeln!(
                out,
                "**This goes back**: the image is older than the one it replaces. No longer there:\n"
            );
            items(out, commits, Some(0));
        }
        History::Parted => {
            let _ = writeln!(
                out,
                "**The histories parted**: the new image was not built upon the commit of the old one, nor the old one upon its. What the old one holds may be missing in the new one."
            );
        }
        History::Same => {
            let _ = writeln!(out, "The same commit of the app, built again.");
        }
        History::Unknown(why) => {
            let _ = writeln!(out, "Not known: {}.", quoted(why.trim_end_matches('.')));
        }
    }
}

fn items(out: &mut String, items: &[Item], more: Option<usize>) {
    let (mut shown, mut spent) = (0, 0);
    for item in items.iter().take(LISTED) {
        let name = code(&item.id);
        let name = match item.link.as_deref().and_then(link) {
            Some(link) => format!("[{name}]({link})"),
            None => name,
        };
        let line = format!("- {name} {}\n", quoted(&item.title));
        spent += line.len();
        if spent > LIST {
            break;
        }
        out.push_str(&line);
        shown += 1;
    }
    let hidden = items.len().saturating_sub(shown);
    match more {
        Some(more) if hidden + more > 0 => {
            let _ = writeln!(out, "- … and {} more", hidden + more);
        }
        None => {
            let _ = writeln!(out, "- … and more");
        }
        Some(_) => {}
    }
}

fn difference(out: &mut String, changes: &[Change]) {
    if changes.is_empty() {
        let _ = writeln!(out, "Nothing but the pin: the manifests stay as they are.");
        return;
    }
    let _ = writeln!(out, "{}.", diff::summary(changes));
    let blast = diff::blast(changes);
    if blast.workloads > 0 {
        let node = if blast.every_node { ", some of them one on each node" } else { "" };
        let pods = count(usize::try_from(blast.pods).unwrap_or(usize::MAX), "pod");
        let _ = writeln!(out, "Replaces at least {pods} of {}{node}.", count(blast.workloads, "workload"));
    }
    let _ = writeln!(out, "\n{}", markerless(&diff::grouped(changes, DIFFERENCE)));
    let _ = writeln!(out, "<details><summary>Every field</summary>\n");
    let _ = writeln!(out, "{}\n</details>", markerless(&diff::fields(changes, FIELDS)));
}

/// Values of manifests that look like markers are none.
fn markerless(text: &str) -> String {
    text.replace("<!--", "<!\u{200b}--")
}

fn laws(out: &mut String, laws: &Laws) {
    let _ = writeln!(out, "All {} laws hold.", laws.held);
    for warning in laws.warnings.iter().take(WARNINGS) {
        let _ = writeln!(out, "- warning: {}", quoted(warning));
    }
    let more = laws.warnings.len().saturating_sub(WARNINGS);
    if more > 0 {
        let _ = writeln!(out, "- … and {} more", count(more, "warning"));
    }
}

fn dry_run(env: &str, result: Option<&DryRun>) -> String {
    match result {
        None => format!("Not there yet: the server of {} adds it.", code(env)),
        Some(DryRun::Accepted { objects, untried }) => {
            let later = match untried {
                0 => String::new(),
                untried => format!(
                    " {} could not be tried yet: their kind or namespace is not there.",
                    count(*untried, "more object")
                ),
            };
            format!("{} takes it: {} tried.{later}", code(env), count(*objects, "object"))
        }
        Some(DryRun::Refused(reasons)) => {
            let shown = reasons.iter().take(LISTED).map(|reason| format!("\n- {}", quoted(reason)));
            let more = reasons.len().saturating_sub(LISTED);
            let more = if more > 0 { format!("\n- … and {more} more") } else { String::new() };
            format!("**{} would refuse it:**\n{}{more}", code(env), shown.collect::<String>())
        }
        Some(DryRun::Failed(why)) => {
            format!("{} could not be asked: {}.", code(env), quoted(why.trim_end_matches('.')))
        }
    }
}

/// A text of others in one line that does nothing. Beyond what [`mentionless`] does, GitLab's references:
/// `!1` merge requests, `~label`, `%milestone`, `$snippet`, `&epic`, `^alert`.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let first = text.lines().next().unwrap_or_default();
    let short = match first.char_indices().nth(MAX_TITLE) {
        Some((end, _)) => format!("{}…", first.get(..end).unwrap_or_default()),
        None => first.to_owned(),
    };
    let line = mentionless(&short);
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        out.push(c);
        let reference = matches!(c, '!' | '~' | '%' | '$' | '^');
        let epic = c == ';' && out.ends_with("&amp;");
        if (reference || epic) && rest.peek().is_some_and(|next| !next.is_whitespace()) {
            out.push('\u{200b}');
        }
    }
    if out.is_empty() { "(no title)".to_owned() } else { out }
}

/// An address that can stand in Markdown's parentheses.
fn link(address: &str) -> Option<String> {
    let begins = address.starts_with("https://") || address.starts_with("http://");
    let plain =
        address.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>' | b'"' | b'\\' | b'`'));
    let safe = || address.replace('(', "%28").replace(')', "%29");
    (begins && plain && address.len() <= 2000).then(safe)
}

/// `1 pod`, `2 pods`.
fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

#[cfg(test)]
mod tests;
