//! Conflicts between an applied configuration and the owners of its fields, in upstream's words.

use super::managed::{Entry, Managed};

/// One field that somebody else owns with another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// The owner: `"ma"`, `"hpa" with subresource "scale" using apps/v1`.
    pub manager: String,
    /// The field: `.spec.replicas`.
    pub field: String,
}

impl Conflict {
    /// The message of the Status' cause (reason `FieldManagerConflict`).
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }
}

/// Lists the members of the entries; each is a conflict.
pub(super) fn list(mut entries: Vec<Entry>) -> Vec<Conflict> {
    Managed::sort_by_identifier(&mut entries);
    let mut out = Vec::new();
    for entry in entries {
        let manager = entry.id.describe();
        let fields = entry.into_set().paths().into_iter();
        out.extend(fields.map(|field| Conflict { manager: manager.clone(), field }));
    }
    out
}

/// The message of the whole Status. `conflicts` of one manager stand together.
pub(super) fn message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: {}: {}", one.message(), one.field);
    }
    let mut lines = Vec::new();
    let mut manager = None;
    for conflict in conflicts {
        if manager != Some(&conflict.manager) {
            manager = Some(&conflict.manager);
            lines.push(format!("conflicts with {}:", conflict.manager));
        }
        lines.push(format!("- {}", conflict.field));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
