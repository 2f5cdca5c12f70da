//! What is to be done about one app, from what a commit asks for and what the cluster remembers. Pure.

use kiban_kube::inventory::{Inventory, Told};

/// The word in an inventory for a rollout that was watched to its end and was good.
pub const GOOD: &str = "good";

/// The word in an inventory for a rollout that was found bad.
pub const BAD: &str = "bad";

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: what is asked for runs, and was watched.
    Nothing,
    /// Nothing is known to be wrong, but somebody doubts it: it is applied again, and watched where that changed
    /// anything.
    Check,
    /// It is to be applied, watched and judged.
    Deploy,
    /// It was applied, but who watched it is gone: watch and judge.
    Watch,
    /// It is known to be bad, and whoever took it back did not come to the end of it: go on.
    TakeBack,
    /// It is known to be bad and held back; an older render runs.
    Held,
    /// It was found bad and left running, because its environment takes nothing back.
    Bad,
    /// It is no longer asked for: prune it.
    Remove,
}

/// What is to be done about an app. `wanted` is the digest of what is asked for (`apply::Request::digest`), none
/// where nothing asks for it; without `known` it never ran.
pub fn next(wanted: Option<&str>, known: Option<&Inventory>) -> Step {
    let (digest, known) = match (wanted, known) {
        (None, None) => return Step::Nothing,
        (None, Some(_)) => return Step::Remove,
        (Some(_), None) => return Step::Deploy,
        (Some(digest), Some(known)) => (digest, known),
    };
    if let Some(held) = known.held.as_ref().filter(|held| held.render == digest) {
        // The verdict is what is noted last: without it the rollback was cut short.
        let is_told = |told: &Told| told.verdict == BAD && told.commit == held.bad.commit;
        let is_over = known.applying.is_none() && known.verdict.as_ref().is_some_and(is_told);
        return if is_over { Step::Held } else { Step::TakeBack };
    }
    // A hold of something else is released by an apply, even where nothing else is to be changed.
    if known.applying.is_some() || known.held.is_some() || known.render != digest {
        return Step::Deploy;
    }
    match &known.verdict {
        Some(told) if told.commit != known.revision.commit => Step::Watch,
        None => Step::Watch,
        Some(told) if told.verdict == BAD => Step::Bad,
        Some(_) => Step::Nothing,
    }
}

/// The entry of an inventory that holds the commit that was good last, whatever is applied or held since.
pub const GOOD_ENTRY: &str = "good";

/// The commit that was good last.
pub fn last_good(known: &Inventory) -> Option<&str> {
    known.others.get(GOOD_ENTRY).map(String::as_str).filter(|commit| !commit.is_empty())
}

#[cfg(test)]
mod tests {
    use kiban_kube::apply::{Hold, Request};
    use serde_json::json;

    use super::*;

    fn request(value: &str) -> Request {
        let object =
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"v": value}});
        Request { app: "a".into(), env: "dev".into(), objects: vec![object], ..Request::default() }
    }

    fn ran(value: &str, commit: &str, verdict: Option<(&str, &str)>) -> Inventory {
        Inventory {
            revision: commit.into(),
            render: request(value).digest(),
            verdict: verdict.map(|(commit, word)| Told {
                commit: commit.into(),
                verdict: word.into(),
                ..Told::default()
            }),
            ..Inventory::empty("a", "dev")
        }
    }

    #[test]
    fn what_is_to_be_done_follows_from_what_is_asked_for_and_what_is_remembered() {
        let interrupted = Inventory { applying: Some("c2".into()), ..ran("1", "c1", Some(("c1", GOOD))) };
        let held = Inventory {
            held: Some(Hold { render: request("2").digest(), bad: "c2".into(), ..Hold::default() }),
            ..ran("1", "c1", Some(("c2", BAD)))
        };
        let half_held = Inventory { applying: Some("c1".into()), ..held.clone() };
        let untold = Inventory { verdict: ran("1", "c1", Some(("c1", GOOD))).verdict, ..held.clone() };
        for (what, wanted, known, step) in [
            ("neither", None, None, Step::Nothing),
            ("new", Some("1"), None, Step::Deploy),
            ("gone", None, Some(ran("1", "c1", None)), Step::Remove),
            ("settled", Some("1"), Some(ran("1", "c1", Some(("c1", GOOD)))), Step::Nothing),
            ("changed", Some("2"), Some(ran("1", "c1", Some(("c1", GOOD)))), Step::Deploy),
            ("killed while watching", Some("2"), Some(ran("2", "c2", Some(("c1", GOOD)))), Step::Watch),
            ("killed in the first watch", Some("1"), Some(ran("1", "c1", None)), Step::Watch),
            ("bad and left", Some("1"), Some(ran("1", "c1", Some(("c1", BAD)))), Step::Bad),
            ("killed while applying", Some("1"), Some(interrupted), Step::Deploy),
            ("held", Some("2"), Some(held.clone()), Step::Held),
            ("killed while taking back", Some("2"), Some(half_held), Step::TakeBack),
            ("killed before the verdict", Some("2"), Some(untold), Step::TakeBack),
            ("reverted after a hold", Some("1"), Some(held.clone()), Step::Deploy),
            ("fixed after a hold", Some("3"), Some(held), Step::Deploy),
        ] {
            let digest = wanted.map(|w| request(w).digest());
            assert_eq!(next(digest.as_deref(), known.as_ref()), step, "{what}");
        }
    }
}
