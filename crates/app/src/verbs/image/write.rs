//! Writes a file that a person has: through links to what they mean, and with the rights that it had.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use crate::terminal;

/// The file that a path means: its own, or the one that it links to. Where nothing is, the path.
///
/// # Errors
/// A link to nothing, and what is no regular file.
pub(super) fn target(path: &Path) -> anyhow::Result<PathBuf> {
    let shown = path.display();
    if path.symlink_metadata().is_err() {
        return Ok(path.to_owned());
    }
    let found = path.canonicalize();
    if let Err(error) = &found
        && error.kind() == std::io::ErrorKind::NotFound
    {
        let to = path.read_link().map(|to| to.display().to_string()).unwrap_or_default();
        anyhow::bail!("{shown} is a link to {to:?}, which is not there: mend or remove the link first");
    }
    let found = found.with_context(|| format!("cannot tell what {shown} is"))?;
    ensure!(found.is_file(), "{shown} is no regular file, and is not written");
    Ok(found)
}

/// Writes a file whole. One that is there keeps its rights, and a link to it stays a link.
///
/// # Errors
/// As [`target`], and where it cannot be written.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let target = target(path)?;
    let cannot = || format!("cannot write {}", path.display());
    let rights = target.metadata().ok().map(|meta| meta.permissions());
    // What others may not read must not be readable in between either.
    terminal::write_whole(&target, text, rights.is_some()).with_context(cannot)?;
    if let Some(rights) = rights {
        std::fs::set_permissions(&target, rights).with_context(cannot)?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_a_link_means_is_written_with_its_rights_and_the_link_stays() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir(at("real")).unwrap();
        fs::write(at("real/a.yaml"), "old").unwrap();
        symlink("real/a.yaml", at("one")).unwrap();
        symlink("one", at("two")).unwrap();
        for mode in [0o640, 0o600, 0o755] {
            fs::set_permissions(at("real/a.yaml"), Permissions::from_mode(mode)).unwrap();
            write(&at("two"), &format!("{mode:o}")).unwrap();
            assert_eq!(fs::read_to_string(at("real/a.yaml")).unwrap(), format!("{mode:o}"));
            assert_eq!(fs::metadata(at("real/a.yaml")).unwrap().permissions().mode() & 0o777, mode);
            assert!(at("one").is_symlink() && at("two").is_symlink());
        }
        write(&at("new"), "x").unwrap();
        assert_eq!(fs::read_to_string(at("new")).unwrap(), "x");
    }

    #[test]
    fn a_link_to_nothing_and_a_folder_are_refused_in_words() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link");
        symlink("gone", &link).unwrap();
        let why = write(&link, "x").unwrap_err().to_string();
        assert!(
            why.ends_with("is a link to \"gone\", which is not there: mend or remove the link first"),
            "{why}"
        );
        assert!(link.is_symlink() && !root.path().join("gone").exists());
        let why = write(root.path(), "x").unwrap_err().to_string();
        assert!(why.ends_with("is no regular file, and is not written"), "{why}");
    }
}
