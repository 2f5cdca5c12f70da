//! Repositories as they lie in a folder, and files that are no files.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;

const PLATFORM: &str = "apiVersion: kiban.dev/v1\nkind: Platform\nenvironments: {dev: {}}\n";
const APP: &str =
    "apiVersion: kiban.dev/v1\nkind: App\nname: orders\nteam: checkout\ntier: 3\nimage: example/orders\n";

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn repository() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "platform.yaml", PLATFORM);
    write(root.path(), "orders/app.yaml", APP);
    root
}

fn problems(root: &Path) -> Vec<String> {
    Repo::load(&DirFiles::new(root)).problems.iter().map(ToString::to_string).collect()
}

#[cfg(unix)]
#[test]
fn a_link_where_a_file_belongs_is_told_as_a_link_and_a_stray_one_as_a_stray_file() {
    for (path, told) in [
        ("platform.yaml", IRREGULAR),
        ("orders/app.yaml", IRREGULAR),
        ("orders/env", IRREGULAR),
        ("orders/env/dev.yaml", IRREGULAR),
        ("orders/env/dev.pin.yaml", IRREGULAR),
        ("orders/env/notes.txt", STRAY_ENV),
        ("orders/extra/role.yaml", IRREGULAR),
        ("orders/secrets/dev/db.enc.yaml", IRREGULAR),
        ("orders/secrets/dev/db.txt", STRAY_SECRET),
        ("platform/roles.yaml", IRREGULAR),
        ("orders/notes.yaml", "nothing reads this file"),
    ] {
        let root = repository();
        let place = root.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&place);
        std::os::unix::fs::symlink("elsewhere", &place).unwrap();
        assert_eq!(problems(root.path()), [format!("{path}: {told}")]);
    }
}

#[cfg(unix)]
#[test]
fn links_that_nothing_would_read_are_nothing() {
    let root = repository();
    for path in ["README.md", "orders/README.md", "docs", "orders/.hidden"] {
        std::os::unix::fs::symlink("elsewhere", root.path().join(path)).unwrap();
    }
    assert_eq!(problems(root.path()), Vec::<String>::new());
}

#[test]
fn a_folder_called_like_a_file_is_told() {
    let root = repository();
    std::fs::remove_file(root.path().join("orders/app.yaml")).unwrap();
    std::fs::create_dir(root.path().join("orders/app.yaml")).unwrap();
    assert_eq!(problems(root.path()), [format!("orders/app.yaml: {IRREGULAR}")]);
}

#[test]
fn a_profile_without_environments_lacks_that_and_nothing_else() {
    let files = MemoryFiles::of([
        ("platform.yaml", "apiVersion: kiban.dev/v1\nkind: Platform\n"),
        ("orders/app.yaml", APP),
    ]);
    let repo = Repo::load(&files);
    let missing = "platform.yaml:1:1: missing key \"environments\" in Platform";
    let told: Vec<String> = repo.resolve("dev").problems.iter().map(ToString::to_string).collect();
    assert_eq!(told, [missing]);
    let told: Vec<String> = repo.check().iter().map(ToString::to_string).collect();
    assert_eq!(told, [missing]);
}

#[test]
fn no_problem_points_into_what_stands_in_for_a_missing_key() {
    for platform in ["kind: Platform\n", "environments: 3\n", "apiVersion: x\nenvironments: {dev: {}}\n"] {
        for app in ["name: orders\n", "tier: 9\nimage: 3\n", "ports: {http: 80}\n"] {
            let files = MemoryFiles::of([
                ("platform.yaml", platform),
                ("orders/app.yaml", app),
                ("orders/env/dev.pin.yaml", "kind: Pin\n"),
            ]);
            let repo = Repo::load(&files);
            for problem in repo.resolve("dev").problems.iter().chain(&repo.check()) {
                assert!(!problem.file.is_empty(), "{problem:#}");
            }
        }
    }
}
