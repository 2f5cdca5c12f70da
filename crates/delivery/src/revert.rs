//! What a revert of one app in one environment changes in the repository. Pure over contents.

use std::collections::BTreeMap;

use crate::content::{Content, Unreadable, files_below, join};

/// The files that a revert writes, and, without bytes, removes.
pub type Edits = BTreeMap<String, Option<Vec<u8>>>;

/// Why there is nothing to revert, or nothing that may be reverted by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoRevert {
    /// Somebody changed the app since.
    #[error("{path} is no longer what was found bad: somebody changed it since")]
    Moved {
        /// The first file or folder that differs.
        path: String,
    },
    /// The bad change lies in files that other environments or apps share.
    #[error("{path} changed with it, which others share too: revert that by hand")]
    Shared {
        /// The file.
        path: String,
    },
    /// The good commit asks for the same as the bad one.
    #[error("the commit that was good asks for the same")]
    Nothing,
    /// Something cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// The edits that bring `app` in `env` back to what it was in `good`, on top of `head`: its pin, its
/// environment's file and its rendered manifests, so that what is rendered stays current.
///
/// # Errors
/// Where the app at `head` is no longer the one of `bad`, or where the files that made it bad are not its
/// own in this environment.
pub fn edits(
    head: &dyn Content,
    bad: &dyn Content,
    good: &dyn Content,
    app: &str,
    env: &str,
) -> Result<Edits, NoRevert> {
    let own = [format!("{app}/env/{env}.pin.yaml"), format!("{app}/env/{env}.yaml")];
    let rendered = format!("rendered/{env}/{app}");
    for path in own.iter().chain([&rendered]) {
        if id(head, path)? != id(bad, path)? {
            return Err(NoRevert::Moved { path: path.clone() });
        }
    }
    for path in shared(bad, good, app)? {
        if !own.contains(&path) {
            return Err(NoRevert::Shared { path });
        }
    }
    let mut edits = Edits::new();
    for path in &own {
        change(&mut edits, head, good, path)?;
    }
    let folder = |content: &dyn Content| -> Result<Vec<String>, Unreadable> {
        Ok(files_below(content, &rendered)?.into_iter().map(|(path, _)| path).collect())
    };
    for path in folder(head)?.into_iter().chain(folder(good)?) {
        change(&mut edits, head, good, &path)?;
    }
    if edits.is_empty() { Err(NoRevert::Nothing) } else { Ok(edits) }
}

fn change(edits: &mut Edits, head: &dyn Content, good: &dyn Content, path: &str) -> Result<(), Unreadable> {
    let was = good.file(path)?;
    if was != head.file(path)? {
        edits.insert(path.to_owned(), was);
    }
    Ok(())
}

/// Files that differ between the two commits and that the app is rendered from: its folder's, but not its
/// secrets' nor other environments', and the profile.
fn shared(bad: &dyn Content, good: &dyn Content, app: &str) -> Result<Vec<String>, Unreadable> {
    let mut differ = Vec::new();
    let mut paths: Vec<String> = vec!["platform.yaml".into()];
    for content in [bad, good] {
        for (path, _) in files_below(content, app)? {
            let below = path.get(app.len() + 1..).unwrap_or_default();
            // Files of other environments render nothing here.
            if !below.starts_with("env/") && !below.starts_with("secrets/") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths.dedup();
    for path in paths {
        if id(bad, &path)? != id(good, &path)? {
            differ.push(path);
        }
    }
    Ok(differ)
}

/// The id of a file's or folder's content; none where it is not there.
fn id(content: &dyn Content, path: &str) -> Result<Option<String>, Unreadable> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let entry = content.folder(parent)?.into_iter().find(|e| join(parent, &e.name) == join(parent, name));
    Ok(entry.map(|e| e.id))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::content::MemoryContent;

    type Files<'a> = Vec<(&'a str, &'a str)>;

    const GOOD: [(&str, &str); 6] = [
        ("platform.yaml", "p"),
        ("orders/app.yaml", "app"),
        ("orders/env/prod.pin.yaml", "digest: 1"),
        ("rendered/prod/orders/deployment.yaml", "image: 1"),
        ("rendered/prod/orders/old.yaml", "was"),
        ("stock/app.yaml", "s"),
    ];

    fn with(
        base: &[(&'static str, &'static str)],
        changes: &[(&'static str, &'static str)],
    ) -> MemoryContent {
        let mut files: BTreeMap<&str, &str> = base.iter().copied().collect();
        files.extend(changes.iter().copied());
        files.retain(|_, text| *text != "-");
        MemoryContent::new("c", files.into_iter().collect::<Files<'_>>())
    }

    const BAD: [(&str, &str); 4] = [
        ("orders/env/prod.pin.yaml", "digest: 2"),
        ("rendered/prod/orders/deployment.yaml", "image: 2"),
        ("rendered/prod/orders/old.yaml", "-"),
        ("rendered/prod/orders/new.yaml", "added"),
    ];

    #[test]
    fn a_revert_brings_back_the_pin_and_the_rendered_files_of_that_app_alone() {
        let (good, bad) = (with(&GOOD, &[]), with(&GOOD, &BAD));
        let mut later = BAD.to_vec();
        later.push(("stock/app.yaml", "changed meanwhile"));
        let edits = edits(&with(&GOOD, &later), &bad, &good, "orders", "prod").unwrap();
        let shown: Vec<_> = edits
            .iter()
            .map(|(path, bytes)| {
                (path.as_str(), bytes.as_ref().map(|b| String::from_utf8_lossy(b).into_owned()))
            })
            .collect();
        assert_eq!(
            shown,
            [
                ("orders/env/prod.pin.yaml", Some("digest: 1".to_owned())),
                ("rendered/prod/orders/deployment.yaml", Some("image: 1".to_owned())),
                ("rendered/prod/orders/new.yaml", None),
                ("rendered/prod/orders/old.yaml", Some("was".to_owned())),
            ]
        );
    }

    #[test]
    fn nothing_is_reverted_that_somebody_changed_or_that_others_share() {
        let (good, bad) = (with(&GOOD, &[]), with(&GOOD, &BAD));
        let mut fixed = BAD.to_vec();
        fixed.push(("orders/env/prod.pin.yaml", "digest: 3"));
        let error = edits(&with(&GOOD, &fixed), &bad, &good, "orders", "prod").unwrap_err();
        assert_eq!(error, NoRevert::Moved { path: "orders/env/prod.pin.yaml".into() });
        let mut wide = BAD.to_vec();
        wide.push(("orders/app.yaml", "changed with it"));
        let wide = with(&GOOD, &wide);
        let error = edits(&wide, &wide, &good, "orders", "prod").unwrap_err();
        assert_eq!(error, NoRevert::Shared { path: "orders/app.yaml".into() });
        assert_eq!(edits(&good, &good, &good, "orders", "prod").unwrap_err(), NoRevert::Nothing);
    }
}
