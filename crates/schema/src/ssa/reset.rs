//! The fields that a write through an endpoint cannot change: nobody owns them by trying.

use std::sync::LazyLock;

use super::path::PathElement;
use super::set::FieldSet;

/// What an endpoint lets through.
#[derive(Debug, Clone)]
pub(super) enum Reset {
    /// All but these, with what lies below them.
    Except(FieldSet),
    /// Only what one of these matches.
    Only(Pattern),
}

/// A tree of elements; an empty one matches everything below.
#[derive(Debug, Clone, Default)]
pub(super) struct Pattern(Vec<(Step, Pattern)>);

#[derive(Debug, Clone)]
enum Step {
    Field(&'static str),
    Any,
}

impl Reset {
    pub(super) fn filter(&self, set: FieldSet) -> FieldSet {
        match self {
            Self::Except(fields) => set.recursive_difference(fields),
            Self::Only(pattern) => pattern.filter(set),
        }
    }
}

impl Pattern {
    fn filter(&self, set: FieldSet) -> FieldSet {
        if self.0.is_empty() {
            return set;
        }
        let mut out = FieldSet::default();
        for node in set.nodes {
            let matching = self.0.iter().find(|(step, _)| match step {
                Step::Any => true,
                Step::Field(name) => matches!(&node.element, PathElement::Field(n) if n == name),
            });
            if let Some((_, below)) = matching {
                out.attach(node.element, node.member, below.filter(node.below));
            }
        }
        out
    }

    fn paths(paths: &[&[&'static str]]) -> Self {
        let mut out = Self::default();
        for path in paths {
            out.insert(path);
        }
        out
    }

    fn insert(&mut self, path: &[&'static str]) {
        let Some((first, rest)) = path.split_first() else { return };
        let is_same = |step: &Step| match step {
            Step::Any => *first == "*",
            Step::Field(name) => name == first,
        };
        if let Some((_, below)) = self.0.iter_mut().find(|(step, _)| is_same(step)) {
            return below.insert(rest);
        }
        let step = if *first == "*" { Step::Any } else { Step::Field(first) };
        let mut below = Self::default();
        below.insert(rest);
        self.0.push((step, below));
    }
}

/// Group, kinds, subresource, fields that the endpoint resets.
type Row = (&'static str, &'static [&'static str], &'static str, &'static [&'static [&'static str]]);

/// What differs from the rule: an object's endpoint resets `status`, its status' endpoint `spec`.
const EXCEPTIONS: &[Row] = &[
    ("apps", &["Deployment"], "status", &[&["spec"], &["metadata", "labels"]]),
    (
        "",
        &["Pod"],
        "status",
        &[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]],
    ),
    ("", &["Namespace"], "finalize", &[&["status"]]),
    ("storage.k8s.io", &["VolumeAttachment", "CSINode"], "status", &[&["metadata"], &["spec"]]),
    ("resource.k8s.io", &["ResourceClaim"], "status", &[&["metadata"], &["spec"]]),
    ("apiextensions.k8s.io", &["CustomResourceDefinition"], "status", &[&["metadata"], &["spec"]]),
    ("apiregistration.k8s.io", &["APIService"], "status", &[&["spec"], &["metadata"]]),
    (
        "certificates.k8s.io",
        &["CertificateSigningRequest"],
        "approval",
        &[&["spec"], &["status", "certificate"]],
    ),
    (
        "certificates.k8s.io",
        &["CertificateSigningRequest"],
        "status",
        &[&["spec"], &["status", "conditions"]],
    ),
    (
        "flowcontrol.apiserver.k8s.io",
        &["FlowSchema", "PriorityLevelConfiguration"],
        "status",
        &[&["metadata"], &["spec"]],
    ),
];

static STATUS: LazyLock<Reset> = LazyLock::new(|| Reset::Except(FieldSet::of_fields(&[&["status"]])));
static SPEC: LazyLock<Reset> = LazyLock::new(|| Reset::Except(FieldSet::of_fields(&[&["spec"]])));
static SPECIAL: LazyLock<Vec<Reset>> = LazyLock::new(|| {
    EXCEPTIONS.iter().map(|(_, _, _, fields)| Reset::Except(FieldSet::of_fields(fields))).collect()
});
static EPHEMERAL: LazyLock<Reset> =
    LazyLock::new(|| Reset::Only(Pattern::paths(&[&["spec", "ephemeralContainers"]])));
static RESIZE: LazyLock<Reset> = LazyLock::new(|| {
    Reset::Only(Pattern::paths(&[
        &["spec", "containers", "*", "resources"],
        &["spec", "containers", "*", "resizePolicy"],
        &["spec", "initContainers", "*", "resources"],
        &["spec", "initContainers", "*", "resizePolicy"],
    ]))
});

/// What writes through an endpoint of a kind may own.
pub(super) fn of(group: &str, kind: &str, subresource: &str, has_status: bool) -> Option<&'static Reset> {
    let row = EXCEPTIONS
        .iter()
        .position(|(g, kinds, s, _)| *g == group && kinds.contains(&kind) && *s == subresource);
    if let Some(row) = row {
        return SPECIAL.get(row);
    }
    match subresource {
        "" if has_status => Some(&STATUS),
        "status" => Some(&SPEC),
        "ephemeralcontainers" => Some(&EPHEMERAL),
        "resize" => Some(&RESIZE),
        _ => None,
    }
}

static ALL_BUT_STATUS: LazyLock<Reset> =
    LazyLock::new(|| Reset::Except(FieldSet::of_fields(&[&["metadata"], &["spec"]])));

/// What writes through an endpoint of a custom kind may own.
pub(super) fn of_custom(subresource: &str, has_status: bool) -> Option<&'static Reset> {
    match subresource {
        "" if has_status => Some(&STATUS),
        "status" => Some(&ALL_BUT_STATUS),
        _ => None,
    }
}
