//! Comparisons of commits with folders and with each other, on repositories that are made here.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;

use clap::Parser as _;
use kiban_delivery::source::{Change, Source};
use kiban_git::{Oid, Who};

use super::*;

/// Files of a commit by their paths.
type Texts = BTreeMap<String, String>;

fn texts<const N: usize>(files: [(&str, &str); N]) -> Texts {
    files.into_iter().map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
}

fn who() -> Who {
    Who { name: "Ann".into(), email: "ann@shop.example".into(), seconds: 1_764_000_000, offset: 0 }
}

/// A checkout whose branch `main` holds these files, which lie in the folder too.
fn checkout(files: &Texts) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    kiban_git::init(&folder.path().join(".git"), "main").unwrap();
    let edits = files.iter().map(|(path, text)| (path.clone(), Some(text.clone().into_bytes())));
    let source = Source::local(folder.path()).unwrap();
    let edits = edits.collect();
    crate::verbs::block_on(async { Ok(source.begin("main", edits, "first", who()).await?) }).unwrap();
    for (path, text) in files {
        write(folder.path(), path, text);
    }
    folder
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A commit with one more file upon `base`, on a branch.
fn commit(folder: &Path, branch: &str, base: &str, path: &str, text: &str) -> Oid {
    let source = Source::local(folder).unwrap();
    crate::verbs::block_on(async {
        let head = source.head(base).await?;
        let change = Change {
            branch: branch.to_owned(),
            base: head.id(),
            expected: (branch == base).then(|| head.id()),
            edits: BTreeMap::from([(path.to_owned(), Some(text.as_bytes().to_vec()))]),
            message: format!("{path}\n"),
            who: who(),
        };
        Ok(source.push(change).await?.unwrap().0)
    })
    .unwrap()
}

fn kiban(folder: &Path, line: &str) -> Exit {
    let words = line.split_whitespace().map(str::to_owned);
    let dir = folder.display().to_string();
    crate::run(
        crate::Cli::try_parse_from(["kiban".to_owned()].into_iter().chain(words).chain([dir])).unwrap(),
    )
}

/// The Markdown page of all environments.
fn page(folder: &Path, base: &str, head: Option<&str>) -> String {
    let sides = Sides::find(folder, base, head).unwrap();
    let repo = sides.head.repo().unwrap();
    let mut names = sides.base.environments().unwrap();
    names.extend(sides.head.environments().unwrap());
    let compare = |env: &String| Environment::compare(&sides, repo.as_ref(), env, &[]).unwrap();
    let environments: Vec<Environment> = names.iter().map(compare).collect();
    assert!(page::text(&sides, &environments).contains(" against "));
    let json: Value = serde_json::from_str(&page::json(&sides, &environments)).unwrap();
    assert_eq!(json["environments"].as_array().unwrap().len(), environments.len());
    page::markdown(&sides, &environments)
}

#[track_caller]
fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

fn deployment(app: &str, replicas: u32, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {app}, namespace: checkout-prod}}\nspec:\n  \
         replicas: {replicas}\n  template:\n    spec:\n      containers:\n        - {{name: {app}, image: {image}}}\n"
    )
}

const ORDERS: &str = "rendered/prod/orders/deployment.yaml";

#[test]
fn what_lies_in_the_folder_is_held_against_a_branch() {
    let folder = checkout(&texts([(ORDERS, &deployment("orders", 3, "orders:1"))]));
    let dir = folder.path();
    assert!(matches!(kiban(dir, "diff --base main"), Exit::Done));
    write(dir, ORDERS, &deployment("orders", 2, "orders:2"));
    for format in ["text", "markdown", "json"] {
        assert!(matches!(kiban(dir, &format!("diff --base main --format {format}")), Exit::Found));
    }
    assert!(matches!(kiban(dir, "diff --base main -e prod --app other"), Exit::Done));
    says(
        &page(dir, "main", None),
        &[
            "<!-- kiban:diff -->",
            "### `prod`",
            "0 added, 1 changed, 0 removed: drops capacity (1), restarts pods (1)",
            "Reaches 1 app (`orders`); at least 2 pods of 1 workload replaced.",
            "#### Drops capacity (1)\n\n- `deployment.apps/orders in checkout-prod`: runs fewer pods: `spec.replicas 3 -> 2`",
            "Not judged: there is no `platform.yaml`.",
            "<details><summary>Every field of 1 object</summary>",
            "<details><summary>Lines of 1 file</summary>\n\n```diff\n--- a/rendered/prod/orders/deployment.yaml\n",
            "-  replicas: 3\n+  replicas: 2\n",
        ],
    );
}

#[test]
fn what_others_did_to_the_base_since_is_no_part_of_the_change() {
    let folder = checkout(&texts([(ORDERS, &deployment("orders", 3, "orders:1"))]));
    let dir = folder.path();
    commit(dir, "topic", "main", ORDERS, &deployment("orders", 4, "orders:1"));
    let moved =
        commit(dir, "main", "main", "rendered/prod/cart/deployment.yaml", &deployment("cart", 1, "cart:1"));
    let shown = page(dir, "main", Some("topic"));
    says(&shown, &["spec.replicas"]);
    assert!(!shown.contains("cart"), "{shown}");
    // By id, and the other way round.
    let shown = page(dir, "topic", Some(&moved.to_string()));
    says(&shown, &["`deployment.apps/cart in checkout-prod`: is new"]);
    assert!(!shown.contains("orders"), "{shown}");
}

#[test]
fn names_that_nobody_knows_are_refused() {
    let folder = checkout(&texts([(ORDERS, &deployment("orders", 3, "orders:1"))]));
    for (line, words) in [
        ("diff --base nowhere", "no branch, tag or commit is called \"nowhere\""),
        ("diff --base 4f2a9c1e5b7d8f60a1b2c3d4e5f60718293a4b5c", "is not in this repository"),
        ("diff --base main -e stg", "nothing is rendered for \"stg\" on either side (there is: prod)"),
        ("diff --base ../../etc/passwd", "no branch, tag or commit"),
    ] {
        match kiban(folder.path(), line) {
            Exit::Usage(error) => says(&format!("{error:#}"), &[words]),
            other => panic!("{line}: {other:?}"),
        }
    }
    write(folder.path(), ORDERS, "a: [");
    match kiban(folder.path(), "diff --base main") {
        Exit::Usage(error) => says(&format!("{error:#}"), &["the files as they lie here", ORDERS]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_repository_below_another_ones_root_is_found() {
    let folder = checkout(&texts([
        ("deploy/rendered/prod/orders/deployment.yaml", &deployment("orders", 3, "orders:1")),
        ("src/main.rs", ""),
    ]));
    let dir = folder.path().join("deploy");
    assert!(matches!(kiban(&dir, "diff --base main"), Exit::Done));
    write(&dir, ORDERS, &deployment("orders", 5, "orders:1"));
    says(&page(&dir, "main", None), &["a/rendered/prod/orders/deployment.yaml"]);
}

#[test]
fn nothing_in_a_manifest_works_on_the_page() {
    let path = "rendered/prod/orders/config.yaml";
    let config = |text: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: orders}}\ndata:\n  motd: |\n    {text}\n")
    };
    let folder = checkout(&texts([(path, &config("hello"))]));
    let hostile = "```\n    </details> @team fixes #1 <img src=x>\n    ````` end";
    write(folder.path(), path, &config(hostile));
    let shown = page(folder.path(), "main", None);
    says(&shown, &["``````diff\n"]);
    // Outside of code there is nothing of it.
    let outside = shown.split("``````").step_by(2).collect::<String>();
    let spans = outside.lines().filter(|line| line.contains("@team"));
    for line in spans {
        let (before, _) = line.split_once("@team").unwrap();
        assert!(before.contains("`````` "), "{line}");
    }
}

#[test]
fn a_secret_is_not_shown_line_by_line() {
    let path = "rendered/prod/orders/secret.yaml";
    let secret = |token: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: orders}}\ndata: {{token: {token}}}\n")
    };
    let folder = checkout(&texts([(path, &secret("b2xk"))]));
    write(folder.path(), path, &secret("bmV3"));
    let shown = page(folder.path(), "main", None);
    says(&shown, &["a Secret, which is not shown", "*** (before)"]);
    assert!(!shown.contains("bmV3") && !shown.contains("b2xk"), "{shown}");
}

#[test]
fn a_page_fits_a_forge_however_much_changes() {
    let mut files = Texts::new();
    for env in ["dev", "stg", "prod"] {
        for app in 0..300 {
            let name = format!("app-{app}");
            files.insert(format!("rendered/{env}/{name}/deployment.yaml"), deployment(&name, 3, "a:1"));
        }
    }
    let folder = checkout(&files);
    for (path, text) in &files {
        write(folder.path(), path, &text.replace("a:1", "a:2"));
    }
    let shown = page(folder.path(), "main", None);
    assert!(shown.len() <= 65_536, "{}", shown.len());
    says(
        &shown,
        &[
            "### `dev`",
            "### `stg`",
            "### `prod`",
            "#### Restarts pods (300)",
            "and 280 more); at least 900 pods",
        ],
    );
    says(&shown, &["more, for which there is no room here", "more files, for which there is no room here"]);
}

#[test]
fn laws_and_files_that_are_not_current_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    assert!(matches!(kiban(dir, "new orders --team checkout"), Exit::Done));
    kiban_git::init(&dir.join(".git"), "main").unwrap();
    let source = Source::local(dir).unwrap();
    let first = BTreeMap::from([("README".to_owned(), Some(b"shop\n".to_vec()))]);
    crate::verbs::block_on(async { Ok(source.begin("main", first, "first", who()).await?) }).unwrap();
    let out = format!("render -e dev --out {}", dir.join("rendered").display());
    assert!(matches!(kiban(dir, &out), Exit::Done));
    says(&page(dir, "main", None), &["laws hold.", "is new"]);
    let app = dir.join("orders/app.yaml");
    let text = std::fs::read_to_string(&app).unwrap();
    std::fs::write(&app, text.replace("team: checkout", "team: payments")).unwrap();
    says(&page(dir, "main", None), &["below `rendered/` not current**: run `kiban render`"]);
    std::fs::write(&app, "name: [").unwrap();
    says(&page(dir, "main", None), &["**Not all of it can be judged**", "orders/app.yaml"]);
}
