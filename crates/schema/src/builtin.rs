//! The checked-in type table of the built-in kinds, read once a process.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::table::{Field, Inline, Kind, ListKind, PatchStrategy, Schema, Shape, Type, TypeId};

/// The release whose types the table holds.
pub const RELEASE: &str = "1.37";

/// The notation that [`parse`] reads.
const FORMAT: &str = "1";

const TEXT: &str = include_str!("../generated/kubernetes-1.37.txt");

static BUILTIN: LazyLock<Schema> = LazyLock::new(|| {
    parse(TEXT).unwrap_or_else(|e| unreachable!("the checked-in type table does not parse: {e}"))
});

impl Schema {
    /// The types and kinds that are built into Kubernetes [`RELEASE`].
    pub fn builtin() -> &'static Schema {
        &BUILTIN
    }
}

/// What discovery says of a subresource: the kind that it speaks, and its verbs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subresource<'k> {
    /// Group of the kind that it speaks.
    pub group: &'k str,
    /// Version of that kind.
    pub version: &'k str,
    /// That kind; often the resource's own.
    pub kind: &'k str,
    /// Verbs, sorted.
    pub verbs: &'static [&'static str],
}

/// A subresource of a built-in kind by its name (`status`, `scale`, `eviction`, …).
pub fn subresource<'k>(kind: &'k Kind, name: &str) -> Option<Subresource<'k>> {
    if !kind.has_subresource(name) {
        return None;
    }
    const CHANGE: &[&str] = &["get", "patch", "update"];
    const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];
    let (group, version, spoken, verbs): (&str, &str, &str, &'static [&'static str]) =
        match (name, kind.kind.as_str()) {
            ("scale", _) => ("autoscaling", "v1", "Scale", CHANGE),
            ("eviction", _) => ("policy", "v1", "Eviction", &["create"]),
            ("binding", _) => ("", "v1", "Binding", &["create"]),
            ("token", _) => ("authentication.k8s.io", "v1", "TokenRequest", &["create"]),
            ("attach", _) => ("", "v1", "PodAttachOptions", &["create", "get"]),
            ("exec", _) => ("", "v1", "PodExecOptions", &["create", "get"]),
            ("portforward", _) => ("", "v1", "PodPortForwardOptions", &["create", "get"]),
            ("proxy", "Node") => ("", "v1", "NodeProxyOptions", PROXY),
            ("proxy", "Service") => ("", "v1", "ServiceProxyOptions", PROXY),
            ("proxy", _) => ("", "v1", "PodProxyOptions", PROXY),
            ("log", _) => (&kind.group, &kind.version, &kind.kind, &["get"]),
            ("finalize", _) => (&kind.group, &kind.version, &kind.kind, &["update"]),
            _ => (&kind.group, &kind.version, &kind.kind, CHANGE),
        };
    Some(Subresource { group, version, kind: spoken, verbs })
}

/// A line of the table that does not follow its notation.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("line {line}: {problem}: {text}")]
pub struct TableError {
    /// 1-based line number.
    pub line: usize,
    /// What is wrong with it.
    pub problem: &'static str,
    /// The line.
    pub text: String,
}

/// Reads the table's text; its head says what the notation is.
pub fn parse(text: &str) -> Result<Schema, TableError> {
    let mut reader = Reader::default();
    reader.declare(text);
    for (at, line) in text.lines().enumerate() {
        reader.line(line).map_err(|problem| TableError { line: at + 1, problem, text: line.to_owned() })?;
    }
    Ok(Schema::new(reader.types, reader.kinds))
}

#[derive(Default)]
struct Reader<'a> {
    /// Package abbreviations.
    prefixes: BTreeMap<&'a str, &'a str>,
    /// Every type by its abbreviated name: lines may name types that stand further down.
    ids: BTreeMap<&'a str, TypeId>,
    types: Vec<Type>,
    kinds: Vec<Kind>,
}

impl<'a> Reader<'a> {
    /// First pass: gives every type its id.
    fn declare(&mut self, text: &'a str) {
        let names = text.lines().filter_map(|l| l.strip_prefix("type ")?.split(' ').next());
        self.ids = (0u32..).zip(names).map(|(i, name)| (name, TypeId(i))).collect();
        self.types.reserve_exact(self.ids.len());
    }

    fn line(&mut self, line: &'a str) -> Result<(), &'static str> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some(part) = line.strip_prefix(" + ") {
            let (number, name) = part.split_once(' ').ok_or("inline without a type")?;
            let inline = Inline { proto: int(number)?, type_id: self.id(name)? };
            self.current()?.inline.push(inline);
            return Ok(());
        }
        if let Some(part) = line.strip_prefix(' ') {
            let field = self.field(part)?;
            self.current()?.fields.push(field);
            return Ok(());
        }
        let (word, rest) = line.split_once(' ').ok_or("a lone word")?;
        match word {
            "format" if rest == FORMAT => Ok(()),
            "format" => Err("another notation"),
            "release" if rest == RELEASE => Ok(()),
            "release" => Err("another release"),
            "prefix" => {
                let (short, full) = rest.split_once(' ').ok_or("prefix without a package")?;
                self.prefixes.insert(short, full);
                Ok(())
            }
            "kind" => self.kind(rest),
            "type" => self.begin_type(rest),
            _ => Err("unknown line"),
        }
    }

    fn current(&mut self) -> Result<&mut Type, &'static str> {
        self.types.last_mut().ok_or("part of no type")
    }

    fn id(&self, name: &str) -> Result<TypeId, &'static str> {
        self.ids.get(name).copied().ok_or("unknown type")
    }

    fn begin_type(&mut self, rest: &'a str) -> Result<(), &'static str> {
        let (name, words) = rest.split_once(' ').unwrap_or((rest, ""));
        let (package, short) = name.split_once('.').ok_or("type without a package")?;
        let package = self.prefixes.get(package).ok_or("unknown prefix")?;
        self.types.push(Type {
            name: format!("{package}.{short}"),
            atomic: words == "atomic",
            ..Type::default()
        });
        Ok(())
    }

    fn kind(&mut self, rest: &'a str) -> Result<(), &'static str> {
        let mut words = rest.split(' ');
        let mut next = || words.next().ok_or("too few words");
        let group = dash(next()?);
        let version = next()?;
        let name = next()?;
        let type_name = next()?;
        let plural = dash(next()?);
        let scope = next()?;
        let mut kind = Kind {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: name.to_owned(),
            plural: plural.to_owned(),
            singular: name.to_ascii_lowercase(),
            short_names: Vec::new(),
            categories: Vec::new(),
            namespaced: scope == "namespaced",
            verbs: Vec::new(),
            subresources: Vec::new(),
            type_id: self.id(type_name)?,
        };
        for word in words {
            let (key, value) = word.split_once('=').ok_or("word without a value")?;
            let values = value.split(',').map(str::to_owned).collect();
            match key {
                "verbs" => kind.verbs = values,
                "short" => kind.short_names = values,
                "categories" => kind.categories = values,
                "sub" => kind.subresources = values,
                _ => return Err("unknown word"),
            }
        }
        self.kinds.push(kind);
        Ok(())
    }

    fn field(&self, text: &'a str) -> Result<Field, &'static str> {
        // Enum values may hold spaces; they end the line.
        let (text, values) = match text.split_once(" enum=") {
            Some((text, values)) => (text, values.split('|').map(str::to_owned).collect()),
            None => (text, Vec::new()),
        };
        let mut words = text.split(' ');
        let mut next = || words.next().ok_or("too few words");
        let mut field = Field {
            name: next()?.to_owned(),
            proto: int(next()?)?,
            shape: self.shape(next()?, 0)?,
            values,
            ..Field::default()
        };
        for word in words {
            match word.split_once('=') {
                None => match word {
                    "required" => field.required = true,
                    "pointer" => field.pointer = true,
                    "always" => field.always = true,
                    "atomic" => field.atomic = true,
                    _ => return Err("unknown word"),
                },
                Some(("list", value)) => field.list = list_kind(value),
                Some(("patch", value)) => field.patch = strategy(value)?,
                Some(("key", value)) => field.merge_key = Some(value.to_owned()),
                Some(("go", value)) => field.go_type = Some(value.to_owned()),
                Some(("default", value)) => {
                    let value = serde_json::from_str(value).map_err(|_| "default is no JSON")?;
                    field.default = Some(value);
                }
                Some(_) => return Err("unknown word"),
            }
        }
        Ok(field)
    }

    fn shape(&self, text: &str, depth: u8) -> Result<Shape, &'static str> {
        if depth > 8 {
            return Err("shape too deep");
        }
        if let Some(item) = text.strip_prefix("[]") {
            return Ok(Shape::List(Box::new(self.shape(item, depth + 1)?)));
        }
        if let Some(value) = text.strip_prefix("{}") {
            return Ok(Shape::Map(Box::new(self.shape(value, depth + 1)?)));
        }
        Ok(match text {
            "string" => Shape::String,
            "bytes" => Shape::Bytes,
            "bool" => Shape::Bool,
            "int32" => Shape::Int32,
            "int64" => Shape::Int64,
            "float" => Shape::Float,
            "quantity" => Shape::Quantity,
            "intorstring" => Shape::IntOrString,
            "time" => Shape::Time,
            "microtime" => Shape::MicroTime,
            "duration" => Shape::Duration,
            "any" => Shape::Any,
            name => Shape::Object(self.id(name)?),
        })
    }
}

fn dash(word: &str) -> &str {
    if word == "-" { "" } else { word }
}

fn int(word: &str) -> Result<u32, &'static str> {
    word.parse().map_err(|_| "not a number")
}

fn list_kind(value: &str) -> ListKind {
    match value.strip_prefix("map:") {
        Some(keys) => ListKind::Map { keys: keys.split(',').map(str::to_owned).collect() },
        None if value == "set" => ListKind::Set,
        None => ListKind::Atomic,
    }
}

fn strategy(value: &str) -> Result<PatchStrategy, &'static str> {
    let mut out = PatchStrategy::default();
    for word in value.split(',') {
        match word {
            "merge" => out.merge = true,
            "retainKeys" => out.retain_keys = true,
            "replace" => out.replace = true,
            _ => return Err("unknown patch strategy"),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
