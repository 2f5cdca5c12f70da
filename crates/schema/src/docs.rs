//! What types and fields mean, in our own words, for `kubectl explain`.
//!
//! The texts lie in `docs/words.txt`. Facts of the table (how a list merges, defaults) are put
//! into words for every field, whether it has a text or not.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::table::{Field, ListKind, Shape};

const TEXT: &str = include_str!("docs/words.txt");

static WORDS: LazyLock<BTreeMap<&'static str, &'static str>> = LazyLock::new(|| {
    let lines = TEXT.lines().filter(|l| !l.starts_with('#'));
    lines.filter_map(|l| l.split_once(" = ")).collect()
});

/// The description of a type by its short name (`Deployment`).
pub fn of_type(name: &str) -> Option<&'static str> {
    WORDS.get(name).copied()
}

/// The text about a field of a type (`DeploymentSpec`, `replicas`).
pub fn text(of: &str, field: &str) -> Option<&'static str> {
    let own = WORDS.get(format!("{of}.{field}").as_str());
    own.or_else(|| WORDS.get(format!("*.{field}").as_str())).copied()
}

/// The description of a field: the text about it, and what the table says of it. Empty where
/// there is neither.
pub fn of_field(of: &str, field: &Field) -> String {
    let mut parts: Vec<String> = text(of, &field.name).map(str::to_owned).into_iter().collect();
    let is_list = matches!(field.shape, Shape::List(_));
    match &field.list {
        ListKind::Map { keys } => parts.push(format!("Items are told apart by {}.", listing(keys))),
        ListKind::Set if is_list => parts.push("Items are unique.".to_owned()),
        _ => {}
    }
    if let Some(default) = &field.default {
        parts.push(format!("Default: {default}."));
    }
    parts.join(" ")
}

/// `a`, `a and b`, `a, b and c`.
fn listing(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;
    use crate::table::{Schema, TypeId};

    #[test]
    fn every_text_is_about_something_that_exists() {
        let schema = Schema::builtin();
        let lines: Vec<&str> = TEXT.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect();
        assert_eq!(lines.len(), WORDS.len(), "a line has no ` = `, or a key stands twice");
        let special = ["Quantity", "IntOrString", "Time", "MicroTime"];
        for (key, text) in WORDS.iter() {
            assert!(text.ends_with('.'), "{key}");
            let (of, field) = key.split_once('.').map_or((*key, None), |(t, f)| (t, Some(f)));
            let found = schema
                .types
                .iter()
                .any(|t| (of == "*" || t.short_name() == of) && field.is_none_or(|f| t.field(f).is_some()));
            assert!(found || special.contains(&of), "{key}");
        }
    }

    fn walk(id: TypeId, depth: u8, seen: &mut BTreeSet<TypeId>) {
        if !seen.insert(id) || depth == 0 {
            return;
        }
        for f in &Schema::builtin().get(id).fields {
            let mut shape = &f.shape;
            while let Shape::List(inner) | Shape::Map(inner) = shape {
                shape = inner;
            }
            if let (Shape::Object(inner), true) = (shape, f.name != "status") {
                walk(*inner, depth - 1, seen);
            }
        }
    }

    #[test]
    fn the_kinds_that_app_renders_are_described() {
        let schema = Schema::builtin();
        for (group, version, kind) in [
            ("", "v1", "Namespace"),
            ("", "v1", "ServiceAccount"),
            ("", "v1", "ConfigMap"),
            ("", "v1", "Secret"),
            ("", "v1", "Service"),
            ("scheduling.k8s.io", "v1", "PriorityClass"),
            ("apps", "v1", "Deployment"),
            ("autoscaling", "v2", "HorizontalPodAutoscaler"),
            ("policy", "v1", "PodDisruptionBudget"),
            ("networking.k8s.io", "v1", "NetworkPolicy"),
            ("networking.k8s.io", "v1", "Ingress"),
            ("batch", "v1", "CronJob"),
            ("batch", "v1", "Job"),
        ] {
            let kind = schema.kind(group, version, kind).unwrap();
            assert!(of_type(&kind.kind).is_some(), "{}", kind.kind);
            let mut seen = BTreeSet::new();
            walk(kind.type_id, 2, &mut seen);
            let fields = seen.iter().flat_map(|id| {
                let of = schema.get(*id);
                of.fields.iter().map(move |f| text(of.short_name(), &f.name).is_some())
            });
            let (with, all) = fields.fold((0, 0), |(w, n), is| (w + usize::from(is), n + 1));
            assert!(with * 10 >= all * 6, "{}: {with} of {all} fields have a text", kind.kind);
        }
    }

    #[test]
    fn what_the_table_knows_is_put_into_words() {
        let schema = Schema::builtin();
        let field = |of: &str, name: &str| {
            let id = schema.type_named(&format!("io.k8s.api.core.v1.{of}")).unwrap();
            of_field(of, schema.get(id).field(name).unwrap())
        };
        assert!(field("Container", "ports").ends_with("Items are told apart by containerPort and protocol."));
        assert!(field("ContainerPort", "protocol").ends_with("Default: \"TCP\"."));
        assert_eq!(field("ContainerImage", "sizeBytes"), "");
    }
}
