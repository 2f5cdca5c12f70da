//! Where `render` writes, and what it leaves behind.
#![allow(clippy::unwrap_used)]

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Cli {
    #[command(flatten)]
    arguments: Arguments,
}

fn render_into(dir: &Path, out: &Path) -> Exit {
    let words = ["render", "-e", "dev", "--out"].map(std::ffi::OsStr::new);
    run(&Cli::parse_from(words.into_iter().chain([out.as_os_str(), dir.as_os_str()])).arguments)
}

fn repository() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let files = crate::shop::files();
    for (path, bytes) in &files.0 {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

#[test]
fn a_folder_that_is_read_is_not_written_into() {
    let repository = repository();
    let root = repository.path();
    std::fs::create_dir(root.join("rendered")).unwrap();
    for out in ["orders", ".", "platform", "new/../orders", "docs", "rendered/..", "rendered/../orders/env"] {
        let before = files_below(root).unwrap();
        match render_into(root, &root.join(out)) {
            Exit::Usage(error) => {
                let told = error.to_string();
                assert!(told.contains("is part of the repository that is read"), "{out}: {told}");
            }
            other => panic!("{out}: {other:?}"),
        }
        assert_eq!(files_below(root).unwrap(), before, "{out}");
    }
    let outside = tempfile::tempdir().unwrap();
    for out in [
        root.join("rendered"),
        root.join("rendered/deep"),
        root.join(".build"),
        outside.path().join("new/folder"),
    ] {
        assert!(matches!(render_into(root, &out), Exit::Done), "{}", out.display());
    }
}

#[test]
fn no_empty_folder_is_left_of_an_app_that_is_gone() {
    let repository = repository();
    let root = repository.path();
    let out = root.join("rendered");
    let gone = out.join("dev/gone");
    std::fs::create_dir_all(&gone).unwrap();
    std::fs::write(gone.join("service-gone.yaml"), "kind: Service\n").unwrap();
    let kept = out.join("dev/kept");
    std::fs::create_dir_all(&kept).unwrap();
    std::fs::write(kept.join("service-kept.yaml"), "kind: Service\n").unwrap();
    std::fs::write(kept.join("notes.txt"), "").unwrap();
    assert!(matches!(render_into(root, &out), Exit::Done));
    assert!(!gone.exists());
    assert!(kept.join("notes.txt").exists() && !kept.join("service-kept.yaml").exists());
}
