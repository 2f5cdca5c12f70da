//! `kiban explain`: what a rendered value is, which rule set it, why, and who may change it.

use std::fmt;

use kiban_base::object::ObjectId;
use kiban_model::origin::Origin;
use kiban_model::problem::did_you_mean;
use serde_json::Value;

use crate::node::{Node, Source};
use crate::output::Rendered;
use crate::path::{self, Path, PathError};
use crate::render::{Object, Owner};
use crate::rules::Rule;

/// One value with its reason.
#[derive(Debug, Clone)]
pub struct Line {
    /// Where it is in the object.
    pub path: Path,
    /// The value.
    pub value: Value,
    /// The rule that set it.
    pub rule: &'static Rule,
    /// The line of the repository that it came from; `None`: the rule's own constant, or a default.
    pub origin: Option<Origin>,
}

/// The answer: one object, and every value at or below the path.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The object.
    pub object: ObjectId,
    /// Its file below `rendered/`.
    pub file: String,
    /// The path that was asked for; empty for the object as a whole.
    pub path: Path,
    /// The values, in the order of the file.
    pub lines: Vec<Line>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// No such app.
    #[error("no app {name:?}{hint}")]
    App {
        /// What was asked for.
        name: String,
        /// `; did you mean …?`
        hint: String,
    },
    /// The app has no object of that kind.
    #[error("{app} renders no {kind:?}{hint} (there are: {known})")]
    Kind {
        /// The app.
        app: String,
        /// What was asked for.
        kind: String,
        /// `; did you mean …?`
        hint: String,
        /// The kinds that there are.
        known: String,
    },
    /// Several objects are meant.
    #[error("which {kind}? There are {names}; write {kind}/<name>")]
    Several {
        /// The kind.
        kind: String,
        /// Their names.
        names: String,
    },
    /// The path leads nowhere.
    #[error("{at} has no {step:?}{hint} (there is: {known})")]
    Path {
        /// How far it led.
        at: String,
        /// The step that failed.
        step: String,
        /// `; did you mean …?`
        hint: String,
        /// What is there.
        known: String,
    },
    /// The path cannot be read.
    #[error(transparent)]
    Syntax(#[from] PathError),
}

/// Explains a path of an app's objects: `deployment.spec.template.spec.containers[orders].image`, a subtree, or a
/// kind alone. `platform` stands for the environment as a whole.
///
/// # Errors
/// When the app, the kind or the path does not exist; the message names what does.
pub fn explain(rendered: &Rendered, app: &str, query: &str) -> Result<Explanation, ExplainError> {
    let objects: Vec<&Object> =
        rendered.objects.iter().filter(|object| object.owner.folder() == app).collect();
    if objects.is_empty() {
        let apps = rendered.objects.iter().filter_map(|object| match &object.owner {
            Owner::App(name) => Some(name.as_str()),
            Owner::Platform => None,
        });
        return Err(ExplainError::App { name: app.to_owned(), hint: did_you_mean(app, apps) });
    }
    let (object, rest) = pick(&objects, app, query)?;
    let steps = path::parse(rest.strip_prefix('.').unwrap_or(rest))?;
    let value = object.value();
    let path = path::resolve(&value, &steps).map_err(|stuck| {
        let at = if stuck.at.0.is_empty() { object.kind().to_owned() } else { stuck.at.to_string() };
        let hint = did_you_mean(&stuck.step, stuck.known.iter().map(String::as_str));
        ExplainError::Path { at, step: stuck.step, hint, known: stuck.known.join(", ") }
    })?;
    Ok(Explanation {
        object: object.id(),
        file: object.path(&rendered.env),
        lines: lines(&object.node, &path),
        path,
    })
}

/// The object that a query begins with, and the rest of the query.
fn pick<'o, 'q>(
    objects: &[&'o Object],
    app: &str,
    query: &'q str,
) -> Result<(&'o Object, &'q str), ExplainError> {
    let end = query.find(['.', '[', '/']).unwrap_or(query.len());
    let (kind, rest) = query.split_at_checked(end).unwrap_or((query, ""));
    let wanted = kind.to_lowercase();
    let of_kind: Vec<&Object> =
        objects.iter().copied().filter(|object| is_called(&object.kind().to_lowercase(), &wanted)).collect();
    if of_kind.is_empty() {
        let mut known: Vec<String> = objects.iter().map(|object| object.kind().to_lowercase()).collect();
        known.dedup();
        let hint = did_you_mean(&wanted, known.iter().map(String::as_str));
        let known = known.join(", ");
        return Err(ExplainError::Kind { app: app.to_owned(), kind: kind.to_owned(), hint, known });
    }
    let several = || {
        let is_shared = |object: &Object| of_kind.iter().filter(|o| o.name() == object.name()).count() > 1;
        let name = |object: &&Object| match is_shared(object) {
            true => format!("{}/{}", object.namespace(), object.name()),
            false => object.name().to_owned(),
        };
        let names: Vec<String> = of_kind.iter().map(name).collect();
        ExplainError::Several { kind: kind.to_owned(), names: names.join(", ") }
    };
    if let Some(named) = rest.strip_prefix('/') {
        return by_name(&of_kind, app, named).ok_or_else(several);
    }
    // Without a name the object that is called like the app is meant, where there is one.
    let by_app = of_kind.iter().copied().find(|object| object.name() == app);
    let only = if let [only] = of_kind.as_slice() { Some(*only) } else { None };
    by_app.or(only).map(|object| (object, rest)).ok_or_else(several)
}

/// The object whose name (without the app's, if one likes; with its namespace, where several share it) the
/// text begins with; the longest one, as names may hold dots.
fn by_name<'o, 'q>(of_kind: &[&'o Object], app: &str, text: &'q str) -> Option<(&'o Object, &'q str)> {
    let short = format!("{app}-");
    let fits = |object: &&'o Object| {
        let own =
            text.strip_prefix(object.namespace()).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
        let names = [Some(object.name()), object.name().strip_prefix(&short)];
        let rests = names.into_iter().flatten().filter_map(|name| own.strip_prefix(name));
        let rest = rests
            .filter(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            .min_by_key(|rest| rest.len())?;
        Some((*object, rest))
    };
    let found: Vec<(&Object, &str)> = of_kind.iter().filter_map(fits).collect();
    let best = found.iter().map(|(_, rest)| rest.len()).min()?;
    let mut best = found.into_iter().filter(|(_, rest)| rest.len() == best);
    let first = best.next();
    if best.next().is_some() { None } else { first }
}

/// kubectl's short names and plurals of what is rendered.
const SHORT_NAMES: [(&str, &str); 12] = [
    ("deploy", "deployment"),
    ("svc", "service"),
    ("sa", "serviceaccount"),
    ("cm", "configmap"),
    ("hpa", "horizontalpodautoscaler"),
    ("pdb", "poddisruptionbudget"),
    ("netpol", "networkpolicy"),
    ("networkpolicies", "networkpolicy"),
    ("cj", "cronjob"),
    ("ing", "ingress"),
    ("vs", "virtualservice"),
    ("dr", "destinationrule"),
];

fn is_called(kind: &str, wanted: &str) -> bool {
    kind == wanted
        || wanted.strip_suffix('s') == Some(kind)
        || wanted.strip_suffix("es") == Some(kind)
        || SHORT_NAMES.iter().any(|(short, full)| *short == wanted && *full == kind)
}

fn lines(root: &Node, path: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    let Some(node) = root.at(&path.0) else { return lines };
    node.leaves(&mut |below: &Path, value: &Value, source: &Source| {
        let mut whole = path.clone();
        whole.0.extend(below.0.iter().cloned());
        lines.push(Line {
            path: whole,
            value: value.clone(),
            rule: source.rule,
            origin: source.origin.clone(),
        });
    });
    lines
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match &self.value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        writeln!(f, "{}: {value}", self.path)?;
        writeln!(f, "  rule    {}: {}", self.rule.id, self.rule.what)?;
        writeln!(f, "  why     {}", self.rule.why)?;
        match &self.origin {
            Some(origin) => writeln!(f, "  set in  {origin} ({} layer)", origin.layer)?,
            None => writeln!(f, "  set in  no file: it is the default")?,
        }
        for (index, who) in self.rule.who.iter().enumerate() {
            writeln!(f, "  {} {who}", if index == 0 { "change " } else { "       " })?;
        }
        Ok(())
    }
}

/// A kind or a subtree as one line a rule; a single value in full.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}  ({})", self.object, self.file)?;
        if let [line] = self.lines.as_slice() {
            return write!(f, "{line}");
        }
        let mut done: Vec<&str> = Vec::new();
        for line in &self.lines {
            if done.contains(&line.rule.id) {
                continue;
            }
            done.push(line.rule.id);
            writeln!(f, "\n{}: {}\n  {}", line.rule.id, line.rule.what, line.rule.why)?;
            for same in self.lines.iter().filter(|other| other.rule == line.rule) {
                let value = match &same.value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                let from = same.origin.as_ref().map(|o| format!("  <- {o}")).unwrap_or_default();
                writeln!(f, "    {}: {}{from}", same.path, shortened(&value))?;
            }
        }
        Ok(())
    }
}

fn shortened(value: &str) -> String {
    let line = value.replace('\n', "\\n");
    match line.char_indices().nth(100) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}
