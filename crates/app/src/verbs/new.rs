//! `kiban new`: the first files of an app, and of a repository around it where there is none.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kiban_model::repo::{DirFiles, Repo};
use kiban_model::text::{AppName, ImageRepo, Name};

use crate::{Exit, terminal};

/// Arguments of `kiban new`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  kiban new orders --team checkout\n  kiban render -e dev\n\nIt writes NAME/app.yaml and NAME/env/, and platform.yaml and an example for CI where they are missing.\nIt never writes over a file."
)]
pub struct Arguments {
    /// The app's name: lower case letters, digits and dashes
    name: String,
    /// The team that owns it
    #[arg(long)]
    team: String,
    /// Its image, without a tag; by default registry.example/TEAM/NAME
    #[arg(long)]
    image: Option<String>,
    /// How much depends on it: 1 (everything) to 4 (nothing)
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=4))]
    tier: u8,
    /// The port that it serves HTTP on
    #[arg(long, default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// The manifest repository; made where it is not there
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Environments that a new repository has, each with what its file says at first.
const ENVIRONMENTS: [(&str, &str); 3] = [
    ("dev", "# What differs in dev; anything of app.yaml may stand here.\nscale: { from: 1, to: 2 }\n"),
    ("stg", "# What differs in stg.\nscale: { from: 2, to: 4 }\n"),
    ("prod", "# What differs in prod.\nscale: { from: 3, to: 10 }\n"),
];

const PLATFORM: &str = include_str!("new/platform.yaml");
const WORKFLOW: &str = include_str!("new/workflow.yaml");

/// Writes the files.
pub fn run(arguments: &Arguments) -> Exit {
    if let Err(error) = check(arguments) {
        return Exit::Usage(error);
    }
    write(arguments).map(|()| Exit::Done).into()
}

/// What would be written must be what the other verbs read.
fn check(arguments: &Arguments) -> anyhow::Result<()> {
    AppName::new(&arguments.name).map_err(|why| anyhow::anyhow!("name {why}"))?;
    Name::new(&arguments.team).map_err(|why| anyhow::anyhow!("--team {why}"))?;
    if let Some(image) = &arguments.image {
        ImageRepo::new(image).map_err(|why| anyhow::anyhow!("--image {why}"))?;
    }
    let app = arguments.dir.join(&arguments.name);
    if app.exists() {
        bail!("{} is there already; nothing was written", shown(&app));
    }
    Ok(())
}

/// The environments that the app gets a file for: those of the repository that are known here, or, where there
/// is no repository yet, all.
fn environments(dir: &Path) -> Vec<(&'static str, &'static str)> {
    if !dir.join("platform.yaml").exists() {
        return ENVIRONMENTS.to_vec();
    }
    let named = Repo::load(&DirFiles::new(dir)).environments();
    ENVIRONMENTS.into_iter().filter(|(env, _)| named.iter().any(|other| other == env)).collect()
}

fn write(arguments: &Arguments) -> anyhow::Result<()> {
    let app = arguments.dir.join(&arguments.name);
    let environments = environments(&arguments.dir);
    create(&app.join("app.yaml"), &app_yaml(arguments))?;
    for (env, text) in &environments {
        create(&app.join("env").join(format!("{env}.yaml")), text)?;
    }
    for (path, text) in [("platform.yaml", PLATFORM), (".github/workflows/rendered.yaml", WORKFLOW)] {
        let path = arguments.dir.join(path);
        if !path.exists() {
            create(&path, text)?;
        }
    }
    let here = arguments.dir == Path::new(".");
    let dir = if here { String::new() } else { format!(" {}", arguments.dir.display()) };
    let first = environments.first().map_or("ENV", |(env, _)| env);
    terminal::line(&format!("next: kiban render -e {first}{dir}"));
    terminal::line(&format!(
        "later, for stg and prod: name the image by its digest in {}, as\n{}",
        shown(&app.join("env").join("prod.pin.yaml")),
        pin_yaml(arguments)
    ));
    Ok(())
}

/// The image, where the command line names none.
fn image(arguments: &Arguments) -> String {
    let Arguments { name, team, .. } = arguments;
    arguments.image.clone().unwrap_or_else(|| format!("registry.example/{team}/{name}"))
}

/// What a pin looks like, indented.
fn pin_yaml(arguments: &Arguments) -> String {
    format!(
        "  apiVersion: kiban.dev/v1\n  kind: Pin\n  images: {{ {}: {{ digest: \"sha256:...\", tag: 1.0.0 }} }}",
        image(arguments)
    )
}

/// A path as a person would write it.
fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

fn app_yaml(arguments: &Arguments) -> String {
    let Arguments { name, team, tier, port, .. } = arguments;
    let image = image(arguments);
    format!(
        "apiVersion: kiban.dev/v1\n\
         kind: App\n\
         name: {name}\n\
         team: {team}\n\
         tier: {tier}\n\
         image: {image}\n\
         ports: {{ http: {port} }}\n\
         health: {{ ready: /ready, live: /live }}\n\
         scale: {{ from: 2, to: 10, cpu: 60% }}\n\
         size: s\n\
         # calls: {{ other-app: {{ timeout: 800ms, retries: 2 }} }}\n\
         # env: {{ LOG_LEVEL: info }}\n"
    )
}

/// Writes a file that must not be there yet.
fn create(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut f| f.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))?;
    terminal::line(&format!("wrote {}", shown(path)));
    Ok(())
}
