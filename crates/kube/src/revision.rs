//! Points in the history of a manifest repository, and which of two is the newer.

use std::fmt;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

/// A commit, and where it stands in its history.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Revision {
    /// Its id; empty where there is none (a folder outside of a repository).
    pub commit: String,
    /// The repository, as people name it: an address without credentials.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub repository: String,
    /// The branch that was followed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub branch: String,
    /// A number that grows along the branch of the repository: of first parents, for one. Two revisions
    /// of one repository and branch that both state it are compared by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

impl From<&str> for Revision {
    fn from(commit: &str) -> Self {
        Self { commit: commit.into(), ..Self::default() }
    }
}

impl From<String> for Revision {
    fn from(commit: String) -> Self {
        Self { commit, ..Self::default() }
    }
}

/// The first twelve characters of a commit's id, and where it comes from.
impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.commit.is_empty() {
            return f.write_str("a folder without a commit");
        }
        f.write_str(&self.commit.chars().take(12).collect::<String>())?;
        if !self.branch.is_empty() {
            write!(f, " of {}", self.branch)?;
        }
        Ok(())
    }
}

/// How a revision that is wanted stands to one that was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// It is the same.
    Same,
    /// It comes after it.
    Newer,
    /// It comes before it.
    Older,
    /// Neither comes after the other: the history was rewritten, or it is another branch.
    Diverged,
    /// It cannot be told.
    Unknown,
}

/// Whoever can look into the history.
pub trait Ancestry: Send + Sync + fmt::Debug {
    /// How `wanted` stands to `applied`. Asked only where commit and position do not tell.
    fn order<'a>(&'a self, applied: &'a Revision, wanted: &'a Revision) -> BoxFuture<'a, Order>;
}

/// What the two revisions themselves tell; none where the history must be asked.
pub fn order(applied: &Revision, wanted: &Revision) -> Option<Order> {
    if applied.commit.is_empty() {
        return Some(Order::Newer);
    }
    if applied.commit == wanted.commit {
        return Some(Order::Same);
    }
    if (&applied.repository, &applied.branch) != (&wanted.repository, &wanted.branch) {
        return None;
    }
    match (applied.position?, wanted.position?) {
        (a, w) if w > a => Some(Order::Newer),
        (a, w) if w < a => Some(Order::Older),
        _ => Some(Order::Diverged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_one_branch_are_compared_and_nothing_else_is_guessed() {
        let at = |commit: &str, branch: &str, position| Revision {
            commit: commit.into(),
            repository: "r".into(),
            branch: branch.into(),
            position,
        };
        let applied = at("c5", "main", Some(5));
        for (wanted, expected) in [
            (at("c5", "other", None), Some(Order::Same)),
            (at("c6", "main", Some(6)), Some(Order::Newer)),
            (at("c4", "main", Some(4)), Some(Order::Older)),
            (at("x5", "main", Some(5)), Some(Order::Diverged)),
            (at("c6", "other", Some(6)), None),
            (at("c6", "main", None), None),
        ] {
            assert_eq!(order(&applied, &wanted), expected, "{wanted:?}");
        }
        assert_eq!(order(&Revision::default(), &applied), Some(Order::Newer));
        assert_eq!(applied.to_string(), "c5 of main");
    }
}
