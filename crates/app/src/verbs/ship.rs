//! `kiban ship`: an image that CI built into an environment: committed where the environment takes direct changes,
//! proposed where it wants a review.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use kiban_base::clock::Clock;
use kiban_base::image::Reference;
use kiban_cloud::registry::{Registries, Resolved};
use kiban_delivery::forge::{Forge, ForgeSection, Kind, Repo as ForgeRepo};
use kiban_delivery::image::ask;
use kiban_delivery::proposal::{self, Build, Facts, History, Item, Laws};
use kiban_delivery::ship::{Cargo, Port, Prepared, ShipError, Shipped, Wording, ship};
use kiban_delivery::source::{Access, Source};
use kiban_git::{Ancestry, Credential, Local, Oid, Task, Who, id_from_hex};
use kiban_manifest::diff;
use kiban_runtime::client::{Client, Options as ClientOptions, Roots, Tcp};
use kiban_runtime::clock::SystemClock;
use serde_json::json;

use super::image::lookup;
use crate::note;
use crate::{Exit, terminal};

/// The largest object of the app's checkout that is read, in bytes.
const MAX_OBJECT: u64 = 64 << 20;

/// App commits that a pull request names at most.
const COMMITS: usize = 50;

/// Arguments of `kiban ship`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  kiban ship orders --image registry.example/checkout/orders:2.14.0 --env dev --repo https://git.example/shop/manifests.git --token-env MANIFESTS_TOKEN\n  kiban ship orders --build-output build.json --env stg --env prod --repo https://github.com/shop/manifests --forge github --token-env GITHUB_TOKEN\n\nRun it in the app's own checkout, so that the pull request can say which of its commits the image holds. It needs\nno access to a cluster.\n\nExit codes: 0 shipped, proposed, or asked for already; 1 refused: the image is missing or older, a law is broken, a\nbranch has another's commits; 2 wrong usage; 3 it could not be done."
)]
pub struct Arguments {
    /// The app
    app: String,
    /// The image; a tag is looked up in its registry, and its digest is pinned
    #[arg(long, value_name = "IMAGE", required_unless_present = "build_output")]
    image: Option<String>,
    /// Take the image of this file, as `skaffold build --file-output` writes it
    #[arg(long, value_name = "FILE", conflicts_with = "image")]
    build_output: Option<PathBuf>,
    /// The environment; may be given more than once
    #[arg(short, long = "env", value_name = "ENV", required = true)]
    env: Vec<String>,
    /// The manifest repository: an address, or a folder of this machine
    #[arg(long, value_name = "URL|DIR", default_value = ".")]
    repo: String,
    /// The environment variable that holds the token for repository and forge
    #[arg(long, value_name = "NAME", conflicts_with = "token_file")]
    token_env: Option<String>,
    /// A file with the token for repository and forge
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Where pull requests are made; without, changes that want a review are pushed as a branch alone
    #[arg(long, value_name = "KIND", value_parser = ["github", "gitlab", "gitea"])]
    forge: Option<String>,
    /// The address of the forge's API; without, the public one of its kind
    #[arg(long, value_name = "URL", requires = "forge")]
    forge_url: Option<String>,
    /// The repository's path on the forge; without, that of --repo
    #[arg(long, value_name = "OWNER/NAME", requires = "forge")]
    forge_repo: Option<String>,
    /// A file with certificates that are trusted for repository and forge besides the machine's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The app's checkout, for the commits that the image holds
    #[arg(long, value_name = "DIR", default_value = ".")]
    source: PathBuf,
    /// The commit that the image was built from; without, what its label org.opencontainers.image.revision says
    #[arg(long, value_name = "SHA")]
    revision: Option<String>,
    /// Ship although the image was built from an older commit than the one that is pinned
    #[arg(long)]
    back: bool,
    /// Ask no registry: the image is given by digest, and nothing is proven about it
    #[arg(long, conflicts_with = "platform")]
    no_registry: bool,
    /// Who makes the commit
    #[arg(long, value_name = "NAME", default_value = "Kiban")]
    author_name: String,
    /// Their e-mail address; a branch of somebody else is not overwritten
    #[arg(long, value_name = "ADDRESS", default_value = "kiban@localhost")]
    author_email: String,
    #[command(flatten)]
    lookup: lookup::Lookup,
}

/// Ships.
pub fn run(arguments: &Arguments) -> Exit {
    if let Some(revision) = arguments.revision.as_deref().filter(|r| id_from_hex(r.as_bytes()).is_none()) {
        return Exit::Usage(anyhow!(
            "--revision: {revision:?} is no commit's id: give all of its 40 hexadecimal digits"
        ));
    }
    let image = match image(arguments) {
        Ok(image) => image,
        Err(error) => return Exit::Usage(error),
    };
    super::block_on(async { Ok(go(arguments, image).await.unwrap_or_else(|exit| exit)) }).into()
}

/// The image that is asked for.
fn image(arguments: &Arguments) -> anyhow::Result<Reference> {
    if let Some(text) = &arguments.image {
        return Ok(Reference::parse(text)?);
    }
    let file = arguments.build_output.as_deref().context("--image or --build-output is needed")?;
    let name = file.display().to_string();
    let bytes = std::fs::read(file).with_context(|| format!("cannot read {name}"))?;
    let built = ask::builds(&name, &bytes)?;
    let own =
        |ask: &&ask::Ask| ask.name == arguments.app || ask.name.ends_with(&format!("/{}", arguments.app));
    match (built.as_slice(), built.iter().find(own)) {
        (_, Some(ask)) | ([ask], None) => Ok(ask.image.clone()),
        _ => {
            let names: Vec<&str> = built.iter().map(|ask| ask.name.as_str()).collect();
            Err(anyhow!("{name} builds no image {:?} (there are: {})", arguments.app, names.join(", ")))
        }
    }
}

async fn go(arguments: &Arguments, image: Reference) -> Result<Exit, Exit> {
    let (image, resolved, registries) = look_up(arguments, image).await?;
    let revision = arguments
        .revision
        .clone()
        .or_else(|| resolved.as_ref().and_then(Resolved::revision).map(str::to_owned));
    let (source, forge) = open(arguments).map_err(Exit::Usage)?;
    let clock = SystemClock;
    let port = Port {
        source: &source,
        forge: forge.as_ref().map(|(forge, repo)| (forge.as_ref(), repo)),
        who: Who {
            name: arguments.author_name.clone(),
            email: arguments.author_email.clone(),
            seconds: clock.now().secs(),
            offset: 0,
        },
        labels: vec!["kiban".into()],
    };
    let mut exit = Exit::Done;
    for env in &arguments.env {
        let cargo = Cargo { app: arguments.app.clone(), env: env.clone(), image: image.clone() };
        let history = history(arguments, &source, registries.as_ref(), &cargo, revision.as_deref()).await;
        if let History::Unknown(why) = &history {
            note!("{env}: whether the image is newer than what runs now is not known: {why}");
        }
        if matches!(history, History::Backward { .. }) && !arguments.back {
            note!(
                "{env}: the image was built from an older commit than the one that runs now; --back ships it all the same"
            );
            exit = Exit::Found;
            continue;
        }
        let words = |prepared: &Prepared| wording(&cargo, prepared, &history, revision.as_deref());
        match ship(&port, &cargo, &words).await {
            Ok((shipped, prepared)) => {
                for warning in prepared.iter().flat_map(|p| &p.warnings) {
                    note!("{warning}");
                }
                terminal::line(&format!("{env}: {}", said(&cargo, &shipped)));
            }
            Err(error @ (ShipError::Refused(_) | ShipError::Layout(_) | ShipError::Foreign { .. })) => {
                note!("{env}: {error}");
                exit = Exit::Found;
            }
            Err(error) => return Err(Exit::Failed(anyhow!("{env}: {error}"))),
        }
    }
    Ok(exit)
}

/// The image by its digest, and what its registry says of it.
async fn look_up(
    arguments: &Arguments,
    mut image: Reference,
) -> Result<(Reference, Option<Resolved>, Option<Registries>), Exit> {
    if arguments.no_registry {
        return Ok((image, None, None));
    }
    let registries = arguments.lookup.registries(&[&image])?;
    let resolved = registries.resolve(&image, &arguments.lookup.platform).await.map_err(lookup::exit)?;
    image.digest = Some(resolved.digest.clone());
    Ok((image, Some(resolved), Some(registries)))
}

type Where = (Source, Option<(Arc<dyn Forge>, ForgeRepo)>);

/// The manifest repository, and the forge that it lives on.
fn open(arguments: &Arguments) -> anyhow::Result<Where> {
    let token = match (&arguments.token_env, &arguments.token_file) {
        (Some(name), _) => Some(json!({"env": name})),
        (None, Some(path)) => Some(json!({"file": path})),
        (None, None) => None,
    };
    let ca = arguments.ca_file.as_ref().map(std::fs::read).transpose().context("cannot read --ca-file")?;
    let credential = match (&arguments.token_env, &arguments.token_file) {
        (Some(name), _) => {
            let token =
                std::env::var(name).with_context(|| format!("--token-env: ${name} holds no token"))?;
            Some(Credential::token(&format!("${name}"), &token)?)
        }
        (None, Some(path)) => Some(Credential::from_file(path, None)?),
        (None, None) => None,
    };
    let source = if arguments.repo.contains("://") {
        let access = Access { credential, ca: ca.clone(), ..Access::default() };
        Source::open(&arguments.repo, access, None, tokio::runtime::Handle::current())?
    } else {
        Source::local(Path::new(&arguments.repo))?
    };
    let Some(kind) = &arguments.forge else { return Ok((source, None)) };
    let token = token.context("a forge answers nothing without a token: --token-env or --token-file")?;
    let section = json!({"kind": kind, "url": arguments.forge_url, "token": token});
    let section: ForgeSection = serde_json::from_value(section)?;
    if let Some(complaint) = section.check("forge").first() {
        return Err(anyhow!("--forge: {}", complaint.words));
    }
    let roots = Roots { extra: ca.unwrap_or_default(), ..Roots::default() };
    let options = ClientOptions { roots, ..ClientOptions::default() };
    let client = Client::new(options, Arc::new(Tcp), Arc::new(SystemClock))?;
    let forge = section.build(client, Arc::new(SystemClock)).context("this forge has no pull requests")?;
    let path = match &arguments.forge_repo {
        Some(path) => path.clone(),
        None => {
            path_of(&arguments.repo).context("--forge-repo is needed: --repo is no address of the forge")?
        }
    };
    let repo = ForgeRepo::new(&path).map_err(|why| anyhow!("--forge-repo: {why}"))?;
    debug_assert_ne!(forge.kind(), Kind::Plain);
    Ok((source, Some((forge, repo))))
}

/// `owner/name` of an address.
fn path_of(address: &str) -> Option<String> {
    let path = address.split_once("://")?.1.split_once('/')?.1;
    Some(path.trim_matches('/').trim_end_matches(".git").to_owned())
}

/// Which commits of the app lie between the image that is pinned and this one.
async fn history(
    arguments: &Arguments,
    source: &Source,
    registries: Option<&Registries>,
    cargo: &Cargo,
    new: Option<&str>,
) -> History {
    let unknown = |why: &str| History::Unknown(why.to_owned());
    let Some(new) = new else { return unknown("the image does not say which commit it was built from") };
    let Some(old) = deployed(source, registries, cargo).await else {
        return unknown("which commit runs now is not known");
    };
    if old == new {
        return History::Same;
    }
    let (folder, new) = (arguments.source.clone(), new.to_owned());
    let read = tokio::task::spawn_blocking(move || between(&folder, &old, &new)).await;
    read.unwrap_or_else(|_| unknown("the app's history cannot be read"))
}

/// The commit of the image that the environment has now, by the image's label.
async fn deployed(source: &Source, registries: Option<&Registries>, cargo: &Cargo) -> Option<String> {
    let (branch, _) = source.tip(None).await.ok()?;
    let head = source.head(&branch).await.ok()?;
    let named = kiban_delivery::layout::settings(head.content.as_ref(), &cargo.env).ok()?.environment.branch;
    let head = match named.filter(|named| *named != branch) {
        Some(named) => source.head(&named).await.ok()?,
        None => head,
    };
    let wanted = Cargo { image: cargo.image.clone(), ..cargo.clone() };
    let content = Arc::clone(&head.content);
    let prepared =
        tokio::task::spawn_blocking(move || kiban_delivery::ship::prepare(content.as_ref(), &wanted));
    let before = prepared.await.ok()?.ok()?.before?;
    let old = Reference { tag: None, digest: Some(before), ..cargo.image.clone() };
    let resolved = registries?.resolve(&old, &[]).await.ok()?;
    resolved.revision().map(str::to_owned)
}

/// What the app's checkout says of two of its commits.
fn between(folder: &Path, old: &str, new: &str) -> History {
    let id = |text: &str| id_from_hex(text.as_bytes());
    let (Some(old), Some(new)) = (id(old), id(new)) else {
        return History::Unknown(format!("{old} or {new} is no full id of a commit"));
    };
    let Ok(local) = Local::discover(folder, MAX_OBJECT) else {
        return History::Unknown(format!("{} is no checkout of the app", folder.display()));
    };
    let (objects, task) = (local.objects(), Task::default());
    let is_before = |a: Oid, b: Oid| objects.is_ancestor(a, b, &task).unwrap_or(Ancestry::Unknown);
    let log = |from: Oid, to: Oid| objects.log(Some(from), to, "", COMMITS, &task);
    let item = |(id, commit): &(Oid, kiban_git::Commit)| Item {
        id: short(*id),
        title: commit.title().to_owned(),
        link: None,
    };
    let found = match (is_before(old, new), is_before(new, old)) {
        (Ancestry::Yes, _) => log(old, new).map(|log| History::Forward {
            pulls: Vec::new(),
            commits: log.commits.iter().map(item).collect(),
            more: (!log.more).then_some(0),
        }),
        (_, Ancestry::Yes) => {
            log(new, old).map(|log| History::Backward { commits: log.commits.iter().map(item).collect() })
        }
        (Ancestry::No, Ancestry::No) => Ok(History::Parted),
        _ => {
            return History::Unknown(
                "the checkout does not hold enough of the app's history (fetch-depth: 0 brings it)".into(),
            );
        }
    };
    found.unwrap_or_else(|error| History::Unknown(format!("the app's history cannot be read: {error}")))
}

fn short(id: Oid) -> String {
    id.to_string().chars().take(12).collect()
}

/// The image as people call it: its tag, or the beginning of its digest.
fn called(image: &Reference) -> String {
    match (&image.tag, &image.digest) {
        (Some(tag), _) => tag.clone(),
        (None, Some(digest)) => digest.chars().take("sha256:".len() + 12).collect(),
        (None, None) => image.to_string(),
    }
}

fn wording(cargo: &Cargo, prepared: &Prepared, history: &History, revision: Option<&str>) -> Wording {
    let build = |digest: &str, tag: Option<&str>, revision: Option<&str>| Build {
        repository: cargo.image.repository(),
        digest: digest.to_owned(),
        tag: tag.map(str::to_owned),
        revision: revision.map(str::to_owned),
    };
    let changes = diff::objects(&prepared.old, &prepared.new);
    let facts = Facts {
        app: &cargo.app,
        env: &cargo.env,
        before: prepared.before.as_deref().map(|digest| build(digest, None, None)),
        after: build(cargo.image.digest.as_deref().unwrap_or_default(), cargo.image.tag.as_deref(), revision),
        history: history.clone(),
        changes: &changes,
        laws: Laws { held: kiban_manifest::laws::LAWS.len(), warnings: prepared.warnings.clone() },
        dry_run: None,
    };
    Wording {
        title: proposal::title(&facts),
        message: proposal::message(&facts),
        body: proposal::body(&facts),
    }
}

fn said(cargo: &Cargo, shipped: &Shipped) -> String {
    let image = called(&cargo.image);
    match shipped {
        Shipped::Already => format!("asks for {image} already"),
        Shipped::Direct { commit, branch } => format!("{} of {branch} asks for {image}", short(*commit)),
        Shipped::Proposed { commit, branch, pull: None } => {
            format!("{} on branch {branch} proposes {image}", short(*commit))
        }
        Shipped::Proposed { pull: Some(pull), .. } => format!("{} proposes {image}", pull.url),
    }
}
