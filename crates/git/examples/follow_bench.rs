//! Measures what following a manifest repository costs: the first fetch, polls, one changed file.
//!
//! `cargo run --release -p kiban-git --example follow_bench [apps]` prints one line a case. The repository has
//! apps × 3 environments × 12 files; the server is git's own http-backend on loopback, whose time is in it.

#![allow(clippy::disallowed_methods)] // a benchmark reads the clock
#![allow(clippy::unwrap_used)] // and ends where something fails

#[path = "../tests/real/support.rs"]
#[allow(dead_code)] // the tests use the rest of it
mod support;

use std::time::Instant;

use kiban_git::{Depth, Push, Pushed, Store};
use support::{MOST, Repo, Web, change, has_git, main_branch, remote, task};

const ENVIRONMENTS: [&str; 3] = ["dev", "stg", "prod"];
const FILES: usize = 12;

/// Some fifty lines, like a rendered object.
fn manifest(app: usize, environment: &str, file: usize) -> String {
    let lines =
        (0..50).map(|line| format!("field-{line}: value-{app}-{environment}-{file}-{}\n", line * app % 97));
    lines.collect()
}

fn case<T>(name: &str, web: &Web, run: impl FnOnce() -> T) -> T {
    web.take();
    let start = Instant::now();
    let made = run();
    let took = start.elapsed();
    println!("{name:28} {:9.1} ms, {} requests", took.as_secs_f64() * 1000.0, web.take().len());
    made
}

fn main() {
    if !has_git("follow_bench") {
        return;
    }
    let apps: usize = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(1000);
    let repo = Repo::new();
    for app in 0..apps {
        for environment in ENVIRONMENTS {
            let folder = repo.work.join(format!("rendered/{environment}/app-{app:04}"));
            std::fs::create_dir_all(&folder).unwrap();
            (0..FILES).for_each(|n| {
                std::fs::write(folder.join(format!("kind{n}-app.yaml")), manifest(app, environment, n))
                    .unwrap()
            });
        }
    }
    let first = repo.commit(&[("platform.yaml", "name: shop\n")]);
    let web = Web::new(repo.root.path());
    let data = tempfile::tempdir().unwrap();
    let store = Store::open(&data.path().join("git"), MOST).unwrap();
    let remote = remote(&web, None);
    let follow = || remote.fetch(&store, &main_branch(Depth::Follow(1)), &task()).unwrap();

    let got = case("first fetch", &web, follow);
    println!("{:28} {} objects, {} bytes", "", got.objects, got.bytes);
    let files = case("walk all", &web, || store.objects().walk(first, "", &task()).unwrap());
    println!("{:28} {} files", "", files.len());
    case("read all", &web, || files.iter().for_each(|f| drop(store.objects().read_entry(f, MOST).unwrap())));
    case("poll without a change", &web, follow);
    let before = first;
    let path = "rendered/prod/app-0007/kind3-app.yaml";
    repo.commit(&[(path, &manifest(7, "changed", 3))]);
    let next = case("one file: fetch", &web, follow);
    println!("{:28} {} objects, {} bytes", "", next.objects, next.bytes);
    let reads = store.objects().reads();
    let changes = case("one file: changed()", &web, || {
        store.objects().changed(Some(before), next.commit, &[], &task()).unwrap()
    });
    println!("{:28} {} paths, {} objects read", "", changes.len(), store.objects().reads() - reads);

    let edit = change(next.commit, &[("rendered/dev/app-0001/kind0-app.yaml", "image: x\n")]);
    let made = case("one file: commit", &web, || store.commit(&edit, None).unwrap().unwrap());
    let push = Push { name: "refs/heads/main".to_owned(), expected: Some(next.commit), new: Some(made.id()) };
    let outcome = case("one file: push", &web, || remote.push(&store, &push, &task()).unwrap());
    assert_eq!(outcome, Pushed::Done);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    for line in status.lines().filter(|line| line.starts_with("VmHWM")) {
        println!("{line}");
    }
}
