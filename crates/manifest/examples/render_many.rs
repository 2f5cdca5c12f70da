//! How long a large repository takes: `cargo run --release -p kiban-manifest --example render_many -- APPS`.
//!
//! Each app calls three others and has one job. Prints the time to read and resolve, to render, and to
//! write the files as text.

// A benchmark measures: it reads the machine's clock.
#![allow(clippy::disallowed_methods)]

use std::time::Instant;

use kiban_model::repo::{MemoryFiles, Repo};

const PLATFORM: &str = "apiVersion: kiban.dev/v1\nkind: Platform\nenvironments: { prod: {} }\nmesh: istio\n";

fn app(index: usize, apps: usize) -> String {
    let calls: String = (1..4)
        .map(|step| index + step * 7)
        .filter(|callee| *callee < apps)
        .map(|callee| format!("  app-{callee}: {{ timeout: {}ms, retries: 0 }}\n", 20_000 - callee))
        .collect();
    let calls = if calls.is_empty() { String::new() } else { format!("calls:\n{calls}") };
    format!(
        "apiVersion: kiban.dev/v1\nkind: App\nname: app-{index}\nteam: team-{}\ntier: 2\n\
         image: registry.example/app-{index}\nports: {{ http: 8080, metrics: 9090 }}\n\
         health: {{ ready: /ready, live: /live }}\nscale: {{ from: 3, to: 9 }}\nshutdown: 25s\n{calls}\
         jobs: {{ clean: {{ schedule: \"@daily\", run: [clean] }} }}\n",
        index % 40
    )
}

fn main() {
    let apps = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1000);
    let mut files = MemoryFiles::default();
    files.0.insert("platform.yaml".into(), PLATFORM.into());
    for index in 0..apps {
        files.0.insert(format!("app-{index}/app.yaml"), app(index, apps).into_bytes());
    }
    let start = Instant::now();
    let resolution = Repo::load(&files).resolve("prod").into_result();
    let Ok(resolution) = resolution else { return eprintln!("the repository does not resolve") };
    let resolved = start.elapsed();
    let rendered = kiban_manifest::render(&resolution);
    let done = start.elapsed() - resolved;
    let files = rendered.files();
    let bytes: usize = files.values().map(String::len).sum();
    let written = start.elapsed() - resolved - done;
    println!(
        "{apps} apps: {} objects, {} MiB, resolve {resolved:.2?}, render {done:.2?}, text {written:.2?}",
        rendered.objects.len(),
        bytes >> 20
    );
}
