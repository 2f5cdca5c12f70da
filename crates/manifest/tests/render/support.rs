//! Repositories for tests: the shop, and small ones from texts.

use std::path::{Path, PathBuf};

use kiban_manifest::{Rendered, render_repo};
use kiban_model::repo::{DirFiles, MemoryFiles, Repo};
use serde_json::Value;

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The environments of the shop.
pub const ENVS: [&str; 3] = ["dev", "stg", "prod"];

/// The shop in an environment.
pub fn shop(env: &str) -> Rendered {
    let repo = Repo::load(&DirFiles::new(root().join("examples/shop")));
    render_repo(&repo, env).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A repository of texts.
pub fn repo(files: &[(&str, &str)]) -> Repo {
    Repo::load(&MemoryFiles::of(files.iter().copied()))
}

/// A repository of texts, rendered.
pub fn rendered(files: &[(&str, &str)], env: &str) -> Rendered {
    render_repo(&repo(files), env).unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// A profile with one environment of each kind.
pub const PLATFORM: &str = "\
apiVersion: kiban.dev/v1
kind: Platform
environments: { dev: { production: false, delivery: direct },
  prod: {} }
externals: { pg:db: {} }
";

/// An app with everything that production demands.
pub fn app(name: &str, more: &str) -> String {
    format!(
        "\
apiVersion: kiban.dev/v1
kind: App
name: {name}
team: checkout
tier: 2
image: registry.example/checkout/{name}
ports: {{ http: 8080, metrics: 9090 }}
health: {{ ready: /ready, live: /live }}
scale: {{ from: 3, to: 9 }}
{more}"
    )
}

/// The pin of an app.
pub fn pin(name: &str) -> String {
    format!(
        "\
apiVersion: kiban.dev/v1
kind: Pin
images:
  registry.example/checkout/{name}:
    digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
"
    )
}

/// Apps (name and further lines) under a profile, pinned in prod.
pub fn platform_with(platform: &str, apps: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut files = vec![("platform.yaml".to_owned(), platform.to_owned())];
    for (name, more) in apps {
        files.push((format!("{name}/app.yaml"), app(name, more)));
        files.push((format!("{name}/env/prod.pin.yaml"), pin(name)));
    }
    files
}

/// Renders owned files.
pub fn render(files: &[(String, String)], env: &str) -> Rendered {
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    rendered(&files, env)
}

/// The object of this kind and name.
pub fn object(rendered: &Rendered, kind: &str, name: &str) -> Value {
    let found = rendered.objects.iter().find(|o| o.kind() == kind && o.name() == name);
    found.unwrap_or_else(|| panic!("no {kind} {name}")).value()
}

/// The objects of this kind.
pub fn of_kind(rendered: &Rendered, kind: &str) -> Vec<Value> {
    rendered.objects.iter().filter(|o| o.kind() == kind).map(|o| o.value()).collect()
}

/// Whether files are to be rewritten instead of compared.
pub fn blessing() -> bool {
    std::env::var_os("KIBAN_BLESS").is_some()
}
